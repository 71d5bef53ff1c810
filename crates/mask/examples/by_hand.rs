use std::io::{Read, Write};
use mask::*; use mask::copy::*;
fn main() {
    // args: format mask oid:typmod...   (all columns masked)
    let a: Vec<String> = std::env::args().collect();
    let format = if a[1] == "binary" { Format::Binary } else { Format::Text };
    let m = match a[2].as_str() { "partial" => Mask::Partial{keep_first:1,keep_last:1,fill:"***".into()}, "round" => Mask::Round{to: Step(1000.try_into().unwrap())}, n => Mask::from_name(n).unwrap() };
    let key = Key::new(b"0123456789abcdef").unwrap();
    let cols: Vec<_> = a[3..].iter().map(|c| { let (o,t)=c.split_once(':').unwrap(); Some(m.for_column(ColumnType{oid: model::Oid(o.parse().unwrap()), typmod: t.parse().unwrap()}, format, Some(&key)).unwrap()) }).collect();
    let n = cols.len();
    let cf = match a[1].as_str() { "binary" => CopyFormat::Binary, "csv" => CopyFormat::Csv(CopyCsv::default()), _ => CopyFormat::Text(CopyText::default()) };
    let mut cm = CopyMasker::new(cols, cf).unwrap(); let _ = n;
    let mut all = Vec::new(); std::io::stdin().read_to_end(&mut all).unwrap();
    let mut out = Vec::new();
    match a[1].as_str() { "binary" => cm.push(&all, &mut out).unwrap(), _ => for line in all.split_inclusive(|&b| b == b'\n') { cm.push(line, &mut out).unwrap() } }
    std::io::stdout().write_all(&out).unwrap();
}

//! A value that is given as text, as a value of a type. Knows no masks.

use crate::types::{Family, Format};
use crate::{calendar, network, number};

/// Writes the value; `None`: it is not one of the type.
pub(crate) fn write(value: &str, family: Family, format: Format, out: &mut Vec<u8>) -> Option<()> {
    match family {
        Family::Text(shape) => shape.holds(value).then(|| shape.write(value, format, out)),
        Family::Bool => {
            let truth = match value {
                "t" | "true" => true,
                "f" | "false" => false,
                _ => return None,
            };
            out.push(match format {
                Format::Text => {
                    if truth {
                        b't'
                    } else {
                        b'f'
                    }
                }
                Format::Binary => u8::from(truth),
            });
            Some(())
        }
        Family::Int(width) => number::write_int(value.parse().ok()?, width, format, out),
        Family::Float4 => {
            number::write_float4(number::read_float4(value.as_bytes(), Format::Text)?, format, out)
        }
        Family::Float8 => {
            number::write_float8(number::read_float8(value.as_bytes(), Format::Text)?, format, out)
        }
        Family::Numeric { scale: _ } => number::constant_numeric(value, format, out),
        Family::Date => calendar::constant(value, calendar::Moment::Date, format, out),
        Family::Timestamp => calendar::constant(value, calendar::Moment::Timestamp, format, out),
        Family::TimestampTz => calendar::constant(value, calendar::Moment::TimestampTz, format, out),
        Family::Uuid => {
            write_uuid(read_uuid(value.as_bytes(), Format::Text)?, format, out);
            Some(())
        }
        Family::Bytea => {
            let bytes = hex::decode(value.strip_prefix("\\x")?).ok()?;
            write_bytea(&bytes, format, out);
            Some(())
        }
        Family::Inet => network::constant(value, false, format, out),
        Family::Cidr => network::constant(value, true, format, out),
        Family::Opaque => None,
    }
}

/// Reads `f81d4fae-7dec-11d0-a765-00a0c91e6bf6`, as `uuid_out` writes it, or 16 bytes.
pub(crate) fn read_uuid(value: &[u8], format: Format) -> Option<[u8; 16]> {
    match format {
        Format::Binary => value.try_into().ok(),
        Format::Text => {
            let text = std::str::from_utf8(value).ok()?;
            let groups: Vec<usize> = text.split('-').map(str::len).collect();
            let mut bytes = [0; 16];
            if groups != [8, 4, 4, 4, 12] {
                return None;
            }
            hex::decode_to_slice(text.replace('-', ""), &mut bytes).ok()?;
            Some(bytes)
        }
    }
}

pub(crate) fn write_uuid(uuid: [u8; 16], format: Format, out: &mut Vec<u8>) {
    match format {
        Format::Binary => out.extend_from_slice(&uuid),
        Format::Text => out.extend_from_slice(uuid_text(uuid).as_bytes()),
    }
}

pub(crate) fn uuid_text(uuid: [u8; 16]) -> String {
    let mut text = hex::encode(uuid);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

/// Reads bytes in `bytea_output = hex`, the default; `escape` is not read, as the two can't always be told apart.
pub(crate) fn read_bytea(value: &[u8], format: Format) -> Option<Vec<u8>> {
    match format {
        Format::Binary => Some(value.to_vec()),
        Format::Text => hex::decode(value.strip_prefix(b"\\x")?).ok(),
    }
}

pub(crate) fn write_bytea(bytes: &[u8], format: Format, out: &mut Vec<u8>) {
    match format {
        Format::Binary => out.extend_from_slice(bytes),
        Format::Text => {
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(hex::encode(bytes).as_bytes());
        }
    }
}

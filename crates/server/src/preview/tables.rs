//! What tables carry with them that runs when their rows change: triggers, rules, foreign keys that reach on, expressions, indexes.
//!
//! SECURITY: fails closed. What isn't known to be undone by a rollback, or to do nothing but compute, is told, and stops a count.

use std::collections::BTreeSet;

use crate::upstream::Row;

/// OIDs below are the server's own (`FirstNormalObjectId`, access/transam.h).
const FIRST_NORMAL: u32 = 16_384;

/// Nodes of expressions (nodes/primnodes.h) that compute from what is in them, and call only functions that they name. Names as
/// PostgreSQL prints them, which have changed with version 16.
const NODES: &[&str] = &[
    "ARRAY",
    "ARRAYCOERCEEXPR",
    "ARRAYEXPR",
    "BOOLEANTEST",
    "BOOLEXPR",
    "CASE",
    "CASEEXPR",
    "CASETESTEXPR",
    "CASEWHEN",
    "COALESCE",
    "COALESCEEXPR",
    "COLLATEEXPR",
    "CONST",
    "DISTINCTEXPR",
    "FUNCEXPR",
    "MINMAX",
    "MINMAXEXPR",
    "NAMEDARGEXPR",
    "NULLIFEXPR",
    "NULLTEST",
    "OPEXPR",
    "PARTITIONBOUNDSPEC",
    "RELABELTYPE",
    "SCALARARRAYOPEXPR",
    "SQLVALUEFUNCTION",
    "VAR",
];

/// Asks what changes with these relations, as far as foreign keys, partitions and children lead. The first column says what a row is about.
///
/// `touched` are relations that are read or written, `written` those that are written.
pub(super) fn query(written: &BTreeSet<u32>, touched: &BTreeSet<u32>) -> String {
    let list = |oids: &BTreeSet<u32>| {
        let oids: Vec<String> = oids.iter().map(u32::to_string).collect();
        format!("'{{{}}}'::pg_catalog.oid[]", oids.join(","))
    };
    let (written, touched) = (list(written), list(touched));
    // No operator is looked up by a search_path: it is the requester's, and so may be the operators.
    format!(
        // Undone with the savepoint: the statement is to run under the search_path that it is meant for.
        "SAVEPOINT gatepost; SET LOCAL search_path TO pg_catalog; \
         WITH RECURSIVE hit(oid, far, defaults) AS ( \
             SELECT o, false, false FROM pg_catalog.unnest({written}) o \
             UNION \
             SELECT n.oid, hit.far OR n.far, n.defaults FROM hit, LATERAL ( \
                 SELECT i.inhrelid AS oid, false AS far, hit.defaults FROM pg_catalog.pg_inherits i WHERE i.inhparent = hit.oid \
                 UNION ALL \
                 SELECT c.conrelid, true, 'd' IN (c.confdeltype, c.confupdtype) FROM pg_catalog.pg_constraint c \
                 WHERE c.contype = 'f' AND c.confrelid = hit.oid \
                 AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))) n), \
         seen(oid) AS ( \
             SELECT o FROM pg_catalog.unnest({touched}) o \
             UNION SELECT i.inhrelid FROM seen JOIN pg_catalog.pg_inherits i ON i.inhparent = seen.oid) \
         SELECT 'relation', c.oid::pg_catalog.regclass::pg_catalog.text, c.relkind::pg_catalog.text, c.relam::pg_catalog.text \
             FROM pg_catalog.pg_class c WHERE c.oid IN (SELECT oid FROM hit UNION SELECT oid FROM seen) \
         UNION ALL \
         SELECT 'trigger', t.tgrelid::pg_catalog.regclass::pg_catalog.text, t.tgname, t.tgfoid::pg_catalog.regproc::pg_catalog.text \
             FROM pg_catalog.pg_trigger t WHERE t.tgrelid IN (SELECT oid FROM hit) \
             AND t.tgenabled <> 'D' AND (NOT t.tgisinternal OR t.tgfoid >= {FIRST_NORMAL}) \
         UNION ALL \
         SELECT 'rule', r.ev_class::pg_catalog.regclass::pg_catalog.text, r.rulename, '' \
             FROM pg_catalog.pg_rewrite r WHERE r.ev_type <> '1' AND r.ev_class IN (SELECT oid FROM hit WHERE far) \
         UNION ALL \
         SELECT 'key', c.conrelid::pg_catalog.regclass::pg_catalog.text, c.conname, '' \
             FROM pg_catalog.pg_constraint c WHERE (c.conrelid IN (SELECT oid FROM hit) OR c.confrelid IN (SELECT oid FROM hit)) \
             AND EXISTS (SELECT FROM pg_catalog.unnest(c.conpfeqop || c.conppeqop || c.conffeqop || c.conexclop) o WHERE o >= {FIRST_NORMAL}) \
         UNION ALL \
         SELECT 'index', i.indexrelid::pg_catalog.regclass::pg_catalog.text, '', '' \
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indrelid IN (SELECT oid FROM hit) \
             AND (x.relam >= {FIRST_NORMAL} OR EXISTS (SELECT FROM pg_catalog.unnest(i.indclass::pg_catalog.oid[]) o WHERE o >= {FIRST_NORMAL})) \
         UNION ALL \
         SELECT 'index', p.partrelid::pg_catalog.regclass::pg_catalog.text, '', '' \
             FROM pg_catalog.pg_partitioned_table p WHERE p.partrelid IN (SELECT oid FROM hit) \
             AND EXISTS (SELECT FROM pg_catalog.unnest(p.partclass::pg_catalog.oid[]) o WHERE o >= {FIRST_NORMAL}) \
         UNION ALL \
         SELECT 'expression', d.adrelid::pg_catalog.regclass::pg_catalog.text, 'column ' || a.attname, d.adbin::pg_catalog.text \
             FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum \
             WHERE d.adrelid IN (SELECT oid FROM hit) \
             AND (a.attgenerated <> '' OR d.adrelid IN (SELECT oid FROM hit WHERE defaults)) \
         UNION ALL \
         SELECT 'expression', c.conrelid::pg_catalog.regclass::pg_catalog.text, 'constraint ' || c.conname, c.conbin::pg_catalog.text \
             FROM pg_catalog.pg_constraint c WHERE c.conbin IS NOT NULL AND c.conrelid IN (SELECT oid FROM hit) \
         UNION ALL \
         SELECT 'expression', i.indrelid::pg_catalog.regclass::pg_catalog.text, 'index ' || x.relname, \
             pg_catalog.concat(i.indexprs::pg_catalog.text, ' ', i.indpred::pg_catalog.text) \
             FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid \
             WHERE i.indrelid IN (SELECT oid FROM hit) AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) \
         UNION ALL \
         SELECT 'expression', p.partrelid::pg_catalog.regclass::pg_catalog.text, 'its partitions', p.partexprs::pg_catalog.text \
             FROM pg_catalog.pg_partitioned_table p WHERE p.partexprs IS NOT NULL AND p.partrelid IN (SELECT oid FROM hit); \
         ROLLBACK TO SAVEPOINT gatepost; RELEASE SAVEPOINT gatepost"
    )
}

/// Asks which of these types are more than a name for others' values. The rows are as [`query`]'s.
pub(super) fn types_query(types: &BTreeSet<u32>, touched: &BTreeSet<u32>) -> String {
    let list = |oids: &BTreeSet<u32>| oids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let (types, touched) = (list(types), list(touched));
    // Enums and domains have no functions of their own, and an array is as its elements.
    format!(
        "SAVEPOINT gatepost; SET LOCAL search_path TO pg_catalog; \
         WITH named(oid) AS ( \
             SELECT o FROM pg_catalog.unnest('{{{types}}}'::pg_catalog.oid[]) o \
             UNION SELECT a.atttypid FROM pg_catalog.pg_attribute a \
                 WHERE a.attrelid = ANY ('{{{touched}}}'::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped), \
         meant AS ( \
             SELECT CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem ELSE t.oid END AS oid \
             FROM named JOIN pg_catalog.pg_type t ON t.oid = named.oid) \
         SELECT 'type', pg_catalog.format_type(t.oid, NULL), '', '' FROM meant JOIN pg_catalog.pg_type t ON t.oid = meant.oid \
             WHERE t.oid >= {FIRST_NORMAL} AND NOT (t.typtype = 'e' OR t.typtype = 'd' AND t.typbasetype < {FIRST_NORMAL}); \
         ROLLBACK TO SAVEPOINT gatepost; RELEASE SAVEPOINT gatepost"
    )
}

/// Reads the answer to that.
pub(super) fn types_stop(rows: &[Row]) -> Option<String> {
    let name = rows.first()?.get(1).cloned().flatten().unwrap_or_default();
    Some(format!("it has values of type {}, which somebody made", String::from_utf8_lossy(&name)))
}

/// `relam` of a table: the server's own way to keep rows (`HEAP_TABLE_AM_OID`, catalog/pg_am.dat), or none.
const TABLE_METHODS: [&str; 2] = ["0", "2"];

/// Trigger functions of the server's that only look at the row.
const TRIGGERS: [&str; 1] = ["suppress_redundant_updates_trigger"];

/// Reads the answer: what stops a count. `judge` says of a function why it isn't harmless.
pub(super) fn stops(rows: &[Row], judge: impl Fn(u32) -> Option<String>) -> Vec<String> {
    let mut stops = Vec::new();
    let mut relations = 0;
    for row in rows {
        let mut cells = row.iter().map(|cell| String::from_utf8_lossy(cell.as_deref().unwrap_or_default()));
        let (Some(about), Some(relation), Some(name), Some(detail)) =
            (cells.next(), cells.next(), cells.next(), cells.next())
        else {
            stops.push("the catalog could not be read".to_owned());
            continue;
        };
        match &*about {
            "relation" => {
                relations += 1;
                stops.extend(relation_stops(&relation, &name, &detail));
            }
            "trigger" if TRIGGERS.contains(&&*detail) => {}
            "trigger" => stops.push(format!("trigger {name} of {relation} calls {detail}")),
            "rule" => stops.push(format!("rule {name} of {relation} does more")),
            "key" => {
                stops.push(format!("constraint {name} of {relation} compares by somebody's own operator"))
            }
            "index" => stops.push(format!("{relation} is an index or partition key of somebody's own kind")),
            "expression" => {
                let why = expression(&detail, &judge);
                stops.extend(why.map(|why| format!("{name} of {relation}: {why}")));
            }
            _ => stops.push("the catalog could not be read".to_owned()),
        }
    }
    if relations == 0 {
        stops.push("its relations are not in the catalog".to_owned());
    }
    stops
}

fn relation_stops(relation: &str, kind: &str, method: &str) -> Option<String> {
    match kind {
        "r" | "p" | "t" if TABLE_METHODS.contains(&method) => None,
        "r" | "p" | "t" => Some(format!("{relation} keeps its rows in somebody's own way")),
        // A view's own triggers and rules are looked at beside it; a materialized view is only read.
        "v" | "m" | "S" => None,
        "f" => Some(format!("{relation} is a foreign table: another server would be changed or asked")),
        _ => Some(format!("{relation} is no table")),
    }
}

/// Reads a stored expression as PostgreSQL prints it (nodes/outfuncs.c), as far as it must be: which nodes it has, which functions they
/// call.
fn expression(tree: &str, judge: &impl Fn(u32) -> Option<String>) -> Option<String> {
    for piece in tree.split('{').skip(1) {
        let node: String =
            piece.chars().take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit()).collect();
        if !NODES.contains(&node.as_str()) {
            return Some(format!("its expression has a {node} in it, which can't be judged"));
        }
    }
    let mut words = tree.split_ascii_whitespace().peekable();
    while let Some(word) = words.next() {
        // A type of somebody's own may be a domain, or be read by its own function.
        let oid =
            |text: Option<&&str>| text.and_then(|text| text.trim_end_matches(['}', ')']).parse::<u32>().ok());
        match word {
            ":funcid" | ":opfuncid" | ":hashfuncid" | ":negfuncid" => {
                match oid(words.peek()) {
                    // Not looked up, or none.
                    Some(0) if word != ":funcid" && word != ":opfuncid" => {}
                    Some(function) => {
                        if let Some(why) = judge(function) {
                            return Some(why);
                        }
                    }
                    None => return Some("its expression can't be read".to_owned()),
                }
            }
            ":elemfuncid" | ":resulttype" | ":funcresulttype" | ":opresulttype" | ":coalescetype"
            | ":minmaxtype" | ":array_typeid" | ":element_typeid" | ":casetype" => match oid(words.peek()) {
                Some(known) if known < FIRST_NORMAL => {}
                _ => return Some("it has values of a type that somebody made".to_owned()),
            },
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 4]) -> Row {
        cells.iter().map(|cell| Some(cell.as_bytes().to_vec())).collect()
    }

    fn told(rows: &[[&str; 4]]) -> Vec<String> {
        let mut all = vec![row(["relation", "t", "r", "2"])];
        all.extend(rows.iter().map(|cells| row(*cells)));
        stops(&all, |oid| (oid >= FIRST_NORMAL).then(|| format!("function {oid}")))
    }

    #[test]
    fn what_is_not_known_stops() {
        assert_eq!(told(&[]), Vec::<String>::new());
        assert_eq!(stops(&[], |_| None), ["its relations are not in the catalog"]);
        assert_eq!(told(&[["new", "t", "", ""]]), ["the catalog could not be read"]);
        assert!(told(&[["relation", "f", "f", "0"]])[0].contains("foreign"));
        assert!(told(&[["relation", "c", "r", "20000"]])[0].contains("own way"));
        assert!(told(&[["trigger", "t", "tr", "notify_me"]])[0].contains("calls notify_me"));
        assert!(told(&[["trigger", "t", "tr", "suppress_redundant_updates_trigger"]]).is_empty());
        assert!(told(&[["rule", "t", "r", ""]])[0].contains("rule r"));
    }

    #[test]
    fn an_expression_is_judged_by_its_nodes_and_functions() {
        let judged = |tree: &str| told(&[["expression", "t", "column c", tree]]);
        let sum =
            "{OPEXPR :opno 551 :opfuncid 177 :opresulttype 23 :args ({VAR :varno 1} {CONST :consttype 23})}";
        assert!(judged(sum).is_empty());
        assert!(judged(&sum.replace("177", "20000"))[0].contains("function 20000"));
        assert!(judged(&sum.replace("opresulttype 23", "opresulttype 20000"))[0].contains("type"));
        assert!(judged("{NEXTVALUEEXPR :seqid 5}")[0].contains("NEXTVALUEEXPR"));
        assert!(judged("{FUNCEXPR :funcid }")[0].contains("can't be read"));
    }
}

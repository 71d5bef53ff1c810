//! One connection to a throwaway server, over which Gatepost and PostgreSQL are asked about the same query in the same state.
//!
//! Gatepost's side is `session::Examiner`, driven as a session would; the other side is `oracle.sql`, which knows nothing of trees.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use model::{Oid, QualifiedName};
use policy::Bundle;
use querytree::{Rights, ServerVersion, Ways};
use serde_json::Value;
use session::{Catalog, Examined, Examiner, Outbox, Progress, Row};
use testkit::client::{Message, Raw};
use testkit::postgres::Version;
use wire::backend::{DataRow, tag};

use super::claims::Claims;

/// See the module.
pub(crate) struct Server {
    pub(crate) raw: Raw,
    pub(crate) version: Version,
    catalog: Arc<Catalog>,
    bundle: Arc<Bundle>,
    /// The role that questions are asked as.
    role: Oid,
}

/// What Gatepost says of a query.
pub(crate) enum Said {
    /// What it touches, and the trees that the server printed on the way.
    Claims(Box<Claims>, Vec<String>),
    /// Why that is not known.
    Unknown(String),
}

const SETUP: &str = include_str!("oracle.sql");

/// Makes the two roles, once for each cluster.
pub(crate) const ROLES: &str = "CREATE ROLE gatepost_oracle_all; CREATE ROLE gatepost_oracle_none; \
     GRANT pg_read_all_data, pg_write_all_data TO gatepost_oracle_all";

impl Server {
    /// Takes a superuser's connection.
    pub(crate) fn new(raw: Raw, version: Version, bundle: Arc<Bundle>) -> Self {
        Self { raw, version, catalog: Arc::default(), bundle, role: Oid(0) }
    }

    /// Takes a connection to a database that has the oracle's functions.
    pub(crate) fn with_catalog(
        raw: Raw,
        version: Version,
        bundle: Arc<Bundle>,
        catalog: Arc<Catalog>,
    ) -> Self {
        Self { catalog, ..Self::new(raw, version, bundle) }
    }

    /// Returns what was loaded.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.clone()
    }

    /// Puts the oracle's functions into the database.
    pub(crate) fn set_up(&mut self) {
        self.raw.rows(SETUP);
        self.know_role();
    }

    /// Learns who asks.
    pub(crate) fn know_role(&mut self) {
        let role = self.raw.rows("SELECT 'gatepost_oracle_all'::pg_catalog.regrole::pg_catalog.oid");
        self.role = Oid(role.parse().expect("an OID"));
    }

    /// Reads the catalog as it is now; objects of another meaning later are still asked for, unless these change.
    pub(crate) fn load_catalog(&mut self, relations: &str, functions: &str) {
        let mut catalog = Catalog::default();
        let rows = self.table(&Catalog::relations_query(relations));
        catalog.add_relations(&rows).expect("the catalog's relations");
        let rows = self.table(&Catalog::functions_query(functions));
        catalog.add_functions(&rows).expect("the catalog's functions");
        self.catalog = Arc::new(catalog);
    }

    pub(crate) fn table(&mut self, sql: &str) -> Vec<Row> {
        let messages = self.raw.query(sql);
        if let Some(error) = messages.iter().find(|message| message.tag == tag::ERROR_RESPONSE) {
            panic!("{error:?} from {sql}");
        }
        let rows = messages.iter().filter(|message| message.tag == tag::DATA_ROW);
        rows.map(|row| {
            let row = DataRow::parse(&row.body).expect("a DataRow");
            row.iter().map(|value| value.map(<[u8]>::to_vec)).collect()
        })
        .collect()
    }

    /// Asks Gatepost, inside the transaction that is open; it may be aborted afterwards.
    pub(crate) fn examine(&mut self, sql: &str) -> Said {
        let (examined, trees) = self.examined(sql);
        match examined {
            Ok(examined) => Said::Claims(Box::new(Claims::of(&examined.touches(&self.bundle))), trees),
            Err(why) => Said::Unknown(why),
        }
    }

    /// Adds what row-level-security policies read, which Gatepost reports and asks no policy of its own about.
    pub(crate) fn add_security(&mut self, claims: &mut Claims, trees: &[String]) {
        let version = ServerVersion::from_major(self.version.major()).expect("a version that is read");
        let mut read = BTreeSet::new();
        for access in trees.iter().filter_map(|tree| querytree::read(tree, version).ok()) {
            for relation in &access.relations {
                let is_ours = match relation.rights {
                    Rights::Invoker => true,
                    Rights::AsUser(role) => role == self.role,
                };
                if !is_ours || !(relation.origin.security || relation.security_quals) {
                    continue;
                }
                read.extend(relation.unnamed.select.then_some((relation.oid, 0)));
                // The columns of the relation that a policy is for are read by it without being checked.
                let secure = relation.columns.iter().filter(|(_, ways)| ways.contains(Ways::SECURITY));
                let checked = secure.filter(|(column, _)| relation.selected.contains(column));
                read.extend(checked.map(|(column, _)| (relation.oid, *column)));
            }
        }
        for (oid, number) in read {
            let rows = self.table(&format!(
                "SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
                 LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid \
                 AND a.attnum OPERATOR(pg_catalog.=) {number} WHERE c.oid OPERATOR(pg_catalog.=) '{oid}'"
            ));
            for row in rows {
                let mut texts = row.into_iter().map(|v| v.map(|v| String::from_utf8_lossy(&v).into_owned()));
                let (Some(Some(schema)), Some(Some(name)), Some(column)) =
                    (texts.next(), texts.next(), texts.next())
                else {
                    continue;
                };
                claims.add_security(QualifiedName { schema, name }, column);
            }
        }
    }

    /// Returns the trees that the server prints of a query that Gatepost understands.
    pub(crate) fn trees(&mut self, sql: &str) -> Option<Vec<String>> {
        let (examined, trees) = self.examined(sql);
        examined.ok().map(|_| trees)
    }

    pub(super) fn examined(&mut self, sql: &str) -> (Result<Examined, String>, Vec<String>) {
        let mut trees = Vec::new();
        let mut examiner = match Examiner::new(sql, self.version.major(), self.catalog.clone()) {
            Ok(examiner) => examiner,
            Err(refusal) => return (Err(refusal.to_string()), trees),
        };
        let examined = loop {
            let mut out = Outbox::default();
            match examiner.advance(Instant::now(), &mut out.upstream) {
                Ok(Progress::Asked) => self.raw.send(out.upstream.as_slice()),
                Ok(Progress::Done(examined)) => break Ok(*examined),
                Err(refusal) => break Err(refusal.to_string()),
            }
            if let Err(why) = self.answer(&mut examiner, &mut trees) {
                break Err(why);
            }
        };
        let mut sync = Vec::new();
        wire::frontend::encode::sync(&mut sync);
        self.raw.send(&sync);
        self.raw.until(tag::READY_FOR_QUERY);
        (examined, trees)
    }

    fn answer(&mut self, examiner: &mut Examiner, trees: &mut Vec<String>) -> Result<(), String> {
        loop {
            let Message { tag, body } = self.raw.receive().expect("the connection");
            if tag == tag::NOTICE_RESPONSE {
                trees.extend(printed_tree(&body));
            }
            if examiner.answer(tag, &body).map_err(|refusal| refusal.to_string())? {
                return Ok(());
            }
        }
    }

    /// Asks PostgreSQL, inside the transaction that is open: what it says to the role that may do everything, and then, if that
    /// is accepted, to each of these sets of grants.
    pub(crate) fn ask(&mut self, sql: &str, tries: &[Value]) -> Result<Vec<String>, String> {
        let call = format!(
            "SELECT * FROM gatepost_oracle.ask({}, {}) AS said",
            literal(sql),
            literal(&Value::from(tries.to_vec()).to_string())
        );
        let messages = self.raw.query(&call);
        if let Some(error) = messages.iter().find(|message| message.tag == tag::ERROR_RESPONSE) {
            return Err(format!("{} {}", error.field(b'C'), error.field(b'M')));
        }
        let rows = messages.iter().filter(|message| message.tag == tag::DATA_ROW);
        Ok(rows.map(|row| row.values().swap_remove(0).unwrap_or_default()).collect())
    }
}

fn printed_tree(body: &[u8]) -> Option<String> {
    let fields = wire::error::ErrorFields::parse(body).ok()?;
    let tree = fields.get(b'D').map(|tree| String::from_utf8_lossy(tree).into_owned());
    tree.filter(|_| fields.message() == Some(b"rewritten parse tree:"))
}

/// A literal that means the same whatever `standard_conforming_strings` says.
pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// What the printed trees themselves name.
#[derive(Default)]
pub(crate) struct Named {
    /// Columns whose privilege will be checked with the session's rights: relation, column, privilege letter.
    pub(crate) columns: BTreeSet<(Oid, i16, char)>,
    /// Relations of which any column's privilege will be.
    pub(crate) relations: BTreeSet<(Oid, char)>,
    pub(crate) functions: BTreeSet<Oid>,
}

/// Finds what trees name by the names of fields, wherever they stand; not read as trees are.
pub(crate) fn named_by_trees(trees: &[String]) -> Named {
    let mut named = Named::default();
    for tree in trees {
        let words: Vec<&str> = tree.split_whitespace().collect();
        let (mut relation, mut required) = (Oid(0), 0);
        for (at, word) in words.iter().enumerate() {
            let next =
                || words.get(at + 1).and_then(|next| next.trim_end_matches(['}', ')']).parse::<u32>().ok());
            match *word {
                ":relid" => relation = Oid(next().unwrap_or_default()),
                ":requiredPerms" => {
                    required = next().unwrap_or_default();
                    // ACL_INSERT and so on (nodes/parsenodes.h).
                    let letters = [(1, 'a'), (2, 'r'), (4, 'w'), (8, 'd')];
                    let wanted = letters.iter().filter(|(bit, _)| required & bit != 0);
                    named.relations.extend(wanted.map(|(_, letter)| (relation, *letter)));
                }
                ":funcid" | ":opfuncid" | ":aggfnoid" | ":winfnoid" => {
                    named.functions.extend(next().map(Oid));
                }
                ":selectedCols" | ":insertedCols" | ":updatedCols" if required != 0 => {
                    let letter = match *word {
                        ":selectedCols" => 'r',
                        ":insertedCols" => 'a',
                        _ => 'w',
                    };
                    let bits = words[at + 1..].iter().take_while(|word| !word.starts_with(':'));
                    let numbers = bits.filter_map(|bit| bit.trim_end_matches([')', '}']).parse::<i16>().ok());
                    // FirstLowInvalidHeapAttributeNumber (access/sysattr.h).
                    named.columns.extend(numbers.map(|bit| (relation, bit - 7, letter)));
                }
                _ => {}
            }
        }
    }
    named
}

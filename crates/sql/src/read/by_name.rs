//! Queries and expressions that the server can't be asked about by themselves: rules, which see OLD and NEW; bodies of
//! functions, which see parameters; what CREATE SCHEMA makes together. All that they name is asked about, for all that it
//! can mean. Knows no statement.

use pg_query::NodeEnum;

use super::Reader;
use super::names::qualified;
use crate::named::Way;
use crate::{Ask, Columns, Name, ObjectKind, RoutineKind, Touch};

impl Reader<'_> {
    /// Asks about all that the trees name, and what they see, `from`, besides. The caller has marked the trees as read.
    pub(super) fn by_name(&mut self, trees: &[&NodeEnum], from: Option<&[NodeEnum]>) {
        let mut named = crate::tree::named(trees);
        named.see(crate::tree::named(from.unwrap_or_default()));
        let words = named.columns();
        for (name, way) in &named.relations {
            let name = &self.placed(name.clone());
            let may_be_with = name.schema.is_none() && named.with.contains(&name.name);
            let read = words.clone().map_or(Columns::All, Columns::Named);
            let touches: &[(Touch, Columns)] = match way {
                Way::Read => &[(Touch::Copy, read)],
                Way::Insert if !named.reads_target => &[(Touch::Insert, Columns::All)],
                Way::Insert => &[(Touch::Insert, Columns::All), (Touch::Copy, read)],
                Way::Update => &[(Touch::Update, Columns::All), (Touch::Copy, read)],
                Way::Delete => &[(Touch::Delete, Columns::All), (Touch::Copy, read)],
                Way::Merge => &[
                    (Touch::Insert, Columns::All),
                    (Touch::Update, Columns::All),
                    (Touch::Delete, Columns::All),
                    (Touch::Copy, read),
                ],
                Way::Made => {
                    let (kind, name) = (ObjectKind::Table, name.clone());
                    self.asks.push(Ask::New { kind, name, temporary: false, replace: false });
                    continue;
                }
            };
            for (touch, columns) in touches {
                let (name, columns) = (name.clone(), columns.clone());
                self.asks.push(Ask::Relation { name, columns, touch: *touch, missing_ok: may_be_with });
            }
        }
        for parts in &named.functions {
            match qualified(parts) {
                Some(name) => self.called(name, false),
                None => self.unsupported("the name of a function"),
            }
        }
        for name in &named.attributes {
            self.called(Name { schema: None, name: name.clone() }, true);
        }
        for name in &named.operators {
            let (kind, touch) = (ObjectKind::Operator, Touch::Execute);
            self.asks.push(Ask::Object { kind, name: vec![name.clone()], touch, missing_ok: true });
        }
    }

    fn called(&mut self, name: Name, missing_ok: bool) {
        let (kind, touch) = (RoutineKind::Routine, Touch::Execute);
        let ask = Ask::Routine { name, kind, args: None, touch, missing_ok };
        if !self.asks.contains(&ask) {
            self.asks.push(ask);
        }
    }
}

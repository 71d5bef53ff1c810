//! What the columns of a result depend on.

use model::Oid;
use policy::Action;
use querytree::{Access, Rights, Source};

use super::build::{Builder, Stop};
use super::{OutputColumn, Results};
use crate::catalog::Relation;
use crate::refuse::Refusal;

impl Builder<'_> {
    pub(super) fn results(&mut self, access: &Access) -> Result<Results, Stop> {
        if !access.side_outputs.is_empty() {
            return Ok(Results::Unknown);
        }
        let mut columns = Vec::with_capacity(access.output.len());
        for output in &access.output {
            let mut sources = Vec::new();
            let mut origins = Vec::new();
            for source in &output.sources {
                if source.bare {
                    origins.push((source.relation, source.column));
                }
                if source.rights != Rights::Invoker {
                    // Below a view, whose column is here too and has its tags; else a rule's own text, read as the
                    // statement's.
                    if !below_a_view(source, output, access) {
                        sources.extend(self.told_by_rule(source)?.into_iter().map(|at| (at, false)));
                    }
                    continue;
                }
                if source.column == 0 {
                    let all: Vec<usize> = self
                        .index
                        .range((source.relation, i16::MIN)..=(source.relation, i16::MAX))
                        .map(|(_, at)| *at)
                        .collect();
                    sources.extend(all.into_iter().map(|at| (at, false)));
                } else if let Some(at) = self.index.get(&(source.relation, source.column)) {
                    // A view's column is no more the very value than its definition lets it be.
                    let computed = self.computed.contains(&(source.relation, source.column));
                    sources.push((*at, source.bare && !computed));
                } else {
                    let what = "a result column depends on a column that no relation is said to give";
                    return Err(Refusal::NotUnderstood(what.to_owned()).into());
                }
            }
            sources.sort_unstable();
            sources.dedup();
            columns.push(OutputColumn { type_oid: output.type_oid, typmod: output.typmod, sources, origins });
        }
        Ok(Results::Columns(columns))
    }

    /// Touches a column, or a whole row, that a rule returns though the statement doesn't name it.
    fn told_by_rule(&mut self, source: &Source) -> Result<Vec<usize>, Stop> {
        let Some(relation) = self.relation(source.relation) else { return Err(Stop::Missing) };
        let mut touched = Vec::new();
        let columns = relation.columns.iter().filter(|c| source.column == 0 || c.number == source.column);
        for column in columns {
            let resource = self.column_resource(&relation, &column.name)?;
            let lineage = self.lineage(source.relation, column.number, &[])?;
            touched.push(self.touch(Action::Select, (resource, lineage.names)));
        }
        Ok(touched)
    }

    /// COPY of a table: its columns are the result.
    pub(super) fn copied_columns(
        &mut self,
        oid: Oid,
        relation: &Relation,
        chosen: Option<&[String]>,
    ) -> Result<(), Stop> {
        let mut columns = Vec::new();
        let wanted: Vec<&crate::catalog::Column> = match chosen {
            None => relation.columns.iter().filter(|c| !c.generated).collect(),
            Some(names) => {
                names.iter().filter_map(|n| relation.columns.iter().find(|c| *c.name == **n)).collect()
            }
        };
        for column in wanted {
            let resource = self.column_resource(relation, &column.name)?;
            let lineage = self.lineage(oid, column.number, &[])?;
            let at = self.touch(Action::Select, (resource, lineage.names));
            columns.push(OutputColumn {
                type_oid: column.type_oid,
                typmod: column.typmod,
                sources: vec![(at, !lineage.computed)],
                origins: vec![(oid, column.number)],
            });
        }
        if columns.is_empty() {
            let resource = self.relation_resource(relation)?;
            self.touch(Action::Select, (resource, Vec::new()));
        }
        self.analysis.results = Results::Columns(columns);
        Ok(())
    }
}

/// Whether it flows into the result by way of a view's column that the statement names.
fn below_a_view(source: &Source, output: &querytree::Output, access: &Access) -> bool {
    output.sources.iter().filter(|other| other.rights == Rights::Invoker).any(|other| {
        let below = access.view_columns.get(&(other.relation, other.column));
        below.is_some_and(|below| {
            below.iter().any(|known| (known.relation, known.column) == (source.relation, source.column))
        }) || other.column == 0
    })
}

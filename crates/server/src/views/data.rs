//! A database's relations and columns as the gateway knows them: tags, masks, and who read them of late. Asks no database.

use std::collections::HashMap;

use model::QualifiedName;
use policy::Bundle;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use session::{Catalog, Relation};

use super::uses::ReaderView;
use super::{Observed, shown};

/// Relations of one page.
const RELATIONS: usize = 100;
const RELATIONS_MAX: usize = 500;
/// Readers that are shown of a relation or a column.
const READERS_MAX: usize = 20;

/// Which relations to show.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataQuery {
    /// Of this schema.
    pub schema: Option<String>,
    /// Contained in the name of the relation or of one of its columns, in whatever case.
    pub text: Option<String>,
    /// With a column that has this tag.
    pub tag: Option<String>,
    /// Only those with a tagged column.
    #[serde(default)]
    pub tagged: bool,
    /// Only those that somebody used since counts began.
    #[serde(default)]
    pub used: bool,
    /// PostgreSQL's own too.
    #[serde(default)]
    pub system: bool,
    /// Where the page before ended: its `next`.
    pub after: Option<String>,
    /// At most so many: 100 unless told, 500 at most.
    pub limit: Option<usize>,
}

/// A database that is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DatabaseView {
    /// As clients name it.
    pub name: String,
    /// Whether the gateway knows what is in it: once somebody has logged in, or its policy was tested.
    pub known: bool,
    /// Its relations, without PostgreSQL's own.
    pub relations: usize,
    /// Those with a tagged column.
    pub tagged: usize,
}

/// Relations of a database, by name.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DataPage {
    /// The database as clients name it.
    pub database: String,
    /// Whether the gateway knows what is in it.
    pub known: bool,
    /// The policy whose tags and masks are shown: its version,
    pub version: String,
    /// and its hash, hex.
    pub hash: String,
    /// Schemas that have relations.
    pub schemas: Vec<String>,
    /// Tags that the policy gives.
    pub tags: Vec<String>,
    /// Who read what is known since then, RFC 3339.
    pub since: Option<String>,
    /// The relations.
    pub items: Vec<RelationView>,
    /// For the next page: `after`. `None`: there is none.
    pub next: Option<String>,
}

/// A relation.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RelationView {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `table`, `view`, ...
    pub kind: String,
    /// Its columns, in their order.
    pub columns: Vec<ColumnView>,
    /// When it was used last since counts began, RFC 3339.
    pub last_used: Option<String>,
    /// How many identities used it since.
    pub users: usize,
    /// Who, the latest first, 20 at most.
    pub readers: Vec<ReaderView>,
}

/// A column.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ColumnView {
    /// Its name.
    pub name: String,
    /// Tags that the policy gives it.
    pub tags: Vec<String>,
    /// The mask that its tags call for, for whom the policy doesn't show it in the clear.
    pub mask: Option<String>,
    /// Of a tagged column: who read it, or was refused, the latest first, 20 at most.
    pub readers: Vec<ReaderView>,
}

/// What a catalog says of a database, with the policy's tags.
pub(crate) struct Data<'a> {
    pub(crate) database: &'a str,
    pub(crate) catalog: Option<&'a Catalog>,
    pub(crate) bundle: &'a Bundle,
}

/// Columns that are called otherwise than the policy calls them.
type Former = HashMap<(QualifiedName, String), Vec<(QualifiedName, String)>>;

impl Data<'_> {
    /// Counts.
    pub(crate) fn database(&self) -> DatabaseView {
        let (mut relations, mut tagged) = (0, 0);
        let former = self.former();
        for relation in self.relations(false) {
            relations += 1;
            tagged += usize::from(self.is_tagged(&former, relation));
        }
        DatabaseView { name: self.database.to_owned(), known: self.catalog.is_some(), relations, tagged }
    }

    /// Shows a page.
    pub(crate) fn page(&self, query: &DataQuery, observed: &Observed) -> DataPage {
        let former = self.former();
        let used = observed.uses.relations(self.database);
        let text = query.text.as_ref().map(|it| it.to_lowercase());
        let mut schemas: Vec<&str> = Vec::new();
        let mut found: Vec<(String, &Relation)> = Vec::new();
        for relation in self.relations(query.system) {
            let QualifiedName { schema, name } = &relation.name;
            schemas.push(schema);
            let path = relation.name.to_string();
            let has = |text: &String| {
                name.to_lowercase().contains(text)
                    || relation.columns.iter().any(|it| it.name.to_lowercase().contains(text))
            };
            let has_tag = |tag: &String| {
                relation.columns.iter().any(|it| self.tags(&former, relation, &it.name).contains(tag))
            };
            if query.schema.as_ref().is_none_or(|it| it == schema)
                && text.as_ref().is_none_or(has)
                && query.tag.as_ref().is_none_or(has_tag)
                && (!query.tagged || self.is_tagged(&former, relation))
                && (!query.used || used.contains_key(path.as_str()))
                && query.after.as_ref().is_none_or(|after| path > *after)
            {
                found.push((path, relation));
            }
        }
        schemas.sort_unstable();
        schemas.dedup();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let limit = query.limit.unwrap_or(RELATIONS).clamp(1, RELATIONS_MAX);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|it| it.0.clone());
        let items = found.iter().map(|(path, relation)| {
            let (last, users) = used.get(path.as_str()).copied().unzip();
            self.relation(&former, relation, observed, last.map(shown), users.unwrap_or(0))
        });
        let mut tags: Vec<String> = self
            .bundle
            .tag_patterns()
            .iter()
            .flat_map(|it| it.tags())
            .map(|it| it.as_str().to_owned())
            .collect();
        tags.sort_unstable();
        tags.dedup();
        DataPage {
            database: self.database.to_owned(),
            known: self.catalog.is_some(),
            version: self.bundle.version().to_owned(),
            hash: hex::encode(self.bundle.hash()),
            items: items.collect(),
            schemas: schemas.into_iter().map(str::to_owned).collect(),
            tags,
            since: observed.since(),
            next,
        }
    }

    fn relation(
        &self,
        former: &Former,
        relation: &Relation,
        observed: &Observed,
        last_used: Option<String>,
        users: usize,
    ) -> RelationView {
        let tags: Vec<Vec<String>> =
            relation.columns.iter().map(|it| self.tags(former, relation, &it.name)).collect();
        let tagged = relation.columns.iter().zip(&tags).filter(|(_, tags)| !tags.is_empty());
        let tagged: Vec<&str> = tagged.map(|(column, _)| &*column.name).collect();
        // Somebody used it, or nobody read its columns.
        let mut readers = match users {
            0 => HashMap::new(),
            _ => observed.uses.of(self.database, &relation.name.to_string(), &tagged),
        };
        readers.values_mut().for_each(|it| it.truncate(READERS_MAX));
        let columns = relation.columns.iter().zip(tags).map(|(column, tags)| ColumnView {
            name: column.name.to_string(),
            mask: self.bundle.mask_of(tags.iter().map(String::as_str)).map(|it| it.kind().to_owned()),
            readers: if tags.is_empty() {
                Vec::new()
            } else {
                readers.remove(&*column.name).unwrap_or_default()
            },
            tags,
        });
        let columns = columns.collect();
        RelationView {
            schema: relation.name.schema.clone(),
            name: relation.name.name.clone(),
            kind: kind(relation.kind).to_owned(),
            columns,
            last_used,
            users,
            readers: readers.remove("").unwrap_or_default(),
        }
    }

    fn relations(&self, system: bool) -> impl Iterator<Item = &Relation> {
        let all = self.catalog.into_iter().flat_map(Catalog::relations).map(|(_, relation)| &**relation);
        all.filter(move |it| !it.temporary && (system || !policy::catalog::is_system_schema(&it.name.schema)))
    }

    /// Tags by the names that columns have, and by those that they had when the policy was loaded.
    fn tags(&self, former: &Former, relation: &Relation, column: &str) -> Vec<String> {
        let mut tags: Vec<String> =
            self.bundle.tags(&relation.name, column).into_iter().map(|it| it.as_str().to_owned()).collect();
        if !former.is_empty() {
            let before = former.get(&(relation.name.clone(), column.to_owned()));
            for (relation, column) in before.into_iter().flatten() {
                tags.extend(self.bundle.tags(relation, column).into_iter().map(|it| it.as_str().to_owned()));
            }
            tags.sort_unstable();
            tags.dedup();
        }
        tags
    }

    fn is_tagged(&self, former: &Former, relation: &Relation) -> bool {
        relation.columns.iter().any(|it| !self.tags(former, relation, &it.name).is_empty())
    }

    fn former(&self) -> Former {
        let mut former = Former::new();
        for (before, now) in self.catalog.into_iter().flat_map(Catalog::renamed) {
            former.entry(now).or_default().push(before.clone());
        }
        former
    }
}

/// `pg_class.relkind` in words.
const fn kind(relkind: u8) -> &'static str {
    match relkind {
        b'r' => "table",
        b'p' => "partitioned table",
        b'v' => "view",
        b'm' => "materialized view",
        b'f' => "foreign table",
        b'S' => "sequence",
        b'i' | b'I' => "index",
        b'c' => "composite type",
        b't' => "TOAST table",
        _ => "relation",
    }
}

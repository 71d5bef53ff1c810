//! Turns identity and resources into entities, each once, with the attributes that the schema declares.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};

use super::inquiry::{Fault, fault};
use super::rules::Engine;
use crate::catalog;
use crate::resource::{FunctionFacts, FunctionSecurity, RelationFacts, Resource};

type Attributes = HashMap<String, RestrictedExpression>;

/// What is known of a resource, overloads and repeated mentions taken together.
pub(super) enum Facts {
    Database,
    Schema { name: String },
    Relation { schema: String, facts: RelationFacts },
    Column { relation: model::QualifiedName, column: String, tags: BTreeSet<String>, facts: RelationFacts },
    Function { schema: String, facts: FunctionFacts },
}

pub(super) type Key = (crate::resource::ResourceType, String);

/// Adds a resource; one that is there already takes the stricter facts of both.
///
/// Functions share a name between overloads, and a column may inherit other tags by another view.
pub(super) fn merge(
    resources: &mut BTreeMap<Key, Facts>,
    key: Key,
    resource: &Resource,
    bundle_tags: &dyn Fn(&model::QualifiedName, &str) -> Vec<String>,
) {
    let known = resources.get_mut(&key);
    let new = match (resource, known) {
        (Resource::Column { tags, facts: new, .. }, Some(Facts::Column { tags: known, facts, .. })) => {
            known.extend(tags.iter().cloned());
            *facts = facts.stricter(new);
            return;
        }
        (Resource::Relation { facts: new, .. }, Some(Facts::Relation { facts, .. })) => {
            *facts = facts.stricter(new);
            return;
        }
        (Resource::Function { facts: new, .. }, Some(Facts::Function { facts, .. })) => {
            *facts = facts.stricter(new);
            return;
        }
        (Resource::Database, _) => Facts::Database,
        (Resource::Schema { name }, _) => Facts::Schema { name: name.clone() },
        (Resource::Relation { name, facts }, _) => {
            Facts::Relation { schema: name.schema.clone(), facts: *facts }
        }
        (Resource::Column { relation, column, tags, facts }, _) => {
            let mut tags: BTreeSet<String> = tags.iter().cloned().collect();
            tags.extend(bundle_tags(relation, column));
            Facts::Column { relation: relation.clone(), column: column.clone(), tags, facts: *facts }
        }
        (Resource::Function { name, facts }, _) => {
            Facts::Function { schema: name.schema.clone(), facts: *facts }
        }
    };
    resources.insert(key, new);
}

/// Makes entities, each once.
pub(super) struct Builder<'e> {
    pub(super) engine: &'e Engine,
    pub(super) database: &'e str,
    /// INVARIANT: one for each type and path.
    pub(super) made: BTreeMap<(&'static str, String), Entity>,
}

impl Builder<'_> {
    pub(super) fn agent(
        &mut self,
        agent: EntityUid,
        identity: &model::Identity,
        claims: &[String],
    ) -> Result<(), Fault> {
        let declared = claims.iter().filter_map(|claim| {
            let value = identity.attributes.get(claim)?;
            Some((claim.as_str(), string(value)))
        });
        let mut attributes = attributes([
            ("issuer", string(&identity.issuer)),
            ("subject", string(&identity.subject)),
            ("known", RestrictedExpression::new_bool(self.engine.knows(identity))),
            ("claims", record(declared)?),
        ]);
        if let Some(name) = &identity.name {
            attributes.insert("name".to_owned(), string(name));
        }
        if let Some(party) = &identity.on_behalf_of {
            attributes.insert("on_behalf_of".to_owned(), string(&party.to_string()));
        }
        let groups = identity.groups.iter().map(|group| uid(&self.engine.types.group, group));
        let entity = Entity::new(agent, attributes, groups.collect()).map_err(fault)?;
        self.made.insert(("Agent", identity.to_string()), entity);
        Ok(())
    }

    pub(super) fn resource(&mut self, path: &str, facts: &Facts) -> Result<(), Fault> {
        match facts {
            Facts::Database => self.database().map(drop),
            Facts::Schema { name } => self.schema(name).map(drop),
            Facts::Relation { schema, facts } => {
                let schema = self.schema(schema)?;
                self.put("Relation", path, relation_attributes(facts, facts.reveals()), Some(schema))
                    .map(drop)
            }
            Facts::Column { relation, column, tags, facts } => {
                let schema = self.schema(&relation.schema)?;
                let relation_path = crate::path::join([self.database, &relation.schema, &relation.name]);
                let key = ("Relation", relation_path);
                let parent = match self.made.get(&key) {
                    Some(entity) => entity.uid(),
                    None => {
                        let attributes = relation_attributes(facts, facts.reveals());
                        self.put("Relation", &key.1, attributes, Some(schema))?
                    }
                };
                let reveals = facts.reveals() || catalog::column_reveals(relation, column).is_some();
                let mut attributes = relation_attributes(facts, reveals);
                let tags = RestrictedExpression::new_set(tags.iter().map(|tag| string(tag)));
                attributes.insert("tags".to_owned(), tags);
                let whole = RestrictedExpression::new_bool(facts.reveals());
                attributes.insert("relation_reveals".to_owned(), whole);
                self.put("Column", path, attributes, Some(parent)).map(drop)
            }
            Facts::Function { schema, facts } => {
                let schema = self.schema(schema)?;
                let definer = facts.security() == FunctionSecurity::Definer;
                let attributes = attributes([
                    ("builtin", RestrictedExpression::new_bool(facts.builtin())),
                    ("volatility", string(facts.volatility().as_str())),
                    ("security_definer", RestrictedExpression::new_bool(definer)),
                    ("dynamic", RestrictedExpression::new_bool(facts.dynamic())),
                    ("class", string(facts.class().as_str())),
                ]);
                self.put("Function", path, attributes, Some(schema)).map(drop)
            }
        }
    }

    fn database(&mut self) -> Result<EntityUid, Fault> {
        let path = crate::path::join([self.database]);
        self.put("Database", &path, Attributes::new(), None)
    }

    fn schema(&mut self, name: &str) -> Result<EntityUid, Fault> {
        let path = crate::path::join([self.database, name]);
        let database = self.database()?;
        let system = RestrictedExpression::new_bool(catalog::is_system_schema(name));
        self.put("Schema", &path, attributes([("system", system)]), Some(database))
    }

    fn put(
        &mut self,
        kind: &'static str,
        path: &str,
        attributes: Attributes,
        parent: Option<EntityUid>,
    ) -> Result<EntityUid, Fault> {
        let types = &self.engine.types;
        let type_name = match kind {
            "Database" => &types.database,
            "Schema" => &types.schema,
            "Relation" => &types.relation,
            "Column" => &types.column,
            _ => &types.function,
        };
        let uid = uid(type_name, path);
        if let std::collections::btree_map::Entry::Vacant(place) = self.made.entry((kind, path.to_owned())) {
            let parents: HashSet<EntityUid> = parent.into_iter().collect();
            place.insert(Entity::new(uid.clone(), attributes, parents).map_err(fault)?);
        }
        Ok(uid)
    }
}

fn relation_attributes(facts: &RelationFacts, reveals: bool) -> Attributes {
    attributes([
        ("kind", string(facts.kind().as_str())),
        ("system", RestrictedExpression::new_bool(facts.system())),
        ("temporary", RestrictedExpression::new_bool(facts.temporary())),
        ("reveals", RestrictedExpression::new_bool(reveals)),
    ])
}

fn attributes<const N: usize>(pairs: [(&str, RestrictedExpression); N]) -> Attributes {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

pub(super) fn record<'a>(
    pairs: impl IntoIterator<Item = (&'a str, RestrictedExpression)>,
) -> Result<RestrictedExpression, Fault> {
    let fields = pairs.into_iter().map(|(key, value)| (key.to_owned(), value));
    RestrictedExpression::new_record(fields).map_err(fault)
}

pub(super) fn string(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

pub(super) fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

//! The parts of a statement's record that are the same for many: what was decided, and for whom. Knows no policy.

use crate::json::{Fragment, Object, object};

/// How a statement touches one object.
#[derive(Clone, Debug)]
pub struct Touch<'a> {
    /// The action's name in the policy: `select`, `filter`, `insert`, `execute`, ...
    pub action: &'a str,
    /// What kind of thing: `relation`, `function`, `schema`, `database`, ...
    pub kind: &'a str,
    /// The name that queries of the audit match: `schema.name` where there is a schema.
    pub name: &'a str,
    /// The columns, where the action is about columns.
    pub columns: Vec<&'a str>,
    /// What else rules could see of it.
    pub facts: TouchFacts<'a>,
}

/// What rules could see of what is touched, beside its name; written only where it isn't what is most common, so that nothing is said
/// of an ordinary table.
#[derive(Clone, Debug, Default)]
pub struct TouchFacts<'a> {
    /// The schema, where the name can't be taken apart without it: one of the two has a dot in it.
    pub schema: Option<&'a str>,
    /// What kind of relation, where it is no table: `view`, `sequence`, ...
    pub relation: Option<&'a str>,
    /// Whether only the session sees it.
    pub temporary: bool,
    /// Tags that columns have beside those that the bundle gives them by name.
    pub tags: Vec<(&'a str, Vec<&'a str>)>,
    /// Of a function.
    pub function: Option<FunctionFacts<'a>>,
}

/// See [`TouchFacts::function`].
#[derive(Clone, Debug)]
pub struct FunctionFacts<'a> {
    /// What calling it can do: `changes`, `unknown`, ...
    pub class: &'a str,
    /// `immutable`, `stable`, `volatile`.
    pub volatility: &'a str,
    /// Whether it came with the server.
    pub builtin: bool,
    /// Whether it runs with its owner's rights.
    pub definer: bool,
    /// Whether what it touches is decided only while it runs.
    pub dynamic: bool,
}

impl FunctionFacts<'_> {
    fn write(&self, o: &mut Object<'_>) {
        let Self { class, volatility, builtin, definer, dynamic } = self;
        o.text("class", class).text("volatility", volatility);
        for (name, is) in [("builtin", builtin), ("definer", definer), ("dynamic", dynamic)] {
            if *is {
                o.flag(name, true);
            }
        }
    }
}

impl TouchFacts<'_> {
    fn write(&self, o: &mut Object<'_>) {
        let Self { schema, relation, temporary, tags, function } = self;
        if let Some(schema) = schema {
            o.text("schema", schema);
        }
        if let Some(kind) = relation {
            o.text("relation_kind", kind);
        }
        if *temporary {
            o.flag("temporary", true);
        }
        if !tags.is_empty() {
            o.list("tags", tags, |out, (column, tags)| {
                object(out, |o| {
                    o.text("column", column).texts("tags", tags);
                });
            });
        }
        if let Some(function) = function {
            o.object("function", |o| function.write(o));
        }
    }
}

/// What rules could see of the statement as a whole, beside its kind.
#[derive(Clone, Copy, Debug)]
pub struct StatementFacts {
    /// Whether it chooses the rows that it changes.
    pub has_where: bool,
    /// Whether it locks the rows that it reads.
    pub row_locks: bool,
}

/// A mask that was applied.
#[derive(Clone, Debug)]
pub struct MaskUse<'a> {
    /// The source column: `schema.relation.column`.
    pub column: &'a str,
    /// The mask's name.
    pub mask: &'a str,
}

/// What was decided about every statement of a shape, and why; rendered once and then copied into each record.
#[derive(Clone, Debug, Default)]
pub struct Decision<'a> {
    /// What kind of statement: `select`, `insert`, `copy`, `set`, ...
    pub kind: &'a str,
    /// Everything that it touches.
    pub touches: Vec<Touch<'a>>,
    /// The policies that determined the verdict, by id.
    pub rules: Vec<&'a str>,
    /// The masks on its result.
    pub masks: Vec<MaskUse<'a>>,
    /// Who was asked or would have to be.
    pub approvers: Vec<&'a str>,
    /// What rules could see of it; records of before this was kept have none.
    pub facts: Option<StatementFacts>,
}

impl Decision<'_> {
    /// Renders the `decision` field of a statement's record.
    pub fn render(&self) -> Fragment {
        let Self { kind, touches, rules, masks, approvers, facts } = self;
        Fragment::build(|o| {
            o.text("kind", kind);
            o.list("touches", touches, |out, touch| {
                let Touch { action, kind, name, columns, facts } = touch;
                object(out, |o| {
                    o.text("action", action);
                    o.text("kind", kind);
                    o.text("name", name);
                    o.texts("columns", columns);
                    facts.write(o);
                });
            });
            o.texts("rules", rules);
            o.list("masks", masks, |out, used| {
                let MaskUse { column, mask } = used;
                object(out, |o| {
                    o.text("column", column);
                    o.text("mask", mask);
                });
            });
            o.texts("approvers", approvers);
            if let Some(StatementFacts { has_where, row_locks }) = facts {
                o.flag("has_where", *has_where).flag("row_locks", *row_locks);
            }
        })
    }
}

/// The short form of an identity that goes into each statement's record; rendered once per session.
#[derive(Clone, Copy, Debug)]
pub struct IdentityForm<'a>(pub &'a model::Identity);

impl IdentityForm<'_> {
    /// Renders issuer, subject, groups and token id, and for whom it acts if it acts for somebody.
    pub fn render(&self) -> Fragment {
        let model::Identity { issuer, subject, name: _, groups, attributes: _, token_id, on_behalf_of } =
            self.0;
        Fragment::build(|o| {
            o.text("issuer", issuer);
            o.text("subject", subject);
            o.texts("groups", groups);
            o.text_or_null("token_id", token_id.as_deref());
            if let Some(party) = on_behalf_of {
                behalf(o, party);
            }
        })
    }
}

/// Writes the member `on_behalf_of`; an identity that acts for nobody has none.
pub(crate) fn behalf(o: &mut Object<'_>, party: &model::Party) {
    o.object("on_behalf_of", |o| {
        o.text("issuer", &party.issuer).text("subject", &party.subject);
    });
}

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
}

impl Decision<'_> {
    /// Renders the `decision` field of a statement's record.
    pub fn render(&self) -> Fragment {
        let Self { kind, touches, rules, masks, approvers } = self;
        Fragment::build(|o| {
            o.text("kind", kind);
            o.list("touches", touches, |out, touch| {
                let Touch { action, kind, name, columns } = touch;
                object(out, |o| {
                    o.text("action", action);
                    o.text("kind", kind);
                    o.text("name", name);
                    o.texts("columns", columns);
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

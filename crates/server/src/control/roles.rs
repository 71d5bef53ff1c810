//! What somebody may do over HTTP, by the groups of `[operators]`. Checks no token.

use model::Identity;

/// What somebody may do. Nobody is an approver for being an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// See sessions, blocks, policy, health.
    pub viewer: bool,
    /// See requests whole, and decide those for whose groups they are asked.
    pub approver: bool,
    /// See everything.
    pub auditor: bool,
    /// End sessions, make and remove blocks.
    pub operator: bool,
}

impl Roles {
    /// Reads them from the groups of an identity.
    pub fn of(operators: &config::Operators, identity: &Identity) -> Self {
        let is_in = |groups: &[config::IssuerGroup]| {
            groups.iter().any(|it| it.issuer == identity.issuer && identity.groups.contains(&it.group))
        };
        let operator = is_in(&operators.operator);
        let auditor = operator || is_in(&operators.auditor);
        let approver = is_in(&operators.approver);
        let viewer = auditor || approver || is_in(&operators.viewer);
        Self { viewer, approver, auditor, operator }
    }

    /// Those of whoever runs as the gateway's user or as root on its host: everything but what needs a person.
    pub const LOCAL: Self = Self { viewer: true, approver: false, auditor: true, operator: true };

    /// Returns whether there is any.
    pub const fn any(self) -> bool {
        // Each of the others makes a viewer.
        self.viewer
    }

    /// Returns whether statements' texts and values may be shown: they may hold what is masked elsewhere.
    pub const fn sees_texts(self) -> bool {
        self.auditor || self.approver
    }

    /// Returns their names.
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            ("viewer", self.viewer),
            ("approver", self.approver),
            ("auditor", self.auditor),
            ("operator", self.operator),
        ];
        all.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
    }
}

//! Whom `policy` wants asked, in the words of `approval`. Knows both crates' groups; asks nobody.

use std::time::Duration;

use policy::{ApproverGroup, InTransaction};

/// The terms that several groups have in common: a statement that all of them must approve waits as the strictest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long approvers have.
    pub hold: Duration,
    /// How long they have where a transaction is open; `None`: the statement is refused there.
    pub hold_in_transaction: Option<Duration>,
    /// How long an approval may be used where nobody waits for it.
    pub use_within: Duration,
}

impl Terms {
    /// Returns the strictest of what groups say; `None` where there is no group. The groups must be those of a decision: rules
    /// shorten there what the bundle says.
    pub fn of(groups: &[ApproverGroup]) -> Option<Self> {
        let in_transaction =
            groups.iter().all(|group| group.in_transaction == InTransaction::Hold).then_some(());
        Some(Self {
            hold: groups.iter().map(|group| group.hold).min()?,
            hold_in_transaction: in_transaction
                .and_then(|()| groups.iter().map(|group| group.hold_in_transaction).min()),
            use_within: groups.iter().map(|group| group.use_within).min()?,
        })
    }
}

/// Returns a group of a decision as approvals know it.
pub fn group(group: &ApproverGroup) -> approval::Group {
    let ApproverGroup {
        name,
        members,
        quorum,
        reason,
        count_rows,
        break_glass,
        hold: _,
        in_transaction: _,
        hold_in_transaction: _,
        use_within: _,
    } = group;
    approval::Group {
        name: name.clone(),
        members: match members {
            policy::Members::Any(groups) => approval::Members::Any(groups.clone()),
            policy::Members::All(groups) => approval::Members::All(groups.clone()),
        },
        quorum: *quorum,
        reason_required: *reason,
        count_rows: *count_rows,
        break_glass: break_glass.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hold: u64, in_transaction: InTransaction, within: u64) -> ApproverGroup {
        ApproverGroup {
            name: "dba".to_owned(),
            members: policy::Members::All(vec!["a".to_owned(), "b".to_owned()]),
            quorum: 2,
            hold: Duration::from_secs(hold),
            in_transaction,
            hold_in_transaction: Duration::from_secs(within),
            reason: true,
            count_rows: Some(Duration::from_secs(5)),
            break_glass: Some("duty".to_owned()),
            use_within: Duration::from_secs(hold * 2),
        }
    }

    #[test]
    fn the_strictest_of_several_groups_counts() {
        use InTransaction::{Hold, Refuse};
        let terms = |groups: &[ApproverGroup]| {
            let terms = Terms::of(groups)?;
            let within = terms.hold_in_transaction.map(|time| time.as_secs());
            Some((terms.hold.as_secs(), within, terms.use_within.as_secs()))
        };
        assert_eq!(terms(&[]), None);
        assert_eq!(terms(&[of(60, Hold, 30), of(90, Hold, 10)]), Some((60, Some(10), 120)));
        assert_eq!(terms(&[of(60, Hold, 30), of(50, Refuse, 10)]), Some((50, None, 100)));
    }

    #[test]
    fn a_group_is_the_same_in_both_words() {
        let group = group(&of(60, InTransaction::Hold, 30));
        assert_eq!(group.members, approval::Members::All(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!((group.quorum, group.reason_required), (2, true));
        assert_eq!(group.count_rows, Some(Duration::from_secs(5)));
        assert_eq!(group.break_glass.as_deref(), Some("duty"));
    }
}

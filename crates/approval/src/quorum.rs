//! Whether enough have approved. Counts persons, each for one place.
//!
//! Every group that is needed has as many places as its quorum; of `all` groups, each has. A person fills one place, even if in several
//! groups, so that no two keys are in one hand. Who fills which is not fixed by the order of the votes: it is a matching, and
//! somebody who could fill two places gives way to one who can fill only one of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ask::{Group, Members};
use crate::request::{Request, Verdict, Vote};

/// How far one group that is needed has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The name in `[approvers]`.
    pub name: String,
    /// Groups of identities of which any will do.
    pub of: Vec<String>,
    /// How many must approve.
    pub needed: u32,
    /// How many have.
    pub have: u32,
}

/// One place to be filled by a person.
struct Place<'a> {
    slot: usize,
    groups: &'a [String],
}

impl Group {
    /// Returns groups of which any will do, for each lot of places.
    fn lots(&self) -> Vec<&[String]> {
        match &self.members {
            Members::Any(groups) => vec![groups],
            Members::All(groups) => groups.iter().map(std::slice::from_ref).collect(),
        }
    }

    /// Returns whether a member of these groups may decide for it.
    pub fn admits(&self, groups: &BTreeSet<String>) -> bool {
        let (Members::Any(members) | Members::All(members)) = &self.members;
        members.iter().any(|member| groups.contains(member))
    }

    /// A quorum of nobody would be no approval.
    fn places(&self) -> u32 {
        self.quorum.max(1)
    }
}

impl Vote {
    /// Returns the groups that it was given with.
    pub fn groups(&self) -> &BTreeSet<String> {
        &self.delegated_by.as_ref().unwrap_or(&self.by).groups
    }
}

impl Request {
    /// Returns how far each group has come.
    pub fn progress(&self) -> Vec<Progress> {
        let votes: Vec<_> = self.approvals().map(Vote::groups).collect();
        standing(&self.ask.needs, &votes)
    }

    /// Returns the approving votes.
    pub fn approvals(&self) -> impl Iterator<Item = &Vote> {
        self.votes.iter().filter(|vote| vote.verdict == Verdict::Approve)
    }

    /// Returns whether enough have approved.
    ///
    /// SECURITY: if nobody is needed, nobody can; a request without approvers is a mistake, not an approval.
    pub(crate) fn has_quorum(&self) -> bool {
        let progress = self.progress();
        let names: BTreeSet<_> = progress.iter().map(|it| &it.name).collect();
        let all = self.ask.needs.iter().all(|need| names.contains(&need.name));
        all && !progress.is_empty() && progress.iter().all(|it| it.have >= it.needed)
    }

    /// Returns how many places would be filled if somebody with these groups approved too, beyond those that are.
    pub(crate) fn would_add(&self, groups: &BTreeSet<String>) -> u32 {
        let mut votes: Vec<_> = self.approvals().map(Vote::groups).collect();
        let filled = |votes: &[&BTreeSet<String>]| {
            standing(&self.ask.needs, votes).iter().map(|it| it.have).sum::<u32>()
        };
        let before = filled(&votes);
        votes.push(groups);
        filled(&votes).saturating_sub(before)
    }
}

fn standing(needs: &[Group], votes: &[&BTreeSet<String>]) -> Vec<Progress> {
    let mut progress = Vec::new();
    let mut places = Vec::new();
    for need in needs {
        for groups in need.lots() {
            let slot = progress.len();
            let (name, of) = (need.name.clone(), groups.to_vec());
            progress.push(Progress { name, of, needed: need.places(), have: 0 });
            // More places than there are votes stay empty anyway.
            let worth = (need.places() as usize).min(votes.len());
            places.extend((0..worth).map(|_| Place { slot, groups }));
        }
    }
    for place in matching(&places, votes) {
        if let Some(progress) = progress.get_mut(place) {
            progress.have += 1;
        }
    }
    progress
}

/// Returns the slots of the places that are filled: as many as can be (Kuhn's algorithm for bipartite matching).
fn matching(places: &[Place<'_>], votes: &[&BTreeSet<String>]) -> Vec<usize> {
    let mut filled: Vec<Option<usize>> = vec![None; places.len()];
    for vote in 0..votes.len() {
        let mut seen = vec![false; places.len()];
        seat(vote, places, votes, &mut filled, &mut seen);
    }
    let taken = places.iter().zip(&filled).filter(|(_, vote)| vote.is_some());
    taken.map(|(place, _)| place.slot).collect()
}

/// Finds a place for a vote, moving others if need be.
fn seat(
    vote: usize,
    places: &[Place<'_>],
    votes: &[&BTreeSet<String>],
    filled: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    let Some(groups) = votes.get(vote) else { return false };
    for (at, place) in places.iter().enumerate() {
        let fits = place.groups.iter().any(|group| groups.contains(group));
        let Some(seen_here) = seen.get_mut(at) else { continue };
        if !fits || std::mem::replace(seen_here, true) {
            continue;
        }
        let sitting = filled.get(at).copied().flatten();
        if sitting.is_none_or(|other| seat(other, places, votes, filled, seen)) {
            if let Some(seat) = filled.get_mut(at) {
                *seat = Some(vote);
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(name: &str, groups: &[&str], quorum: u32) -> Group {
        let members = Members::Any(groups.iter().map(ToString::to_string).collect());
        group(name, members, quorum)
    }

    fn all(name: &str, groups: &[&str], quorum: u32) -> Group {
        let members = Members::All(groups.iter().map(ToString::to_string).collect());
        group(name, members, quorum)
    }

    fn group(name: &str, members: Members, quorum: u32) -> Group {
        let name = name.to_owned();
        Group { name, members, quorum, reason_required: false, count_rows: None, break_glass: None }
    }

    fn check(needs: &[Group], votes: &[&[&str]], expected: &[(u32, u32)]) {
        let votes: Vec<BTreeSet<String>> =
            votes.iter().map(|groups| groups.iter().map(ToString::to_string).collect()).collect();
        let mut votes: Vec<_> = votes.iter().collect();
        for _ in 0..votes.len().max(1) {
            let standing: Vec<_> = standing(needs, &votes).iter().map(|it| (it.have, it.needed)).collect();
            assert_eq!(standing, expected, "{votes:?}");
            // The order of votes doesn't matter.
            if !votes.is_empty() {
                votes.rotate_left(1);
            }
        }
    }

    #[test]
    fn each_person_fills_one_place_and_gives_way_where_that_helps() {
        let needs = [any("a", &["dba"], 1), any("b", &["privacy"], 1)];
        check(&needs, &[], &[(0, 1), (0, 1)]);
        check(&needs, &[&["dba", "privacy"], &["dba"]], &[(1, 1), (1, 1)]);
        check(&needs, &[&["other"]], &[(0, 1), (0, 1)]);
        check(&[all("a", &["dba", "privacy"], 2)], &[&["dba"], &["dba"], &["dba"]], &[(2, 2), (0, 2)]);
        check(&[any("a", &["dba", "privacy"], 2)], &[&["dba", "privacy"]], &[(1, 2)]);
        check(&[any("a", &["dba"], 0)], &[], &[(0, 1)]);
        check(&[any("a", &[], 1), all("b", &[], 1)], &[&["dba"]], &[(0, 1)]);
    }
}

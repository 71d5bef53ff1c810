//! Who has been seen: identities, and what became of what they asked. Bounded: who was seen longest ago is forgotten first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use audit::Time;
use journal::query::{View, Who};
use policy::grants::{Beyond, Grant};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::observed::is_refusal;
use super::series::Counts;
use super::uses::UseView;
use super::{RefusedNow, ViewError, shown};

/// Identities that are remembered: some 10 MB.
const PEOPLE_MAX: usize = 10_000;
/// Databases, and parties that one acts for, that are remembered of each.
const NAMES_MAX: usize = 32;

/// Somebody who has been seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Person {
    name: Option<String>,
    owner: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) attributes: BTreeMap<String, String>,
    on_behalf_of: BTreeSet<String>,
    databases: BTreeSet<String>,
    first: Time,
    last: Time,
    sessions: u64,
    counts: Counts,
    refused_last: Option<Time>,
    approvals: u64,
}

/// Somebody who has been seen since the time that counts go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct IdentityView {
    /// `issuer:subject`.
    pub identity: String,
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// Who, as the issuer says.
    pub subject: String,
    /// What people call it.
    pub name: Option<String>,
    /// Its groups, when its last session began.
    pub groups: Vec<String>,
    /// Who answers for it, if its credential says so (the attribute `owner`).
    pub owner: Option<String>,
    /// For whom it acted: `issuer:subject`.
    pub on_behalf_of: Vec<String>,
    /// The databases that it used.
    pub databases: Vec<String>,
    /// When it was seen first since counts began, RFC 3339.
    pub first_seen: String,
    /// When it was seen last, RFC 3339.
    pub last_seen: String,
    /// Sessions that it began.
    pub sessions: u64,
    /// Sessions that it has now.
    pub live: u64,
    /// Its statements, by what became of them.
    pub counts: Counts,
    /// When something of its was refused last, RFC 3339.
    pub refused_last: Option<String>,
    /// Requests for approval of its.
    pub approvals: u64,
}

/// Which identities to show.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityQuery {
    /// Contained in the name, the subject or a group, in whatever case.
    pub text: Option<String>,
    /// Who used this database.
    pub database: Option<String>,
    /// Only who was refused something.
    #[serde(default)]
    pub refused: bool,
    /// At most so many, 100 unless told, 500 at most.
    pub limit: Option<usize>,
    /// Where the page before ended: its `next`.
    pub after: Option<String>,
}

/// Identities, who was seen last first.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct IdentityPage {
    /// Counts go back to here, RFC 3339; `None`: nothing is known yet.
    pub since: Option<String>,
    /// The identities.
    pub items: Vec<IdentityView>,
    /// For the next page; `None`: there is none.
    pub next: Option<String>,
}

/// One identity.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct IdentityDetail {
    /// Who it is.
    pub identity: IdentityView,
    /// Counts go back to here, RFC 3339.
    pub since: Option<String>,
    /// What it read and changed, the latest first.
    pub uses: Vec<UseView>,
    /// What it was refused, the latest first.
    pub refused: Vec<RefusedNow>,
    /// What it may do, by database.
    pub may: Vec<MayDo>,
}

/// What the policy of one database could ever allow an identity, as PostgreSQL's privileges.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MayDo {
    /// The database as clients name it.
    pub database: String,
    /// The bundle's name.
    pub bundle: String,
    /// Its version.
    pub version: String,
    /// Privileges: what rules could allow, masked or after approval included.
    pub grants: Vec<GrantView>,
    /// How many there are; `grants` has at most 500.
    pub grants_total: usize,
    /// What rules could allow that no privilege gives, in words.
    pub beyond: Vec<String>,
    /// Limits that hold for it.
    pub limits: Vec<String>,
    /// Why it can't be said.
    pub unknown: Option<String>,
}

/// A privilege.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GrantView {
    /// `SELECT`, ...
    pub privilege: String,
    /// On what, as GRANT names it.
    pub on: String,
    /// On which columns; `None`: the object as a whole.
    pub columns: Option<Vec<String>>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct People {
    known: HashMap<String, (Who, Person)>,
}

impl People {
    fn person(&mut self, time: Time, who: &Who) -> &mut Person {
        let name = who.to_string();
        if self.known.len() >= PEOPLE_MAX && !self.known.contains_key(&name) {
            self.forget();
        }
        let fresh = || {
            let who = Who { issuer: who.issuer.clone(), subject: who.subject.clone(), ..bare() };
            (who, Person { first: time, ..Person::default() })
        };
        let (_, person) = self.known.entry(name).or_insert_with(fresh);
        person.last = person.last.max(time);
        person
    }

    /// Forgets a tenth.
    fn forget(&mut self) {
        let mut times: Vec<Time> = self.known.values().map(|it| it.1.last).collect();
        times.sort_unstable();
        let tenth = times.get(times.len() / 10).copied().unwrap_or_default();
        let mut left = PEOPLE_MAX - PEOPLE_MAX / 10;
        self.known.retain(|_, (_, person)| {
            let keep = person.last > tenth && left > 0;
            left -= usize::from(keep);
            keep
        });
    }

    /// Takes in a record of somebody's.
    pub(super) fn take(&mut self, time: Time, view: &View, who: &Who) {
        let person = self.person(time, who);
        if let Some(database) = &view.database
            && person.databases.len() < NAMES_MAX
        {
            person.databases.insert(database.clone());
        }
        if let Some(party) = &who.on_behalf_of
            && person.on_behalf_of.len() < NAMES_MAX
        {
            person.on_behalf_of.insert(party.to_string());
        }
        person.approvals += u64::from(view.is("approval_requested"));
        if view.is("session_started") {
            person.sessions += 1;
            person.name.clone_from(&who.name);
            person.groups.clone_from(&who.groups);
            person.owner = who.attributes.get("owner").cloned();
            person.attributes.clone_from(&who.attributes);
        } else if view.is("statement") {
            let verdict = view.verdict.as_deref().unwrap_or_default();
            if view.sqlstate.is_some() && !is_refusal(view) {
                person.counts.failed += 1;
            } else {
                person.counts.verdict(verdict);
            }
            if is_refusal(view) {
                person.refused_last = Some(time);
            }
        }
    }

    /// Takes in how a statement of somebody's ended.
    pub(super) fn ended(&mut self, identity: &str, view: &View) {
        if let Some((_, person)) = self.known.get_mut(identity) {
            count_outcome(&mut person.counts, view);
        }
    }

    /// Returns somebody.
    pub(super) fn get(&self, identity: &str) -> Option<(&Who, &Person)> {
        self.known.get(identity).map(|(who, person)| (who, person))
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Returns those who are asked for, who was seen last first, and where the next page begins.
    ///
    /// # Errors
    /// [`ViewError::Invalid`]: whoever asked made the page's beginning up.
    pub(super) fn page(
        &self,
        query: &IdentityQuery,
    ) -> Result<(Vec<IdentityView>, Option<String>), ViewError> {
        let text = query.text.as_ref().map(|text| text.to_lowercase());
        let wanted = |name: &str, person: &Person| {
            let has = |text: &String| {
                let mut said =
                    [Some(name), person.name.as_deref(), person.owner.as_deref()].into_iter().flatten();
                said.any(|it| it.to_lowercase().contains(text))
                    || person.groups.iter().any(|it| it.to_lowercase().contains(text))
            };
            text.as_ref().is_none_or(has)
                && query.database.as_ref().is_none_or(|it| person.databases.contains(it))
                && (!query.refused || person.refused_last.is_some())
        };
        let cursor = query.after.as_deref().map(Cursor::read).transpose()?;
        let began = cursor.as_ref().map_or_else(|| self.last(), |cursor| cursor.began);
        let place = |name: &str, person: &Person| Place::of(began, name, person.last);
        let mut found: Vec<_> = self.known.iter().filter(|(name, it)| wanted(name, &it.1)).collect();
        if let Some(Cursor { place: last, .. }) = &cursor {
            found.retain(|(name, (_, person))| place(name, person) > *last);
        }
        found.sort_by_cached_key(|(name, (_, person))| place(name, person));
        let limit = query.limit.unwrap_or(100).clamp(1, 500);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found
            .last()
            .filter(|_| more)
            .map(|(name, (_, person))| Cursor { began, place: place(name, person) });
        let items = found.into_iter().map(|(_, (who, person))| view(who, person)).collect();
        Ok((items, next.map(|it| it.to_string())))
    }

    fn last(&self) -> Time {
        self.known.values().map(|(_, person)| person.last).max().unwrap_or_default()
    }
}

/// Where somebody stands in a list that is read page by page.
///
/// Who does something meanwhile is seen later than when the list began, and would move to a page that was read already: they come at
/// its end instead, so that nobody is left out, whom one has seen before perhaps among them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Who was seen last comes first.
    Before(std::cmp::Reverse<Time>, String),
    Since(String),
}

impl Place {
    fn of(began: Time, name: &str, last: Time) -> Self {
        if last <= began {
            Self::Before(std::cmp::Reverse(last), name.to_owned())
        } else {
            Self::Since(name.to_owned())
        }
    }
}

/// The end of a page.
struct Cursor {
    /// When somebody had been seen last as the list began.
    began: Time,
    place: Place,
}

impl Cursor {
    fn read(text: &str) -> Result<Self, ViewError> {
        let parse = || {
            let (began, rest) = text.split_once('.')?;
            let (last, name) = rest.split_once('.')?;
            let time = |text: &str| text.parse().map(Time).ok();
            let place = match last {
                "" => Place::Since(name.to_owned()),
                last => Place::Before(std::cmp::Reverse(time(last)?), name.to_owned()),
            };
            Some(Self { began: time(began)?, place })
        };
        parse().ok_or_else(|| ViewError::Invalid("after is the `next` of the page before".to_owned()))
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let began = self.began.0;
        match &self.place {
            Place::Before(last, name) => write!(f, "{began}.{}.{name}", last.0.0),
            Place::Since(name) => write!(f, "{began}..{name}"),
        }
    }
}

/// Counts how a statement ended.
pub(super) fn count_outcome(counts: &mut Counts, view: &View) {
    counts.rows = counts.rows.saturating_add(view.rows.unwrap_or(0));
    counts.bytes = counts.bytes.saturating_add(view.bytes.unwrap_or(0));
    counts.failed += u64::from(view.sqlstate.is_some());
}

pub(super) fn view(who: &Who, person: &Person) -> IdentityView {
    let Person { name, owner, groups, on_behalf_of, databases, first, last, .. } = person;
    IdentityView {
        identity: who.to_string(),
        issuer: who.issuer.clone(),
        subject: who.subject.clone(),
        name: name.clone(),
        groups: groups.clone(),
        owner: owner.clone(),
        on_behalf_of: on_behalf_of.iter().cloned().collect(),
        databases: databases.iter().cloned().collect(),
        first_seen: shown(*first),
        last_seen: shown(*last),
        sessions: person.sessions,
        live: 0,
        counts: person.counts,
        refused_last: person.refused_last.map(shown),
        approvals: person.approvals,
    }
}

/// Shows a privilege.
pub(crate) fn grant(grant: &Grant) -> GrantView {
    let Grant { privilege, on, columns } = grant;
    GrantView { privilege: word(privilege), on: on.clone(), columns: columns.clone() }
}

/// Says what no privilege gives.
pub(crate) fn beyond(beyond: &Beyond) -> String {
    let actions: Vec<&str> = beyond.actions.iter().map(|action| action.as_str()).collect();
    let others = match beyond.objects {
        0 | 1 => String::new(),
        more => format!(" and {} more", more - 1),
    };
    format!("{} on {}{others} takes {}", actions.join(", "), beyond.example, beyond.need)
}

/// How something is called in JSON.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn bare() -> Who {
    Who {
        issuer: String::new(),
        subject: String::new(),
        name: None,
        groups: Vec::new(),
        attributes: BTreeMap::new(),
        on_behalf_of: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(people: &mut People, at: i64, subject: &str, event: &str, verdict: Option<&str>) {
        let refused = verdict == Some("deny");
        let view: View = serde_json::from_value(serde_json::json!({
            "event": event, "database": "app", "verdict": verdict, "sqlstate": refused.then_some("42501"),
            "identity": {"issuer": "corp", "subject": subject, "groups": ["Sales"], "name": format!("Name of {subject}"),
                "attributes": {"owner": "corp:boss"}},
        }))
        .unwrap();
        let who = view.identity.clone().unwrap();
        people.take(Time(at), &view, &who);
    }

    #[test]
    fn pages_and_filters_of_people() {
        let mut people = People::default();
        for (n, subject) in ["a", "b", "c", "d"].into_iter().enumerate() {
            let n = i64::try_from(n).unwrap();
            seen(&mut people, n, subject, "session_started", None);
            seen(&mut people, n + 10, subject, "statement", Some(if n == 2 { "deny" } else { "allow" }));
        }
        let subjects = |query: &IdentityQuery| {
            let (items, next) = people.page(query).unwrap();
            (items.into_iter().map(|it| it.subject).collect::<String>(), next)
        };
        assert_eq!(subjects(&IdentityQuery::default()), ("dcba".into(), None));
        let two = IdentityQuery { limit: Some(3), ..IdentityQuery::default() };
        let (first, next) = subjects(&two);
        assert_eq!(first, "dcb");
        assert_eq!(subjects(&IdentityQuery { after: next, ..two }), ("a".into(), None));
        assert_eq!(subjects(&IdentityQuery { refused: true, ..IdentityQuery::default() }).0, "c");
        assert_eq!(subjects(&IdentityQuery { text: Some("OF B".into()), ..IdentityQuery::default() }).0, "b");
        assert_eq!(
            subjects(&IdentityQuery { text: Some("sales".into()), ..IdentityQuery::default() }).0.len(),
            4
        );
        let (who, person) = people.get("corp:c").unwrap();
        let view = view(who, person);
        assert_eq!((view.counts.deny, view.counts.allow, view.sessions), (1, 0, 1));
        assert_eq!(view.owner.as_deref(), Some("corp:boss"));
    }

    #[test]
    fn who_comes_back_while_the_pages_are_read_is_on_one_of_them() {
        let mut people = People::default();
        for n in 0..20 {
            seen(&mut people, n, &format!("s{n:02}"), "statement", Some("allow"));
        }
        let mut query = IdentityQuery { limit: Some(3), ..IdentityQuery::default() };
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let (items, next) = people.page(&query).unwrap();
            found.extend(items.into_iter().map(|it| it.subject));
            let Some(next) = next else { break };
            query.after = Some(next);
            // One who was shown, one who wasn't, and a stranger.
            for subject in ["s19", &format!("s{pages:02}"), &format!("new{pages}")] {
                seen(&mut people, 100 + pages, subject, "statement", Some("allow"));
            }
            pages += 1;
            assert!(pages < 40, "it ends though they go on");
        }
        for n in 0..20 {
            assert!(found.contains(&format!("s{n:02}")), "s{n:02} of {found:?}");
        }
        let mut of_the_first = found.clone();
        of_the_first.truncate(3);
        assert_eq!(of_the_first, ["s19", "s18", "s17"]);
        for bad in ["", "3", "x.1.corp:a", "1.x.corp:a", "1", "1.2"] {
            query.after = Some(bad.to_owned());
            assert!(people.page(&query).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_so_many_people_are_remembered() {
        let mut people = People::default();
        for n in 0..i64::try_from(PEOPLE_MAX).unwrap() + 5 {
            seen(&mut people, n, &format!("s{n}"), "statement", Some("allow"));
        }
        assert!(people.len() <= PEOPLE_MAX);
        assert!(people.get("corp:s0").is_none() && people.get("corp:s9999").is_some());
    }
}

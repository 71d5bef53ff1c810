//! Sessions: one row each, added up over everything that was recorded of them.

use audit::{Seq, Time};
use index::{Asked, SessionSearch};
use journal::query::Filter;
use journal::search::Search;
use model::SessionId;

use crate::scene::{Scene, at, budget, catch_up};

fn find(scene: &Scene, search: &SessionSearch, asked: Option<&Asked>) -> Vec<u128> {
    let (rows, next) = scene.index().sessions(search, asked, 100, budget()).unwrap();
    assert_eq!(next, None);
    rows.iter().map(|row| row.id.0).collect()
}

#[test]
fn a_session_is_what_was_recorded_of_it() {
    let mut scene = Scene::new();
    let mut writer = scene.writer();
    for statements in [130, 7, 400] {
        scene.fill(statements);
        catch_up(&mut writer);
    }
    let all = scene.all();
    let row = scene.index().session(SessionId(0x1002)).unwrap().unwrap();
    let of_session: Vec<serde_json::Value> = all
        .iter()
        .filter_map(|row| serde_json::from_str(&row.to_json()).ok())
        .filter(|row: &serde_json::Value| {
            row["session"] == "00000000000000000000000000001002" && row["event"] == "statement"
        })
        .collect();
    let count = |is: &dyn Fn(&serde_json::Value) -> bool| {
        u64::try_from(of_session.iter().filter(|row| is(row)).count()).unwrap()
    };
    assert_eq!(row.statements, count(&|_| true));
    assert_eq!(row.refusals, count(&|row| row["sqlstate"] == "42501"));
    assert_eq!(row.errors, count(&|row| row["outcome"]["sqlstate"] == "42P01"));
    assert_eq!(row.holds, count(&|row| row["approval"].is_u64()));
    assert_eq!(row.rows, of_session.iter().filter_map(|row| row["outcome"]["rows"].as_u64()).sum::<u64>());
    assert_eq!(row.bytes, of_session.iter().filter_map(|row| row["outcome"]["bytes"].as_u64()).sum::<u64>());
    assert_eq!(row.identity.as_deref(), Some("corp:agent-2"));
    assert_eq!(row.on_behalf_of.as_deref(), Some("crm:ada"));
    assert_eq!(row.groups, ["everybody", "team-2"]);
    assert_eq!((row.application.as_deref(), row.method.as_deref()), (Some("psql"), Some("token")));
    assert_eq!((row.began, row.ended), (Time::from(at(0)), None));
}

#[test]
fn sessions_are_found_by_whatever_is_known_of_them_and_of_their_statements() {
    let mut scene = Scene::new();
    scene.fill(300);
    catch_up(&mut scene.writer());
    let any = SessionSearch::default();
    assert_eq!(find(&scene, &any, None), [0x1006, 0x1005, 0x1004, 0x1003, 0x1002, 0x1001, 0x1000]);
    let of = |search: SessionSearch| find(&scene, &search, None);
    assert_eq!(of(SessionSearch { identity: Some("corp:agent-3".into()), ..any.clone() }), [0x1003]);
    assert_eq!(of(SessionSearch { identity: Some("agent-3".into()), ..any.clone() }), [0x1003]);
    assert_eq!(of(SessionSearch { on_behalf_of: Some("ada".into()), ..any.clone() }), [0x1002]);
    assert_eq!(of(SessionSearch { group: Some("team-1".into()), ..any.clone() }), [0x1004, 0x1001]);
    assert_eq!(of(SessionSearch { holds_min: Some(1), ..any.clone() }), [0x1006, 0x1003]);
    assert_eq!(of(SessionSearch { until: Some(Time(1)), ..any.clone() }), [0_u128; 0]);
    let asked = |filter: Filter| Asked { search: Search { filter, ..Search::default() }, ..Asked::default() };
    // Statement 97 is of 0x1006, 194 of 0x1005, 291 of 0x1004.
    let text = asked(Filter { text: Some("größe".into()), ..Filter::default() });
    assert_eq!(find(&scene, &any, Some(&text)), [0x1004, 0x1005, 0x1006]);
    let of_group = SessionSearch { group: Some("team-1".into()), ..any.clone() };
    assert_eq!(find(&scene, &of_group, Some(&text)), [0x1004]);
    // A page at a time, each session once.
    let relation = asked(Filter { relation: Some("orders".into()), ..Filter::default() });
    let (mut found, mut before): (Vec<u128>, Option<Seq>) = (Vec::new(), None);
    loop {
        let search = SessionSearch { before, ..any.clone() };
        let (rows, next) = scene.index().sessions(&search, Some(&relation), 2, budget()).unwrap();
        found.extend(rows.iter().map(|row| row.id.0));
        before = next;
        if before.is_none() {
            break;
        }
    }
    found.sort_unstable();
    assert_eq!(found, [0x1000, 0x1001, 0x1002, 0x1003, 0x1004, 0x1005, 0x1006]);
}

#[test]
fn a_session_ends_with_its_gateway() {
    let mut scene = Scene::new();
    scene.fill(50);
    catch_up(&mut scene.writer());
    scene.stop();
    scene.fill(50);
    catch_up(&mut scene.writer());
    scene.stop();
    let row = scene.index().session(SessionId(0x1001)).unwrap().unwrap();
    // The same id again is no case that occurs; that the first gateway's sessions ended is.
    assert!(row.ended.is_some() && row.reason.as_deref() == Some("lost"), "{row:?}");
}

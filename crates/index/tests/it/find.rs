//! What is found, and in which order, whatever of it is in the index already.

use std::time::{Duration, Instant};

use audit::Seq;
use index::{Asked, IndexError};
use journal::search::{Budget, From};

use crate::scene::{Scene, budget, catch_up, check, check_some, questions};

#[test]
fn answers_are_what_reading_everything_finds() {
    let mut scene = Scene::new();
    scene.fill(400);
    let mut writer = scene.writer();
    // Nothing is written yet: all of it is read along.
    check(&scene, 50);
    catch_up(&mut writer);
    check(&scene, 50);
    // Outcomes of statements that are in the index follow in the journal.
    scene.fill(150);
    check(&scene, 17);
    catch_up(&mut writer);
    check(&scene, 500);
    // A gateway that begins finds nothing running.
    scene.stop();
    scene.fill(100);
    check(&scene, 50);
    catch_up(&mut writer);
    check(&scene, 50);
    scene.index().verify().unwrap();
}

#[test]
fn answers_are_right_across_blocks() {
    let mut scene = Scene::new();
    scene.fill(20_000);
    let mut writer = scene.writer();
    catch_up(&mut writer);
    scene.fill(1000);
    assert!(scene.index().status().unwrap().next < Seq(32_768));
    check_some(&scene);
    catch_up(&mut writer);
    assert!(scene.index().status().unwrap().next > Seq(32_768));
    check_some(&scene);
    scene.index().verify().unwrap();
}

#[test]
fn going_on_from_a_record_finds_what_follows_it() {
    let mut scene = Scene::new();
    scene.fill(500);
    catch_up(&mut scene.writer());
    scene.fill(50);
    let all = scene.all();
    for (what, asked) in questions() {
        let wanted: Vec<u64> = all
            .iter()
            .filter(|row| asked.admits(row) && row.record().seq > Seq(300))
            .map(|row| row.record().seq.0)
            .take(20)
            .collect();
        let found = scene.index().search(&asked, From::After(Seq(300)), 20, budget()).unwrap();
        assert_eq!(found.rows.iter().map(|row| row.record().seq.0).collect::<Vec<_>>(), wanted, "{what}");
    }
}

#[test]
fn statements_come_with_their_outcomes() {
    let mut scene = Scene::new();
    scene.fill(400);
    catch_up(&mut scene.writer());
    scene.fill(60);
    let found = scene.index().search(&Asked::default(), From::End, 10_000, budget()).unwrap();
    let all = scene.all();
    assert_eq!(found.rows.len(), all.len());
    for (found, wanted) in found.rows.iter().rev().zip(&all) {
        assert_eq!(found.to_json(), wanted.to_json());
    }
}

#[test]
fn a_call_that_has_no_time_says_where_to_go_on() {
    let mut scene = Scene::new();
    scene.fill(200);
    catch_up(&mut scene.writer());
    let (mut found, mut from) = (Vec::new(), From::End);
    loop {
        let spent = Budget { until: Instant::now() - Duration::from_secs(1), bytes: 0 };
        let page = scene.index().search(&Asked::default(), from, 50, spent).unwrap();
        found.extend(page.rows.iter().map(|row| row.record().seq.0));
        let Some(next) = page.next else { break };
        from = From::Before(next);
    }
    let wanted: Vec<u64> = scene.all().iter().rev().map(|row| row.record().seq.0).collect();
    assert_eq!(found, wanted);
}

#[test]
fn what_is_far_behind_says_so() {
    let mut scene = Scene::new();
    scene.fill(10);
    catch_up(&mut scene.writer());
    scene.fill(16_000);
    let answer = scene.index().search(&Asked::default(), From::End, 10, budget());
    assert!(matches!(answer, Err(IndexError::Behind(_))), "{answer:?}");
}

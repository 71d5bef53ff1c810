//! An index that was damaged gives no wrong answer, and is made anew; a journal that was gives what is left of it.

use std::os::unix::fs::PermissionsExt as _;

use index::{Asked, IndexError, Writer};
use journal::search::From;

use crate::scene::{Scene, budget, catch_up, check, pages, questions};

#[test]
fn a_changed_byte_anywhere_gives_no_wrong_answer() {
    let mut scene = Scene::new();
    scene.fill(200);
    let mut writer = scene.writer();
    catch_up(&mut writer);
    drop(writer);
    let all = scene.all();
    let bytes = std::fs::read(scene.path()).unwrap();
    let asked: Vec<_> = questions()
        .into_iter()
        .filter(|(what, _)| ["a relation", "a text in other letters", "what the server said"].contains(what))
        .collect();
    let mut told = 0;
    for n in 0..60 {
        let mut changed = bytes.clone();
        let at = (n * 7919 * 131) % changed.len();
        changed[at] ^= 0x5a;
        std::fs::write(scene.path(), &changed).unwrap();
        for (what, asked) in &asked {
            let wanted: Vec<u64> =
                all.iter().rev().filter(|row| asked.admits(row)).map(|row| row.record().seq.0).collect();
            match pages(&scene.index(), asked, 50) {
                Ok(found) => assert_eq!(found, wanted, "{what} with byte {at} changed"),
                Err(_) => told += 1,
            }
        }
    }
    assert!(told > 0);
}

#[test]
fn a_damaged_index_is_made_anew() {
    let mut scene = Scene::new();
    scene.fill(300);
    catch_up(&mut scene.writer());
    let bytes = std::fs::read(scene.path()).unwrap();
    for cut in [100, bytes.len() / 2, bytes.len() - 5000] {
        std::fs::write(scene.path(), &bytes[..cut]).unwrap();
        let mut writer = scene.writer();
        if let Err(error) = scene.index().verify() {
            assert!(error.is_damage());
            writer.make_anew(error.to_string()).unwrap();
        }
        catch_up(&mut writer);
        drop(writer);
        check(&scene, 50);
    }
}

#[test]
fn what_is_not_ours_is_left_as_it_is() {
    let mut scene = Scene::new();
    scene.fill(10);
    let other = rusqlite::Connection::open(scene.path()).unwrap();
    other.execute_batch("CREATE TABLE theirs (a)").unwrap();
    drop(other);
    assert!(matches!(Writer::open(&scene.path(), &scene.dir()), Err(IndexError::NotOurs { .. })));
    std::fs::write(scene.path(), "dear diary ".repeat(1000)).unwrap();
    assert!(matches!(Writer::open(&scene.path(), &scene.dir()), Err(IndexError::NotOurs { .. })));
    assert!(std::fs::read_to_string(scene.path()).unwrap().starts_with("dear diary"));
}

#[test]
fn nobody_else_can_read_it() {
    let mut scene = Scene::new();
    scene.fill(10);
    catch_up(&mut scene.writer());
    let mode = std::fs::metadata(scene.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_hole_in_the_journal_is_passed_over_and_told() {
    let mut scene = Scene::new();
    scene.fill(2000);
    scene.stop();
    let mut segments: Vec<_> = std::fs::read_dir(scene.dir()).unwrap().map(|it| it.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|it| it == "gpj"));
    segments.sort();
    assert!(segments.len() > 3);
    let all = scene.all();
    let mut bytes = std::fs::read(&segments[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segments[1], bytes).unwrap();
    catch_up(&mut scene.writer());
    let status = scene.index().status().unwrap();
    let [(first, next, why)] = status.holes.as_slice() else { panic!("{:?}", status.holes) };
    assert!(why.contains("changed"), "{why}");
    let (_, everything) = questions().swap_remove(0);
    let wanted: Vec<u64> = all
        .iter()
        .rev()
        .map(|row| row.record().seq)
        .filter(|seq| seq < first || seq >= next)
        .map(|seq| seq.0)
        .collect();
    assert_eq!(left(&scene, &everything), wanted);
}

/// What is found of a journal of which some can't be read.
fn left(scene: &Scene, asked: &Asked) -> Vec<u64> {
    let found = scene.index().search(asked, From::End, usize::MAX, budget()).unwrap();
    found.rows.iter().map(|row| row.record().seq.0).collect()
}

#[test]
fn what_was_removed_from_the_journal_is_found_no_more() {
    let mut scene = Scene::new();
    scene.fill(21_500);
    scene.stop();
    let mut writer = scene.writer();
    catch_up(&mut writer);
    let before = scene.index().status().unwrap();
    let mut segments: Vec<_> = std::fs::read_dir(scene.dir()).unwrap().map(|it| it.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|it| it == "gpj"));
    segments.sort();
    let keep = segments.len() - 2;
    segments[..keep].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    let first: u64 = segments[keep].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    drop(writer);
    let mut writer = scene.writer();
    assert_eq!(writer.made_anew(), None);
    catch_up(&mut writer);
    let (_, everything) = questions().swap_remove(0);
    let found = pages(&scene.index(), &everything, 500).unwrap();
    assert_eq!(found.last(), Some(&first));
    let after = scene.index().status().unwrap();
    assert!(after.records < before.records && after.next == before.next);
}

//! Crashes, other journals, other writers.

use index::{IndexError, Writer};

use crate::scene::{Scene, catch_up, check, copy};

#[test]
fn a_crash_at_any_moment_leaves_right_answers() {
    let mut scene = Scene::new();
    for round in 0..8 {
        scene.fill(70);
        if round % 5 == 4 {
            scene.stop();
        }
        let mut writer = scene.writer();
        assert_eq!(writer.made_anew(), None);
        // Whatever it had collected is gone with it.
        writer.step().unwrap();
        if round % 2 == 0 {
            writer.commit().unwrap();
        }
        drop(writer);
        check(&scene, 50);
    }
}

#[test]
fn two_do_not_write_one_index() {
    let mut scene = Scene::new();
    scene.fill(10);
    let writer = scene.writer();
    assert!(matches!(Writer::open(&scene.path(), &scene.dir()), Err(IndexError::Busy(_))));
    drop(writer);
    catch_up(&mut scene.writer());
}

#[test]
fn an_index_of_another_journal_is_made_anew() {
    let (mut one, mut other) = (Scene::new(), Scene::new());
    one.fill(100);
    other.fill(80);
    catch_up(&mut one.writer());
    copy(&one.path(), &other.path());
    let mut writer = other.writer();
    assert!(writer.made_anew().unwrap().contains("another journal"));
    catch_up(&mut writer);
    check(&other, 50);
}

#[test]
fn an_index_that_knows_more_than_the_journal_is_made_anew() {
    let mut scene = Scene::new();
    scene.fill(40);
    scene.stop();
    let kept = tempfile::tempdir().unwrap();
    let files: Vec<_> = std::fs::read_dir(scene.dir()).unwrap().map(|it| it.unwrap().path()).collect();
    files.iter().for_each(|file| copy(file, &kept.path().join(file.file_name().unwrap())));
    scene.fill(100);
    scene.stop();
    catch_up(&mut scene.writer());
    // What had not reached the disk is lost with the power, and other records have its numbers.
    std::fs::remove_dir_all(scene.dir()).unwrap();
    std::fs::create_dir(scene.dir()).unwrap();
    files.iter().for_each(|file| copy(&kept.path().join(file.file_name().unwrap()), file));
    scene.written = 7;
    scene.fill(120);
    let mut writer = scene.writer();
    assert!(writer.made_anew().unwrap().contains("does not go on"));
    catch_up(&mut writer);
    check(&scene, 50);
}

#[test]
fn it_is_made_anew_when_that_is_asked_for() {
    let mut scene = Scene::new();
    scene.fill(100);
    let mut writer = scene.writer();
    catch_up(&mut writer);
    scene.index().ask_anew().unwrap();
    writer.step().unwrap();
    assert!(writer.made_anew().unwrap().contains("asked"));
    catch_up(&mut writer);
    check(&scene, 50);
}

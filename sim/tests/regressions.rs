//! Each schedule in `regressions/` once ended with an alarm: of a bug that has been repaired since, or of one that was
//! planted to see that it is caught. Without that bug it ends with none.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use liferaft_sim::flaw::Flaw;
use liferaft_sim::invariants::Alarm;
use liferaft_sim::replay::replay;
use liferaft_sim::schedule::Schedule;

/// A planted bug is planted in the whole process: no other test may run meanwhile.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A test that failed leaves nothing behind that another would stumble over.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions");
    let files = fs::read_dir(folder).expect("the folder is there");
    let files = files.map(|file| file.expect("its entries can be read").path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|it| it == "json"))
        .collect();
    files.sort();
    files
}

#[test]
fn what_once_ended_with_an_alarm_ends_with_none() {
    let _alone = alone();
    let files = files();
    assert!(!files.is_empty());
    for file in files {
        let schedule = Schedule::read(&file).expect("a schedule");

        let outcome = replay(&schedule);

        let name = file.display();
        assert!(schedule.alarm.is_some(), "{name} never raised an alarm");
        assert_eq!(outcome.alarm, None, "{name}");
    }
}

#[test]
fn what_was_caught_with_a_flaw_planted_is_caught_with_it() {
    let _alone = alone();
    for file in files() {
        let mut schedule = Schedule::read(&file).expect("a schedule");
        let planted = schedule.planted.clone().unwrap_or_default();
        let named = |flaw: &Flaw| format!("{flaw:?}") == planted;
        let Some(flaw) = Flaw::ALL.into_iter().find(named) else {
            continue;
        };
        schedule.plan.flaw = Some(flaw);

        let alarm = replay(&schedule).alarm;

        assert_caught_again(alarm, &schedule, &file);
    }
}

#[cfg(feature = "planted-bugs")]
#[test]
fn what_was_caught_with_a_bug_planted_is_caught_with_it() {
    use liferaft_raft::consensus::planted::{Bug, plant};

    let _alone = alone();
    for file in files() {
        let schedule = Schedule::read(&file).expect("a schedule");
        let planted = schedule.planted.clone().unwrap_or_default();
        let named = |bug: &&Bug| format!("{bug:?}") == planted;
        let Some(bug) = Bug::ALL.iter().find(named) else {
            continue;
        };

        plant(Some(*bug));
        let alarm = replay(&schedule).alarm;
        plant(None);

        assert_caught_again(alarm, &schedule, &file);
    }
}

#[track_caller]
fn assert_caught_again(alarm: Option<Alarm>, schedule: &Schedule, file: &Path) {
    let alarm = alarm.expect("an alarm");
    let raised = schedule
        .alarm
        .as_ref()
        .expect("an alarm when it was written");
    assert!(raised.is_like(&alarm), "{}: {alarm}", file.display());
}

//! Each schedule in `regressions/` once ended with an alarm: of a bug that has been repaired since, or of one that was planted
//! to see that it is caught. Without that bug it ends with none.

use std::fs;
use std::path::{Path, PathBuf};

use liferaft_sim::replay::replay;
use liferaft_sim::schedule::Schedule;

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

/// One test for all: a planted bug is planted in the whole process.
#[cfg(feature = "planted-bugs")]
#[test]
fn what_was_caught_with_a_bug_planted_is_caught_with_it() {
    use liferaft_raft::consensus::planted::{Bug, plant};
    use liferaft_sim::flaw::Flaw;

    for file in files() {
        let mut schedule = Schedule::read(&file).expect("a schedule");
        let Some(planted) = schedule.planted.clone() else {
            continue;
        };
        let bug = Bug::ALL.iter().find(|bug| format!("{bug:?}") == planted);
        let flaw = Flaw::ALL.iter().find(|flaw| format!("{flaw:?}") == planted);
        assert!(
            bug.is_some() || flaw.is_some(),
            "nothing is called {planted}"
        );
        schedule.plan.flaw = flaw.copied();

        plant(bug.copied());
        let outcome = replay(&schedule);
        plant(None);

        let name = file.display();
        let (alarm, raised) = (outcome.alarm.expect("an alarm"), schedule.alarm);
        assert!(
            raised.is_some_and(|raised| raised.is_like(&alarm)),
            "{name}: {alarm}"
        );
    }
}

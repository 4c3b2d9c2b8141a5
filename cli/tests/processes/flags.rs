//! Tests what the program takes by its flags and by variables of its environment, and what it refuses.

use std::path::Path;
use std::process::{Output, Stdio};

use crate::node::{ANYWHERE, Folder, liferaft, run};

/// Looks into an empty folder, with a variable.
fn inspected(name: &str, said: &str) -> Output {
    let folder = Folder::new(&format!("flags-{name}-{said}"));
    let output = liferaft()
        .arg("inspect")
        .arg(&folder.0)
        .env(name, said)
        .stdin(Stdio::null())
        .output();
    output.expect("the program starts")
}

#[test]
fn a_switch_is_given_by_a_variable_as_people_say_it() {
    let is_json = |said: &str| inspected("LIFERAFT_JSON", said).stdout.starts_with(b"{");

    assert_eq!(["1", "true", "YES", "on"].map(is_json), [true; 4]);
    assert_eq!(["", "0", "false", "No", "off"].map(is_json), [false; 5]);
    let wrong = inspected("LIFERAFT_JSON", "maybe");
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn an_empty_variable_gives_nothing_and_a_wrong_one_is_refused() {
    let empty = inspected("LIFERAFT_LOG", "").status.code();
    let last = inspected("LIFERAFT_INSPECT_LAST", "").status.code();
    let wrong = inspected("LIFERAFT_LOG", "loud");

    assert_eq!((empty, last), (Some(0), Some(0)));
    assert_eq!(wrong.status.code(), Some(2));
    let why = String::from_utf8_lossy(&wrong.stderr);
    assert!(why.contains("loud"), "{why}");
}

#[test]
fn what_would_make_a_useless_member_founds_nothing() {
    let folder = Folder::new("useless");
    let ada = folder.of("ada");

    for wrong in [
        ["--invite-uses", "0"],
        ["--invite-hours", "0"],
        ["--advertise", "x"],
        ["--advertise", "http://x:1"],
    ] {
        let init = ["init", "--data", &ada, "--listen", ANYWHERE];
        let refused = run(&[&init[..], &wrong].concat());

        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
        assert!(!Path::new(&ada).exists());
    }
}

//! Every public error says first what became of what was asked, then why, with the numbers that it is about.

#[macro_use]
mod row;
mod invitation_table;
mod link_table;
mod table;
mod webrtc_table;
mod websocket_table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use row::Row;
use table::table;

/// How the text of an error begins that is certain: nothing was done, and nothing will be.
const DEFINITE: [&str; 10] = [
    "not done: ",
    "not met: ",
    "not founded: ",
    "not started: ",
    "not stopped: ",
    "not left: ",
    "not opened: ",
    "not sent: ",
    "not attached: ",
    "ended: ",
];

/// How the text of any other begins.
const OPEN: [&str; 3] = ["unknown: ", "pending: ", "done: "];

/// What the name of a variant ends or begins with that refuses because a bound was met.
const BOUNDS: [&str; 6] = ["Busy", "Full", "TooLarge", "TooLong", "TooMany", "TooMuch"];

/// Full queues of transports: each counts as it likes, and the one in memory is bounded in frames and bytes at once.
/// And full disks, whose bound the system keeps to itself. Carriers tell their bounds to the layer above them before.
const WITHOUT_NUMBERS: [&str; 5] = [
    "SendError::QueueFull",
    "StorageError::Full",
    "StopReason::StorageFull",
    "CarryError::Full",
    "CarryError::TooLarge",
];

fn begins_with_one_of(text: &str, beginnings: &[&str]) -> bool {
    beginnings
        .iter()
        .any(|beginning| text.starts_with(beginning))
}

fn names_where(holds: impl Fn(&Row) -> bool) -> Vec<&'static str> {
    let rows = table().into_iter();
    rows.filter(|row| holds(row)).map(|row| row.name).collect()
}

#[test]
fn each_error_has_its_text() {
    let wrong: Vec<_> = table()
        .into_iter()
        .filter(|row| row.text != row.expected)
        .map(|row| format!("{}: {:?}, not {:?}", row.name, row.text, row.expected))
        .collect();

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_error_speaks_first_of_the_outcome() {
    let silent = names_where(|row| match row.is_definite {
        Some(true) => !begins_with_one_of(&row.text, &DEFINITE),
        Some(false) => !begins_with_one_of(&row.text, &OPEN),
        None => begins_with_one_of(&row.text, &DEFINITE) || begins_with_one_of(&row.text, &OPEN),
    });

    assert_eq!(silent, [""; 0]);
}

// A caller that prints an error and its sources, as `{:#}` of anyhow does, told each cause of a start twice: it was
// part of the text, and the source as well.
#[test]
fn no_error_says_its_source_as_well() {
    let doubled = names_where(|row| {
        let source = row.source.as_ref();
        source.is_some_and(|source| row.text.contains(source.as_str()))
    });

    assert_eq!(doubled, [""; 0]);
}

#[test]
fn variants_of_one_name_have_one_outcome() {
    let mut outcomes = BTreeMap::<_, BTreeSet<_>>::new();
    for row in table() {
        let Some((_, variant)) = row.name.split_once("::") else {
            continue;
        };
        // What hands on another error has the outcome of that.
        let hands_on =
            ["Propose", "Read", "Outbox", "Push", "Transfer", "Change"].contains(&variant);
        let outcome = match row.is_definite {
            Some(true) => "not done".to_owned(),
            Some(false) => row.text.split(':').take(1).collect(),
            None => continue,
        };
        if !hands_on {
            outcomes.entry(variant).or_default().insert(outcome);
        }
    }

    let torn: Vec<_> = outcomes.iter().filter(|(_, of)| of.len() > 1).collect();

    assert!(torn.is_empty(), "{torn:?}");
}

#[test]
fn what_is_refused_for_a_bound_tells_numbers() {
    let mute = names_where(|row| {
        // The number of a server is none of a bound.
        let text = row.text.replace("0x1f", "");
        let variant = row.name.rsplit("::").next().unwrap_or_default();
        BOUNDS
            .iter()
            .any(|bound| variant.starts_with(bound) || variant.ends_with(bound))
            && !WITHOUT_NUMBERS.contains(&row.name)
            && !text.contains(|character: char| character.is_ascii_digit())
    });

    assert_eq!(mute, [""; 0]);
}

#[test]
fn the_text_of_an_error_is_a_phrase() {
    let odd = names_where(|row| {
        row.text.ends_with('.') || row.text.starts_with(|first: char| first.is_uppercase())
    });

    assert_eq!(odd, [""; 0]);
}

#[test]
fn the_table_has_every_public_error() {
    let listed: BTreeSet<_> = table().into_iter().map(|row| row.name.to_owned()).collect();
    let declared = Declared::of_all_crates();

    let missing: Vec<_> = declared.errors.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&declared.errors).collect();

    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:?}, unknown {unknown:?}"
    );
}

#[test]
fn what_tells_its_outcome_is_listed_as_an_outcome() {
    let listed: BTreeSet<_> = names_where(|row| row.is_definite.is_some())
        .into_iter()
        .map(|name| identifier(name).to_owned())
        .collect();

    assert_eq!(listed, Declared::of_all_crates().outcomes);
}

/// What the sources of the libraries declare, as `cargo fmt` lays them out.
#[derive(Default)]
struct Declared {
    /// The variants of the public types that are errors, as `Error::Variant`, or `Error` of those without.
    errors: BTreeSet<String>,
    /// The types with an `is_definite`.
    outcomes: BTreeSet<String>,
}

impl Declared {
    fn of_all_crates() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut declared = Self::default();
        for folder in [
            "src",
            "platform/src",
            "transport/src",
            "raft/src",
            "node/src",
            "kv/src",
            "cli/src",
        ] {
            for file in rust_files(&root.join(folder)) {
                declared.read(&fs::read_to_string(&file).expect("a source file can be read"));
            }
        }
        declared
    }

    fn read(&mut self, source: &str) {
        let mut in_derive = false;
        let mut is_error = false;
        let mut enumeration = None;
        let mut implemented = "";
        for line in source.lines() {
            in_derive |= line.starts_with("#[derive(");
            if in_derive {
                let mut derived = line.split(|character: char| !character.is_alphanumeric());
                is_error |= derived.any(|name| name == "Error");
                in_derive = !line.ends_with(")]");
            } else if let Some(name) = line.strip_prefix("pub struct ").map(identifier) {
                self.errors.extend(is_error.then(|| name.to_owned()));
                is_error = false;
            } else if let Some(name) = line.strip_prefix("pub enum ").map(identifier) {
                enumeration = is_error.then_some(name);
                is_error = false;
            } else if line == "}" {
                (enumeration, is_error) = (None, false);
            } else if let (Some(name), Some(variant)) = (enumeration, line.strip_prefix("    "))
                && variant.starts_with(|first: char| first.is_ascii_uppercase())
            {
                self.errors
                    .insert(format!("{name}::{}", identifier(variant)));
            } else if let Some(name) = line.strip_prefix("impl ") {
                implemented = identifier(name);
            } else if line.contains("fn is_definite(&self)") {
                self.outcomes.insert(implemented.to_owned());
            }
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.extension() {
            Some(extension) if extension == "rs" => vec![path],
            None if path.is_dir() => rust_files(&path),
            _ => Vec::new(),
        })
        .collect()
}

fn identifier(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_alphanumeric());
    &text[..end.unwrap_or(text.len())]
}

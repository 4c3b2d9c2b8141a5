//! Scans: in order, in pages, now and in the past.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use bytes::Bytes;
use cluster::Cluster;
use common::Member;
use liferaft_kv::limits::{HISTORY_CHANGES_MAX, STEPS_MAX, VALUE_BYTES_MAX};
use liferaft_kv::{
    Command, Content, Entry, Keys, KvError, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, Page, Refused,
    Revision, Scan, Step,
};

fn keys(page: &Page) -> Vec<&[u8]> {
    page.entries.iter().map(|entry| &entry.key[..]).collect()
}

fn values(page: &Page) -> Vec<Option<&[u8]>> {
    page.entries
        .iter()
        .map(|entry| entry.value().map(|value| &value[..]))
        .collect()
}

/// Ascending keys, in batches.
fn fill(member: &mut Member, keys: std::ops::Range<usize>) {
    let keys: Vec<_> = keys.collect();
    for some in keys.chunks(STEPS_MAX) {
        let steps = some.iter().map(|key| Step::set(format!("{key:05}"), "v"));
        let done = member.apply(Command::Batch(steps.collect()));
        assert!(done.is_ok(), "{done:?}");
    }
}

#[test]
fn a_prefix_is_read_in_the_order_of_its_keys_with_values_and_sequences() {
    let mut member = Member::default();
    for (key, value) in [("b/2", "two"), ("a", "x"), ("b/1", "one"), ("c", "y")] {
        assert!(member.set(key, value).is_ok());
    }
    assert!(member.append("b/3", "line").is_ok());

    let page = member.scan(Keys::prefix("b/")).expect("it can be read");

    assert_eq!(keys(&page), [b"b/1", b"b/2", b"b/3"]);
    assert_eq!(values(&page)[..2], [Some(&b"one"[..]), Some(b"two")]);
    assert_eq!(page.entries[2].count().map(|count| count.len()), Some(1));
    assert_eq!((page.next, page.revision), (None, Revision(5)));
}

#[test]
fn an_entry_tells_when_it_was_made_and_changed_and_how_often() {
    let mut member = Member::default();
    let changes = [
        member.set("k", "1"),
        member.set("other", "x"),
        member.set("k", "2"),
    ];

    let entry = member.entry("k").expect("it exists");
    let deleted = [member.delete("k"), member.set("k", "3")];
    let made_again = member.entry("k").expect("it exists");

    assert!(changes.iter().chain(&deleted).all(Result::is_ok));
    let story = |entry: &Entry| {
        (
            entry.meta.created.0,
            entry.meta.modified.0,
            entry.meta.version,
        )
    };
    assert_eq!(story(&entry), (1, 3, 2));
    assert_eq!(story(&made_again), (5, 5, 1));
}

#[test]
fn a_reply_has_the_revision_of_the_last_entry_that_changed_anything() {
    let mut member = Member::default();
    let set = member.reply(Command::Set {
        key: "k".into(),
        value: "v".into(),
    });

    let nothing = member.reply(Command::Delete {
        key: "other".into(),
    });
    let deleted = member.reply(Command::Delete { key: "k".into() });

    assert_eq!(
        [set, nothing, deleted].map(|reply| reply.revision),
        [Revision(1), Revision(1), Revision(3)]
    );
}

#[test]
fn pages_together_are_the_state_at_one_revision_whatever_is_written_between_them() {
    let mut member = Member::default();
    for key in ["a", "b", "c", "d"] {
        assert!(member.set(key, "old").is_ok());
    }

    let first = member
        .scan(Scan::of(Keys::all()).limit(2))
        .expect("it can be read");
    let meanwhile = [
        member.set("c", "changed"),
        member.delete("d"),
        member.set("cc", "inserted"),
    ];
    let second = member
        .scan(first.next.clone().expect("there is more"))
        .expect("it can be read");

    assert!(meanwhile.iter().all(Result::is_ok));
    assert_eq!(keys(&first), [b"a", b"b"]);
    assert_eq!(keys(&second), [b"c", b"d"]);
    assert_eq!(values(&second), [Some(&b"old"[..]), Some(b"old")]);
    assert_eq!((second.revision, second.next), (Revision(4), None));
}

#[test]
fn every_past_revision_is_read_as_it_was() {
    let mut member = Member::default();
    let mut then = Vec::new();
    let changes = [
        Command::Set {
            key: "a".into(),
            value: "1".into(),
        },
        Command::Append {
            key: "s".into(),
            value: "x".into(),
        },
        Command::Set {
            key: "a".into(),
            value: "2".into(),
        },
        Command::Append {
            key: "s".into(),
            value: "y".into(),
        },
        Command::Delete { key: "s".into() },
        Command::Append {
            key: "s".into(),
            value: "z".into(),
        },
        Command::Delete { key: "a".into() },
    ];
    for change in changes {
        assert!(member.apply(change).is_ok());
        then.push(member.scan(Keys::all()).expect("it can be read"));
    }

    for before in then {
        let past = Scan::of(Keys::all()).at(before.revision);
        let restored = member.restored().scan(past.clone());
        assert_eq!(member.scan(past), Ok(before.clone()));
        assert_eq!(restored, Ok(before), "a restored member remembers as much");
    }
}

#[test]
fn a_revision_whose_changes_are_compacted_is_refused_with_the_oldest_that_can_be_read() {
    let mut member = Member::default();
    fill(&mut member, 0..HISTORY_CHANGES_MAX + 1);

    let oldest = member.scan(Scan::of(Keys::all()).limit(1).at(Revision(0)));
    let Err(Refused::Compacted { through }) = oldest else {
        panic!("it is compacted: {oldest:?}");
    };
    let readable = member.scan(Scan::of(Keys::all()).count_only().at(through));

    assert_eq!(through, Revision(1));
    assert_eq!(readable.map(|page| page.count), Ok(STEPS_MAX as u64));
}

#[test]
fn a_revision_of_the_future_is_refused() {
    let mut member = Member::default();
    assert!(member.set("k", "v").is_ok());

    let ahead = member.scan(Scan::of(Keys::all()).at(Revision(2)));

    let applied = Revision(1);
    let wanted = Revision(2);
    assert_eq!(ahead, Err(Refused::RevisionAhead { wanted, applied }));
}

#[test]
fn a_page_is_bounded_in_entries_and_in_bytes() {
    let mut many = Member::default();
    fill(&mut many, 0..PAGE_ENTRIES_MAX as usize + 1);
    let mut heavy = Member::default();
    for key in ["a", "b", "c"] {
        let value = Bytes::from(vec![0; VALUE_BYTES_MAX]);
        let set = heavy.apply(Command::Set {
            key: key.into(),
            value,
        });
        assert!(set.is_ok());
    }

    let entries = many
        .scan(Scan::of(Keys::all()).limit(u32::MAX))
        .expect("it can be read");
    let bytes = heavy.scan(Keys::all()).expect("it can be read");

    assert_eq!(entries.count, u64::from(PAGE_ENTRIES_MAX));
    assert!(entries.next.is_some());
    assert_eq!(bytes.count, PAGE_BYTES_MAX / VALUE_BYTES_MAX as u64);
    assert!(bytes.next.is_some());
}

#[test]
fn keys_alone_and_their_number_can_be_asked_for() {
    let mut member = Member::default();
    assert!(member.set("a", "four").is_ok() && member.set("b", "").is_ok());

    let names = member.scan(Scan::of(Keys::all()).keys_only());
    let number = member.scan(Scan::of(Keys::all()).count_only());

    let contents = names.map(|page| {
        page.entries
            .into_iter()
            .map(|entry| entry.content)
            .collect()
    });
    assert_eq!(
        contents,
        Ok(vec![
            Content::ValueOf { bytes: 4 },
            Content::ValueOf { bytes: 0 }
        ])
    );
    assert_eq!(
        number.map(|page| (page.count, page.entries)),
        Ok((2, vec![]))
    );
}

#[test]
fn ranges_one_key_and_what_comes_after_a_key_are_read() {
    let mut member = Member::default();
    for key in ["a", "b", "c", "d"] {
        assert!(member.set(key, "v").is_ok());
    }
    let read = |scan: Scan| {
        let page = member.scan(scan).expect("it can be read");
        let keys = page.entries.iter().map(|entry| entry.key.clone());
        keys.map(|key| String::from_utf8_lossy(&key).into_owned())
            .collect::<String>()
    };

    assert_eq!(read(Keys::range("b", "d").into()), "bc");
    assert_eq!(read(Keys::since("c").into()), "cd");
    assert_eq!(read(Keys::one("c").into()), "c");
    assert_eq!(read(Keys::range("d", "b").into()), "");
    assert_eq!(read(Scan::of(Keys::all()).after("b")), "cd");
    assert_eq!(read(Scan::of(Keys::range("b", "d")).after("a")), "bc");
    assert_eq!(read(Scan::of(Keys::range("b", "d")).after("x")), "");
    assert_eq!(read(Scan::of(Keys::all()).after("d")), "");
}

#[tokio::test(start_paused = true)]
async fn a_scan_sees_what_was_written_through_another_member() -> Result<(), KvError> {
    let cluster = Cluster::settled().await;
    let [ada, bob] = cluster.followers();

    let set = ada.set("tents/1", "ada").await?;
    let scanned = bob.scan(Keys::prefix("tents/")).await?;
    let local = ada.scan_local(Keys::prefix("tents/")).await?;

    assert_eq!(keys(&scanned), [b"tents/1"]);
    assert_eq!((scanned.revision, bob.revision().await?), (set, set));
    assert_eq!(local.answer, scanned);
    Ok(())
}

//! The state machine against a simple model of it, and its snapshots against anything.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{Member, Outcome};
use liferaft_kv::limits::VALUE_BYTES_MAX;
use liferaft_kv::{
    Command, CompareAndSet, Count, DeleteKeys, Done, Found, Keys, Kind, Kv, Query, Refused,
    SeqAppend, TrimBefore,
};
use liferaft_raft::state_machine::{Capture, StateMachine};
use proptest::collection::vec;
use proptest::prelude::*;

/// What the state machine should be, with nothing but a map and bare lists.
#[derive(Default)]
struct Model {
    keys: BTreeMap<Bytes, Held>,
    sequences_made: u64,
}

enum Held {
    Value(Bytes),
    Sequence {
        incarnation: u64,
        values: Vec<Bytes>,
        /// So many values are trimmed.
        first: usize,
    },
}

impl Model {
    fn apply(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Set { key, value } => {
                self.value(key)?;
                check(value)?;
                self.keys.insert(key.clone(), Held::Value(value.clone()));
                Ok(Done::Set)
            }
            Command::Delete { key } => Ok(Done::Delete(self.keys.remove(key).is_some())),
            Command::CompareAndSet { key, expected, new } => {
                let current = self.value(key)?;
                new.iter().try_for_each(check)?;
                if current != *expected {
                    return Ok(Done::CompareAndSet(CompareAndSet::Different { current }));
                }
                match new {
                    Some(value) => self.keys.insert(key.clone(), Held::Value(value.clone())),
                    None => self.keys.remove(key),
                };
                Ok(Done::CompareAndSet(CompareAndSet::Set))
            }
            Command::SeqAppend { key, count, value } => {
                let counter = self.count(key)?;
                check(value)?;
                if *count != counter {
                    return Ok(Done::SeqAppend(SeqAppend {
                        succeeded: false,
                        count: counter,
                    }));
                }
                self.push(key, value);
                Ok(Done::SeqAppend(SeqAppend {
                    succeeded: true,
                    count: self.count(key)?,
                }))
            }
            Command::Append { key, value } => {
                let counter = self.count(key)?;
                check(value)?;
                self.push(key, value);
                Ok(Done::Append(counter.len()))
            }
            Command::TrimBefore { key, count } => {
                let counter = self.count(key)?;
                let (mut trimmed, mut left_from) = (0, 0);
                if let Some(Held::Sequence { first, .. }) = self.keys.get_mut(key) {
                    let place = usize::try_from(count.len()).expect("a small number");
                    let is_of_it = count.incarnation() == counter.incarnation();
                    if is_of_it && count.len() <= counter.len() && place > *first {
                        trimmed = (place - *first) as u64;
                        *first = place;
                    }
                    left_from = *first as u64;
                }
                Ok(Done::TrimBefore(TrimBefore {
                    trimmed,
                    first: left_from,
                    count: counter,
                }))
            }
            Command::DeleteKeys(keys) => {
                let before = self.keys.len();
                self.keys.retain(|key, _| !keys.contains(key));
                Ok(Done::DeleteKeys(DeleteKeys {
                    deleted: (before - self.keys.len()) as u64,
                    more: false,
                }))
            }
            other => panic!("{other:?} is not modelled"),
        }
    }

    fn value(&self, key: &Bytes) -> Result<Option<Bytes>, Refused> {
        match self.keys.get(key) {
            Some(Held::Value(value)) => Ok(Some(value.clone())),
            Some(Held::Sequence { .. }) => Err(Refused::WrongKind {
                key: key.clone(),
                is: Kind::Sequence,
            }),
            None => Ok(None),
        }
    }

    fn count(&self, key: &Bytes) -> Result<Count, Refused> {
        match self.keys.get(key) {
            Some(Held::Sequence {
                incarnation,
                values,
                ..
            }) => Ok(count(values.len(), *incarnation)),
            Some(Held::Value(_)) => Err(Refused::WrongKind {
                key: key.clone(),
                is: Kind::Value,
            }),
            None => Ok(Count::ZERO),
        }
    }

    fn push(&mut self, key: &Bytes, value: &Bytes) {
        let made = &mut self.sequences_made;
        let held = self.keys.entry(key.clone()).or_insert_with(|| {
            *made += 1;
            Held::Sequence {
                incarnation: *made,
                values: Vec::new(),
                first: 0,
            }
        });
        match held {
            Held::Sequence { values, .. } => values.push(value.clone()),
            Held::Value(_) => panic!("the kind was checked"),
        }
    }
}

fn check(value: &Bytes) -> Result<(), Refused> {
    match value.len() {
        0..=VALUE_BYTES_MAX => Ok(()),
        bytes => Err(Refused::ValueTooLong {
            bytes: bytes as u64,
        }),
    }
}

fn count(len: usize, incarnation: u64) -> Count {
    format!("{len}@{incarnation}").parse().expect("a count")
}

/// Few keys and values, so that commands meet.
fn command() -> impl Strategy<Value = Command> {
    let key = || prop::sample::select(vec!["a", "b", "c"]).prop_map(Bytes::from);
    let value = || prop::sample::select(vec!["", "1", "2"]).prop_map(Bytes::from);
    let counts = prop_oneof![
        2 => Just(Count::ZERO),
        5 => (1..5_usize, 1..6_u64).prop_map(|(len, incarnation)| count(len, incarnation)),
    ];
    let trim_counts = counts.clone();
    prop_oneof![
        2 => (key(), value()).prop_map(|(key, value)| Command::Set { key, value }),
        3 => key().prop_map(|key| Command::Delete { key }),
        2 => (key(), prop::option::of(value()), prop::option::of(value()))
            .prop_map(|(key, expected, new)| Command::CompareAndSet { key, expected, new }),
        6 => (key(), counts, value())
            .prop_map(|(key, count, value)| Command::SeqAppend { key, count, value }),
        4 => (key(), value()).prop_map(|(key, value)| Command::Append { key, value }),
        3 => (key(), trim_counts).prop_map(|(key, count)| Command::TrimBefore { key, count }),
        1 => (key(), key()).prop_map(|(from, to)| Command::DeleteKeys(Keys::range(from, to))),
    ]
}

fn member(commands: &[Command]) -> Member {
    let mut member = Member::default();
    for command in commands {
        let _ = member.apply(command.clone());
    }
    member
}

proptest! {
    #[test]
    fn every_command_answers_as_the_model_does(commands in vec(command(), 0..200)) {
        let (mut member, mut model) = (Member::default(), Model::default());

        for command in commands {
            prop_assert_eq!(member.apply(command.clone()), model.apply(&command), "{:?}", command);
        }

        prop_assert_eq!(member.kv.len(), model.keys.len());
        for (key, held) in model.keys {
            let all = Query::ReadSequence { key: key.clone(), from: 0, limit: usize::MAX };
            match held {
                Held::Value(value) => {
                    prop_assert_eq!(member.kv.query(Query::Get { key }).outcome, Ok(Found::Value(Some(value))));
                }
                Held::Sequence { incarnation, mut values, first } => {
                    let Ok(Found::Sequence(part)) = member.kv.query(all).outcome else {
                        panic!("the key holds a sequence");
                    };
                    prop_assert_eq!(part.count, count(values.len(), incarnation));
                    prop_assert_eq!(part.from, first as u64);
                    prop_assert_eq!(part.values, values.split_off(first));
                }
            }
        }
    }

    #[test]
    fn a_restored_snapshot_is_the_same_state_and_goes_on_the_same(
        before in vec(command(), 0..100),
        after in vec(command(), 0..100),
    ) {
        let mut member = member(&before);

        let mut restored = member.restored();

        prop_assert!(restored.kv == member.kv);
        prop_assert_eq!(restored.kv.weight(), member.kv.weight());
        prop_assert_eq!(restored.snapshot(), member.snapshot());
        for command in after {
            prop_assert_eq!(restored.apply(command.clone()), member.apply(command));
        }
        prop_assert_eq!(restored.snapshot(), member.snapshot());
    }

    #[test]
    fn a_capture_does_not_see_what_is_applied_before_it_is_encoded(
        before in vec(command(), 0..100),
        after in vec(command(), 0..100),
    ) {
        let mut member = member(&before);
        let expected = member.snapshot();

        let captured = member.kv.snapshot();
        for command in after {
            let _ = member.apply(command);
        }

        prop_assert_eq!(captured.encode(), expected);
    }

    #[test]
    fn members_fed_the_same_commands_have_the_same_snapshot_to_the_bit(
        commands in vec(command(), 0..200),
        captured_at in 0..200_usize,
    ) {
        let one = member(&commands);
        let (head, tail) = commands.split_at(captured_at.min(commands.len()));
        let mut other = member(head).restored();
        let _captured = other.kv.snapshot();
        for command in tail {
            let _ = other.apply(command.clone());
        }

        prop_assert_eq!(one.snapshot(), other.snapshot());
    }

    #[test]
    fn arbitrary_bytes_are_never_restored_with_a_panic(bytes in vec(any::<u8>(), 0..512)) {
        let _ = Kv::new().restore(&bytes);
    }

    #[test]
    fn a_damaged_snapshot_is_refused_or_is_another_snapshot(
        commands in vec(command(), 1..100),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = member(&commands).snapshot();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }

        let mut kv = Kv::new();
        if kv.restore(&bytes).is_ok() {
            prop_assert_eq!(kv.snapshot().encode(), bytes, "what is taken is taken to the bit");
        }
    }

    #[test]
    fn a_command_is_the_same_after_its_encoding(command in command()) {
        let encoded = postcard::to_allocvec(&command).expect("a command is encoded");

        prop_assert_eq!(postcard::from_bytes::<Command>(&encoded).expect("and decoded"), command);
    }

    #[test]
    fn arbitrary_bytes_are_never_decoded_or_applied_with_a_panic(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(command) = postcard::from_bytes::<Command>(&bytes) {
            let _ = Member::default().apply(command);
        }
    }
}

//! A sorted vector is the same map as a B-tree, whatever is done with it.

use std::collections::{BTreeMap, BTreeSet};

use liferaft_platform::{SortedMap, SortedSet};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, u16),
    Remove(u8),
    Enter(u8, u16),
    PopFirst,
    PopFirstIf(u8),
    PopLast,
    Retain(u8),
    SplitOff(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0_u8..16;
    prop_oneof![
        (key.clone(), any::<u16>()).prop_map(|(key, value)| Step::Insert(key, value)),
        key.clone().prop_map(Step::Remove),
        (key.clone(), any::<u16>()).prop_map(|(key, value)| Step::Enter(key, value)),
        Just(Step::PopFirst),
        key.clone().prop_map(Step::PopFirstIf),
        Just(Step::PopLast),
        key.clone().prop_map(Step::Retain),
        key.prop_map(Step::SplitOff),
    ]
}

proptest! {
    #[test]
    fn a_sorted_map_does_what_a_b_tree_does(
        steps in vec(step(), 0..64),
        start in 0_u8..16,
        length in 0_u8..16,
    ) {
        let (mut ours, mut theirs) = (SortedMap::new(), BTreeMap::new());

        for step in steps {
            match step {
                Step::Insert(key, value) => {
                    prop_assert_eq!(ours.insert(key, value), theirs.insert(key, value));
                }
                Step::Remove(key) => prop_assert_eq!(ours.remove(&key), theirs.remove(&key)),
                Step::Enter(key, value) => {
                    prop_assert_eq!(ours.entry(key).or_insert(value), theirs.entry(key).or_insert(value));
                }
                Step::PopFirst => prop_assert_eq!(ours.pop_first(), theirs.pop_first()),
                Step::PopFirstIf(below) => {
                    let first = theirs.first_entry().filter(|first| *first.key() < below);
                    let first = first.map(|first| first.remove_entry());
                    prop_assert_eq!(ours.pop_first_if(|key, _| *key < below), first);
                }
                Step::PopLast => prop_assert_eq!(ours.pop_last(), theirs.pop_last()),
                Step::Retain(above) => {
                    ours.retain(|key, _| *key > above);
                    theirs.retain(|key, _| *key > above);
                }
                Step::SplitOff(from) => {
                    let (later, tree) = (ours.split_off(&from), theirs.split_off(&from));
                    prop_assert!(later.iter().eq(&tree), "{later:?} is not {tree:?}");
                }
            }
        }

        prop_assert!(ours.iter().eq(&theirs), "{ours:?} is not {theirs:?}");
        prop_assert_eq!(ours.get(&start), theirs.get(&start));
        let end = start + length;
        prop_assert!(ours.range(start..end).eq(theirs.range(start..end)));
        prop_assert!(ours.range(start..=end).eq(theirs.range(start..=end)));
        prop_assert!(ours.range(start..).rev().eq(theirs.range(start..).rev()));
    }

    #[test]
    fn a_sorted_set_does_what_a_b_tree_does(ours in vec(0_u8..16, 0..16), others in vec(0_u8..16, 0..16)) {
        let (sorted, tree): (SortedSet<_>, BTreeSet<_>) = (ours.iter().collect(), ours.iter().collect());
        let (other, other_tree): (SortedSet<_>, BTreeSet<_>) = (others.iter().collect(), others.iter().collect());

        prop_assert!(sorted.iter().eq(&tree));
        prop_assert!(sorted.difference(&other).eq(tree.difference(&other_tree)));
        prop_assert_eq!(sorted.is_subset(&other), tree.is_subset(&other_tree));
        prop_assert_eq!(sorted.first(), tree.first());
        prop_assert_eq!(sorted.last(), tree.last());
    }
}

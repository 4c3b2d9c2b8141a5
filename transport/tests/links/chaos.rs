//! Whatever happens to three ends that want links to each other, what they tell is true, and in the end all are linked.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::{Buf, Bytes};
use liferaft_transport::ServerId;
use liferaft_transport::links::LinkEvent;
use proptest::prelude::*;

use crate::world::*;

const ENDS: u8 = 3;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Run(u64),
    Restart(u8),
    /// Packets from one end to another vanish from now on.
    Cut(u8, u8),
    Heal,
    /// An end closes all its links by forgetting whom it wants, and wants them again.
    Want(u8, bool),
    Send(u8, u8, usize),
    Lose(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let end = || 0..ENDS;
    prop_oneof![
        4 => (1_u64..3_000).prop_map(Step::Run),
        2 => end().prop_map(Step::Restart),
        2 => (end(), end()).prop_map(|(from, to)| Step::Cut(from, to)),
        2 => Just(Step::Heal),
        1 => (end(), any::<bool>()).prop_map(|(end, wants)| Step::Want(end, wants)),
        6 => (end(), end(), 0_usize..20_000).prop_map(|(from, to, bytes)| Step::Send(from, to, bytes)),
        1 => (0_u8..40).prop_map(Step::Lose),
    ]
}

/// What the medium does wrong.
#[derive(Default)]
struct Wrongs {
    cuts: Vec<(u8, u8)>,
    lost_percent: u8,
    dice: u8,
}

impl Wrongs {
    fn passes(&mut self, flight: &Flight) -> bool {
        self.dice = self.dice.wrapping_mul(5).wrapping_add(37);
        !self.cuts.contains(&(flight.from, flight.to)) && self.dice % 100 >= self.lost_percent
    }
}

fn others(end: u8) -> Vec<u8> {
    (0..ENDS).filter(|other| *other != end).collect()
}

/// A frame of a stream: its number on the link, in as many bytes.
fn numbered(number: u64, bytes: usize) -> Bytes {
    [&number.to_be_bytes()[..], &vec![7; bytes]].concat().into()
}

/// Judges what an end tells: links come up and go down in turn, frames are of the link that is up, and those of its
/// stream are numbered without a gap.
fn judge(events: &[LinkEvent]) -> Result<(), TestCaseError> {
    let mut up: BTreeMap<ServerId, (u64, Option<u64>)> = BTreeMap::new();
    for event in events {
        match event {
            LinkEvent::Up(link) => {
                let earlier = up.insert(link.peer, (link.generation, None));
                prop_assert_eq!(earlier, None, "a link came up while another was");
            }
            LinkEvent::Down {
                peer, generation, ..
            } => {
                let down = up.remove(peer).map(|(generation, _)| generation);
                prop_assert_eq!(down, Some(*generation));
            }
            LinkEvent::Frame {
                from,
                generation,
                frame,
                ..
            } => {
                let (current, last) = up.get_mut(from).expect("frames come by links that are up");
                prop_assert_eq!(*current, *generation);
                let number = frame.clone().into_bytes().get_u64();
                prop_assert!(
                    number == last.map_or(0, |last| last + 1),
                    "{last:?}, then {number}"
                );
                *last = Some(number);
            }
            _ => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_links_tell_is_true_and_all_come_up_in_the_end(
        steps in proptest::collection::vec(step(), 1..40),
        is_inside_process: bool,
    ) {
        let mut world = World::of(ENDS, Medium { is_inside_process, ..SEALED });
        let wrongs = Rc::new(RefCell::new(Wrongs::default()));
        let seen = Rc::clone(&wrongs);
        world.adversary = Box::new(move |flight| {
            if seen.borrow_mut().passes(&flight) { vec![flight] } else { vec![] }
        });
        let mut boots = [1; ENDS as usize];
        let mut numbers = BTreeMap::new();
        (0..ENDS).for_each(|end| world.want(end, &others(end)));

        for step in steps {
            match step {
                Step::Run(milliseconds) => world.run_for(ms(milliseconds)),
                Step::Restart(end) => {
                    judge(&world.end(end).events)?;
                    boots[usize::from(end)] += 1;
                    world.restart(end, boots[usize::from(end)]);
                    world.want(end, &others(end));
                }
                Step::Cut(from, to) => wrongs.borrow_mut().cuts.push((from, to)),
                Step::Heal => *wrongs.borrow_mut() = Wrongs::default(),
                Step::Want(end, wants) => {
                    let wanted = if wants { others(end) } else { vec![] };
                    world.want(end, &wanted);
                }
                Step::Send(from, to, bytes) if from != to => {
                    if let Some(generation) = world.generation(from, to) {
                        let number = numbers.entry((from, generation)).or_insert(0);
                        if world.send(from, to, STREAM, &numbered(*number, bytes)).is_ok() {
                            *number += 1;
                        }
                    }
                }
                Step::Send(..) => {}
                Step::Lose(percent) => wrongs.borrow_mut().lost_percent = percent,
            }
        }
        *wrongs.borrow_mut() = Wrongs::default();
        (0..ENDS).for_each(|end| world.want(end, &others(end)));
        world.run_for(ms(80_000));

        for end in 0..ENDS {
            judge(&world.end(end).events)?;
            for other in others(end) {
                prop_assert!(world.is_up(end, other), "{end} and {other} have no link");
                prop_assert_eq!(world.generation(end, other), world.generation(other, end));
            }
        }
    }
}

//! Delta debugging: the smallest part of a list that still does what the whole does (Zeller and Hildebrandt,
//! "Simplifying and Isolating Failure-Inducing Input").

use std::ops::ControlFlow;

/// A part of a list that still passes, of which no element can be left out alone; larger if the test breaks off because
/// its time is up.
///
/// Large pieces are left out first. The test is asked of candidates only, not of the whole, which passes.
pub fn minimize<T: Clone>(
    mut items: Vec<T>,
    mut passes: impl FnMut(&[T]) -> ControlFlow<(), bool>,
) -> Vec<T> {
    let mut piece = items.len();
    while piece > 0 {
        let ControlFlow::Continue(left_out) = leave_out(&mut items, piece, &mut passes) else {
            break;
        };
        piece = if piece > 1 {
            piece.div_ceil(2)
        } else if left_out {
            // What could not be spared before may be spared now.
            1
        } else {
            0
        };
    }
    items
}

/// Leaves out each piece of this length that can be spared; whether there was one.
fn leave_out<T: Clone>(
    items: &mut Vec<T>,
    piece: usize,
    passes: &mut impl FnMut(&[T]) -> ControlFlow<(), bool>,
) -> ControlFlow<(), bool> {
    let mut left_out = false;
    // From the end on: what happens late is spared most easily.
    let mut end = items.len();
    while end > 0 {
        let begin = end.saturating_sub(piece);
        let mut candidate = items[..begin].to_vec();
        candidate.extend_from_slice(&items[end..]);
        if passes(&candidate)? {
            *items = candidate;
            left_out = true;
        }
        end = begin;
    }
    ControlFlow::Continue(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_stays_and_nothing_else() {
        let needed = [3, 41, 42, 99];

        let left = minimize((0..100).collect(), |items| {
            ControlFlow::Continue(needed.iter().all(|item| items.contains(item)))
        });

        assert_eq!(left, needed);
    }

    #[test]
    fn a_list_of_which_nothing_is_needed_becomes_empty() {
        assert!(minimize(vec![1, 2, 3], |_| ControlFlow::Continue(true)).is_empty());
    }

    #[test]
    fn pairs_that_can_only_go_together_go_together() {
        let left = minimize((0..64).collect(), |items| {
            let mut pairs = (0..32).map(|at| [2 * at, 2 * at + 1]);
            ControlFlow::Continue(pairs.all(|[a, b]| items.contains(&a) == items.contains(&b)))
        });

        assert!(left.is_empty());
    }

    #[test]
    fn a_test_that_breaks_off_ends_it_at_once() {
        let mut asked = 0;

        let left = minimize((0..1000).collect::<Vec<i32>>(), |_| {
            asked += 1;
            ControlFlow::Break(())
        });

        assert_eq!(left.len(), 1000);
        assert_eq!(asked, 1);
    }
}

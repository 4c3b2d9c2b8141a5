//! What is to happen, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::clock::Nanos;

/// Events by time; of those at the same time, the one that was entered first.
#[derive(Debug)]
pub struct Agenda<E> {
    order: BinaryHeap<Reverse<(Nanos, u64, usize)>>,
    // Events are large: the heap moves only their places.
    slots: Vec<Option<E>>,
    free: Vec<usize>,
    entered: u64,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self {
            order: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            entered: 0,
        }
    }
}

impl<E> Agenda<E> {
    /// Enters an event.
    pub fn enter(&mut self, at: Nanos, event: E) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(event);
        self.order.push(Reverse((at, self.entered, slot)));
        self.entered += 1;
    }

    /// When the next event is.
    #[must_use]
    pub fn next_at(&self) -> Option<Nanos> {
        self.order.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next event, unless it lies at or after `end`.
    pub fn next_before(&mut self, end: Nanos) -> Option<(Nanos, E)> {
        let Reverse((at, ..)) = self.order.peek()?;
        if *at >= end {
            return None;
        }
        let Reverse((at, _, slot)) = self.order.pop()?;
        let event = self.slots[slot].take()?;
        self.free.push(slot);
        Some((at, event))
    }

    /// Drops the events that are not to be kept.
    pub fn retain(&mut self, mut keep: impl FnMut(&E) -> bool) {
        let (slots, free) = (&mut self.slots, &mut self.free);
        self.order.retain(|Reverse((_, _, slot))| {
            let kept = slots[*slot].as_ref().is_some_and(&mut keep);
            if !kept {
                slots[*slot] = None;
                free.push(*slot);
            }
            kept
        });
    }
}

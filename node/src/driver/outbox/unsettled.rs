//! The commands of an outbox by their numbers, from the first that is not settled.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Outcome;
use crate::sessions::{CommandHeader, HEADER_BYTES};
use crate::time::Instant;

/// Commands without a gap in their numbers. One enters at the end, and leaves at the front when it is settled.
pub(super) struct Unsettled<R> {
    items: VecDeque<Item<R>>,
    bytes: usize,
    /// Commands up to this number are done or given up, and not here.
    settled_through: u64,
}

/// A command, and who waits for what becomes of it.
pub(super) struct Item<R> {
    pub(super) command: Bytes,
    /// When it was accepted, or recovered.
    pub(super) since: Instant,
    /// When it was given to the lane last; meaningless until it was.
    pub(super) released_at: Instant,
    waiters: Vec<oneshot::Sender<Outcome<R>>>,
    /// Gives the room back that the command takes.
    _room: Option<Room>,
}

/// Room for one command.
pub(super) struct Room {
    pub(super) _command: OwnedSemaphorePermit,
    pub(super) _bytes: OwnedSemaphorePermit,
}

impl<R> Unsettled<R> {
    /// None yet; the next is numbered after `settled_through`.
    pub(super) const fn after(settled_through: u64) -> Self {
        Self {
            items: VecDeque::new(),
            bytes: 0,
            settled_through,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn settled_through(&self) -> u64 {
        self.settled_through
    }

    /// The number of the last command that was pushed.
    pub(super) fn last(&self) -> u64 {
        self.settled_through + self.items.len() as u64
    }

    pub(super) fn get(&self, number: u64) -> Option<&Item<R>> {
        self.items.get(self.place(number)?)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Item<R>> {
        let place = self.place(number)?;
        self.items.get_mut(place)
    }

    /// All of them, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Item<R>)> {
        (self.settled_through + 1..).zip(&self.items)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Item<R>)> {
        (self.settled_through + 1..).zip(&mut self.items)
    }

    /// Takes a command, and gives it the next number.
    pub(super) fn push(&mut self, command: Bytes, room: Option<Room>, now: Instant) -> u64 {
        self.bytes += command.len();
        self.items.push_back(Item {
            command,
            since: now,
            released_at: now,
            waiters: Vec::new(),
            _room: room,
        });
        self.last()
    }

    /// Settles the first.
    pub(super) fn pop(&mut self) -> Option<Item<R>> {
        let item = self.items.pop_front()?;
        self.bytes -= item.command.len();
        self.settled_through += 1;
        Some(item)
    }

    /// Settles all up to this number.
    pub(super) fn remove_through(&mut self, number: u64) {
        while self.settled_through < number && self.pop().is_some() {}
    }

    /// The last number within so many commands and bytes from the first; headers count. One command is always within.
    pub(super) fn window(&self, commands_max: usize, bytes_max: usize) -> u64 {
        let mut bytes = 0_usize;
        let items = self.items.iter().take(commands_max);
        let within = items.take_while(|item| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(item.command.len() + HEADER_BYTES);
            first || bytes <= bytes_max
        });
        self.settled_through + within.count() as u64
    }

    fn place(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.settled_through + 1)?).ok()
    }
}

impl<R: Clone> Item<R> {
    /// Has the outcome told to one more.
    pub(super) fn wait(&mut self, waiter: oneshot::Sender<Outcome<R>>) {
        self.waiters.retain(|waiter| !waiter.is_closed());
        self.waiters.push(waiter);
    }

    /// Tells all who wait. Callers may have stopped waiting.
    pub(super) fn tell(&mut self, outcome: &Outcome<R>) {
        for waiter in self.waiters.drain(..) {
            drop(waiter.send(outcome.clone()));
        }
    }

    /// The command as it is proposed.
    pub(super) fn headed(&self, header: &CommandHeader) -> Bytes {
        let mut headed = Vec::with_capacity(HEADER_BYTES + self.command.len());
        headed.resize(HEADER_BYTES, 0);
        headed.extend_from_slice(&self.command);
        header.write_to(&mut headed);
        Bytes::from(headed)
    }
}

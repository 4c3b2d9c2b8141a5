//! Wakes what waits for a time: all sleeps of a page are behind one alarm, which is set for the earliest of them.
//!
//! So whoever keeps time best can be that alarm. The timers of a hidden page are held up by a second and more; those of
//! a worker are not, but each one costs a message there and one back.

use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{alarm, now};
use crate::SortedMap;

/// The longest wait that `setTimeout` understands, in milliseconds: it takes a signed 32-bit number.
const TIMEOUT_MAX: u32 = i32::MAX.unsigned_abs();

thread_local! {
    static TIMERS: RefCell<Timers> = RefCell::new(Timers::by(alarm::by_timeout()));
}

/// Is told after how many milliseconds to call [`rung`], or that it need not.
type Alarm = dyn Fn(Option<u32>);

/// A deadline, and a number that tells apart those who wait for the same.
type Key = (Duration, u64);

struct Timers {
    wakers: SortedMap<Key, Waker>,
    next_number: u64,
    alarm: Rc<Alarm>,
    /// When the alarm rings, if it is set. A ring that comes too early does no harm, so it is never set for later.
    set_for: Option<Duration>,
}

impl Timers {
    fn by(alarm: impl Fn(Option<u32>) + 'static) -> Self {
        Self {
            wakers: SortedMap::new(),
            next_number: 0,
            alarm: Rc::new(alarm),
            set_for: None,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Takes whoever waits for `now` or earlier.
    fn take_due(&mut self, now: Duration) -> SortedMap<Key, Waker> {
        self.set_for = None;
        // No wait has this number.
        let later = self.wakers.split_off(&(now, u64::MAX));
        mem::replace(&mut self.wakers, later)
    }

    /// Returns for when the alarm is to be set, if that is earlier than it is.
    fn set_earlier(&mut self) -> Option<(Rc<Alarm>, Duration)> {
        let (earliest, _) = *self.wakers.keys().next()?;
        if self.set_for.is_some_and(|at| at <= earliest) {
            return None;
        }
        self.set_for = Some(earliest);
        Some((Rc::clone(&self.alarm), earliest))
    }

    /// Waits for nothing at this place. Returns who waited, and the alarm if it is set for nobody.
    fn forget(&mut self, key: &Key) -> (Option<Waker>, Option<Rc<Alarm>>) {
        let waker = self.wakers.remove(key);
        let is_idle = self.wakers.is_empty() && self.set_for.take().is_some();
        (waker, is_idle.then(|| Rc::clone(&self.alarm)))
    }
}

/// Has another alarm ring from here on.
pub(crate) fn wake_by(alarm: impl Fn(Option<u32>) + 'static) {
    let before = TIMERS.with_borrow_mut(|timers| {
        timers.set_for = None;
        mem::replace(&mut timers.alarm, Rc::new(alarm))
    });
    before(None);
    set_alarm();
}

/// Wakes whoever is due, and sets the alarm for who comes next.
pub(crate) fn rung() {
    let now = now();
    let due = TIMERS.with_borrow_mut(|timers| timers.take_due(now));
    set_alarm();
    for waker in due.into_values() {
        waker.wake();
    }
}

/// The alarm is JavaScript's, which may ask for timers: they are not borrowed meanwhile.
fn set_alarm() {
    if let Some((alarm, at)) = TIMERS.with_borrow_mut(Timers::set_earlier) {
        let milliseconds = at.saturating_sub(now()).as_nanos().div_ceil(1_000_000);
        alarm(Some(
            u32::try_from(milliseconds).map_or(TIMEOUT_MAX, |wait| wait.min(TIMEOUT_MAX)),
        ));
    }
}

/// Waits for `wait`, from now on.
pub(crate) fn sleep(wait: Duration) -> Sleep {
    let number = TIMERS.with_borrow_mut(Timers::next_number);
    Sleep((now().saturating_add(wait), number))
}

/// A wait, which holds nothing of JavaScript's: it may be anywhere that futures are.
pub(crate) struct Sleep(Key);

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (deadline, _) = self.0;
        if deadline <= now() {
            return Poll::Ready(());
        }
        TIMERS.with_borrow_mut(|timers| timers.wakers.insert(self.0, context.waker().clone()));
        set_alarm();
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // A waker may hold the last of a task, whose own sleeps end here while it is dropped.
        let (_waker, alarm) = TIMERS.with_borrow_mut(|timers| timers.forget(&self.0));
        if let Some(alarm) = alarm {
            alarm(None);
        }
    }
}

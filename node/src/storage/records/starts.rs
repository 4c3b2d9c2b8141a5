//! Writes down the starts of a storage.

use bytes::{Buf, BufMut};

use super::record::{Flaw, contradictory};
use crate::ids::{Boot, EARLIER_STARTS_MAX, Starts};
use crate::wire::NUMBER_END;

/// Appends the newest start, and those before it.
pub(in crate::storage) fn put(starts: &Starts, body: &mut Vec<u8>) {
    let newest = starts.newest();
    body.put_u64_le(newest.number);
    body.put_u64_le(newest.nonce);
    body.put_u64_le(starts.earlier().len() as u64);
    put_earlier(starts, body);
}

/// Takes from the front of a body what [`put`] appended.
pub(in crate::storage) fn take(body: &mut &[u8]) -> Result<Starts, Flaw> {
    let short = |_| contradictory("it does not tell of its starts");
    let mut field = || body.try_get_u64_le().map_err(short);
    let (number, nonce, count) = (field()?, field()?, field()?);
    if number >= NUMBER_END {
        return Err(contradictory("it counts further than any store comes"));
    }
    take_earlier(body, Boot { number, nonce }, count)
}

/// Appends the marks of the starts before the newest one.
pub(in crate::storage) fn put_earlier(starts: &Starts, body: &mut Vec<u8>) {
    let earlier = starts.earlier().iter();
    earlier.for_each(|mark| body.put_u16_le(*mark));
}

/// Takes the marks of so many starts before the newest one from the front of a body.
pub(in crate::storage) fn take_earlier(
    body: &mut &[u8],
    newest: Boot,
    count: u64,
) -> Result<Starts, Flaw> {
    let unlikely = || contradictory(format!("it tells of {count} earlier starts"));
    let count = usize::try_from(count).map_err(|_| unlikely())?;
    let mut marks = [0; EARLIER_STARTS_MAX];
    let earlier = marks.get_mut(..count).ok_or_else(unlikely)?;
    for mark in &mut *earlier {
        *mark = body.try_get_u16_le().map_err(|_| unlikely())?;
    }
    Starts::new(newest, earlier).ok_or_else(unlikely)
}

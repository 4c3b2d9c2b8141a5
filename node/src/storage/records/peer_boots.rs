//! Writes down the boots of other servers, as the header and a batch have them.

use bytes::{Buf, BufMut};

use super::record::{Flaw, contradictory};
use crate::boots::Boots;
use crate::ids::{Boot, ServerId};
use crate::wire::NUMBER_END;

/// How many bytes each of them takes.
pub(in crate::storage) const BOOT_BYTES: usize = 32;

/// Appends them, in their order.
pub(in crate::storage) fn put(boots: &Boots, body: &mut Vec<u8>) {
    for (server, boot) in boots.iter() {
        body.put_u128(server.0);
        body.put_u64_le(boot.number);
        body.put_u64_le(boot.nonce);
    }
}

/// Decodes what is nothing else.
pub(in crate::storage) fn decode(mut body: &[u8]) -> Result<Boots, Flaw> {
    let count = body.len() / BOOT_BYTES;
    let mut seen = Vec::with_capacity(count);
    while body.len() >= BOOT_BYTES {
        let server = ServerId(body.get_u128());
        let (number, nonce) = (body.get_u64_le(), body.get_u64_le());
        if number >= NUMBER_END {
            return Err(contradictory(format!("it has boot {number} of {server}")));
        }
        seen.push((server, Boot { number, nonce }));
    }
    let boots: Boots = seen.into_iter().collect();
    // None was dropped: each server is there once, and there are not too many.
    if body.is_empty() && boots.len() == count {
        Ok(boots)
    } else {
        Err(contradictory("its boots of other servers make no sense"))
    }
}

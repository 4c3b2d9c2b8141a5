//! Waits for the word of this server that others may take part, while the member goes on: a key that is not in memory
//! takes its time to sign, and may never.

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::configuration::Voucher;
use crate::consensus::Addition;
use crate::ids::ServerId;

/// The most servers for which a signature is waited for. The first one gives way to more, and asks again.
const VOUCHING_MAX: usize = 64;

/// The servers that have asked to be taken in, and whose vouchers are not signed yet, the last one at the back.
#[derive(Default)]
pub(super) struct Vouching {
    waiting: Vec<(Addition, BoxFuture<'static, Option<Voucher>>)>,
}

impl Vouching {
    /// Returns the server with its voucher, if that is signed at once. Else it is waited for, as it is if the server
    /// has asked before.
    pub(super) fn begin(
        &mut self,
        addition: Addition,
        vouch: impl FnOnce() -> BoxFuture<'static, Option<Voucher>>,
    ) -> Option<Addition> {
        if self
            .waiting
            .iter()
            .any(|(known, _)| known.id == addition.id)
        {
            return None;
        }
        let mut voucher = vouch();
        match (&mut voucher).now_or_never() {
            Some(signed) => vouched(addition, signed),
            None => {
                if self.waiting.len() >= VOUCHING_MAX {
                    drop(self.waiting.remove(0));
                }
                self.waiting.push((addition, voucher));
                None
            }
        }
    }

    /// Takes the servers whose vouchers are signed.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, signed: &mut Vec<Addition>) {
        let mut at = 0;
        while let Some((_, voucher)) = self.waiting.get_mut(at) {
            match voucher.poll_unpin(context) {
                Poll::Ready(voucher) => {
                    let (addition, _) = self.waiting.remove(at);
                    signed.extend(vouched(addition, voucher));
                }
                Poll::Pending => at += 1,
            }
        }
    }

    /// A link is down: who comes back may be let in by something else, and asks anew.
    pub(super) fn on_down(&mut self, server: ServerId) {
        self.waiting.retain(|(addition, _)| addition.id != server);
    }
}

/// A server for which nobody vouches is not added: others could not tell that it is a member.
fn vouched(addition: Addition, voucher: Option<Voucher>) -> Option<Addition> {
    if voucher.is_none() {
        tracing::warn!(server = %addition.id, "cannot sign a voucher for a server that asks to join");
    }
    voucher.map(|voucher| Addition {
        voucher: Some(voucher),
        ..addition
    })
}

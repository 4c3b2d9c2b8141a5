//! Has an end dial at once, when somebody else knows that it is worth it: a page that was frozen goes on, a network is
//! back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;

use futures::task::AtomicWaker;

/// Has an [`Endpoint`](super::Endpoint) dial at once, whoever owns that. Clones are for the same end.
#[derive(Clone, Debug, Default)]
pub struct Redial(Arc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    is_there: AtomicBool,
    waker: AtomicWaker,
}

impl Redial {
    /// Dials all peers that are wanted and have no link, without waiting any longer after attempts that came to
    /// nothing.
    pub fn now(&self) {
        self.0.is_there.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    /// Returns true if that was wished for since this was last asked. If not, the task is woken once it is.
    pub(crate) fn take(&self, context: &Context<'_>) -> bool {
        self.0.waker.register(context.waker());
        self.0.is_there.swap(false, Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;
    use std::task::Poll;

    use futures::FutureExt;
    use liferaft_platform::{Address, ClusterId, Starts, Versions};

    use super::*;
    use crate::access::{AccessTable, Role};
    use crate::carrier::{
        Carrier, CarrierEvent, CarryError, Channel, DialError, PACKET_BYTES_MIN, Packet, Path,
    };
    use crate::endpoint::{Endpoint, KeySigner, Signer};
    use crate::links::{Credentials, Wanted};

    /// Reaches nobody, and counts the attempts.
    struct Cut(Arc<AtomicUsize>);

    impl Carrier for Cut {
        fn scheme(&self) -> &str {
            "cut"
        }

        fn packet_bytes_max(&self) -> usize {
            PACKET_BYTES_MIN
        }

        fn dial(&mut self, address: &Address) -> Result<Path, DialError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(DialError::BadAddress(address.clone()))
        }

        fn send(&mut self, _: &Path, _: Channel, _: Packet) -> Result<(), CarryError> {
            Err(CarryError::Closed)
        }

        fn poll(&mut self, _: &mut Context<'_>) -> Poll<Option<CarrierEvent>> {
            Poll::Pending
        }
    }

    /// Does what can be done while time stands still.
    fn run(end: &mut Endpoint) {
        while poll_fn(|context| end.poll_link_event(context))
            .now_or_never()
            .is_some()
        {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_dials_whom_an_end_would_wait_to_dial() {
        let dials = Arc::new(AtomicUsize::new(0));
        let key = KeySigner::from_secret(&[7; 32]);
        let credentials = Credentials {
            cluster: ClusterId(7),
            key: key.public_key(),
            versions: Versions::only(1),
            starts: Starts::default(),
            vouchers: Arc::new([]),
            role: Role::Member,
            token: None,
        };
        let peer = KeySigner::from_secret(&[8; 32]).public_key();
        let wanted = Wanted {
            peer: peer.server_id(),
            keys: vec![peer],
            addresses: vec!["cut:1".parse().expect("it is an address")],
        };
        let mut end = Endpoint::new(key, Cut(Arc::clone(&dials)));
        let redial = end.redial();
        end.introduce(credentials, Arc::new(AccessTable::default()));
        end.want(&[wanted]);
        run(&mut end);
        run(&mut end);
        let before = dials.load(Ordering::Relaxed);

        redial.now();
        run(&mut end);

        assert_eq!([before, dials.load(Ordering::Relaxed)], [1, 2]);
    }
}

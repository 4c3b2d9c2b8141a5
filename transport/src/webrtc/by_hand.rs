//! Lets people carry an offer and its answer as texts, so that two ends are connected without any server.
//!
//! It is the same natively and in browsers. What is asked of a [`ByHand`] reaches the carrier's
//! [`Switchboard`](super::switchboard::Switchboard) as a [`Request`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::{SinkExt, StreamExt};
use liferaft_platform::SortedMap;
use thiserror::Error;

use crate::signaling::ParseByHandError;

/// How long an offer by hand waits for its answer, and an answer for whoever has offered.
pub const BY_HAND_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// The most offers and answers by hand of a carrier that wait at a time.
pub const BY_HAND_MAX: usize = 8;

/// How long a text waits for addresses that servers of STUN and TURN tell.
const GATHERING_TIME_MAX: Duration = Duration::from_secs(3);

/// Connects a carrier to others by texts that people carry: one makes an offer, the other one takes it and gives back
/// an answer, and the first takes that. Each text has at most
/// [`BY_HAND_CHARS_MAX`](crate::signaling::BY_HAND_CHARS_MAX) characters, is good for [`BY_HAND_TIME_MAX`] and once,
/// and is no secret.
///
/// This makes a connection and no more: the link over it comes up if one of both ends wants one to the other, so if
/// it is a member or asks to join by an invitation.
///
/// ```
/// # mod liferaft { pub use liferaft_transport as transport; }
/// # async fn shown() -> Result<(), Box<dyn std::error::Error>> {
/// # fn carry(text: String) -> String { text }
/// use liferaft::transport::webrtc::{WebRtcCarrier, WebRtcConfig};
///
/// let carrier = WebRtcCarrier::dial_only(WebRtcConfig::default());
/// let by_hand = carrier.by_hand();
/// // When an endpoint has the carrier, and elsewhere another has its own:
/// let offer = by_hand.offer().await?;
/// let answer = carry(offer); // There, `take(&offer)` returns it.
/// assert_eq!(by_hand.take(&answer).await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ByHand {
    requests: mpsc::Sender<Request>,
    /// An endpoint has the carrier, and polls it.
    has_end: Arc<AtomicBool>,
}

/// Why an offer was not made, or a text not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ByHandError {
    /// The text is no offer and no answer.
    #[error(transparent)]
    Unreadable(#[from] ParseByHandError),
    /// The text is of this end.
    #[error("this text is of this end: the other end is to take it")]
    Own,
    /// There is no such offer: it is of another carrier, it was answered before, or its time is over.
    #[error("the offer of this answer is answered, or its time is over: make another one")]
    NoOffer,
    /// The offer was taken before, and has come to its end.
    #[error("this offer was taken before: its end is to make another one")]
    TakenBefore,
    /// There are as many offers and answers as may wait.
    #[error("{BY_HAND_MAX} offers and answers wait already: no more are allowed")]
    TooMany,
    /// No connection could be made.
    #[error("no connection was made: {0}")]
    NotMade(String),
    /// The carrier is gone, or no endpoint has it yet.
    #[error("there is no end that could be connected")]
    Closed,
}

impl ByHand {
    /// Makes an offer, for whoever takes it first. It takes as long as finding out the addresses of this end: some
    /// seconds at most.
    ///
    /// # Errors
    /// See [`ByHandError`].
    pub async fn offer(&self) -> Result<String, ByHandError> {
        let text = self.ask(Asked::Offer).await?;
        text.ok_or(ByHandError::Closed)
    }

    /// Takes an offer, and returns the answer that whoever has offered is to be given; or takes an answer, and returns
    /// `None`. White space in the text counts for nothing. An offer that is taken again while its answer waits gives
    /// the same answer.
    ///
    /// # Errors
    /// See [`ByHandError`].
    pub async fn take(&self, text: &str) -> Result<Option<String>, ByHandError> {
        self.ask(Asked::Take(text.to_owned())).await
    }

    async fn ask(&self, asked: Asked) -> Result<Option<String>, ByHandError> {
        if !self.has_end.load(Ordering::Relaxed) {
            return Err(ByHandError::Closed);
        }
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.clone().send(Request { asked, reply }).await;
        sent.map_err(|_| ByHandError::Closed)?;
        answer.await.map_err(|_| ByHandError::Closed)?
    }
}

/// What is asked of a carrier.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) asked: Asked,
    pub(super) reply: Reply,
}

#[derive(Debug)]
pub(super) enum Asked {
    Offer,
    Take(String),
}

pub(super) type Reply = oneshot::Sender<Result<Option<String>, ByHandError>>;

/// The requests of a carrier, and the texts that are being made.
#[derive(Debug)]
pub(super) struct Desk {
    requests: mpsc::Receiver<Request>,
    handle: ByHand,
    /// By the numbers of their connections, with the time when they are given out as they are.
    drafts: SortedMap<u64, (Duration, Vec<Reply>)>,
}

impl Desk {
    pub(super) fn new() -> Self {
        let (door, requests) = mpsc::channel(BY_HAND_MAX);
        let handle = ByHand {
            requests: door,
            has_end: Arc::default(),
        };
        Self {
            requests,
            handle,
            drafts: SortedMap::new(),
        }
    }

    pub(super) fn handle(&self) -> ByHand {
        self.handle.clone()
    }

    /// An endpoint has the carrier: what is asked is answered from here on.
    pub(super) fn open(&self) {
        self.handle.has_end.store(true, Ordering::Relaxed);
    }

    pub(super) fn next_request(&mut self, context: &mut Context<'_>) -> Option<Request> {
        match self.requests.poll_next_unpin(context) {
            Poll::Ready(request) => request,
            Poll::Pending => None,
        }
    }

    /// The text of a connection is being made, for one more who has asked.
    pub(super) fn draft(&mut self, number: u64, reply: Reply, now: Duration) {
        let until = now.saturating_add(GATHERING_TIME_MAX);
        let (_, replies) = self.drafts.entry(number).or_insert((until, Vec::new()));
        // Nobody waits any more for those that were given up.
        replies.retain(|reply| !reply.is_canceled());
        if replies.len() < BY_HAND_MAX {
            replies.push(reply);
        }
    }

    /// Returns true if the text of a connection is being made.
    pub(super) fn is_drafting(&self, number: u64) -> bool {
        self.drafts.contains_key(&number)
    }

    /// Tells what has become of the text of a connection.
    pub(super) fn finish(&mut self, number: u64, made: &Result<String, ByHandError>) {
        let (_, replies) = self.drafts.remove(&number).unwrap_or_default();
        for reply in replies {
            // Whoever has asked may have gone.
            let _gone = reply.send(made.clone().map(Some));
        }
    }

    /// Returns when a text is given out at the latest.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.drafts.values().map(|(until, _)| *until).min()
    }

    /// Returns a connection whose text is due.
    pub(super) fn due(&self, now: Duration) -> Option<u64> {
        let mut drafts = self.drafts.iter();
        let due = drafts.find(|(_, (until, _))| *until <= now);
        due.map(|(number, _)| *number)
    }
}

//! Defines what servers tell each other to set up a connection, and its compact form for links.
//!
//! A *session* is one attempt to connect two servers, numbered by whoever begins it, and each *round* of it one
//! exchange of descriptions: the first connects, later ones restart ICE. Whatever belongs to another session or round
//! than the one under way is late, and is ignored.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the version of the form: 1 |
//! | 1 | the kind: 0 asks, 1 is ready, 2 offers, 3 answers, 4 has a candidate |
//! | 8, 1 | session and round |
//! | the rest | of 2 and 3 a description, of 4 a candidate |

use bytes::Bytes;

use crate::carrier::SIGNAL_BYTES_MAX;
use crate::webrtc::description::{Description, IceCandidate, take, take_byte};

/// The version of the compact form.
const VERSION: u8 = 1;

/// What a server tells another one to set up a connection between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    pub(crate) session: Session,
    pub(crate) body: Body,
}

/// A round of an attempt to connect two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Session {
    /// Drawn at random by whoever begins it.
    pub(crate) number: u64,
    /// 0 connects, and each further one restarts ICE.
    pub(crate) round: u8,
}

/// What a signal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// It would offer a connection, if anybody is there. It costs neither end anything.
    Ask,
    /// Somebody is there, and takes an offer.
    Ready,
    Offer(Description),
    Answer(Description),
    /// One more candidate of whoever sends it.
    Candidate(IceCandidate),
}

impl Signal {
    pub(crate) fn new(session: Session, body: Body) -> Self {
        Self { session, body }
    }

    /// Returns the compact form, of at most [`SIGNAL_BYTES_MAX`] bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let kind = match self.body {
            Body::Ask => 0,
            Body::Ready => 1,
            Body::Offer(_) => 2,
            Body::Answer(_) => 3,
            Body::Candidate(_) => 4,
        };
        let mut bytes = vec![VERSION, kind];
        bytes.extend(self.session.number.to_be_bytes());
        bytes.push(self.session.round);
        match &self.body {
            Body::Ask | Body::Ready => {}
            Body::Offer(description) | Body::Answer(description) => description.write(&mut bytes),
            Body::Candidate(candidate) => candidate.write(&mut bytes),
        }
        bytes.into()
    }

    /// Reads the compact form; `None` if it is none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > SIGNAL_BYTES_MAX {
            return None;
        }
        let mut rest = bytes;
        let ([VERSION], kind) = (take(&mut rest)?, take_byte(&mut rest)?) else {
            return None;
        };
        let session = Session {
            number: u64::from_be_bytes(take(&mut rest)?),
            round: take_byte(&mut rest)?,
        };
        let body = match kind {
            0 => Body::Ask,
            1 => Body::Ready,
            2 => Body::Offer(Description::read(&mut rest)?),
            3 => Body::Answer(Description::read(&mut rest)?),
            4 => Body::Candidate(IceCandidate::read(&mut rest)?),
            _ => return None,
        };
        rest.is_empty().then_some(Self { session, body })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::webrtc::description::tests::{candidate, descriptions};

    pub(crate) fn signals() -> impl Strategy<Value = Signal> {
        let body = prop_oneof![
            Just(Body::Ask),
            Just(Body::Ready),
            descriptions().prop_map(Body::Offer),
            descriptions().prop_map(Body::Answer),
            any::<u8>().prop_map(|number| Body::Candidate(candidate(number))),
        ];
        (any::<u64>(), any::<u8>(), body)
            .prop_map(|(number, round, body)| Signal::new(Session { number, round }, body))
    }

    /// Whoever writes another end needs them.
    #[test]
    fn the_bytes_of_a_signal_stay_what_they_are() {
        let session = Session {
            number: 0x0102_0304_0506_0708,
            round: 1,
        };

        let bytes = Signal::new(session, Body::Candidate(candidate(7))).to_bytes();

        let expected = [
            &[1, 4, 1, 2, 3, 4, 5, 6, 7, 8, 1][..],
            &[0, 126, 255, 255, 255, 192, 0, 2, 7, 15, 160],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        let bytes = Signal::new(
            Session {
                number: 7,
                round: 0,
            },
            Body::Ask,
        )
        .to_bytes();

        for (at, byte) in [(0, 0), (0, 2), (1, 5)] {
            let mut changed = bytes.to_vec();
            changed[at] = byte;
            assert_eq!(Signal::from_bytes(&changed), None);
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Signal::from_bytes(&longer), None);
        assert_eq!(Signal::from_bytes(&[1; SIGNAL_BYTES_MAX + 1]), None);
    }

    proptest! {
        #[test]
        fn a_signal_is_read_as_it_is_written_and_short(signal in signals()) {
            let bytes = signal.to_bytes();

            prop_assert!(bytes.len() <= SIGNAL_BYTES_MAX, "{} bytes", bytes.len());
            prop_assert_eq!(Signal::from_bytes(&bytes), Some(signal));
        }

        #[test]
        fn a_signal_that_is_cut_is_refused(signal in signals(), at in any::<proptest::sample::Index>()) {
            let bytes = signal.to_bytes();

            prop_assert_eq!(Signal::from_bytes(&bytes[..at.index(bytes.len())]), None);
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            kind in 0_u8..6,
            bytes in proptest::collection::vec(any::<u8>(), 0..1_100),
        ) {
            let _any = Signal::from_bytes(&[&[1, kind], &bytes[..]].concat());
        }
    }
}

//! Writes an offer or an answer as a short text that people carry, and reads it again.
//!
//! The text has all that the other end needs, so that one text each way connects two ends without any server. It is no
//! secret: who is at the other end is proven on the connection. What was damaged on its way is found out by a
//! checksum.
//!
//! Behind `rtc-offer:` or `rtc-answer:` are, in base64url without padding:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the version of the form: 1 |
//! | 1 | 0 offers, 1 answers |
//! | 16, 8 | whose it is, and the number of its session |
//! | at most [`BY_HAND_CHARS_MAX`] characters in all | the description, with as many candidates as there is room for |
//! | 4 | CRC-32 of the bytes before it |

use base64ct::{Base64UrlUnpadded, Encoding};
use thiserror::Error;

use crate::ServerId;
use crate::webrtc::description::{Description, IceCandidate, take, take_byte};

/// The longest offer or answer by hand, in characters.
pub const BY_HAND_CHARS_MAX: usize = 400;

/// The longest text in which an offer or an answer by hand is looked for, in bytes: with white space.
pub const BY_HAND_TEXT_BYTES_MAX: usize = 4 << 10;

/// The version of the form. It and the checksum stay where they are in all versions.
const VERSION: u8 = 1;

const OFFER: &str = "rtc-offer:";
const ANSWER: &str = "rtc-answer:";

const CHECKSUM_BYTES: usize = 4;

/// The most bytes behind the longer of both words.
const BYTES_MAX: usize = (BY_HAND_CHARS_MAX - ANSWER.len()) * 3 / 4;

/// An offer or an answer that people carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// Whose it is, which is not proven.
    pub(crate) from: ServerId,
    /// The number of the session, drawn by whoever offers.
    pub(crate) session: u64,
    pub(crate) kind: NoteKind,
    pub(crate) description: Description,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoteKind {
    Offer,
    Answer,
}

/// Why a text is no offer and no answer by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseByHandError {
    /// It is longer than any.
    #[error(
        "{bytes} bytes are no offer or answer: with white space they have at most {BY_HAND_TEXT_BYTES_MAX}"
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It begins otherwise than any.
    #[error("it is no offer or answer: these begin with {OFFER} or {ANSWER}")]
    NoNote,
    /// It is not as it was written: its end is missing, or a character was changed, lost or added.
    #[error(
        "the offer or answer is damaged, or has lost its end: copy it to its end, and nothing else"
    )]
    Damaged,
    /// It was made by a version that knows more.
    #[error(
        "the offer or answer is of version {version}, and this program knows {VERSION}: use a newer one"
    )]
    NewerVersion {
        /// Its version.
        version: u8,
    },
    /// It is as it was written, and makes no sense.
    #[error("the offer or answer makes no sense")]
    Senseless,
}

impl Note {
    /// Writes it, with as many candidates as there is room for: of each kind the best first. `None` if there is not
    /// even room for the rest, which no browser makes that long.
    pub(crate) fn to_text(&self) -> Option<String> {
        let (word, kind) = match self.kind {
            NoteKind::Offer => (OFFER, 0),
            NoteKind::Answer => (ANSWER, 1),
        };
        let mut bytes = vec![VERSION, kind];
        bytes.extend(u128::from(self.from).to_be_bytes());
        bytes.extend(self.session.to_be_bytes());
        let room = (BYTES_MAX - CHECKSUM_BYTES).checked_sub(bytes.len())?;
        shortened(&self.description, room)?.write(&mut bytes);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        Some(format!(
            "{word}{}",
            Base64UrlUnpadded::encode_string(&bytes)
        ))
    }

    /// Reads one. White space counts for nothing, wherever it is.
    pub(crate) fn read(text: &str) -> Result<Self, ParseByHandError> {
        if text.len() > BY_HAND_TEXT_BYTES_MAX {
            return Err(ParseByHandError::TooLong { bytes: text.len() });
        }
        let text: String = text.chars().filter(|it| !it.is_whitespace()).collect();
        // Some keyboards begin every line with a capital.
        let behind = |word: &str| {
            let beginning = text.get(..word.len());
            let is_it = beginning.is_some_and(|it| it.eq_ignore_ascii_case(word));
            is_it.then(|| &text[word.len()..])
        };
        let (kind, coded) = match (behind(OFFER), behind(ANSWER)) {
            (Some(coded), _) => (NoteKind::Offer, coded),
            (None, Some(coded)) => (NoteKind::Answer, coded),
            (None, None) => return Err(ParseByHandError::NoNote),
        };
        let bytes = Base64UrlUnpadded::decode_vec(coded).map_err(|_| ParseByHandError::Damaged)?;
        let checked = bytes.split_last_chunk::<CHECKSUM_BYTES>();
        let (mut rest, checksum) = checked.ok_or(ParseByHandError::Damaged)?;
        if crc32fast::hash(rest).to_be_bytes() != *checksum {
            return Err(ParseByHandError::Damaged);
        }
        let version = take_byte(&mut rest).ok_or(ParseByHandError::Senseless)?;
        if version != VERSION {
            return Err(ParseByHandError::NewerVersion { version });
        }
        Self::read_body(kind, rest).ok_or(ParseByHandError::Senseless)
    }

    fn read_body(kind: NoteKind, mut rest: &[u8]) -> Option<Self> {
        let is_same_kind = match take_byte(&mut rest)? {
            0 => kind == NoteKind::Offer,
            1 => kind == NoteKind::Answer,
            _ => false,
        };
        let note = Self {
            from: u128::from_be_bytes(take(&mut rest)?).into(),
            session: u64::from_be_bytes(take(&mut rest)?),
            kind,
            description: Description::read(&mut rest)?,
        };
        (is_same_kind && rest.is_empty()).then_some(note)
    }
}

/// Leaves candidates out until the compact form has at most so many bytes. `None` if it has more without any.
fn shortened(description: &Description, bytes_max: usize) -> Option<Description> {
    let mut short = description.without_candidates();
    let length = |description: &Description| {
        let mut bytes = Vec::new();
        description.write(&mut bytes);
        bytes.len()
    };
    if length(&short) > bytes_max {
        return None;
    }
    let candidates = description.candidates();
    // Those of a kind before it in this order: what each end sees of itself, what others see, and what relays.
    let rank = |candidate: &IceCandidate| {
        let better = candidates
            .iter()
            .filter(|other| other.kind == candidate.kind && other.priority > candidate.priority);
        (better.count(), candidate.kind)
    };
    let mut ranked: Vec<&IceCandidate> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let place = ranked.partition_point(|before| rank(before) <= rank(candidate));
        ranked.insert(place, candidate);
    }
    for candidate in ranked {
        let mut longer = short.clone();
        if longer.add(candidate.clone()) && length(&longer) <= bytes_max {
            short = longer;
        }
    }
    Some(short)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::webrtc::description::tests::descriptions;
    use crate::webrtc::description::{CandidateHost, CandidateKind};

    fn note(description: Description, kind: NoteKind) -> Note {
        Note {
            from: ServerId::from(u128::MAX),
            session: u64::MAX,
            kind,
            description,
        }
    }

    /// As long as browsers make them: Firefox has 8 characters of a name and 32 of a password, Chromium 4 and 24.
    fn of_browser(hosts: u8) -> Description {
        let mut description = crate::webrtc::description::tests::of_lengths(8, 32);
        let mut add = |kind, host, priority| {
            description.add(IceCandidate {
                kind,
                priority,
                host,
                port: 50_000,
            });
        };
        for number in 0..hosts {
            let host = CandidateHost::Mdns([number; 16]);
            add(CandidateKind::Host, host, u32::from(number) + 1);
        }
        let reflexive = CandidateHost::Ip([203, 0, 113, 7].into());
        add(CandidateKind::ServerReflexive, reflexive, 5);
        let relayed = CandidateHost::Ip([198, 51, 100, 7].into());
        add(CandidateKind::Relayed, relayed, 4);
        description
    }

    #[test]
    fn five_names_and_what_servers_tell_fit_a_text_of_400() {
        let whole = note(of_browser(5), NoteKind::Answer);

        let text = whole.to_text().expect("it is short");

        assert!(text.len() <= BY_HAND_CHARS_MAX, "{} characters", text.len());
        let read = Note::read(&text).expect("it was just written");
        assert_eq!(read.description.candidates().len(), 7);
    }

    #[test]
    fn of_too_many_addresses_the_best_of_each_kind_are_told() {
        let text = note(of_browser(12), NoteKind::Offer).to_text();
        let text = text.expect("it is short");

        let read = Note::read(&text).expect("it was just written");
        let kinds: Vec<_> = read
            .description
            .candidates()
            .iter()
            .map(|it| it.kind)
            .collect();

        assert!(text.len() <= BY_HAND_CHARS_MAX, "{} characters", text.len());
        assert!(kinds.contains(&CandidateKind::ServerReflexive));
        assert!(kinds.contains(&CandidateKind::Relayed));
        let best = read.description.candidates().first().map(|it| it.host);
        assert_eq!(best, Some(CandidateHost::Mdns([11; 16])));
    }

    #[test]
    fn white_space_and_capitals_of_the_word_count_for_nothing() {
        let note = note(of_browser(1), NoteKind::Offer);
        let text = note.to_text().expect("it is short");
        let (word, coded) = text.split_once(':').expect("there is a word before it");
        let (first, second) = coded.split_at(40);

        let pasted = format!("\n {}:\t{first}\r\n{second} \u{a0}", word.to_uppercase());

        assert_eq!(Note::read(&pasted).map(|read| read.session), Ok(u64::MAX));
    }

    #[test]
    fn what_is_damaged_cut_or_something_else_is_told_apart() {
        let text = note(of_browser(1), NoteKind::Offer).to_text();
        let text = text.expect("it is short");
        let answer = text.replace(OFFER, ANSWER);
        let flipped = text.replace(&text[20..21], if &text[20..21] == "A" { "B" } else { "A" });
        let newer = Base64UrlUnpadded::encode_string(&{
            let mut bytes = vec![2, 0];
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            bytes
        });

        assert_eq!(Note::read(""), Err(ParseByHandError::NoNote));
        assert_eq!(Note::read("liferaft:AQAB"), Err(ParseByHandError::NoNote));
        assert_eq!(Note::read(OFFER), Err(ParseByHandError::Damaged));
        assert_eq!(
            Note::read(&text[..text.len() - 1]),
            Err(ParseByHandError::Damaged)
        );
        assert_eq!(
            Note::read(&format!("{text}A")),
            Err(ParseByHandError::Damaged)
        );
        assert_eq!(Note::read(&flipped), Err(ParseByHandError::Damaged));
        assert_eq!(Note::read(&answer), Err(ParseByHandError::Senseless));
        assert_eq!(
            Note::read(&format!("{OFFER}{newer}")),
            Err(ParseByHandError::NewerVersion { version: 2 })
        );
        let bytes = BY_HAND_TEXT_BYTES_MAX + 1;
        assert_eq!(
            Note::read(&" ".repeat(bytes)),
            Err(ParseByHandError::TooLong { bytes })
        );
    }

    proptest! {
        #[test]
        fn a_note_is_read_as_it_is_written_and_short(
            description in descriptions(),
            from in any::<u128>(),
            session in any::<u64>(),
            is_offer in any::<bool>(),
        ) {
            let kind = if is_offer { NoteKind::Offer } else { NoteKind::Answer };
            let note = Note { from: from.into(), session, kind, description };

            let Some(text) = note.to_text() else {
                let Description { credentials, .. } = &note.description;
                prop_assert!(credentials.ufrag.len() + credentials.password.len() > 128);
                return Ok(());
            };

            prop_assert!(text.len() <= BY_HAND_CHARS_MAX, "{} characters", text.len());
            let read = Note::read(&text).expect("it was just written");
            prop_assert!(read.description.is_of_same_end(&note.description));
            let known = note.description.candidates();
            prop_assert!(read.description.candidates().iter().all(|it| known.contains(it)));
            prop_assert_eq!((read.from, read.session, read.kind), (note.from, session, kind));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(rtc-offer:|rtc-answer:)?\\PC{0,450}") {
            let _any = Note::read(&text);
        }

        /// A checksum that is right lets whatever is behind it through to the reader.
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = vec![VERSION, 0];
            bytes.extend(body);
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            let _any = Note::read(&format!("{OFFER}{}", Base64UrlUnpadded::encode_string(&bytes)));
        }
    }
}

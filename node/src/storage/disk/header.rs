//! The header of a store: whose it is, how often it was opened, its hard state, and up to where its log is durable.
//!
//! It is kept twice, each copy in a page of its own, and one copy is durable before the other is written. So one of
//! them is whole whenever a write was torn; and as both hold all that was acknowledged, damage to one of them loses
//! nothing. A vote is never forgotten because the newest of two slots cannot be read.
//!
//! Which copy is written first alternates: it is the first one if the header's sequence number is even. After a crash
//! that tells which copy was durable when the other was written, and it is the other one that is written next.

use std::fmt;
use std::time::Duration;

use bytes::{Buf, BufMut};

use super::Bound;
use super::pages::{self, PAGE_BYTES};
use crate::boots::{BOOTS_MAX, Boots};
use crate::configuration::History;
use crate::consensus::HardState;
use crate::identity::SECRET_KEY_BYTES;
use crate::ids::{Boot, ClusterId, EARLIER_STARTS_MAX, Index, ServerId, Starts, Term};
use crate::storage::records::record::{self, Flaw, Kind, broken, contradictory};
use crate::storage::records::{peer_boots, starts};
use crate::wire::NUMBER_END;

/// The name of its file.
pub(super) const NAME: &str = "header";

/// How many copies there are.
pub(super) const COPIES: usize = 2;

/// The length of its body without the marks of earlier starts and the boots of other servers.
const BODY_BYTES: usize = 136;

const HAS_CLUSTER: u32 = 1;
const HAS_HISTORY: u32 = 2;
const HAS_VOTED: u32 = 4;
const IS_BACKUP: u32 = 8;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Grows with each change. The first of the copies is written first if it is even.
    pub(super) sequence: u64,
    /// The key that the server's id is the digest of.
    pub(super) secret: Secret,
    /// The cluster that the store belongs to, and the founding of it, once they are known.
    pub(super) bound: Bound,
    /// How often the store was opened, what was drawn when it was opened last, and the marks of the times before.
    pub(super) starts: Starts,
    /// Batches up to this one are durable.
    pub(super) mark: u64,
    /// The number of the last segment; there may be one more.
    pub(super) segment: u64,
    pub(super) hard_state: HardState,
    /// The boots of other servers, as of the batch that `mark` names or of a later one.
    pub(super) peer_boots: Boots,
    /// True of a copy, from which no member runs before a cluster is founded from it.
    pub(super) is_backup: bool,
}

/// A secret key, which is never shown.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Secret(pub(super) [u8; SECRET_KEY_BYTES]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What the two copies say together. The header has a sequence number such that the next one is written first to the
/// copy that may not be durable.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) header: Header,
    /// Which copy cannot be read, and why.
    pub(super) broken_copy: Option<(usize, String)>,
}

impl Header {
    /// Encodes one copy: a page.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE_BYTES);
        record::put_first(&mut page, Kind::Header, self.sequence, |body| {
            self.put(body);
        });
        pages::pad(&mut page);
        page
    }

    fn put(&self, body: &mut Vec<u8>) {
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        let HardState {
            term,
            voted_for,
            commit,
            promise,
        } = self.hard_state;
        let Bound { cluster, history } = self.bound;
        body.put_u32_le(
            flag(cluster.is_some(), HAS_CLUSTER)
                | flag(history.is_some(), HAS_HISTORY)
                | flag(voted_for.is_some(), HAS_VOTED)
                | flag(self.is_backup, IS_BACKUP),
        );
        let (newest, earlier) = (self.starts.newest(), self.starts.earlier());
        body.put_u32_le(u32::try_from(earlier.len()).expect("they are few"));
        body.put_u64_le(newest.number);
        body.put_u64_le(newest.nonce);
        body.put_u64_le(self.mark);
        body.put_u64_le(self.segment);
        body.put_u64_le(term.0);
        body.put_u64_le(commit.0);
        // 584 years, and the core promises minutes at most.
        body.put_u64_le(u64::try_from(promise.as_nanos()).unwrap_or(u64::MAX));
        body.put_u64_le(history.map_or(0, |history| history.0));
        body.put_u128(cluster.map_or(0, |cluster| cluster.0));
        body.put_u128(voted_for.map_or(0, |server| server.0));
        body.put_slice(&self.secret.0);
        starts::put_earlier(&self.starts, body);
        peer_boots::put(&self.peer_boots, body);
    }

    /// Decodes one copy.
    fn decode(mut page: &[u8]) -> Result<Self, Flaw> {
        let record = record::take_first(&mut page, Kind::Header)?;
        pages::expect_zeros(page)?;
        let mut body = record.body;
        if body.len() < BODY_BYTES {
            return Err(broken(format!("it has a body of {} bytes", body.len())));
        }
        let flags = body.get_u32_le();
        let earlier_count = body.get_u32_le();
        if record.index >= NUMBER_END {
            return Err(contradictory("its sequence number is impossible"));
        }
        let newest = Boot {
            number: body.get_u64_le(),
            nonce: body.get_u64_le(),
        };
        let (mark, segment) = (body.get_u64_le(), body.get_u64_le());
        if [newest.number, mark, segment]
            .iter()
            .any(|number| *number >= NUMBER_END)
        {
            return Err(contradictory("it counts further than any store comes"));
        }
        let (term, commit) = (Term(body.get_u64_le()), Index(body.get_u64_le()));
        let promise = Duration::from_nanos(body.get_u64_le());
        let history = Some(History(body.get_u64_le())).filter(|_| flags & HAS_HISTORY != 0);
        let cluster = Some(ClusterId(body.get_u128())).filter(|_| flags & HAS_CLUSTER != 0);
        let voted_for = Some(ServerId(body.get_u128())).filter(|_| flags & HAS_VOTED != 0);
        let mut secret = Secret::default();
        body.copy_to_slice(&mut secret.0);
        if secret == Secret::default() {
            return Err(contradictory("it has no key"));
        }
        let starts = starts::take_earlier(&mut body, newest, earlier_count.into())?;
        Ok(Self {
            sequence: record.index,
            secret,
            bound: Bound { cluster, history },
            starts,
            mark,
            segment,
            hard_state: HardState {
                term,
                voted_for,
                commit,
                promise,
            },
            peer_boots: peer_boots::decode(body)?,
            is_backup: flags & IS_BACKUP != 0,
        })
    }

    /// Judges what the file holds.
    pub(super) fn judge(bytes: &[u8]) -> Result<Judged, Flaw> {
        if bytes.len() > COPIES * PAGE_BYTES {
            return Err(broken(format!("it has {} bytes", bytes.len())));
        }
        let (one, other) = bytes.split_at(bytes.len().min(PAGE_BYTES));
        let (mut header, doubted, broken_copy) = match (copy(one), copy(other)) {
            // The second to be written may not be durable.
            (Ok(one), Ok(other)) if one.sequence == other.sequence => {
                let second = (one.sequence + 1) % 2;
                (one, second, None)
            }
            // The newer may not be durable, and was not written before the older was.
            (Ok(one), Ok(other)) if one.sequence > other.sequence => (one, 0, None),
            (Ok(_), Ok(other)) => (other, 1, None),
            (Ok(one), Err(Flaw::Broken(why))) => (one, 1, Some((1, why))),
            (Err(Flaw::Broken(why)), Ok(other)) => (other, 0, Some((0, why))),
            (Err(Flaw::Broken(one)), Err(Flaw::Broken(other))) => {
                return Err(broken(format!(
                    "in its first copy {one}, in its second {other}"
                )));
            }
            (Err(flaw @ (Flaw::Unsupported(_) | Flaw::Contradictory(_))), _)
            | (_, Err(flaw @ (Flaw::Unsupported(_) | Flaw::Contradictory(_)))) => return Err(flaw),
        };
        if header.sequence % 2 == doubted {
            header.sequence += 1;
        }
        Ok(Judged {
            header,
            broken_copy,
        })
    }

    /// Changes the sequence number. Returns the copies in the order in which they are to be written.
    pub(super) fn advance(&mut self) -> [u64; COPIES] {
        self.sequence += 1;
        let first = self.sequence % 2;
        [first, 1 - first]
    }
}

// What it holds at most fits its page.
const _: () = assert!(
    record::MAGIC.len()
        + record::HEAD_BYTES
        + BODY_BYTES
        + size_of::<[u16; EARLIER_STARTS_MAX]>()
        + BOOTS_MAX * peer_boots::BOOT_BYTES
        <= PAGE_BYTES
);

fn copy(page: &[u8]) -> Result<Header, Flaw> {
    if page.len() == PAGE_BYTES {
        Header::decode(page)
    } else {
        Err(broken(format!("only {} bytes are there", page.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many boots as a header ever has.
    fn full() -> Boots {
        let boot = |number| Boot {
            number,
            nonce: u64::MAX,
        };
        let servers = (0_u64..).take(BOOTS_MAX);
        servers.map(|id| (ServerId(id.into()), boot(id))).collect()
    }

    /// As many starts as a header ever tells of.
    fn started() -> Starts {
        let nonces = 0..=EARLIER_STARTS_MAX as u64;
        nonces.fold(Starts::default(), |starts, nonce| starts.next(nonce))
    }

    fn header(sequence: u64) -> Header {
        Header {
            sequence,
            secret: Secret([5; SECRET_KEY_BYTES]),
            bound: Bound {
                cluster: Some(ClusterId(7)),
                history: Some(History(8)),
            },
            starts: started(),
            mark: 11,
            segment: 15,
            hard_state: HardState {
                term: Term(12),
                voted_for: Some(ServerId(u128::MAX)),
                commit: Index(13),
                promise: Duration::from_nanos(14),
            },
            peer_boots: full(),
            is_backup: true,
        }
    }

    /// Where the boots of other servers begin.
    const HEAD_AND_BODY_BYTES: usize = 40 + BODY_BYTES + 2 * EARLIER_STARTS_MAX;

    fn file(one: u64, other: u64) -> Vec<u8> {
        [header(one).encode(), header(other).encode()].concat()
    }

    #[test]
    fn all_fields_of_a_header_come_back() {
        let blank = Header {
            secret: Secret([1; SECRET_KEY_BYTES]),
            ..Header::default()
        };
        let copies = [blank.encode(), blank.encode()].concat();
        assert_eq!(header(3).encode().len(), PAGE_BYTES);

        let judged = [file(3, 3), copies].map(|file| Header::judge(&file).unwrap().header);

        assert_eq!(judged, [header(3), blank]);
    }

    #[test]
    fn a_header_without_a_key_is_refused() {
        let copies = [Header::default().encode(), Header::default().encode()].concat();

        let judged = Header::judge(&copies);

        assert_eq!(judged, Err(contradictory("it has no key")));
    }

    #[test]
    fn a_header_with_two_boots_of_one_server_is_refused() {
        let mut page = header(3).encode();
        let second = HEAD_AND_BODY_BYTES + peer_boots::BOOT_BYTES;
        page.copy_within(HEAD_AND_BODY_BYTES..second, second);
        let end = HEAD_AND_BODY_BYTES + BOOTS_MAX * peer_boots::BOOT_BYTES;
        let checksum = crc32fast::hash(&page[12..end]);
        page[8..12].copy_from_slice(&checksum.to_le_bytes());

        let judged = Header::judge(&[page.clone(), page].concat());

        assert!(matches!(judged, Err(Flaw::Contradictory(_))), "{judged:?}");
    }

    #[test]
    fn a_header_with_more_earlier_starts_than_there_were_is_refused() {
        let mut page = header(3).encode();
        page[44] = 49;
        let end = HEAD_AND_BODY_BYTES + BOOTS_MAX * peer_boots::BOOT_BYTES;
        let checksum = crc32fast::hash(&page[12..end]);
        page[8..12].copy_from_slice(&checksum.to_le_bytes());

        let judged = Header::judge(&[page.clone(), page].concat());

        assert_eq!(judged, Err(contradictory("it tells of 49 earlier starts")));
    }

    #[test]
    fn the_key_in_a_header_is_never_shown() {
        let shown = format!("{:?}", header(1));

        assert!(shown.contains("secret: Secret,"), "{shown}");
    }

    /// The copy that is written first when a file holds this.
    fn next_copy(file: &[u8]) -> u64 {
        Header::judge(file).unwrap().header.advance()[0]
    }

    #[test]
    fn the_newer_copy_counts_and_is_written_again_first() {
        let [first, second] = [file(4, 3), file(4, 5)];

        assert_eq!((next_copy(&first), next_copy(&second)), (0, 1));
        let newest = Header::judge(&second).unwrap().header.sequence;
        assert!(newest >= 5, "{newest} would be older than what is there");
    }

    #[test]
    fn of_two_equal_copies_the_one_written_second_is_written_first() {
        assert_eq!([next_copy(&file(4, 4)), next_copy(&file(5, 5))], [1, 0]);
    }

    #[test]
    fn a_broken_copy_is_written_before_the_whole_one() {
        for (sequence, copy) in [(4, 0), (4, 1), (5, 0), (5, 1)] {
            let mut file = file(sequence, sequence);
            file[copy * PAGE_BYTES + 100] ^= 1;

            let judged = Header::judge(&file).unwrap();

            assert_eq!(judged.header.starts, started());
            assert_eq!(judged.broken_copy.map(|(copy, _)| copy), Some(copy));
            assert_eq!(next_copy(&file), copy as u64);
        }
    }

    #[test]
    fn a_header_of_another_format_is_not_called_damaged() {
        let mut newer = Vec::new();
        newer.put_slice(b"liferaft");
        record::Record::put(&mut newer, Kind::Header, (1, record::FORMAT + 1), |_| {});
        pages::pad(&mut newer);

        let judged = Header::judge(&[newer.clone(), newer].concat());

        assert_eq!(judged, Err(Flaw::Unsupported(record::FORMAT + 1)));
    }
}

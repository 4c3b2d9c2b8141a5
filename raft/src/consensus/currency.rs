//! As of when the state here was the newest in the cluster: what local reads may say of its age.
//!
//! A leader's word tells its commit index as of when it was *sent*, and that is worth something only if the speaker was
//! still the leader. Both are settled without comparing clocks, by what comes back:
//!
//! - Each answer carries a [`Token`]: the moment, by the answerer's clock, in a form that only its present life can
//!   read. The leader repeats the last one that it has from a peer in whatever it sends there. So a word with a token
//!   was sent after the answer with that token: a moment of the follower's own clock, before the sending.
//! - The leader also tells which of its rounds a quorum has echoed. Of a round that a quorum has echoed it is certain
//!   that no later term had a leader when it was begun: the two quorums share a server, which was still in this term
//!   when it echoed. So nothing was committed by then that this leader did not know, as for reads (§6.4), provided that
//!   it had committed an entry of its term.
//!
//! A [`Claim`] is what one word says: all that was committed before the token's moment lies within the word's commit
//! index. It counts once a later word tells that the round is echoed, and once everything up to that index has been
//! handed out. In a quiet cluster each heartbeat confirms the one before it, whose token is another heartbeat older.
//!
//! Rounds cannot stand in for tokens: a server that starts again within a term does not know which rounds it has echoed
//! before, so the repetition of a round could be of an earlier life's echo, and the word older than it seems.

use core::time::Duration;

use super::log::Log;
use crate::ids::{Index, LogPosition, Round};
use crate::message::Token;
use crate::time::Instant;

/// How current what was handed out is.
#[derive(Debug, Default)]
pub(super) struct Currency {
    /// A moment before which nothing was committed beyond this position in the log of a leader, which is not handed out
    /// yet.
    waiting: Option<(Instant, LogPosition)>,
    /// The latest such moment, after the one that waits.
    latest: Option<(Instant, LogPosition)>,
    /// The last such moment whose position has been handed out.
    as_of: Option<Instant>,
}

impl Currency {
    /// Nothing was committed before this moment beyond the leader's commit index, which is this position if the leader
    /// had committed an entry of its term.
    pub(super) fn expect(&mut self, at: Instant, commit: LogPosition) {
        let slot = if self.waiting.is_none() {
            &mut self.waiting
        } else {
            &mut self.latest
        };
        *slot = Some((at, commit));
    }

    /// Entries are handed out up to here.
    pub(super) fn handed_out(&mut self, handed_out: Index, log: &Log) {
        while let Some((at, commit)) = self.waiting
            && commit.index <= handed_out
        {
            // As for reads (§6.4): a leader knows all that is committed once it has committed an entry of its term.
            if log.matches(commit) {
                self.as_of = self.as_of.max(Some(at));
            }
            self.waiting = self.latest.take();
        }
    }

    pub(super) fn as_of(&self) -> Option<Instant> {
        self.as_of
    }
}

/// What a leader's words say of the state's age, if a quorum has echoed their rounds.
///
/// However many come, two are kept: the first that is not confirmed, so that there is always one whose turn comes, and
/// the last.
#[derive(Debug, Default)]
pub(super) struct Claims {
    first: Option<Claim>,
    last: Option<Claim>,
}

/// All that was committed before a moment lies within the commit index of one word of a leader, if that leader had
/// not been deposed when it began the word's round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) round: Round,
    /// A moment before the word was sent.
    pub(super) sent_after: Instant,
    pub(super) commit: Index,
}

impl Claims {
    pub(super) fn push(&mut self, claim: Claim) {
        let slot = if self.first.is_none() {
            &mut self.first
        } else {
            &mut self.last
        };
        *slot = Some(claim);
    }

    /// A quorum has echoed this round: tells the latest claim that is true by it.
    pub(super) fn confirm(&mut self, round: Round) -> Option<Claim> {
        let is_confirmed = |claim: &mut Claim| claim.round <= round;
        let first = self.first.take_if(is_confirmed);
        let last = self.last.take_if(is_confirmed);
        if first.is_some() && last.is_none() {
            self.first = self.last.take();
        }
        last.or(first)
    }
}

/// Writes and reads this life's tokens.
///
/// A token counts the milliseconds of this life, from a number drawn for it alone. One of another life is, but for an
/// accident of one in 2⁶⁴ for each millisecond lived, no moment of this one.
#[derive(Debug)]
pub(super) struct Tokens {
    began: Instant,
    offset: u64,
}

impl Tokens {
    pub(super) fn new(began: Instant, offset: u64) -> Self {
        Self { began, offset }
    }

    /// The token of this moment.
    pub(super) fn at(&self, now: Instant) -> Token {
        let lived = u64::try_from(now.since(self.began).as_millis()).unwrap_or(u64::MAX);
        Token(self.offset.wrapping_add(lived))
    }

    /// The moment of a token, or one just before it; `None` if this life has not written it.
    pub(super) fn read(&self, token: Token, now: Instant) -> Option<Instant> {
        let lived = Duration::from_millis(token.0.wrapping_sub(self.offset));
        let is_ours = token != Token::NONE && lived <= now.since(self.began);
        is_ours.then(|| self.began + lived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_origin(Duration::from_millis(ms))
    }

    fn claim(round: u64) -> Claim {
        Claim {
            round: Round(round),
            sent_after: at(round),
            commit: Index(round),
        }
    }

    fn confirmed(claims: &mut Claims, round: u64) -> Option<u64> {
        claims.confirm(Round(round)).map(|claim| claim.round.0)
    }

    #[test]
    fn a_claim_counts_once_its_round_is_echoed() {
        let mut claims = Claims::default();
        claims.push(claim(4));

        assert_eq!(confirmed(&mut claims, 3), None);
        assert_eq!(confirmed(&mut claims, 4), Some(4));
        assert_eq!(confirmed(&mut claims, 5), None);
    }

    #[test]
    fn of_many_claims_the_first_waits_and_the_last() {
        let mut claims = Claims::default();
        claims.push(claim(4));
        claims.push(claim(5));
        claims.push(claim(6));

        assert_eq!(confirmed(&mut claims, 5), Some(4));
        claims.push(claim(7));
        assert_eq!(confirmed(&mut claims, 6), Some(6));
        assert_eq!(confirmed(&mut claims, 7), Some(7));
    }

    #[test]
    fn a_token_is_read_as_its_moment_and_never_as_a_later_one() {
        let tokens = Tokens::new(at(1000), u64::MAX - 5);
        let now = at(1030) + Duration::from_micros(900);

        let token = tokens.at(now);

        assert_eq!(tokens.read(token, at(2000)), Some(at(1030)));
        assert_eq!(tokens.read(token, now), Some(at(1030)));
    }

    #[test]
    fn a_token_of_another_life_or_of_the_future_says_nothing() {
        let earlier = Tokens::new(at(0), 77);
        let tokens = Tokens::new(at(1000), 1 << 40);

        assert_eq!(tokens.read(earlier.at(at(900)), at(2000)), None);
        assert_eq!(tokens.read(tokens.at(at(2000)), at(1999)), None);
        assert_eq!(tokens.read(Token::NONE, at(2000)), None);
    }
}

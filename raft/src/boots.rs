//! Remembers the newest start that was seen of each server, so that an old copy of its storage is told from the server.
//!
//! A server counts the starts of its storage durably, draws a nonce for each, and shows the last of them
//! ([`Starts`]). Whoever has seen a later start, or another one in the place of one that is shown, has evidence that
//! the storage was set back, or that two copies of it are in use: such a server has forgotten votes and entries that
//! others count on, so its link is refused. Where there is no evidence nothing is refused.
//!
//! Of two copies the one that was seen is the server: the other is refused however often it is started, until its
//! number is more than [`EARLIER_STARTS_MAX`] higher. Its starts then do not reach back to the one that was seen, and
//! the higher number counts.
//!
//! [`EARLIER_STARTS_MAX`]: crate::ids::EARLIER_STARTS_MAX

use alloc::vec::Vec;
use core::cmp::Ordering;

use thiserror::Error;

use crate::consensus::planted::{Bug, is_planted};
use crate::ids::{Boot, ServerId, Starts};

/// At most so many servers are remembered: as many as fit beside all else into the page that a disk storage keeps
/// twice.
pub const BOOTS_MAX: usize = 112;

/// The newest boot that was seen of each server, at most [`BOOTS_MAX`] of them.
///
/// Whoever authorizes a link has it [remember](Self::remember) the boot that the handshake proved, or refuses the link.
/// A member has its storage keep what comes of it ([`Write::peer_boots`](crate::consensus::Write::peer_boots)) whenever
/// a boot was [newer](Seen::Newer), and finds it again in
/// [`Recovered::peer_boots`](crate::consensus::Recovered::peer_boots).
///
/// ```
/// # use liferaft_raft as liferaft;
/// use liferaft::boots::{Boots, OldBoot, Seen};
/// use liferaft::ids::{ServerId, Starts};
///
/// let (ada, anyone) = (ServerId(1), |_| true);
/// let first = Starts::default().next(7);
/// let second = first.next(8);
/// let mut boots = Boots::default();
///
/// assert_eq!(boots.remember(ada, &second, anyone), Ok(Seen::Newer));
/// assert_eq!(boots.remember(ada, &second, anyone), Ok(Seen::Same));
///
/// let set_back = boots.remember(ada, &first, anyone);
/// assert!(matches!(set_back, Err(OldBoot::Older { .. })));
/// let copied = boots.remember(ada, &first.next(9), anyone);
/// assert!(matches!(copied, Err(OldBoot::Twin { .. })));
/// let copied = boots.remember(ada, &first.next(9).next(10), anyone);
/// assert!(matches!(copied, Err(OldBoot::Forked { .. })));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boots {
    /// Who was not seen for the longest time comes first.
    seen: Vec<(ServerId, Boot)>,
}

/// How a boot compares with what was seen of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is newer than any that was seen, or none was.
    Newer,
    /// It is the newest that was seen.
    Same,
}

/// Why a server is refused: its storage has been set back or copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OldBoot {
    /// A later boot was seen. Either an old copy was restored, or a copy of the storage was started since.
    #[error(
        "boot {shown} of server {server} is shown, and boot {seen} was seen: its storage was set back, or a copy of it \
         is in use"
    )]
    Older {
        /// The server.
        server: ServerId,
        /// The number of the boot that it shows.
        shown: u64,
        /// The number of the newest boot that was seen.
        seen: u64,
    },
    /// Another boot of the same number was seen: of one storage, one of the two cannot be.
    #[error(
        "two boots of server {server} have number {number}: its storage was set back, or two copies of it are in use"
    )]
    Twin {
        /// The server.
        server: ServerId,
        /// The number of both.
        number: u64,
    },
    /// The boots that are shown have another one in the place of the one that was seen: they are those of a copy, or of
    /// an old copy that was restored, and was started more often since.
    #[error(
        "boot {shown} of server {server} is shown, with another boot {seen} before it than was seen: its storage was \
         set back and started since, or a copy of it is in use"
    )]
    Forked {
        /// The server.
        server: ServerId,
        /// The number of the boot that it shows.
        shown: u64,
        /// The number of the newest boot that was seen.
        seen: u64,
    },
}

impl Boots {
    /// Returns how the starts that a server shows compare with the newest boot that was seen of it.
    ///
    /// # Errors
    /// When they [may not follow](Starts::may_follow) that boot.
    pub fn judge(&self, server: ServerId, starts: &Starts) -> Result<Seen, OldBoot> {
        let Some(newest) = self.newest(server) else {
            return Ok(Seen::Newer);
        };
        let boot = starts.newest();
        let (shown, seen) = (boot.number, newest.number);
        match shown.cmp(&seen) {
            _ if boot == newest => Ok(Seen::Same),
            _ if starts.may_follow(&newest) => Ok(Seen::Newer),
            _ if shown >= seen && is_planted(Bug::CloneAdmitted) => Ok(Seen::Newer),
            Ordering::Less => Err(OldBoot::Older {
                server,
                shown,
                seen,
            }),
            Ordering::Equal => Err(OldBoot::Twin {
                server,
                number: seen,
            }),
            Ordering::Greater => Err(OldBoot::Forked {
                server,
                shown,
                seen,
            }),
        }
    }

    /// Remembers the newest of these starts of a server as the newest boot that was seen of it, and that it was seen
    /// last.
    ///
    /// Beyond [`BOOTS_MAX`] servers one is dropped: of those that are not members by `is_member` the one that was not
    /// seen for the longest time, and if all are members, of them. So whoever is no member displaces no member, however
    /// many servers it makes up; it may itself be the one that is dropped.
    ///
    /// # Errors
    /// As [`judge`](Self::judge), whereupon nothing has changed.
    pub fn remember(
        &mut self,
        server: ServerId,
        starts: &Starts,
        is_member: impl Fn(ServerId) -> bool,
    ) -> Result<Seen, OldBoot> {
        let seen = self.judge(server, starts)?;
        self.seen.retain(|(other, _)| *other != server);
        self.seen.push((server, starts.newest()));
        if self.seen.len() > BOOTS_MAX {
            let stranger = self.seen.iter().position(|(id, _)| !is_member(*id));
            self.seen.remove(stranger.unwrap_or(0));
        }
        Ok(seen)
    }

    /// Returns the newest boot that was seen of a server, if one was.
    #[must_use]
    pub fn newest(&self, server: ServerId) -> Option<Boot> {
        let mut seen = self.seen.iter();
        seen.find(|(id, _)| *id == server).map(|(_, boot)| *boot)
    }

    /// Returns all servers with the newest boot of each: who was not seen for the longest time comes first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ServerId, Boot)> + '_ {
        self.seen.iter().copied()
    }

    /// Returns how many servers are remembered.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.seen.len()
    }

    /// Returns true if no server is remembered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

/// Remembers these in order, as a storage does that reads what it kept. Of two boots of one server the newer counts.
impl FromIterator<(ServerId, Boot)> for Boots {
    fn from_iter<T: IntoIterator<Item = (ServerId, Boot)>>(seen: T) -> Self {
        let mut boots = Self::default();
        for (server, boot) in seen {
            // An older one changes nothing.
            let _judged = boots.remember(server, &boot.into(), |_| true);
        }
        boots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: ServerId = ServerId(u128::MAX);

    const fn boot(number: u64, nonce: u64) -> Boot {
        Boot { number, nonce }
    }

    /// A start before which none is known.
    fn alone(number: u64, nonce: u64) -> Starts {
        boot(number, nonce).into()
    }

    fn anyone(_: ServerId) -> bool {
        true
    }

    /// Boot 5 of Ada, and after it one boot each of the servers with these ids.
    fn after_ada(ids: impl IntoIterator<Item = u128>) -> Boots {
        let others = ids.into_iter().map(|id| (ServerId(id), boot(1, 1)));
        [(ADA, boot(5, 50))].into_iter().chain(others).collect()
    }

    fn others(count: usize) -> impl Iterator<Item = u128> {
        (1..).take(count)
    }

    #[test]
    fn a_boot_with_a_lower_number_is_refused() {
        let judged = after_ada([]).judge(ADA, &alone(4, 50));

        let older = OldBoot::Older {
            server: ADA,
            shown: 4,
            seen: 5,
        };
        assert_eq!(judged, Err(older));
    }

    #[test]
    fn a_boot_of_the_same_number_with_another_nonce_is_refused() {
        let judged = after_ada([]).judge(ADA, &alone(5, 51));

        let twin = OldBoot::Twin {
            server: ADA,
            number: 5,
        };
        assert_eq!(judged, Err(twin));
    }

    #[test]
    fn a_higher_number_after_another_start_is_refused() {
        let copied = alone(5, 51).next(52).next(53);

        let judged = after_ada([]).judge(ADA, &copied);

        let forked = OldBoot::Forked {
            server: ADA,
            shown: 7,
            seen: 5,
        };
        assert_eq!(judged, Err(forked));
    }

    #[test]
    fn the_server_itself_is_taken_after_its_copy_was_refused() {
        let mut boots = after_ada([]);
        let copied = alone(5, 51).next(52).next(53);
        boots.remember(ADA, &copied, anyone).expect_err("a copy");

        let own = boots.remember(ADA, &alone(5, 50).next(54), anyone);

        assert_eq!(own, Ok(Seen::Newer));
        assert_eq!(boots.newest(ADA), Some(boot(6, 54)));
    }

    #[test]
    fn where_its_starts_do_not_reach_back_the_number_decides() {
        let judged = after_ada([]).judge(ADA, &alone(6, 51));

        assert_eq!(judged, Ok(Seen::Newer));
    }

    #[test]
    fn a_refused_boot_changes_nothing() {
        let mut boots = after_ada([1]);

        let refused = boots.remember(ADA, &alone(5, 51), anyone);

        assert!(refused.is_err());
        assert_eq!(boots, after_ada([1]));
    }

    #[test]
    fn a_newer_boot_takes_the_place_of_the_older_one() {
        let mut boots = after_ada([1]);

        let newer = boots.remember(ADA, &alone(6, 1), anyone);

        assert_eq!(newer, Ok(Seen::Newer));
        let seen = [(ServerId(1), boot(1, 1)), (ADA, boot(6, 1))];
        assert!(boots.iter().eq(seen));
    }

    #[test]
    fn members_displace_who_was_not_seen_for_the_longest_time() {
        let mut boots = after_ada(others(BOOTS_MAX - 1));
        boots
            .remember(ADA, &alone(5, 50), anyone)
            .expect("the same");

        let newer = boots.remember(ServerId(0), &alone(1, 1), anyone);

        assert_eq!(newer, Ok(Seen::Newer));
        assert_eq!(boots.len(), BOOTS_MAX);
        assert_eq!(boots.newest(ServerId(1)), None);
        assert_eq!(boots.newest(ADA), Some(boot(5, 50)));
    }

    #[test]
    fn who_is_no_member_displaces_no_member() {
        let full = after_ada(others(BOOTS_MAX - 1));
        let is_member = |id| full.newest(id).is_some();
        let mut boots = full.clone();

        let newer = boots.remember(ServerId(0), &alone(1, 1), is_member);

        assert_eq!(newer, Ok(Seen::Newer));
        assert_eq!(boots, full);
    }

    #[test]
    fn a_member_displaces_who_is_none_first() {
        let mut boots = after_ada(others(BOOTS_MAX - 1));

        let newer = boots.remember(ServerId(0), &alone(1, 1), |id| id != ServerId(9));

        assert_eq!(newer, Ok(Seen::Newer));
        assert_eq!(boots.newest(ServerId(9)), None);
        assert_eq!(boots.newest(ADA), Some(boot(5, 50)));
    }
}

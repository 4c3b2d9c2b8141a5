//! Counts the starts of servers, and keeps what others remember of them: the evidence by which a copy of a storage is
//! refused.
//!
//! A copy shows itself under its server's id by starts of its own, which follow those that it was copied with. Whoever
//! has met a start of the server since then has evidence and must give the copy no link, however often it is started;
//! and of the server itself nobody may ever have evidence. Without evidence nobody can know, so there a copy does not
//! come: it would take its server's place, and the server would be refused from then on.
//!
//! What is met is remembered as [`Boots`] do it, until the disk is wiped. It is taken for durable at once, though the
//! driver stores it with its next write.

use liferaft_raft::boots::Boots;
use liferaft_raft::ids::{Boot, ServerId, Starts};

/// The starts of all servers, and what each remembers of the others. Servers are named by their places, from 0.
#[derive(Debug, Default)]
pub(crate) struct Storages {
    /// Empty where no storage is ever copied.
    all: Vec<Storage>,
    /// How many starts there were, those of copies included: no two have the same nonce.
    nonces: u64,
}

/// What a server's storage holds of starts.
#[derive(Clone, Debug, Default)]
struct Storage {
    /// The starts of it.
    starts: Starts,
    /// The newest starts of others that it remembers.
    met: Boots,
    /// The copy that was last made of it.
    copy: Option<StorageCopy>,
}

/// A copy of a storage.
#[derive(Clone, Copy, Debug)]
struct StorageCopy {
    /// Whose storage it was.
    server: ServerId,
    /// The number of the start at which it was made.
    made_at: u64,
    /// Its starts.
    starts: Starts,
}

/// What becomes of a copy that shows itself to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nobody could know it for a copy, so it does not come.
    Unmet,
    /// It is refused.
    Refused,
    /// It is taken for the server in spite of evidence.
    Believed {
        /// Whose copy it is.
        server: ServerId,
        /// The start that it shows.
        shown: Boot,
        /// The start of the server that was met.
        met: Boot,
    },
}

impl Storages {
    /// Nobody has started yet of so many servers.
    #[must_use]
    pub(crate) fn of(servers: usize) -> Self {
        Self {
            all: vec![Storage::default(); servers],
            nonces: 0,
        }
    }

    /// A server starts.
    pub(crate) fn start(&mut self, at: usize) {
        let nonce = self.next_nonce();
        if let Some(storage) = self.all.get_mut(at) {
            storage.starts = storage.starts.next(nonce);
        }
    }

    /// A disk is wiped. Under its id its server goes on counting: that disks are told apart by ids is not in question.
    pub(crate) fn wipe(&mut self, at: usize, keeps_its_id: bool) {
        if let Some(storage) = self.all.get_mut(at) {
            storage.met = Boots::default();
            if !keeps_its_id {
                storage.starts = Starts::default();
            }
        }
    }

    /// One server has a link to another, which has this id.
    ///
    /// # Errors
    /// When it is refused as a copy, which it is not.
    pub(crate) fn meet(
        &mut self,
        at: usize,
        (other, id): (usize, ServerId),
        is_member: impl Fn(ServerId) -> bool,
    ) -> Result<(), String> {
        let Some(shown) = self.all.get(other).map(|storage| storage.starts) else {
            return Ok(());
        };
        let met = &mut self.all[at].met;
        let seen = met.remember(id, &shown, is_member);
        seen.map(drop)
            .map_err(|error| format!("refuses {id}, of which no copy was met: {error}"))
    }

    /// A server's storage is copied.
    pub(crate) fn copy(&mut self, at: usize, server: ServerId) {
        if let Some(storage) = self.all.get_mut(at) {
            storage.copy = Some(StorageCopy {
                server,
                made_at: storage.starts.newest().number,
                starts: storage.starts,
            });
        }
    }

    /// The copy of a server's storage starts, or starts again, if there is one.
    pub(crate) fn start_copy(&mut self, of: usize) {
        let nonce = self.next_nonce();
        if let Some(copy) = self.all.get_mut(of).and_then(|it| it.copy.as_mut()) {
            copy.starts = copy.starts.next(nonce);
        }
    }

    /// The copy of a server's storage shows itself to another server.
    pub(crate) fn show_copy(&self, of: usize, to: usize) -> Shown {
        let Some(copy) = self.all.get(of).and_then(|storage| storage.copy) else {
            return Shown::Unmet;
        };
        let server = copy.server;
        let known = &self.all[to].met;
        match known.newest(server) {
            Some(met) if met.number > copy.made_at => match known.judge(server, &copy.starts) {
                Ok(_) => Shown::Believed {
                    server,
                    shown: copy.starts.newest(),
                    met,
                },
                Err(_) => Shown::Refused,
            },
            _ => Shown::Unmet,
        }
    }

    const fn next_nonce(&mut self) -> u64 {
        self.nonces += 1;
        self.nonces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ServerId = ServerId(1);

    fn anyone(_: ServerId) -> bool {
        true
    }

    /// A server that was copied, and another.
    fn copied() -> Storages {
        let mut storages = Storages::of(2);
        storages.start(0);
        storages.copy(0, SERVER);
        storages
    }

    #[test]
    fn a_copy_is_refused_by_who_has_met_the_server_since() {
        let mut storages = copied();
        storages.start(0);
        storages.meet(1, (0, SERVER), anyone).expect("no copy");

        storages.start_copy(0);
        assert_eq!(storages.show_copy(0, 1), Shown::Refused);
        storages.start_copy(0);
        assert_eq!(storages.show_copy(0, 1), Shown::Refused);

        assert_eq!(storages.meet(1, (0, SERVER), anyone), Ok(()));
    }

    #[test]
    fn a_copy_does_not_come_to_who_cannot_know() {
        let mut storages = copied();
        storages.meet(1, (0, SERVER), anyone).expect("no copy");

        storages.start_copy(0);

        assert_eq!(storages.show_copy(0, 1), Shown::Unmet);
    }

    #[test]
    fn a_disk_that_is_wiped_has_no_evidence_any_more() {
        let mut storages = copied();
        storages.start(0);
        storages.meet(1, (0, SERVER), anyone).expect("no copy");
        storages.start_copy(0);

        storages.wipe(1, false);

        assert_eq!(storages.show_copy(0, 1), Shown::Unmet);
    }
}

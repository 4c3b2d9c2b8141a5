//! Bounds sessions. All members must agree on each bound, at every entry.

use core::time::Duration;

/// The most sessions of members that a cluster keeps. One more evicts that of them which was used least lately.
pub const SESSIONS_MAX: usize = 4096;

/// The most sessions of clients that a cluster keeps.
///
/// One more evicts the session used least lately of the [token](super::Owner::token) that has most. A token that has no
/// more than an equal share, this bound divided by the number of tokens that have sessions, loses none to another token.
/// Clients without a token share as if they had one in common.
pub const CLIENT_SESSIONS_MAX: usize = 4096;

/// The most sessions of all clients that one [token](super::Owner::token) let in: an eighth of [`CLIENT_SESSIONS_MAX`].
///
/// One more evicts that of them which was used least lately, so that a holder of the token who draws fresh keys ends
/// sessions of this token alone. Clients that an open cluster let in without a token have no such bound.
pub const TOKEN_SESSIONS_MAX: usize = 512;

/// The most sessions of one client. One more evicts that of them which was used least lately.
pub const OWNER_SESSIONS_MAX: usize = 16;

/// How far a session's commands may run ahead of the first that is not acknowledged. One beyond is refused.
pub const OUTSTANDING_MAX: u64 = 1 << 15;

/// The cluster time after which a plain session that was not used is gone.
///
/// It is a constant because all members must agree on it at every entry: one that differed would apply what others
/// refuse.
pub const SESSION_EXPIRY: Duration = Duration::from_secs(3600);

/// The cluster time after which an ordered session that was not used is gone: what waits in an outbox may wait for a
/// partition of hours to heal. A constant for the same reason.
pub const ORDERED_SESSION_EXPIRY: Duration = Duration::from_secs(24 * 3600);

/// The most that the replies of one session may weigh, in bytes: 64 MiB. A reply beyond it ends its session.
///
/// A reply weighs its bytes as serialised and [`REPLY_OVERHEAD_BYTES`]. The bounds are constants for the same reason.
pub const SESSION_REPLY_BYTES_MAX: u64 = 64 << 20;

/// The most that the replies of all sessions may weigh, in bytes: 256 MiB. A reply beyond it ends the session whose
/// replies weigh most; of equals, the one that was opened first.
pub const REPLY_BYTES_MAX: u64 = 256 << 20;

/// What each reply is taken to weigh beside its bytes, so that a bound in bytes also bounds their count.
pub const REPLY_OVERHEAD_BYTES: u64 = 32;

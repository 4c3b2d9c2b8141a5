//! Tells the starts of one storage apart, so that a copy of it is noticed.

/// Evidence of one start of a storage: peers remember the newest that they have met.
///
/// A storage counts its starts durably and draws a nonce for each. It shows the last of them together, as
/// [`Starts`](crate::Starts), which tell whether they may follow the one that was met: those of a copy, or of a storage
/// that was set back, may not.
///
/// Boots are ordered by their number first. The order of two nonces means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Boot {
    /// How often the storage was opened, this time included. It only grows, durably.
    pub number: u64,
    /// The number drawn for this start.
    pub nonce: u64,
}

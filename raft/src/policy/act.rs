//! Says what the policy has its server do.

use crate::consensus::MembershipChange;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Act {
    /// Nothing, until [`Steward::due`](super::Steward::due).
    Rest,
    /// Give the core an [`Input::Ask`](crate::consensus::Input::Ask).
    Ask,
    /// Give the core this change, and [`Steward::changed`](super::Steward::changed) its answer.
    Change(MembershipChange),
}

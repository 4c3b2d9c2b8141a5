//! Quorum arithmetic: against counting by hand, and against the cases of another implementation.

mod conformance;
mod properties;

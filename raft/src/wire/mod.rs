//! The encoding of messages and records.

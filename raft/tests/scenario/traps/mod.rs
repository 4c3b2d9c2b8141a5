//! Raft's known traps: what other implementations learnt the hard way, and no other file of stories tells already.
//! `docs/dissertation.md` names the trap, who learnt it, and all the tests that would fail if we fell into it.

mod elections;
mod found;
mod log;
mod membership;
mod reads;
mod snapshots;
mod stalls;
mod wiped;

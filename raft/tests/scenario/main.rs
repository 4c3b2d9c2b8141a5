//! Stories of whole clusters, told through the public surface of the core: one file for each section of the
//! dissertation, and one folder for what the dissertation does not warn of.
//!
//! A [`Cluster`](cluster::Cluster) runs servers on a virtual clock, over a network and on disks that the story
//! commands. After every step it checks the safety properties of §3.2, so a story only has to say what is its own.

mod cluster;

mod ages;
mod bounds;
mod chaos;
mod chunks;
mod coming_and_going;
mod compaction;
mod crashes;
mod elections;
mod invitations;
mod jams;
mod joint_consensus;
mod lanes;
mod leases;
mod membership;
mod memory;
mod oversight;
mod probes;
mod reads;
mod refusals;
mod replication;
mod safety;
mod snapshots;
mod strangers;
mod timing;
mod transfer;
mod traps;
mod upheaval;

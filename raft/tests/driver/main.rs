//! The driver over the memory transport, under a paused clock: stories of clusters as their callers see them.

mod bounds;
mod cluster;
mod commands;
mod disk;
mod durable;
mod events;
mod faults;
mod frames;
mod histories;
mod leadership;
mod leaving;
mod machine;
mod membership;
mod outbox;
mod poison;
mod policy;
mod reads;
mod sessions;
mod snapshots;
mod starting;
mod stopping;
mod strangers;
mod time;
mod unsupported;
mod waiting;
mod wiped;

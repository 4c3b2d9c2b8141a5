//! Links between ends, over a medium on which an adversary sees and changes every packet.

mod addresses;
mod adversary;
mod carriers;
mod chaos;
mod flood;
mod flow;
mod liveness;
mod memory;
mod one_link;
mod preference;
mod promises;
mod relay;
mod signals;
mod udp;
mod world;

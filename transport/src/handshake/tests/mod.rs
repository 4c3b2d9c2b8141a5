//! Handshakes between two ends, with whatever an adversary in the middle makes of their messages.

mod adversary;
mod carriage;
mod exchanges;
mod impostors;
mod kit;
mod refusals;
mod vectors;

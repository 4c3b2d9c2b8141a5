//! A whole cluster on one thread under a virtual clock.
//!
//! A seed expands to a [`Plan`](plan::Plan): the cluster's settings, what goes wrong how often, and what clients ask
//! for. [`run`](run::run) plays it: the real consensus core of every member, with a modelled network, disk, clock and
//! state machine around it. After every turn of every member the [`invariants`] are checked. When the faults have
//! stopped, the cluster must recover.
//!
//! The same seed gives the same run, on every machine: its trace has the same digest.

pub mod action;
pub mod agenda;
pub mod batch;
pub mod chance;
pub mod chaos;
pub mod chart;
pub mod choices;
pub mod client_history;
pub mod clients;
pub mod clock;
pub mod counts;
pub mod course;
pub mod dice;
pub mod digest;
pub mod disk;
pub mod flaw;
pub mod heard;
pub mod history;
pub mod invariants;
mod invitations;
pub mod leasing;
pub mod linearizability;
pub mod machine;
pub mod member;
pub mod model;
pub mod network;
pub mod noted;
pub mod operation;
pub mod patience;
pub mod plan;
pub mod replay;
pub mod run;
pub mod schedule;
pub mod shadow;
pub mod shrink;
pub mod sometimes;
pub mod spelled;
mod starts;
mod stewards;
pub mod story;
pub mod strangers;
mod vouchers;
pub mod world;

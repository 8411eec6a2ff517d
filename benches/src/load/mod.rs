//! Workloads of several threads: a closed loop for throughput, an open loop for latency.
//!
//! A [`Workload`] says everything about what is done; from it a [`Plan`] is drawn before the measurement, with every
//! operation of every thread, so that drawing costs nothing while it runs. Each contender is a map on a stage of its
//! own; all of them play the same plan in turns.

pub mod closed;
mod contender;
pub mod open;
mod plan;
mod player;
pub mod profiles;
mod sheet;
mod workload;

pub use contender::{Contender, Length, Lineup, Turn, lineup};
pub use plan::{Kind, LoadKey, Payload, Plan, Script};
pub use player::{Class, Player, Progress, Tally};
pub use sheet::{Sheet, preempted};
pub use workload::{Changes, Filling, KeyKind, Mix, ValueKind, Workload};

use crate::{
    peers::{Hasher, Peer},
    threads::Cores,
};
use std::time::Duration;

/// How thoroughly and where to measure.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The contenders; others are compared with the first.
    pub peers: Vec<Peer>,
    /// Interleaved rounds that count.
    pub rounds: usize,
    /// The duration of a contender's turn.
    pub round: Duration,
    /// Where threads are bound to.
    pub cores: Cores,
    /// The hasher of all maps.
    pub hasher: Hasher,
}

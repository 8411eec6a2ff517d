//! What contenders do one after the other, each time with a new map.

use crate::{
    load::Setting,
    measure::Series,
    peers::{Map, PerMap},
};
use anyhow::Result;
use std::sync::{
    Barrier,
    atomic::{AtomicBool, Ordering},
};

/// Something to measure with a map of any type.
pub(super) trait Act {
    /// What comes of it.
    type Figure;

    /// Does it once.
    fn turn<M: Map<u64, u64>>(&self, setting: &Setting) -> Result<Self::Figure>;
}

struct Once<'a, A>(&'a A, &'a Setting);

impl<A: Act> PerMap<u64, u64> for Once<'_, A> {
    type Output = Result<A::Figure>;

    fn run<M: Map<u64, u64>>(self) -> Self::Output {
        self.0.turn::<M>(self.1)
    }
}

/// What a contender did, round by round.
#[derive(Debug)]
pub(super) struct Acted<F> {
    pub(super) name: &'static str,
    pub(super) figures: Vec<F>,
}

impl<F> Acted<F> {
    /// One of the figures, round by round.
    pub(super) fn series(&self, figure: impl Fn(&F) -> f64) -> Series {
        Series { name: self.name, samples: self.figures.iter().map(figure).collect() }
    }
}

/// Has all contenders act in interleaved rounds, of which the first does not count.
pub(super) fn interleave<A: Act>(act: &A, setting: &Setting) -> Result<Vec<Acted<A::Figure>>> {
    setting.cores.pin(0);
    let mut acted: Vec<Acted<A::Figure>> =
        setting.peers.iter().map(|peer| Acted { name: peer.name(), figures: Vec::new() }).collect();
    for round in 0..=setting.rounds {
        for (peer, acted) in setting.peers.iter().zip(&mut acted) {
            let figure = peer.with(Once(act, setting))?;
            if round > 0 {
                acted.figures.push(figure);
            }
        }
    }
    Ok(acted)
}

/// Runs `foreground` on one core, and `background` on another until then; what came of both.
pub(super) fn beside<B: Send, F: Send>(
    setting: &Setting,
    background: impl FnOnce(&AtomicBool) -> B + Send,
    foreground: impl FnOnce() -> F + Send,
) -> (B, F) {
    let (stop, barrier) = (AtomicBool::new(false), Barrier::new(2));
    std::thread::scope(|scope| {
        let (stop, barrier) = (&stop, &barrier);
        let background = scope.spawn(move || {
            setting.cores.pin(1);
            barrier.wait();
            background(stop)
        });
        let foreground = scope.spawn(move || {
            setting.cores.pin(0);
            barrier.wait();
            let figure = foreground();
            stop.store(true, Ordering::Relaxed);
            figure
        });
        let figure = foreground.join().expect("the foreground doesn't panic");
        (background.join().expect("the background doesn't panic"), figure)
    })
}

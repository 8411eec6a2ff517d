//! A trace of page references as the accesses to a cache.

use super::{
    Findings, Options,
    acts::{Act, Acted, interleave},
};
use crate::{
    document::{Cell, Table, Unit},
    keys::{self, Trace},
    latency::{Latencies, Stopwatch},
    load::{
        Setting,
        open::Distribution,
        preempted,
        profiles::{COLUMNS, cells},
    },
    peers::{Handle, Map, Peer, RENEW},
    threads::{Worker, preemptions, race},
};
use anyhow::{Context, Result, ensure};
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

const ABOUT: &str = "A trace of page references, dealt out to one thread per core, as the accesses to a cache that begins \
    empty: a read, and an insert if it misses. `unbounded`: nothing is removed. `bounded`: the map holds at most a quarter \
    of the pages of the trace; a thread that has inserted its part of them removes the one that it inserted first.

Making the value on a miss costs nothing here, so the figures are those of the map alone.";

/// A bounded cache has room for one page in this many.
const BOUND: usize = 4;

struct Replay<'a> {
    /// The pages that each thread accesses, as keys.
    shares: &'a [Vec<u64>],
    /// How many pages the map may hold for each thread.
    room: usize,
    timed: bool,
}

struct Turn {
    rate: f64,
    hit_rate: f64,
    reads: Latencies,
    changes: Latencies,
    preemptions: Option<u64>,
}

struct Client<'a, M> {
    map: &'a M,
    replay: &'a Replay<'a>,
    pages: &'a [u64],
    hits: &'a AtomicU64,
    wrong: &'a AtomicU64,
}

struct Part {
    began: Instant,
    ended: Instant,
    reads: Latencies,
    changes: Latencies,
    preemptions: Option<u64>,
}

impl<M: Map<u64, u64>> Client<'_, M> {
    /// Accesses all pages; `time` runs an operation and keeps its time among the reads (true) or the changes.
    fn access(&self, mut time: impl FnMut(bool, &mut dyn FnMut())) {
        let mut handle = self.map.handle();
        let mut inserted = VecDeque::with_capacity(self.replay.room.min(self.pages.len()) + 1);
        let (mut hits, mut wrong) = (0, 0);
        for (done, &page) in (1..).zip(self.pages) {
            let mut found = None;
            time(true, &mut || found = handle.read(&page, |value| *value == keys::value_of(page)));
            if let Some(right) = found {
                hits += 1;
                wrong += u64::from(!right);
                continue;
            }
            time(false, &mut || handle.insert(page, keys::value_of(page)));
            inserted.push_back(page);
            if inserted.len() > self.replay.room
                && let Some(oldest) = inserted.pop_front()
            {
                time(false, &mut || {
                    handle.remove(&oldest);
                });
            }
            if done % RENEW == 0 {
                handle.renew();
            }
        }
        self.hits.fetch_add(hits, Ordering::Relaxed);
        self.wrong.fetch_add(wrong, Ordering::Relaxed);
    }
}

impl<M: Map<u64, u64>> Worker for Client<'_, M> {
    type Figure = Part;

    fn warm_up(&mut self) {}

    fn work(&mut self, _stop: &AtomicBool) -> Part {
        let (mut reads, mut changes) = (Latencies::default(), Latencies::default());
        let before = preemptions();
        let began = Instant::now();
        if self.replay.timed {
            reads.clear();
            changes.clear();
            let stopwatch = Stopwatch::default();
            self.access(|is_read, operation| {
                let (ns, ()) = stopwatch.time(operation);
                if is_read { &mut reads } else { &mut changes }.record(ns);
            });
        } else {
            self.access(|_, operation| operation());
        }
        let ended = Instant::now();
        let preemptions = preemptions().zip(before).map(|(after, before)| after - before);
        Part { began, ended, reads, changes, preemptions }
    }
}

impl Act for Replay<'_> {
    type Figure = Turn;

    fn turn<M: Map<u64, u64>>(&self, setting: &Setting) -> Result<Turn> {
        let map = M::empty(0, setting.hasher);
        let (hits, wrong) = (AtomicU64::new(0), AtomicU64::new(0));
        let client = |pages| Client { map: &map, replay: self, pages, hits: &hits, wrong: &wrong };
        let clients = self.shares.iter().map(|share| client(share.as_slice())).collect();
        let parts = race(&setting.cores, Duration::ZERO, clients);
        ensure!(
            wrong.into_inner() == 0,
            "expected {} to be a correct map, but reads found other keys' values",
            M::NAME
        );
        let accesses: usize = self.shares.iter().map(Vec::len).sum();
        let (mut reads, mut changes) = (Latencies::default(), Latencies::default());
        parts.iter().for_each(|part| reads.merge(&part.figure.reads));
        parts.iter().for_each(|part| changes.merge(&part.figure.changes));
        let began = parts.iter().map(|part| part.figure.began).min().context("expected at least one thread")?;
        let ended = parts.iter().map(|part| part.figure.ended).max().context("expected at least one thread")?;
        Ok(Turn {
            rate: accesses as f64 / (ended - began).as_secs_f64(),
            hit_rate: hits.into_inner() as f64 / accesses as f64,
            reads,
            changes,
            preemptions: parts.iter().map(|part| part.figure.preemptions).sum(),
        })
    }
}

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let path = options.trace.as_ref().context(
        "expected --trace FILE, a trace with `first_page page_count ignore request_number` on every line, \
         plain or compressed with zstd",
    )?;
    let trace = Trace::load(path)?;
    let setting = options.setting_of(Peer::MAIN, options.either(3, 11), 0);
    let threads = options.threads();
    let share = |thread| trace.share(thread, threads).into_iter().map(|page| keys::nth(u64::from(page))).collect();
    let shares: Vec<Vec<u64>> = (0..threads).map(share).collect();
    let mut findings = Findings { title: "A trace as the accesses to a cache", about: ABOUT, ..Findings::default() };
    let (pages, accesses) = (trace.pages(), trace.accesses());
    findings.notes.push(format!("{}: {accesses} accesses to {pages} pages, {threads} threads.", trace.name()));
    let mut counts = Vec::new();
    for (room, word) in [(usize::MAX, "unbounded"), (pages / BOUND / threads, "bounded")] {
        let replay = |timed| Replay { shares: &shares, room, timed };
        let untimed = interleave(&replay(false), &setting)?;
        let timed = interleave(&replay(true), &setting)?;
        findings.tables.push(throughput(word, &untimed));
        findings.tables.push(service(&format!("{word}: service time of reads"), &timed, |turn| &turn.reads));
        let changes = format!("{word}: service time of inserts and removes");
        findings.tables.push(service(&changes, &timed, |turn| &turn.changes));
        let turns = untimed.iter().chain(&timed).flat_map(|acted| &acted.figures);
        counts.extend(turns.filter_map(|turn| turn.preemptions).map(|count| count as f64));
    }
    findings.notes.extend(preempted(counts.into_iter()));
    Ok(findings)
}

fn throughput(word: &str, acted: &[Acted<Turn>]) -> Table {
    let versus = acted.first().map_or_else(String::new, |first| format!("{}'s / this", first.name));
    let mut table = Table::new(format!("{word}: accesses"), ["map", "rate", &versus, "reads that hit"]);
    for contender in acted {
        let rate = contender.series(|turn| turn.rate);
        table.row([
            contender.name.into(),
            Cell::spread(rate.summary(), Unit::OperationsPerSecond),
            Cell::Ratio(acted[0].series(|turn| turn.rate).ratio_to(&rate)),
            Cell::spread(contender.series(|turn| turn.hit_rate).summary(), Unit::Percent),
        ]);
    }
    table
}

fn service(title: &str, acted: &[Acted<Turn>], of: fn(&Turn) -> &Latencies) -> Table {
    let mut table = Table::new(title, ["map"].into_iter().chain(COLUMNS));
    for contender in acted {
        let distribution: Distribution = contender.figures.iter().map(of).collect();
        table.row([Cell::from(contender.name)].into_iter().chain(cells(&distribution)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{peers::Hasher, threads::Cores};

    #[test]
    fn a_cache_that_begins_empty_hits_on_every_access_but_the_first_of_a_page() {
        let shares = vec![[1, 2, 3, 1, 2, 3, 1, 2, 3, 4].map(keys::nth).to_vec()];
        let setting = Setting {
            peers: vec![Peer::Readmostly, Peer::Dashmap],
            rounds: 1,
            round: Duration::ZERO,
            cores: Cores::available(),
            hasher: Hasher::default(),
        };
        let rates = |room| {
            let acted = interleave(&Replay { shares: &shares, room, timed: true }, &setting).unwrap();
            acted.iter().map(|acted| acted.figures[0].hit_rate).collect::<Vec<_>>()
        };
        assert_eq!(rates(usize::MAX), [0.6, 0.6]);
        assert_eq!(rates(3), [0.6, 0.6]);
        assert_eq!(rates(2), [0.0, 0.0], "first in, first out, with room for two of three pages in a loop");
    }
}

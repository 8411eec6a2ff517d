//! For information: inserts, overwrites, removes, and the slowest inserts while a map grows.

use super::{Config, verdicts::Line};
use crate::{
    document::{self, Unit},
    keys::{self, Order},
    latency::{Latencies, Stopwatch},
    measure::{Interleaved, Outcome, ns_per_operation},
    peers::{Dashmap, Handle, Map, Papaya, Peer, Readmostly},
    threads::preemptions,
};
use std::{cell::RefCell, cmp::Reverse, collections::BinaryHeap, hint::black_box, time::Instant};

const CLAIM: &str = "writes";
const OURS: &str = Peer::Readmostly.name();
const PEERS: [&str; 2] = [Peer::Dashmap.name(), Peer::Papaya.name()];
/// How many of the slowest inserts a growth timeline lists.
const SLOWEST: usize = 10;

pub(super) fn measure(config: &Config, progress: &impl Fn(&str)) -> Vec<Line> {
    config.cores.pin(0);
    let entries = if config.quick { 100_000 } else { 1_000_000 };
    let keys = keys::present(Order::Random, entries);
    progress("writes: inserts of new keys");
    let mut lines = inserts(&keys, config);
    progress("writes: latency of inserts of new keys");
    lines.extend(insert_latencies(&keys, config));
    drop(keys);
    for entries in [10_000, entries] {
        progress(&format!("writes: overwrites and removes, {} entries", document::entries(entries)));
        lines.extend(changes(entries, config));
    }
    let entries = if config.quick { 400_000 } else { 4_000_000 };
    progress(&format!("writes: growth to {} entries", document::entries(entries)));
    lines.extend(growth(entries, config));
    lines
}

/// Our figure against each peer's.
fn compare(what: &str, outcome: &Outcome) -> Vec<Line> {
    let line = |peer| {
        let [ours, theirs] = [OURS, peer].map(|name| document::duration(outcome.median(name)));
        Line::info(CLAIM, format!("{what} / {peer}'s"), Unit::Ratio, outcome.ratio(OURS, peer))
            .detail(format!("{ours} / {theirs}"))
    };
    PEERS.map(line).into()
}

fn inserts(keys: &[u64], config: &Config) -> Vec<Line> {
    let mut contest = Interleaved::new();
    contest.add(OURS, || ns_per_insert::<Readmostly<u64, u64>>(keys, config));
    contest.add(PEERS[0], || ns_per_insert::<Dashmap<u64, u64>>(keys, config));
    contest.add(PEERS[1], || ns_per_insert::<Papaya<u64, u64>>(keys, config));
    let what = format!("insert of a new key, growing from empty to {}", document::entries(keys.len()));
    compare(&what, &contest.run(config.long_rounds()))
}

fn ns_per_insert<M: Map<u64, u64>>(keys: &[u64], config: &Config) -> f64 {
    let map = M::empty(0, config.hasher);
    let start = Instant::now();
    put_all(&mut map.handle(), keys);
    let elapsed = start.elapsed();
    drop(map);
    elapsed.as_nanos() as f64 / keys.len() as f64
}

#[inline(never)]
fn put_all<H: Handle<u64, u64>>(handle: &mut H, keys: &[u64]) {
    let (handle, keys) = (black_box(handle), black_box(keys));
    for &key in keys {
        handle.insert(key, keys::value_of(key));
    }
}

#[inline(never)]
fn remove_and_put_all<H: Handle<u64, u64>>(handle: &mut H, keys: &[u64]) {
    let (handle, keys) = (black_box(handle), black_box(keys));
    for key in keys {
        black_box(handle.remove(key));
        handle.insert(*key, keys::value_of(*key));
    }
}

fn insert_latencies(keys: &[u64], config: &Config) -> Vec<Line> {
    let all: [RefCell<Latencies>; 3] = Default::default();
    let mut contest = Interleaved::new();
    contest.add(OURS, || slowest_insert::<Readmostly<u64, u64>>(keys, config, &all[0]));
    contest.add(PEERS[0], || slowest_insert::<Dashmap<u64, u64>>(keys, config, &all[1]));
    contest.add(PEERS[1], || slowest_insert::<Papaya<u64, u64>>(keys, config, &all[2]));
    let outcome = contest.run(config.long_rounds());
    [OURS, PEERS[0], PEERS[1]]
        .iter()
        .zip(&all)
        .map(|(name, latencies)| {
            let subject = format!("slowest insert, {name} growing from empty to {}", document::entries(keys.len()));
            Line::info(CLAIM, subject, Unit::Nanoseconds, outcome.get(name).summary())
                .detail(format!("over all rounds: {}", latencies.borrow().percentiles()))
        })
        .collect()
}

/// The longest of this round's inserts; all of them are added to `all`.
fn slowest_insert<M: Map<u64, u64>>(keys: &[u64], config: &Config, all: &RefCell<Latencies>) -> f64 {
    let stopwatch = Stopwatch::default();
    let map = M::empty(0, config.hasher);
    let mut handle = map.handle();
    let mut latencies = Latencies::default();
    for &key in keys {
        let (ns, ()) = stopwatch.time(|| handle.insert(key, keys::value_of(key)));
        latencies.record(ns);
    }
    all.borrow_mut().merge(&latencies);
    latencies.percentiles().max as f64
}

fn changes(entries: usize, config: &Config) -> Vec<Line> {
    let keys = keys::present(Order::Random, entries);
    let stream = keys::lookups(&keys, Order::Random, 4);
    let readmostly: Readmostly<u64, u64> = config.filled(&keys);
    let dashmap: Dashmap<u64, u64> = config.filled(&keys);
    let papaya: Papaya<u64, u64> = config.filled(&keys);

    let mut contest = Interleaved::new();
    contest.add(OURS, || turn(readmostly.handle(), &stream, config, put_all));
    contest.add(PEERS[0], || turn(dashmap.handle(), &stream, config, put_all));
    contest.add(PEERS[1], || turn(papaya.handle(), &stream, config, put_all));
    let mut lines =
        compare(&format!("overwrite, {} entries", document::entries(entries)), &contest.run(config.long_rounds()));

    let mut contest = Interleaved::new();
    contest.add(OURS, || turn(readmostly.handle(), &stream, config, remove_and_put_all));
    contest.add(PEERS[0], || turn(dashmap.handle(), &stream, config, remove_and_put_all));
    contest.add(PEERS[1], || turn(papaya.handle(), &stream, config, remove_and_put_all));
    let what = format!("remove and re-insert, {} entries", document::entries(entries));
    lines.extend(compare(&what, &contest.run(config.long_rounds())));
    lines
}

fn turn<H>(mut handle: H, stream: &[u64], config: &Config, pass: fn(&mut H, &[u64])) -> f64 {
    ns_per_operation(config.round, stream.len(), || pass(&mut handle, stream))
}

fn growth(entries: usize, config: &Config) -> Vec<Line> {
    vec![
        timeline::<Readmostly<u64, u64>>(entries, config),
        timeline::<Dashmap<u64, u64>>(entries, config),
        timeline::<Papaya<u64, u64>>(entries, config),
    ]
}

/// The slowest single inserts on the way to `entries`, and after how many entries each came; without those during which
/// the system ran something else.
fn timeline<M: Map<u64, u64>>(entries: usize, config: &Config) -> Line {
    let stopwatch = Stopwatch::default();
    let map = M::empty(0, config.hasher);
    let mut handle = map.handle();
    let mut slowest = BinaryHeap::with_capacity(SLOWEST + 1);
    let (mut seen, mut preempted) = (preemptions(), 0);
    let start = Instant::now();
    for index in 0..entries as u64 {
        let key = keys::nth(index);
        let (ns, ()) = stopwatch.time(|| handle.insert(key, keys::value_of(key)));
        if slowest.len() == SLOWEST && slowest.peek().is_some_and(|Reverse((least, _))| ns <= *least) {
            continue;
        }
        let preemptions = preemptions();
        if preemptions != seen {
            seen = preemptions;
            preempted += 1;
            continue;
        }
        slowest.push(Reverse((ns, index)));
        if slowest.len() > SLOWEST {
            slowest.pop();
        }
    }
    let mean = start.elapsed().as_nanos() as f64 / entries as f64;
    let slowest = slowest.into_sorted_vec();
    let list: Vec<String> =
        slowest.iter().map(|Reverse((ns, index))| format!("{} at {index}", document::duration(*ns as f64))).collect();
    let figure = crate::measure::Summary::single(slowest.first().map_or(0.0, |Reverse((ns, _))| *ns as f64));
    let subject = format!("slowest inserts, {} growing to {}", M::NAME, document::entries(entries));
    let (list, mean) = (list.join(", "), document::duration(mean));
    Line::info(CLAIM, subject, Unit::Nanoseconds, figure).detail(format!("{list}; {preempted} preempted; mean {mean}"))
}

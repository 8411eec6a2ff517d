//! Lookups of present keys on one thread.

use super::{
    Config,
    verdicts::{Limit, Line},
};
use crate::{
    document::{self, Unit},
    keys::{self, Order},
    measure::{Interleaved, Outcome, ns_per_operation, sum_of},
    peers::{Dashmap, Handle, Map, Papaya, PapayaAccess, Readmostly, SccHeld, SccIndex},
};

const PLAIN: &str = "hashbrown get";
const GET: &str = "get";
const PINNED: &str = "pinned get";
const PINNED_GROWN: &str = "pinned get, grown map";
const DASHMAP: &str = "dashmap get";
const PAPAYA: &str = "papaya pin().get";
const PAPAYA_HELD: &str = "papaya get, guard held";
const SCC: &str = "scc peek_with";
const SCC_HELD: &str = "scc peek, guard held";

/// A number of entries, and what lookups of random keys may cost there.
#[derive(Clone, Copy)]
struct Size {
    entries: usize,
    /// A lookup under a held guard, as a multiple of a plain map's.
    pinned: Option<Limit>,
    /// A lookup that pins for itself, as a multiple of a plain map's.
    get: Option<Limit>,
    /// The same, as a multiple of that of every peer, and so of the fastest.
    peers: Option<Limit>,
}

const PINNED_LIMIT: Option<Limit> = Some(Limit::AtMost(2.2));

const SIZES: [Size; 5] = [
    Size { entries: 1_000, pinned: PINNED_LIMIT, get: Some(Limit::AtMost(2.0)), peers: Some(Limit::AtMost(1.0 / 1.8)) },
    Size {
        entries: 10_000,
        pinned: PINNED_LIMIT,
        get: Some(Limit::AtMost(2.5)),
        peers: Some(Limit::AtMost(1.0 / 1.5)),
    },
    Size { entries: 100_000, pinned: None, get: None, peers: Some(Limit::AtMost(1.2)) },
    Size { entries: 1_000_000, pinned: None, get: None, peers: None },
    Size { entries: 8_000_000, pinned: None, get: None, peers: Some(Limit::Below(1.0)) },
];

/// Lookups of a turn are at most this many: their entries don't fit in a cache, and a pass remains short.
const STREAM: usize = 1 << 21;

/// What is measured, and so which contenders there are.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) pinned: bool,
    pub(super) get: bool,
}

pub(super) fn measure(wanted: Wanted, config: &Config, progress: &impl Fn(&str)) -> Vec<Line> {
    let mut lines = Vec::new();
    for order in [Order::Random, Order::Sequential] {
        for size in sizes(order, wanted, config.quick) {
            progress(&format!("lookups: {} entries, {} keys", document::entries(size.entries), order.name()));
            let size = if order == Order::Random { *size } else { size.without_limits() };
            // What takes long, or is for information.
            let has_few = size.entries > STREAM || !size.is_limited();
            let rounds = if has_few { config.long_rounds() } else { config.rounds };
            let outcome = contest(size.entries, order, wanted, rounds, config);
            let comparison = Comparison { outcome, size, order };
            if wanted.pinned {
                lines.extend(comparison.pinned_lines());
            }
            if wanted.get {
                lines.extend(comparison.get_lines());
            }
        }
    }
    lines
}

/// The largest size takes long and is there for a limit of `get`; in a quick measurement none is there without a limit,
/// except that small maps show what the order of the keys does.
fn sizes(order: Order, wanted: Wanted, quick: bool) -> &'static [Size] {
    let count = match (order, quick) {
        (Order::Random, true) => 3,
        (Order::Random, false) if wanted.get => SIZES.len(),
        (Order::Sequential, true) => 2,
        _ => 4,
    };
    &SIZES[..count]
}

impl Size {
    fn without_limits(self) -> Self {
        Self { pinned: None, get: None, peers: None, ..self }
    }

    fn is_limited(&self) -> bool {
        self.pinned.or(self.get).or(self.peers).is_some()
    }
}

fn contest(entries: usize, order: Order, wanted: Wanted, rounds: usize, config: &Config) -> Outcome {
    config.cores.pin(0);
    let keys = keys::present(order, entries);
    let mut stream = keys::lookups(&keys, order, 1);
    stream.truncate(STREAM);
    let mut plain = config.plain(&keys);
    let readmostly: Readmostly<u64, u64> = config.filled(&keys);
    let grown: Option<Readmostly<u64, u64>> = wanted.pinned.then(|| config.grown(&keys));
    let dashmap: Dashmap<u64, u64> = config.filled(&keys);
    let papaya: Papaya<u64, u64> = config.filled(&keys);
    let scc: SccIndex<u64, u64> = config.filled(&keys);

    let turn =
        Turn { stream: &stream, sum: stream.iter().copied().map(keys::value_of).fold(0, u64::wrapping_add), config };
    let mut contest = Interleaved::new();
    // A guard held over from another contender's turn would make a nested pin of this one's, which costs next to
    // nothing: so guards are taken in the turn that uses them. Between two turns with the same map are those of others,
    // so that nobody finds it in the cache.
    contest.add(PLAIN, || turn.take(&mut plain));
    contest.add(PINNED, || turn.take(&mut readmostly.pin()));
    contest.add(PAPAYA_HELD, || turn.take(&mut PapayaAccess::held(&papaya)));
    contest.add(SCC_HELD, || turn.take(&mut SccHeld::new(&scc)));
    if let Some(grown) = &grown {
        contest.add(PINNED_GROWN, || turn.take(&mut grown.pin()));
    }
    contest.add(GET, || turn.take(&mut readmostly.handle()));
    contest.add(DASHMAP, || turn.take(&mut dashmap.handle()));
    contest.add(PAPAYA, || turn.take(&mut papaya.handle()));
    contest.add(SCC, || turn.take(&mut scc.handle()));
    contest.run(rounds)
}

struct Turn<'a> {
    stream: &'a [u64],
    sum: u64,
    config: &'a Config,
}

impl Turn<'_> {
    fn take<H: Handle<u64, u64>>(&self, handle: &mut H) -> f64 {
        ns_per_operation(self.config.round, self.stream.len(), || {
            assert_eq!(sum_of(handle, self.stream), self.sum, "expected every key to be found with its value");
        })
    }
}

struct Comparison {
    outcome: Outcome,
    size: Size,
    order: Order,
}

impl Comparison {
    fn pinned_lines(&self) -> Vec<Line> {
        let claim = "pinned-get";
        vec![self.line(claim, PINNED, PLAIN, self.size.pinned), self.line(claim, PINNED_GROWN, PLAIN, None)]
    }

    fn get_lines(&self) -> Vec<Line> {
        let claim = "get";
        vec![
            self.line(claim, GET, PLAIN, self.size.get),
            self.line(claim, GET, DASHMAP, self.size.peers),
            self.line(claim, GET, PAPAYA, self.size.peers),
            self.line(claim, GET, SCC, self.size.peers),
            self.line(claim, PINNED, PAPAYA_HELD, None),
            self.line(claim, PINNED, SCC_HELD, None),
        ]
    }

    fn line(&self, claim: &'static str, of: &str, to: &str, limit: Option<Limit>) -> Line {
        let Self { outcome, size, order } = self;
        let subject = format!("{of} / {to}, {} entries, {} keys", document::entries(size.entries), order.name());
        let [ours, theirs] = [of, to].map(|name| document::duration(outcome.median(name)));
        let line = Line::info(claim, subject, Unit::Ratio, outcome.ratio(of, to)).detail(format!("{ours} / {theirs}"));
        match limit {
            Some(limit) => line.limited(limit),
            None => line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{claims::verdicts::Verdict, measure::Series};

    const BOTH: Wanted = Wanted { pinned: true, get: true };

    fn entries(order: Order, wanted: Wanted, quick: bool) -> Vec<usize> {
        sizes(order, wanted, quick).iter().map(|size| size.entries).collect()
    }

    #[test]
    fn a_quick_measurement_leaves_out_the_largest_map_and_what_has_no_limit() {
        assert_eq!(entries(Order::Random, BOTH, true), [1_000, 10_000, 100_000]);
        assert_eq!(entries(Order::Sequential, BOTH, true), [1_000, 10_000]);
        assert_eq!(entries(Order::Random, BOTH, false).last(), Some(&8_000_000));
        assert_eq!(entries(Order::Random, Wanted { get: false, ..BOTH }, false).last(), Some(&1_000_000));
        assert_eq!(entries(Order::Sequential, BOTH, false).last(), Some(&1_000_000));
    }

    #[test]
    fn a_limit_holds_against_every_peer() {
        let names = [PLAIN, GET, PINNED, PINNED_GROWN, DASHMAP, PAPAYA, PAPAYA_HELD, SCC, SCC_HELD];
        // Half the time of all others, but for scc's.
        let time = |name| if name == GET || name == SCC { 5.0 } else { 10.0 };
        let series = names.into_iter().map(|name| Series { name, samples: vec![time(name)] }).collect();
        let comparison = |size: Size| Comparison { outcome: Outcome { series }, size, order: Order::Random };
        let lines = comparison(SIZES[0]).get_lines();
        let verdict = |other: &str| {
            let line = lines.iter().find(|line| line.subject.contains(&format!("/ {other},")));
            line.map(|line| line.verdict)
        };
        assert_eq!([DASHMAP, PAPAYA, PLAIN].map(verdict), [Some(Verdict::Pass); 3]);
        assert_eq!(verdict(SCC), Some(Verdict::Miss));
        assert_eq!(verdict(SCC_HELD), Some(Verdict::Info));
    }
}

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

/// A lookup under a held guard may cost this many times a plain map's.
const PINNED_LIMIT: f64 = 2.2;
/// The sizes to which the limits apply.
const LIMITED: [usize; 2] = [1_000, 10_000];
const UNLIMITED: [usize; 2] = [100_000, 1_000_000];

pub(super) fn measure(pinned: bool, get: bool, config: &Config, progress: &impl Fn(&str)) -> Vec<Line> {
    let sizes = if config.quick { LIMITED.to_vec() } else { [LIMITED, UNLIMITED].concat() };
    let mut lines = Vec::new();
    for order in [Order::Random, Order::Sequential] {
        for &entries in &sizes {
            progress(&format!("lookups: {} entries, {} keys", document::entries(entries), order.name()));
            let outcome = contest(entries, order, config);
            let limited = order == Order::Random && LIMITED.contains(&entries);
            let comparison = Comparison { outcome, entries, order, limited };
            if pinned {
                lines.extend(comparison.pinned_lines());
            }
            if get {
                lines.extend(comparison.get_lines());
            }
        }
    }
    lines
}

fn contest(entries: usize, order: Order, config: &Config) -> Outcome {
    config.cores.pin(0);
    let keys = keys::present(order, entries);
    let stream = keys::lookups(&keys, order, 1);
    let mut plain = config.plain(&keys);
    let readmostly: Readmostly<u64, u64> = config.filled(&keys);
    let grown: Readmostly<u64, u64> = config.grown(&keys);
    let dashmap: Dashmap<u64, u64> = config.filled(&keys);
    let papaya: Papaya<u64, u64> = config.filled(&keys);
    let scc: SccIndex<u64, u64> = config.filled(&keys);

    let turn =
        Turn { stream: &stream, sum: stream.iter().copied().map(keys::value_of).fold(0, u64::wrapping_add), config };
    let mut contest = Interleaved::new();
    contest.add(PLAIN, || turn.take(&mut plain));
    // A guard held over from another contender's turn would make a nested pin of this one's, which costs next to
    // nothing: so guards are taken in the turn that uses them.
    contest.add(PINNED, || turn.take(&mut readmostly.pin()));
    contest.add(PINNED_GROWN, || turn.take(&mut grown.pin()));
    contest.add(GET, || turn.take(&mut readmostly.handle()));
    contest.add(DASHMAP, || turn.take(&mut dashmap.handle()));
    contest.add(PAPAYA, || turn.take(&mut papaya.handle()));
    contest.add(PAPAYA_HELD, || turn.take(&mut PapayaAccess::held(&papaya)));
    contest.add(SCC, || turn.take(&mut scc.handle()));
    contest.add(SCC_HELD, || turn.take(&mut SccHeld::new(&scc)));
    contest.run(config.rounds)
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
    entries: usize,
    order: Order,
    limited: bool,
}

impl Comparison {
    fn pinned_lines(&self) -> Vec<Line> {
        let claim = "pinned-get";
        vec![
            self.limited(self.line(claim, PINNED, PLAIN), Limit::AtMost(PINNED_LIMIT)),
            self.line(claim, PINNED_GROWN, PLAIN),
        ]
    }

    fn get_lines(&self) -> Vec<Line> {
        let claim = "get";
        vec![
            self.limited(self.line(claim, GET, DASHMAP), Limit::Below(1.0)),
            self.limited(self.line(claim, GET, PAPAYA), Limit::Below(1.0)),
            self.line(claim, GET, SCC),
            self.line(claim, GET, PLAIN),
            self.line(claim, PINNED, PAPAYA_HELD),
            self.line(claim, PINNED, SCC_HELD),
        ]
    }

    fn line(&self, claim: &'static str, of: &str, to: &str) -> Line {
        let subject = format!("{of} / {to}, {} entries, {} keys", document::entries(self.entries), self.order.name());
        let [ours, theirs] = [of, to].map(|name| document::duration(self.outcome.median(name)));
        Line::info(claim, subject, Unit::Ratio, self.outcome.ratio(of, to)).detail(format!("{ours} / {theirs}"))
    }

    fn limited(&self, line: Line, limit: Limit) -> Line {
        if self.limited { line.limited(limit) } else { line }
    }
}

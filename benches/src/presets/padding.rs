//! Neighbouring keys that different threads write.

use super::{Findings, Options};
use crate::{
    document::{self, Cell, Table},
    keys::{self, rng},
    load::{
        Kind, Length, Lineup, Plan, Script, Sheet,
        closed::{self, Score},
        lineup,
    },
    peers::Peer,
};
use anyhow::Result;
use rand::RngExt;

const ABOUT: &str = "Threads (one per core) read and overwrite, half and half, keys that are inserted one after the other. \
    `apart`: each thread has a part of its own, so that threads share no neighbours in the order of insertion. \
    `interleaved`: neighbours belong to different threads, so that what a map allocates for them one after the other may \
    share cache lines, though no two threads ever use the same key. `same`: all threads use all keys. `one thread`: alone, \
    on its part.

A map whose threads disturb each other only where they use the same keys does as well interleaved as apart.";

/// Who uses which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    OneThread,
    Apart,
    Interleaved,
    Same,
}

const LAYOUTS: [(Layout, &str); 4] = [
    (Layout::OneThread, "one thread"),
    (Layout::Apart, "apart"),
    (Layout::Interleaved, "interleaved"),
    (Layout::Same, "same"),
];

impl Layout {
    /// The index of a thread's key with the number `pick`; each thread has `own` of them.
    fn index(self, pick: usize, thread: usize, threads: usize, own: usize) -> usize {
        match self {
            Self::OneThread | Self::Apart => thread * own + pick,
            Self::Interleaved => pick * threads + thread,
            Self::Same => pick,
        }
    }

    fn plan(self, own: usize, threads: usize, script: usize) -> Plan<u64> {
        let keys: Vec<u64> = (0..(own * threads) as u64).map(keys::nth).collect();
        let playing = if self == Self::OneThread { 1 } else { threads };
        let used = if self == Self::Same { own * threads } else { own };
        let write = |thread: usize| {
            let mut rng = rng(1 + thread as u64);
            let step = |_| {
                let index = self.index(rng.random_range(0..used), thread, threads, own);
                (keys[index], if rng.random_bool(0.5) { Kind::Read } else { Kind::Overwrite })
            };
            let (tokens, kinds) = (0..script).map(step).unzip();
            Script { tokens, kinds }
        };
        let scripts = (0..playing).map(write).collect();
        Plan {
            filled: keys.len(),
            capacity: keys.len(),
            keys,
            prefix: "",
            settled: true,
            cold: false,
            value_bytes: 0,
            scripts,
        }
    }
}

pub(super) fn measure(options: &Options) -> Result<Findings> {
    let setting = options.setting_of(Peer::MAIN, options.either(5, 21), options.either(10, 50));
    let threads = options.threads().max(2);
    let mut sheet = Sheet::new(["keys per thread", "layout"]);
    let columns = ["keys per thread".to_owned()].into_iter().chain(setting.peers.iter().map(|peer| peer.to_string()));
    let mut effect = Table::new("Throughput interleaved / apart", columns);
    for own in [16, 1_024] {
        let lineup =
            |(layout, _): (Layout, _)| lineup::<u64, u64>(layout.plan(own, threads, options.script()), &setting).0;
        // All layouts in one contest, so that they can be compared within a round.
        let all = Lineup(LAYOUTS.into_iter().flat_map(lineup).collect());
        let scores = closed::measure(all, setting.rounds, Length::Time(setting.round))?;
        let by_layout: Vec<&[Score]> = scores.chunks(setting.peers.len()).collect();
        for ((_, word), scores) in LAYOUTS.iter().zip(&by_layout) {
            sheet.add([document::entries(own), (*word).to_owned()], scores.to_vec());
        }
        if let [_, apart, interleaved, _] = &by_layout[..] {
            let ratio = |(of, to): (&Score, &Score)| Cell::Ratio(of.throughput.ratio_to(&to.throughput));
            effect
                .row([Cell::from(document::entries(own))].into_iter().chain(interleaved.iter().zip(*apart).map(ratio)));
        }
    }
    let mut tables = sheet.tables();
    tables.insert(0, effect);
    let plots = vec![sheet.bars("Who writes which keys", "keys per thread, layout", |labels| Some(labels.join(", ")))];
    Ok(Findings { title: "Keys of different threads side by side", about: ABOUT, notes: sheet.notes(), plots, tables })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn threads_share_keys_only_where_the_layout_says_so() {
        for (layout, word) in LAYOUTS {
            let plan = layout.plan(16, 2, 4_096);
            let used: Vec<HashSet<u64>> =
                plan.scripts.iter().map(|script| script.tokens.iter().copied().collect()).collect();
            match layout {
                Layout::OneThread => assert_eq!(used.iter().map(HashSet::len).collect::<Vec<_>>(), [16]),
                Layout::Same => assert!(used.iter().all(|keys| keys.len() == 32)),
                _ => assert!(used[0].is_disjoint(&used[1]) && used.iter().all(|keys| keys.len() == 16), "{word}"),
            }
        }
        let neighbours = (Layout::Interleaved.index(3, 0, 2, 16), Layout::Interleaved.index(3, 1, 2, 16));
        assert_eq!(neighbours, (6, 7));
    }
}

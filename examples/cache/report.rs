//! The report of a run, as a table for people and as a JSON object.

use std::fmt::Write as _;
use std::time::Duration;

use indicatif::HumanCount;
use serde_json::{Value, json};

use crate::args::Config;
use crate::latency::{Latency, Quantiles};
use crate::run::Outcome;
use crate::worker::Tally;
use crate::workload::{Origin, Workload};

pub(crate) struct Report<'a> {
    pub(crate) config: &'a Config,
    pub(crate) workload: &'a Workload,
    pub(crate) capacity: usize,
    pub(crate) outcome: &'a Outcome,
}

impl Report<'_> {
    fn hit_rate(&self) -> Option<f64> {
        let Tally { hits, .. } = self.outcome.tally;
        let gets = self.outcome.tally.gets();
        (gets > 0).then(|| hits as f64 / gets as f64)
    }

    fn throughput(&self) -> f64 {
        self.outcome.tally.accesses() as f64 / self.outcome.elapsed.as_secs_f64()
    }

    /// The latencies by the name of their operation.
    fn latencies(&self) -> [(&'static str, &Latency); 3] {
        let tally = &self.outcome.tally;
        [("get", &tally.get), ("insert", &tally.insert), ("evict", &tally.evict)]
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write_text(&mut text).expect("a String takes any text");
        text
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        let Report { config, capacity, outcome, .. } = self;
        let tally = &outcome.tally;
        let threads = if config.threads == 1 { "thread" } else { "threads" };
        let length = match config.duration {
            Some(duration) => format!("{} s", duration.as_secs_f64()),
            None => "once through".to_owned(),
        };
        writeln!(
            out,
            "map          {}, {} {threads}, {length}, {} % reads, capacity {}, values of {} bytes",
            config.map.name(),
            config.threads,
            config.read_share,
            HumanCount(*capacity as u64),
            config.value_size,
        )?;
        writeln!(out, "workload     {}", self.workload_text())?;
        writeln!(out)?;
        match self.hit_rate() {
            Some(rate) => {
                let (hits, gets) = (HumanCount(tally.hits), HumanCount(tally.gets()));
                writeln!(out, "hit rate     {:.2} %, {hits} of {gets} gets", rate * 100.0)?;
            }
            None => writeln!(out, "hit rate     -, no gets")?,
        }
        let (rate, accesses) = (HumanCount(self.throughput() as u64), HumanCount(tally.accesses()));
        writeln!(out, "throughput   {rate} accesses/s, {accesses} in {:.2} s", outcome.elapsed.as_secs_f64())?;
        writeln!(
            out,
            "inserts      {} for {} misses and {} overwrites, {} bypassed a cache too full",
            HumanCount(tally.inserts()),
            HumanCount(tally.misses),
            HumanCount(tally.overwrites),
            HumanCount(tally.bypassed),
        )?;
        let passes = tally.evict.count();
        let passes_text = if passes == 1 { "pass" } else { "passes" };
        writeln!(out, "evicted      {} in {} {passes_text}", HumanCount(tally.evicted), HumanCount(passes))?;
        let (entries, peak) = (HumanCount(outcome.entries as u64), HumanCount(outcome.peak as u64));
        writeln!(out, "entries      {entries} at the end, {peak} at most")?;
        writeln!(out)?;
        writeln!(out, "latency {:>14} {:>10} {:>10} {:>10} {:>10}", "timed", "P50", "P99", "P99.9", "max")?;
        for (name, latency) in self.latencies() {
            let columns =
                latency.quantiles().map(|Quantiles { p50, p99, p99_9, max }| [p50, p99, p99_9, max].map(time));
            let [p50, p99, p99_9, max] = columns.unwrap_or_else(|| ["-"; 4].map(str::to_owned));
            let count = HumanCount(latency.count()).to_string();
            writeln!(out, "{name:<7} {count:>14} {p50:>10} {p99:>10} {p99_9:>10} {max:>10}")?;
        }
        writeln!(
            out,
            "Timed: {}, every insert and every eviction pass; each with {} for the clock itself.",
            every(config.sample, "get"),
            time(nanos(outcome.clock_cost)),
        )?;
        writeln!(out)?;
        match &outcome.stats {
            Some(stats) => write_stats(out, &stats.text),
            None => writeln!(out, "stats        not available for {}", config.map.name()),
        }
    }

    fn workload_text(&self) -> String {
        let keys = HumanCount(self.workload.keys.len() as u64);
        match &self.workload.origin {
            Origin::Zipf { skew } => {
                format!("Zipf {skew} over {keys} keys, seed {}", self.config.seed)
            }
            Origin::Trace { file } => {
                let accesses = HumanCount(self.workload.accesses());
                let file: String = file.chars().flat_map(visible).collect();
                format!("trace {file}, {accesses} accesses to {keys} pages")
            }
        }
    }

    pub(crate) fn json(&self) -> String {
        let Report { config, capacity, outcome, .. } = self;
        let tally = &outcome.tally;
        let latencies: serde_json::Map<String, Value> =
            self.latencies().into_iter().map(|(name, latency)| (name.to_owned(), latency_json(latency))).collect();
        let object = json!({
            "map": config.map.name(),
            "threads": config.threads,
            "seconds": config.duration.map(|duration| duration.as_secs_f64()),
            "read_share": config.read_share,
            "capacity": capacity,
            "value_bytes": config.value_size,
            "workload": self.workload_json(),
            "elapsed_ns": nanos(outcome.elapsed),
            "accesses": tally.accesses(),
            "accesses_per_second": self.throughput(),
            "gets": tally.gets(),
            "hits": tally.hits,
            "misses": tally.misses,
            "hit_rate": self.hit_rate(),
            "inserts": tally.inserts(),
            "overwrites": tally.overwrites,
            "bypassed": tally.bypassed,
            "evicted": tally.evicted,
            "evict_passes": tally.evict.count(),
            "entries": outcome.entries,
            "peak_entries": outcome.peak,
            "latency_ns": latencies,
            "timed_every": { "get": config.sample, "insert": 1, "evict": 1 },
            "clock_cost_ns": nanos(outcome.clock_cost),
            "stats": outcome.stats.as_ref().map(|stats| &stats.fields),
        });
        format!("{object}\n")
    }

    fn workload_json(&self) -> Value {
        let (keys, seed) = (self.workload.keys.len(), self.config.seed);
        match &self.workload.origin {
            Origin::Zipf { skew } => {
                json!({ "kind": "zipf", "keys": keys, "skew": skew, "seed": seed })
            }
            Origin::Trace { file } => {
                let accesses = self.workload.accesses();
                json!({ "kind": "trace", "file": file, "keys": keys, "accesses": accesses, "seed": seed })
            }
        }
    }
}

fn latency_json(latency: &Latency) -> Value {
    let quantiles = latency.quantiles();
    let field = |pick: fn(&Quantiles) -> u64| quantiles.as_ref().map(pick);
    json!({
        "count": latency.count(),
        "p50": field(|q| q.p50),
        "p99": field(|q| q.p99),
        "p99_9": field(|q| q.p99_9),
        "max": field(|q| q.max),
    })
}

/// The statistics beside their heading, broken after commas where they would not fit the width of the table.
fn write_stats(out: &mut String, text: &str) -> std::fmt::Result {
    const WIDTH: usize = 72;
    let mut lines = vec![String::new()];
    for part in text.split_inclusive([',', '\n']).map(str::trim) {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(part),
            Some(line) if line.ends_with(',') && line.len() + part.len() < WIDTH => {
                line.push(' ');
                line.push_str(part);
            }
            _ => lines.push(part.to_owned()),
        }
    }
    for (number, line) in lines.iter().enumerate() {
        writeln!(out, "{:<13}{line}", if number == 0 { "stats" } else { "" })?;
    }
    Ok(())
}

fn every(step: u64, what: &str) -> String {
    let suffix = match (step % 10, step % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    if step == 1 { format!("every {what}") } else { format!("every {step}{suffix} {what}") }
}

/// A file name may hold anything; the report stays in its lines.
fn visible(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Three significant digits or more, in the unit that reads best.
fn time(nanos: u64) -> String {
    let nanos = nanos as f64;
    let (scale, unit) = match nanos {
        ..1e3 => return format!("{nanos} ns"),
        ..1e6 => (1e3, "µs"),
        ..1e9 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    let value = nanos / scale;
    let digits = if value < 10.0 { 2 } else { 1 };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_with_their_unit() {
        for (nanos, shown) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_234, "1.23 µs"),
            (12_345, "12.3 µs"),
            (123_456_789, "123.5 ms"),
            (2_500_000_000, "2.50 s"),
        ] {
            assert_eq!(time(nanos), shown);
        }
    }

    #[test]
    fn steps_are_counted_in_words() {
        assert_eq!(every(1, "get"), "every get");
        assert_eq!(
            [every(2, "x"), every(13, "x"), every(16, "x"), every(21, "x")],
            ["every 2nd x", "every 13th x", "every 16th x", "every 21st x"]
        );
    }

    #[test]
    fn control_characters_of_a_file_name_are_escaped() {
        assert_eq!("a\nb\u{1b}c".chars().flat_map(visible).collect::<String>(), "a\\nb\\u{1b}c");
    }

    #[test]
    fn statistics_stay_beside_their_heading() {
        let mut out = String::new();
        write_stats(&mut out, "one\ntwo, three").unwrap();
        assert_eq!(out, "stats        one\n             two, three\n");

        out.clear();
        let figures: Vec<String> = (0..20).map(|number| format!("figure {number}")).collect();
        write_stats(&mut out, &figures.join(", ")).unwrap();
        assert!(out.lines().count() > 1 && out.lines().all(|line| line.len() < 86), "{out}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&out)[1..], words(&figures.join(", ")), "nothing is lost");
    }
}

//! The service on one map against the service on others.
//!
//! Services take turns, as contenders do in the benchmarks; those that are not in turn are stopped. Each turn has two parts:
//! requests as fast as the service answers them, which gives the request rate and the time of processors per request, and
//! requests at a rate that all maps can hold, which gives latencies.

use super::{
    DRAWN_PER_SECOND,
    args::Args,
    client::Target,
    driver::{Driver, Pace, Turn},
    fill,
    ledger::Ledger,
    outcome::Outcome,
    plan::{Plan, Workload},
    process::{Service, Usage},
    report, start, status, target_of,
};
use crate::cache::MapKind;
use anyhow::{Result, ensure};
use clap::ValueEnum;
use indicatif::ProgressBar;
use readmostly_bench::{
    document::{Axis, Cell, Line, Plot, PlotKind, Point, Scale, Section, Table, Unit},
    load::{
        open::Distribution,
        profiles::{COLUMNS, cells, ratios},
    },
    measure::Summary,
};
use std::{sync::Arc, thread, time::Duration};

/// The rate at which latencies are compared, as a share of what the slowest map can do.
const LOAD: f64 = 0.5;
/// After it was stopped, a service first does what was due meanwhile, such as a sweep.
const SETTLING: Duration = Duration::from_millis(300);

const ABOUT: &str = "The same service on several maps, each in a process of its own, with entries that expire and are swept. \
    In each round every map is asked as fast as it answers, and then at a rate that is the same for all.";

/// Compares the maps of the arguments: what was measured, and how many answers were wrong.
pub(super) fn run(args: &Args) -> Result<(Section, u64)> {
    let workload = args.requests.workload()?;
    let mut contest = Contest { args, workload, contenders: Vec::new(), progress: super::progress()? };
    for map in MapKind::value_variants().iter().filter(|map| args.compare.contains(map)) {
        contest.join(*map)?;
    }
    // In the order in which they were named, of which the first is compared with the others.
    contest.contenders.sort_by_key(|contender| args.compare.iter().position(|map| map.name() == contender.name));
    let slowest = contest.warm_up()?;
    let rate = args.rate.unwrap_or(LOAD * slowest);
    for round in 1..=args.rounds {
        contest.round(round, rate)?;
    }
    contest.progress.finish_and_clear();
    contest.section(rate)
}

struct Contest<'a> {
    args: &'a Args,
    workload: Workload,
    contenders: Vec<Contender>,
    progress: ProgressBar,
}

/// A service on one map, and what it has done.
struct Contender {
    name: &'static str,
    service: Service,
    target: Target,
    driver: Driver,
    /// Answers per second, round by round, when asked as fast as it answers.
    rates: Vec<f64>,
    /// Nanoseconds of processors per answer.
    costs: Vec<f64>,
    /// Bytes at the end of each round.
    memory: Vec<f64>,
    /// At the rate that is the same for all.
    latency: Distribution,
    paced: Outcome,
    saturated: Outcome,
}

impl Contest<'_> {
    fn join(&mut self, map: MapKind) -> Result<()> {
        let service = start(self.args, map)?;
        let target = target_of(&service)?;
        let reported = status(&target)?["map"].as_str().unwrap_or_default().to_owned();
        ensure!(reported == map.name(), "expected a service on {}, it says it is on {reported:?}", map.name());
        let driver = super::driver(self.args, vec![target.clone()]);
        let plan = Plan::draw(self.workload.clone(), !self.args.requests.no_fill, 0, self.args.requests.seed)?;
        fill(&driver, &Arc::new(plan), None, &self.progress)?;
        service.pause()?;
        self.contenders.push(Contender::new(map.name(), service, target, driver));
        Ok(())
    }

    fn draw(&self, round: u64, requests: f64) -> Result<Arc<Plan>> {
        let seed = self.args.requests.seed.wrapping_add(round << 8);
        Ok(Arc::new(Plan::draw(self.workload.clone(), false, requests as usize, seed)?))
    }

    /// A round that does not count; the answers per second of the slowest.
    fn warm_up(&mut self) -> Result<f64> {
        let plan = self.draw(0, DRAWN_PER_SECOND * self.args.duration.as_secs_f64())?;
        let mut slowest = f64::INFINITY;
        for contender in &mut self.contenders {
            self.progress.set_message(format!("warming up, {}", contender.name));
            let pace = Pace::Saturated(self.args.duration);
            slowest = slowest.min(contender.turn(self.args, &plan, pace, &self.progress)?.0.rate());
        }
        ensure!(slowest.is_finite() && slowest > 0.0, "expected every service to answer");
        Ok(slowest)
    }

    fn round(&mut self, round: u16, rate: f64) -> Result<()> {
        let seconds = self.args.duration.as_secs_f64();
        let saturating = self.draw(round.into(), DRAWN_PER_SECOND * seconds)?;
        let paced = self.draw(round.into(), rate * seconds)?;
        let (rounds, count) = (self.args.rounds, self.contenders.len());
        // Another one begins each round: the first takes its turn after requests have been drawn, the others do not.
        for turn in 0..count {
            let contender = &mut self.contenders[(usize::from(round) + turn) % count];
            self.progress.set_message(format!("round {round} of {rounds}, {}", contender.name));
            let pace = Pace::Saturated(self.args.duration);
            let (outcome, used) = contender.turn(self.args, &saturating, pace, &self.progress)?;
            contender.rates.push(outcome.rate());
            contender.costs.extend(used.map(|used| used.as_nanos() as f64 / outcome.answered() as f64));
            contender.saturated.merge(&outcome);

            let (outcome, _) = contender.turn(self.args, &paced, Pace::Rate(rate), &self.progress)?;
            contender.latency.add(&outcome.all);
            contender.paced.merge(&outcome);
            contender.memory.extend(Usage::of(contender.service.id()).map(|usage| usage.resident_bytes as f64));
        }
        Ok(())
    }

    fn section(&self, rate: f64) -> Result<(Section, u64)> {
        let mut section = report::section("compare", &self.workload, &format!("{ABOUT} {}", report::ABOUT));
        let (threads, driver) = (self.args.server_threads, self.args.threads);
        section.notes.push(format!(
            "{threads} threads of the service and {driver} of the driver with {} connections share the cores, so that a rate \
             says as much of the driver, of HTTP and of the system as of the map; the time of processors is the service's alone.",
            self.args.connections
        ));
        section.notes.push(format!("Latencies are compared at {}.", Unit::OperationsPerSecond.show(rate)));
        for contender in &self.contenders {
            section.notes.push(contender.sweeps()?);
        }
        section.plots = self.plots();
        section.tables = self.tables(rate);
        let wrong = |contender: &Contender| contender.paced.violated() + contender.saturated.violated();
        Ok((section, self.contenders.iter().map(wrong).sum()))
    }

    fn tables(&self, rate: f64) -> Vec<Table> {
        let outcomes = |of: fn(&Contender) -> &Outcome| -> Vec<(&str, &Outcome)> {
            self.contenders.iter().map(|contender| (contender.name, of(contender))).collect()
        };
        let (saturated, paced) = (outcomes(|contender| &contender.saturated), outcomes(|contender| &contender.paced));
        let figures = [
            self.figures("Answers per second, as fast as it can", Unit::OperationsPerSecond, |c| &c.rates),
            self.figures("Time of processors per answer", Unit::Nanoseconds, |c| &c.costs),
            self.figures("Resident memory", Unit::Bytes, |c| &c.memory),
        ];
        let mut tables: Vec<Table> = figures.into_iter().flatten().collect();
        tables.extend(self.latencies().into_iter().flatten());
        let all = [saturated, paced.clone()].concat();
        tables
            .push(Table { title: "Requests at the same rate, all rounds".into(), ..report::rates(Some(rate), &paced) });
        tables.extend(report::errors(&all));
        tables
    }

    /// The figures of all maps, and how the first's compare, round by round.
    fn figures(&self, title: &str, unit: Unit, of: fn(&Contender) -> &Vec<f64>) -> Option<Table> {
        let first = of(self.contenders.first()?);
        let mut table = Table::new(title, ["map".to_owned(), title.to_lowercase(), self.against()]);
        for (at, contender) in self.contenders.iter().enumerate() {
            let samples = of(contender);
            if samples.is_empty() {
                return None;
            }
            let ratios: Vec<f64> = first.iter().zip(samples).map(|(first, other)| first / other).collect();
            let ratio = if at == 0 { Cell::Missing } else { Cell::Ratio(Summary::of(&ratios)) };
            table.row([contender.name.into(), Cell::spread(Summary::of(samples), unit), ratio]);
        }
        Some(table)
    }

    /// Percentiles, and how the first's compare, round by round.
    fn latencies(&self) -> Option<[Table; 2]> {
        let (first, others) = self.contenders.split_first()?;
        let columns = |first: &'static str| [first].into_iter().chain(COLUMNS);
        let mut table = Table::new("Latency at the same rate", columns("map"));
        for contender in &self.contenders {
            table.row([contender.name.into()].into_iter().chain(cells(&contender.latency)));
        }
        let mut against = Table::new(format!("Latency of {}", self.against()), columns("against"));
        for other in others {
            against.row([other.name.into()].into_iter().chain(ratios(&first.latency, &other.latency)));
        }
        Some([table, against])
    }

    fn against(&self) -> String {
        format!("{} / the other's", self.contenders.first().map_or("", |first| first.name))
    }

    fn plots(&self) -> Vec<Plot> {
        let curves = self.contenders.iter().map(|contender| (contender.name, &contender.latency.merged));
        let bar = |contender: &Contender| Line {
            name: contender.name.to_owned(),
            points: vec![Point::spread(0.0, Summary::of(&contender.rates))],
        };
        let rates = Plot {
            title: "Request rate".into(),
            x: Axis::new("", Scale::Category(vec!["as fast as it can".into()]), Unit::Plain),
            y: Axis::new("answers", Scale::Linear, Unit::OperationsPerSecond),
            kind: PlotKind::Bars,
            lines: self.contenders.iter().map(bar).collect(),
        };
        vec![rates, report::curves("Latency at the same rate, all rounds", curves)]
    }
}

impl Contender {
    fn new(name: &'static str, service: Service, target: Target, driver: Driver) -> Self {
        Self {
            name,
            service,
            target,
            driver,
            rates: Vec::new(),
            costs: Vec::new(),
            memory: Vec::new(),
            latency: Distribution::default(),
            paced: Outcome::default(),
            saturated: Outcome::default(),
        }
    }

    /// Plays a plan while the others are stopped: what came of it, and the time of processors that it took.
    fn turn(
        &self,
        args: &Args,
        plan: &Arc<Plan>,
        pace: Pace,
        progress: &ProgressBar,
    ) -> Result<(Outcome, Option<Duration>)> {
        let ledger = args.verify.then(|| Arc::new(Ledger::new(plan.clone(), self.driver.run, args.delay)));
        self.service.resume()?;
        thread::sleep(SETTLING);
        let processor = || Usage::of(self.service.id()).map(|usage| usage.processor);
        let before = processor();
        let turn = Turn { plan: plan.clone(), steps: plan.requests(), pace, ledger };
        let outcome = self.driver.play(&turn, progress)?;
        let used = processor().zip(before).map(|(after, before)| after.saturating_sub(before));
        self.service.pause()?;
        Ok((outcome, used))
    }

    /// What was swept meanwhile.
    fn sweeps(&self) -> Result<String> {
        self.service.resume()?;
        let status = status(&self.target)?;
        self.service.pause()?;
        let (sweeps, entries) = (&status["sweeps"], &status["entries"]);
        let (count, expired) = (&sweeps["count"], &sweeps["expired"]);
        let slice = sweeps["longest_slice_us"].as_f64().unwrap_or(f64::NAN);
        let name = self.name;
        Ok(format!(
            "{name}: {count} sweeps removed {expired} expired entries, the longest slice took {slice:.0} µs; {entries} are left."
        ))
    }
}

//! A load test: requests over HTTP at a fixed rate, what their clients feel, and whether the answers are right.
//!
//! A [`plan`] of all requests is drawn first. The [`driver`] sends them when they are due, a [`ledger`] of what was
//! acknowledged judges the answers, and the [`report`] is one like those of the benchmarks. [`search`] finds the highest rate
//! that is held, [`compare`] sets maps against each other.

mod args;
mod client;
mod clock;
mod compare;
mod driver;
mod ledger;
mod outcome;
mod plan;
mod process;
mod report;
mod search;
mod value;

pub(crate) use args::Args;

use crate::cache::MapKind;
use anyhow::{Context, Result, ensure};
use client::Target;
use clock::Clock;
use driver::{Driver, Pace, Turn};
use indicatif::{ProgressBar, ProgressStyle};
use ledger::Ledger;
use outcome::Outcome;
use plan::Plan;
use process::Service;
use readmostly_bench::document::Section;
use std::{ffi::OsStr, sync::Arc, time::Duration};

/// Unless `--rate` says otherwise.
const DEFAULT_RATE: f64 = 5_000.0;
/// Requests that are drawn for each second in which the service is asked as fast as it can answer: more than it can.
const DRAWN_PER_SECOND: f64 = 150_000.0;

/// Loads the service; an error if any answer was wrong.
pub(crate) fn run(args: Args) -> Result<()> {
    let environment = report::environment();
    let (section, wrong) = match () {
        () if !args.compare.is_empty() => compare::run(&args)?,
        () => Session::open(&args)?.measure(&args)?,
    };
    report::publish(&args, environment, section)?;
    ensure!(wrong == 0, "{wrong} answers were wrong");
    Ok(())
}

/// A service, or several instances of it, and who loads them.
struct Session {
    name: String,
    /// Kept alive as long as it is loaded, if it was started here.
    _service: Option<Service>,
    driver: Driver,
    progress: ProgressBar,
}

impl Session {
    fn open(args: &Args) -> Result<Self> {
        let service = args.url.is_empty().then(|| start(args, args.map)).transpose()?;
        let targets = match &service {
            Some(service) => vec![target_of(service)?],
            None => args.url.clone(),
        };
        let name = status(&targets[0])?["map"].as_str().unwrap_or("service").to_owned();
        Ok(Self { name, _service: service, driver: driver(args, targets), progress: progress()? })
    }

    /// Loads it as the arguments say: what was measured, and how many answers were wrong.
    fn measure(&self, args: &Args) -> Result<(Section, u64)> {
        if args.max { self.find_limit(args) } else { self.hold_rate(args) }
    }

    fn hold_rate(&self, args: &Args) -> Result<(Section, u64)> {
        let workload = args.requests.workload()?;
        let rate = args.rate.unwrap_or(DEFAULT_RATE);
        let mut section = report::section("load", &workload, report::ABOUT);
        let requests = (rate * args.duration.as_secs_f64()) as usize;
        let plan = Arc::new(Plan::draw(workload, !args.requests.no_fill, requests, args.requests.seed)?);
        let ledger = self.fill(args, &plan)?;
        self.progress.set_message("measuring");
        let turn = Turn { steps: plan.requests(), plan, pace: Pace::Rate(rate), ledger };
        let outcome = self.driver.play(&turn, &self.progress)?;
        self.progress.finish_and_clear();

        let outcomes = [(self.name.as_str(), &outcome)];
        section.notes.push(self.note(args));
        section.plots.push(report::class_curves(&outcome));
        section.tables.push(report::rates(Some(rate), &outcomes));
        section.tables.push(report::percentiles("Latency", &outcome));
        section.tables.extend(report::errors(&outcomes));
        Ok((section, outcome.violated()))
    }

    fn find_limit(&self, args: &Args) -> Result<(Section, u64)> {
        let workload = args.requests.workload()?;
        let mut section = report::section("limit", &workload, report::ABOUT);
        let seed = args.requests.seed;
        let filling = Arc::new(Plan::draw(workload.clone(), !args.requests.no_fill, 0, seed)?);
        self.fill(args, &filling)?;
        let mut all = Outcome::default();
        let mut play = |pace, requests: f64| {
            let plan = Arc::new(Plan::draw(workload.clone(), false, requests as usize, seed)?);
            let turn = Turn { steps: plan.requests(), ledger: self.ledger(args, &plan), plan, pace };
            let outcome = self.driver.play(&turn, &self.progress)?;
            all.merge(&outcome);
            anyhow::Ok(outcome)
        };
        self.progress.set_message("as fast as it can");
        let seconds = args.duration.as_secs_f64();
        let saturated = play(Pace::Saturated(args.duration), DRAWN_PER_SECOND * seconds)?;
        let trials = search::search(saturated.rate(), args.late, |rate| {
            self.progress.set_message(format!("{rate:.0}/s"));
            play(Pace::Rate(rate), rate * seconds)
        })?;
        self.progress.finish_and_clear();

        section.notes.push(self.note(args));
        section
            .notes
            .push(format!("Held: at most one in a thousand is answered later than {:?}, and none fails.", args.late));
        section.tables.push(report::rates(None, &[(&self.name, &saturated)]));
        section.tables.push(search::table(&trials));
        match search::best(&trials) {
            None => section.notes.push("No rate that was tried was held.".into()),
            Some(best) => {
                section.plots.push(report::class_curves(&best.outcome));
                section.tables.push(report::rates(Some(best.rate), &[(&self.name, &best.outcome)]));
                section.tables.push(report::percentiles("Latency at the highest rate that was held", &best.outcome));
            }
        }
        section.tables.extend(report::errors(&[(&self.name, &all)]));
        Ok((section, all.violated()))
    }

    /// Writes all keys, as the plan says; the ledger of the rest.
    fn fill(&self, args: &Args, plan: &Arc<Plan>) -> Result<Option<Arc<Ledger>>> {
        let ledger = self.ledger(args, plan);
        fill(&self.driver, plan, ledger.clone(), &self.progress)?;
        Ok(ledger)
    }

    fn ledger(&self, args: &Args, plan: &Arc<Plan>) -> Option<Arc<Ledger>> {
        args.verify.then(|| Arc::new(Ledger::new(plan.clone(), self.driver.run, args.delay)))
    }

    fn note(&self, args: &Args) -> String {
        let (threads, connections) = (self.driver.threads, self.driver.connections);
        let urls: Vec<String> = self.driver.targets.iter().map(Target::url).collect();
        let checked = if args.verify { "every answer is checked" } else { "answers are not checked" };
        format!("{connections} connections, {threads} threads, to {}; {checked}.", urls.join(", "))
    }
}

/// Writes all keys as fast as the service can.
fn fill(driver: &Driver, plan: &Arc<Plan>, ledger: Option<Arc<Ledger>>, progress: &ProgressBar) -> Result<()> {
    progress.set_message("filling");
    let pace = Pace::Saturated(Duration::MAX);
    let filled = driver.play(&Turn { steps: plan.filling(), plan: plan.clone(), pace, ledger }, progress)?;
    let (asked, failed) = (plan.filling().len(), filled.failed());
    ensure!(failed == 0, "could not fill the cache: {failed} of {asked} writes failed, {:?}", filled.errors);
    Ok(())
}

/// Starts the service on a map, with a database in a temporary folder.
fn start(args: &Args, map: MapKind) -> Result<Service> {
    let program = std::env::current_exe().context("could not find this program")?;
    let folder = tempfile::Builder::new().prefix("readmostly-load-").tempdir().context("could not make a folder")?;
    let database = folder.path().join("cache.sqlite");
    let threads = args.server_threads.to_string();
    let mut arguments = ["--map", map.name(), "--threads", &threads, "--database"].map(OsStr::new).to_vec();
    arguments.push(database.as_os_str());
    let service = Service::start(&program, arguments).context("could not start the service")?;
    Ok(service.keeping(folder))
}

fn target_of(service: &Service) -> Result<Target> {
    service.url().parse().map_err(anyhow::Error::msg)
}

fn driver(args: &Args, targets: Vec<Target>) -> Driver {
    Driver {
        targets,
        threads: args.threads.into(),
        connections: args.connections.into(),
        timeout: args.timeout,
        clock: Clock::new(),
        run: rand::random(),
    }
}

fn status(target: &Target) -> Result<serde_json::Value> {
    let body = client::get(target, "/status.json")?;
    serde_json::from_slice(&body).with_context(|| format!("expected {}/status.json to be JSON", target.url()))
}

fn progress() -> Result<ProgressBar> {
    let style =
        ProgressStyle::with_template("{msg} [{bar:30}] {human_pos}/{human_len} {per_sec}")?.progress_chars("=> ");
    Ok(ProgressBar::new(0).with_style(style))
}

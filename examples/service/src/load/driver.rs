//! Sends the requests of a plan when they are due, over connections that are kept alive.
//!
//! Requests are due at a fixed rate, whether or not the ones before them were answered, and latency counts from when a
//! request was due: this is what "corrected for coordinated omission" means. A request that is due while all connections
//! wait for answers is sent as soon as one is free; what it waited is part of its latency.

use super::{
    client::{Answer, Connection, Failure, Target},
    clock::{Alarm, Clock},
    ledger::{Found, Ledger, Span, Violation},
    outcome::{Class, Outcome},
    plan::{Action, Plan},
    value::Stamp,
};
use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use indicatif::ProgressBar;
use std::{
    cell::RefCell,
    ops::Range,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tokio::{sync::Mutex, task::LocalSet};

/// What is not sent after this many times the intended duration is given up.
const PATIENCE: f64 = 3.0;
const REDRAW: Duration = Duration::from_millis(100);

/// When requests are due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many per second.
    Rate(f64),
    /// Each as soon as a connection is free, until that time is over: for the request rate, and without latencies.
    Saturated(Duration),
}

/// Who sends requests, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Driver {
    /// The instances; connections are dealt out to them in turn.
    pub(crate) targets: Vec<Target>,
    /// Threads that send.
    pub(crate) threads: usize,
    /// Connections of all threads together.
    pub(crate) connections: usize,
    /// A request without an answer after this time has failed.
    pub(crate) timeout: Duration,
    /// What times are told by.
    pub(crate) clock: Clock,
    /// Whose values are written.
    pub(crate) run: u64,
}

/// What to send.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// All requests.
    pub(crate) plan: Arc<Plan>,
    /// Those of them that are sent in this turn.
    pub(crate) steps: Range<usize>,
    /// When they are due.
    pub(crate) pace: Pace,
    /// Where answers are checked, if they are.
    pub(crate) ledger: Option<Arc<Ledger>>,
}

impl Driver {
    /// Sends what is due and waits for the answers; `progress` shows how many there are.
    pub(crate) fn play(&self, turn: &Turn, progress: &ProgressBar) -> Result<Outcome> {
        ensure!(!self.targets.is_empty(), "expected at least one instance of the service");
        let answered = Arc::new(AtomicU64::new(0));
        progress.set_length(turn.steps.len() as u64);
        let outcome = thread::scope(|scope| {
            let start = self.clock.now();
            let spawn = |thread| {
                scope.spawn({
                    let answered = answered.clone();
                    move || self.play_thread(turn, thread, start, answered)
                })
            };
            let threads: Vec<_> = (0..self.threads).map(spawn).collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                progress.set_position(answered.load(Relaxed));
                thread::park_timeout(REDRAW);
            }
            let mut all = Outcome::default();
            for thread in threads {
                all.merge(&thread.join().map_err(|_| anyhow::anyhow!("a thread of the driver panicked"))??);
            }
            anyhow::Ok(all)
        })?;
        progress.set_position(answered.load(Relaxed));
        Ok(outcome)
    }

    fn play_thread(&self, turn: &Turn, thread: usize, start: u64, answered: Arc<AtomicU64>) -> Result<Outcome> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("could not start a runtime of the driver")?;
        // Timers belong to the runtime in which they are made.
        let _inside = runtime.enter();
        let connections =
            (self.connections / self.threads + usize::from(thread < self.connections % self.threads)).max(1);
        let lane = Rc::new(Lane {
            driver: self.clone(),
            turn: turn.clone(),
            gate: Mutex::new(Gate::new(turn, thread, self.threads, start, self.clock)?),
            outcome: RefCell::new(Outcome::default()),
            answered,
        });
        let local = LocalSet::new();
        let tasks: Vec<_> = (0..connections)
            .map(|connection| {
                let target = self.targets[(thread + connection * self.threads) % self.targets.len()].clone();
                local.spawn_local(lane.clone().work(target))
            })
            .collect();
        local.block_on(&runtime, async {
            for task in tasks {
                task.await.context("a connection of the driver failed")?;
            }
            anyhow::Ok(())
        })?;
        let mut outcome = lane.outcome.take();
        outcome.wall = Duration::from_nanos(self.clock.now() - start);
        Ok(outcome)
    }
}

/// What the connections of a thread share.
struct Lane {
    driver: Driver,
    turn: Turn,
    /// The next request. Whoever has the lock waits until that is due; the others queue up behind.
    gate: Mutex<Gate>,
    outcome: RefCell<Outcome>,
    answered: Arc<AtomicU64>,
}

impl Lane {
    async fn work(self: Rc<Self>, target: Target) {
        let mut connection = Connection::new(target, self.driver.timeout);
        loop {
            let due = self.gate.lock().await.next().await;
            match due {
                Due::Send { step, at } => self.send(&mut connection, step, at).await,
                Due::GiveUp { late } => self.outcome.borrow_mut().give_up(late),
                Due::Over => return,
            }
            self.answered.fetch_add(1, Relaxed);
        }
    }

    async fn send(&self, connection: &mut Connection, at: usize, due: Option<u64>) {
        let (clock, plan) = (self.driver.clock, &self.turn.plan);
        let step = plan.step(at);
        let value = match step.action {
            Action::Write | Action::WriteExpiring => {
                Stamp { run: self.driver.run, key: step.key, step: at as u32 }.value(plan.workload.value_bytes)
            }
            Action::Read | Action::Delete => Vec::new(),
        };
        let request = connection.request(step.key, step.action, plan.workload.ttl, value);
        let asked = clock.now();
        if let Some(ledger) = self.turn.ledger.as_ref().filter(|_| step.action != Action::Read) {
            ledger.begin(at, asked);
        }
        let answer = connection.ask(request).await;
        let span = Span { asked, answered: clock.now() };
        let class = answer.as_ref().map_or(Class::Failed, |answer| Class::of(step.action, answer));
        let violation = self.check(at, class, span, &answer);

        let mut outcome = self.outcome.borrow_mut();
        outcome.record(class, span.answered - due.unwrap_or(asked), span.answered - asked);
        if let Some(kind) = Outcome::error_of(class, &answer) {
            outcome.fail(kind);
        }
        if let Some(violation) = violation {
            *outcome.violations.entry(violation).or_default() += 1;
        }
    }

    /// Notes what was acknowledged, and says what is wrong with what was read.
    fn check(&self, at: usize, class: Class, span: Span, answer: &Result<Answer, Failure>) -> Option<Violation> {
        let (ledger, answer) = (self.turn.ledger.as_ref()?, answer.as_ref().ok()?);
        let key = self.turn.plan.step(at).key;
        match class {
            Class::Failed => None,
            Class::Write | Class::Delete => {
                ledger.acknowledge(at, span.answered);
                None
            }
            Class::Hit | Class::Stale | Class::Negative | Class::Miss => {
                let found = match answer.status {
                    StatusCode::NOT_FOUND => Found::Nothing,
                    _ => Found::Value(&answer.body, class == Class::Stale),
                };
                ledger.judge(key, span, found)
            }
        }
    }
}

/// Lets one request of a thread pass after the other, each when it is due.
struct Gate {
    next: usize,
    end: usize,
    threads: usize,
    first: usize,
    start: u64,
    pace: Pace,
    /// When waiting is over, whatever is left.
    deadline: u64,
    clock: Clock,
    alarm: Alarm,
}

enum Due {
    /// This one, which was due then; now, without a rate.
    Send { step: usize, at: Option<u64> },
    /// One that was due so many nanoseconds ago.
    GiveUp { late: u64 },
    /// There are no more.
    Over,
}

impl Gate {
    fn new(turn: &Turn, thread: usize, threads: usize, start: u64, clock: Clock) -> Result<Self> {
        let Range { start: first, end } = turn.steps;
        let limit = match turn.pace {
            Pace::Rate(rate) => Duration::from_secs_f64(PATIENCE * turn.steps.len() as f64 / rate),
            Pace::Saturated(limit) => limit,
        };
        let deadline = start.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
        let alarm = Alarm::new(clock).context("could not make a timer")?;
        Ok(Self { next: first + thread, end, threads, first, start, pace: turn.pace, deadline, clock, alarm })
    }

    async fn next(&mut self) -> Due {
        let step = self.next;
        if step >= self.end {
            return Due::Over;
        }
        let now = self.clock.now();
        let Pace::Rate(rate) = self.pace else {
            self.next = if now < self.deadline { step + self.threads } else { self.end };
            return if now < self.deadline { Due::Send { step, at: None } } else { Due::Over };
        };
        self.next += self.threads;
        let at = self.start + ((step - self.first) as f64 * 1e9 / rate) as u64;
        if now > self.deadline {
            return Due::GiveUp { late: now - at };
        }
        if now < at {
            self.alarm.wait_until(at).await;
        }
        Due::Send { step, at: Some(at) }
    }
}

#[cfg(test)]
mod tests;

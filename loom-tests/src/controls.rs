//! Running a model with a mistake planted, in a process of its own: a mistake may well end in an abort.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use readmostly::faults::{Fault, Planted, plant};

/// Names the mistake to the process that has it planted.
const VARIABLE: &str = "READMOSTLY_PLANT";

/// How long a model may take to find a mistake.
const PATIENCE: Duration = Duration::from_secs(300);

const ALL: [Fault; 15] = [
    Fault::PublishFirst,
    Fault::UnpinEarly,
    Fault::SkipExpunge,
    Fault::PromoteEarly,
    Fault::FreeAtOnce,
    Fault::SplitExchange,
    Fault::InsertIntoRead,
    Fault::StaleRead,
    Fault::ClearLightly,
    Fault::NeverFrozen,
    Fault::NodeAlone,
    Fault::ShortChain,
    Fault::DueEarly,
    Fault::LandSuperseded,
    Fault::WakeOne,
];

/// Plants the mistake that this process was started for, if it was for one.
pub fn planted() -> Option<Planted> {
    let name = env::var(VARIABLE).ok()?;
    let fault = ALL.into_iter().find(|fault| format!("{fault:?}") == name).expect("the name of a mistake");
    Some(plant(fault))
}

/// Whether this process was started to find a mistake.
pub fn is_planted() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Runs the test `model` of this program with `fault` planted, and fails if the model does not.
#[track_caller]
pub fn must_fail(fault: Fault, model: &str) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", model, "--nocapture", "--test-threads=1"])
        .env(VARIABLE, format!("{fault:?}"))
        .env("LOOM_MAX_PREEMPTIONS", "3")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{model} has not found {fault:?} in {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(5));
    };
    let output = child.wait_with_output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&output).contains("running 1 test"), "there is no model {model}");
    assert!(!status.success(), "{model} passes although {fault:?} is planted");
}

//! Running a model with a mistake planted, in a process of its own: a mistake may well end in an abort.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use readmostly::faults::{Fault, Planted, plant};

/// Names the mistake to the process that has it planted.
const VARIABLE: &str = "READMOSTLY_PLANT";

/// How long a model may take to find a mistake.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// What the process says when the mistake is there: it may fail for other reasons.
const PLANTED: &str = "planted: ";

/// Plants the mistake that this process was started for, if it was for one.
pub fn planted() -> Option<Planted> {
    let name = env::var(VARIABLE).ok()?;
    let planted = plant(name.parse().unwrap());
    println!("{PLANTED}{name}");
    Some(planted)
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
    let output = String::from_utf8_lossy(&output);
    assert!(output.contains("running 1 test"), "there is no model {model}");
    assert!(output.contains(&format!("{PLANTED}{fault:?}")), "{model} has not planted {fault:?}");
    assert!(!status.success(), "{model} passes although {fault:?} is planted");
}

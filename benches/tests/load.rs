//! The load program runs from end to end; what it measures in so little time is not looked at.

use serde_json::Value;
use std::process::{Command, Output};

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_readmostly-bench")).args(arguments).output().unwrap()
}

fn sections(arguments: &[&str]) -> Vec<Value> {
    sections_of(&[arguments, &["--rounds", "1", "--round-ms", "5"]].concat())
}

fn sections_of(arguments: &[&str]) -> Vec<Value> {
    let output = program(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["sections"].as_array().unwrap().clone()
}

fn complaint(arguments: &[&str]) -> String {
    let output = program(arguments);
    assert!(!output.status.success(), "expected {arguments:?} to be refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_workload_is_measured_with_the_maps_asked_for() {
    let arguments = ["run", "--maps", "readmostly,dashmap", "--entries", "100", "--keys", "zipf", "--script", "1000"];
    let [section] = &sections(&arguments)[..] else { panic!("expected one section") };
    let columns: Vec<&str> =
        section["tables"][0]["columns"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
    assert_eq!(columns, ["threads", "readmostly", "dashmap", "reads that hit"]);
}

#[test]
fn latency_is_measured_at_the_rate_asked_for() {
    let arguments = ["latency", "--maps", "dashmap", "--entries", "100", "--rate", "100000", "--threads", "1"];
    let [section] = &sections(&arguments)[..] else { panic!("expected one section") };
    assert!(section["notes"].to_string().contains("100 k/s per thread"), "{}", section["notes"]);
    let reads = &section["tables"][0];
    assert!(reads["title"].as_str().unwrap().ends_with("reads"), "{reads}");
    assert!(reads["rows"][0][2]["spread"]["summary"]["median"].as_f64().unwrap() > 0.0, "{reads}");
}

#[test]
fn barriers_are_compared_with_none() {
    // Several rounds, since the thread that makes the barriers may not get a core in one.
    let arguments = ["preset", "barriers", "--quick", "--rounds", "5", "--round-ms", "30"];
    let [section] = &sections_of(&arguments)[..] else { panic!("expected one section") };
    let Some(costs) = section["tables"].get(0) else {
        assert!(section["notes"].to_string().contains("Nothing to measure"), "{}", section["notes"]);
        return;
    };
    let rows = costs["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 8, "{costs}");
    let per_second = |row: &Value| row[1]["spread"]["summary"]["median"].as_f64().unwrap();
    assert_eq!(per_second(&rows[0]), 0.0);
    assert!(per_second(&rows[7]) > 1_000.0, "{costs}");
    assert_eq!(section["plots"].as_array().unwrap().len(), 2);
}

#[test]
fn a_trace_is_replayed() {
    let path = std::env::temp_dir().join(format!("readmostly-bench-replay-{}.lis", std::process::id()));
    std::fs::write(&path, (0..1_000).map(|line| format!("{} 2 0 {line}\n", line % 100)).collect::<String>()).unwrap();
    let sections = sections(&["preset", "replay", "--quick", "--maps", "dashmap", "--trace", path.to_str().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    assert!(
        sections[0]["notes"][0].as_str().unwrap().contains("2000 accesses to 101 pages"),
        "{}",
        sections[0]["notes"]
    );
}

#[test]
fn bad_input_is_met_with_what_was_expected() {
    for (arguments, expected) in [
        (&["preset", "replay"][..], "expected --trace FILE"),
        (&["preset", "replay", "--trace", "no-such-file"], "expected no-such-file to be a readable trace"),
        (&["preset", "policy", "--maps", "dashmap"], "expected no --maps but readmostly"),
        (&["preset", "barriers", "--maps", "dashmap"], "expected no --maps but readmostly"),
        (&["run", "--keys", "trace"], "expected --trace FILE beside --keys trace"),
        (&["run", "--entries", "0"], "expected 1 to"),
        (&["run", "--threads", "0"], "expected at least one thread"),
        (&["run", "--reads", "101"], "expected 0 to 100 % of reads"),
        (&["run", "--keys", "zipf", "--skew", "0"], "expected a Zipf exponent above 0"),
        (&["run", "--value", "7"], "expected 8, 64 or 1024"),
        (&["run", "--key-type", "text", "--value", "64"], "expected values of 8 bytes or behind an Arc"),
        (&["latency", "--load", "0"], "expected a --load above 0"),
        (&["latency", "--rate", "0"], "expected a --rate of at least 1"),
    ] {
        let complaint = complaint(arguments);
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
    }
}

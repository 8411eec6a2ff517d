//! The program runs from end to end; what it measures in so little time is not looked at.

use std::process::Command;

fn claims(arguments: &[&str]) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_readmostly-bench")).arg("claims").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_claim_is_measured() {
    let names = ["pinned-get", "get", "get-many", "mixed", "shared", "tails", "absent", "writes"];
    let mut arguments = vec!["--quick", "--rounds", "1", "--round-ms", "1", "--json"];
    arguments.extend(names.iter().flat_map(|name| ["--only", name]));
    let report = claims(&arguments);
    let lines = report["lines"].as_array().unwrap();
    for name in names {
        assert!(lines.iter().any(|line| line["claim"] == name), "no line of {name}");
    }
    for line in lines {
        assert!(line["figure"]["median"].as_f64().is_some_and(|median| median > 0.0), "{line}");
        assert!(line["limit"].is_null() == (line["verdict"] == "INFO"), "{line}");
    }
}

#[test]
fn a_memory_probe_counts_at_least_the_entries() {
    let footprint = claims(&["--probe-memory", "hashbrown", "--filling", "sized"]);
    let heap = footprint["inserted"]["heap"].as_u64().unwrap();
    assert!((16_000_000..64_000_000).contains(&heap), "{heap} bytes for a million pairs of u64");
}

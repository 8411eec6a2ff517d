//! The page of the report, from stored figures and from measured ones.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// What `preset` prints as JSON, in short.
const STORED: &str = r#"{
    "environment": {
        "processor": "a processor", "cores": 2, "system": "linux x86_64", "load": 0.1, "date": "2026-01-02 03:04 UTC",
        "command": "readmostly-bench preset sizes", "versions": { "papaya": "0.2.5" }
    },
    "sections": [{
        "name": "sizes", "title": "Lookups over the map's size", "about": "Lower is better.", "command": "preset sizes",
        "notes": [], "tables": [],
        "plots": [{
            "title": "Lookups", "kind": "lines",
            "x": { "label": "entries", "scale": "log", "unit": "count" },
            "y": { "label": "time", "scale": "linear", "unit": "nanoseconds" },
            "lines": [{ "name": "papaya", "points": [{ "x": 1000.0, "y": 8.5 }, { "x": 1000000.0, "y": 40.0 }] }]
        }]
    }]
}"#;

fn report(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_readmostly-bench")).arg("report").args(arguments).output().unwrap()
}

fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn stored_figures_are_shown_again() {
    let folder = folder("stored");
    let (stored, page) = (folder.join("stored.json"), folder.join("page.html"));
    fs::write(&stored, STORED).unwrap();
    let output = report(&["--from", text(&stored), text(&stored), "--out", text(&page)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(&page).unwrap();
    assert_eq!(page.matches("<section").count(), 2, "one for each file");
    for expected in ["a processor", "Lookups over the map's size", "1 M", "papaya", "<svg"] {
        assert!(page.contains(expected), "expected {expected}");
    }
}

#[test]
fn what_is_not_a_document_is_refused() {
    let stored = folder("refused").join("other.json");
    fs::write(&stored, "{}").unwrap();
    let output = report(&["--from", text(&stored)]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("other.json to be a document"), "{errors}");
}

#[test]
fn a_preset_that_fails_leaves_the_others_results() {
    let page = folder("measured").join("page.html");
    let output = report(&["--set", "quick", "replay", "cold", "--out", text(&page)]);
    assert!(!output.status.success(), "expected replay to fail without a trace");

    let json = fs::read(page.with_extension("json")).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(document["sections"][0]["name"], "cold");
    assert_eq!(document["failures"][0]["name"], "replay");
    let reason = document["failures"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("expected --trace FILE"), "{reason}");

    let page = fs::read_to_string(&page).unwrap();
    assert!(page.contains("expected --trace FILE") && page.contains("preset cold --quick"));
}

#[test]
fn a_page_is_not_written_over_its_figures() {
    let output = report(&["cold", "--out", text(&folder("refused").join("page.json"))]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("not of its JSON"), "{errors}");
}

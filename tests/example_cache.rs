//! The cache example, run as a program: what it prints, where, and how it ends.
#![cfg(not(miri))] // Miri cannot start processes.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::str;
use std::sync::OnceLock;

use serde_json::Value;

const MAPS: [&str; 3] = ["syncmap", "dashmap", "rwlock"];

/// The example, built like this test: whether Cargo has built it before the tests run, and from the current source,
/// depends on the targets that were asked for.
fn example() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    Command::new(PROGRAM.get_or_init(build_example))
}

fn build_example() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile_dir = test.ancestors().nth(2).expect("tests lie in <profile>/deps");
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let profile = match profile_dir.file_name().expect("a named directory") {
        name if name == "debug" => OsStr::new("dev"),
        name => name,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--message-format=json", "--example", "cache"]);
    cargo.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target_dir).arg("--profile").arg(profile);
    // With `--target`, the target directory has the triple between itself and the profile.
    let above = profile_dir.parent().expect("the profile lies in the target directory");
    if above.canonicalize().ok() != target_dir.canonicalize().ok() {
        cargo.arg("--target").arg(above.file_name().expect("a triple"));
    }
    if cfg!(feature = "serde") {
        cargo.args(["--features", "serde"]);
    }
    let output = cargo.stdin(Stdio::null()).output().expect("Cargo starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the example must build: {stderr}");
    let is_example = |message: &Value| message["target"]["name"] == "cache" && message["executable"].is_string();
    serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter::<Value>()
        .map(|message| message.expect("Cargo's messages are JSON"))
        .find(is_example)
        .and_then(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("Cargo tells where the example is")
}

fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    example().args(args).stdin(Stdio::null()).output().expect("the example starts")
}

/// Runs the example on `trace` with further arguments.
fn replay(trace: &Path, args: &[&str]) -> Output {
    run([OsStr::new("--trace"), trace.as_os_str()].into_iter().chain(args.iter().map(OsStr::new)))
}

fn json(output: &Output) -> Value {
    assert_success(output);
    let text = str::from_utf8(&output.stdout).expect("UTF-8");
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert!(value.is_object(), "{text}");
    value
}

fn assert_success(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(stderr, "", "nothing is drawn where no terminal is");
}

/// Exit code 2, nothing on standard output, one line on standard error; returns the line.
fn refused(output: &Output) -> String {
    let stderr = str::from_utf8(&output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(str::from_utf8(&output.stdout), Ok(""));
    let line = stderr.strip_suffix('\n').expect("a whole line");
    assert!(!line.contains(char::is_control), "more than one line: {line:?}");
    assert!(line.starts_with("cache: "), "{line}");
    line.to_owned()
}

/// A file that is gone when the test is.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
        fs::write(&path, content).expect("the target directory is writable");
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// 300 requests of one to three pages, 600 accesses; half of them go to ten hot pages.
fn trace() -> String {
    (0..300)
        .map(|request| match request % 2 {
            0 => format!("{} 3 0 {request}\n", 1000 + 3 * request),
            _ => format!("{} 1 0 {request}\n", request % 10),
        })
        .collect()
}

const ACCESSES: u64 = 600;

#[test]
fn refuses_impossible_options() {
    for (args, expected) in [
        (["--threads", "0"], "expected a whole number from 1 to"),
        (["--read-share", "101"], "expected a whole number from 0 to 100"),
        (["--capacity", "0"], "expected a whole number from 1 to"),
        (["--seconds", "0"], "expected a number of seconds"),
        (["--map", "btreemap"], "[possible values: syncmap, dashmap, rwlock]"),
        (["--map", "two\n\nlines"], "possible values"),
        (["--shards", "4"], "expected one of the options"),
    ] {
        let line = refused(&run(args));
        assert!(line.contains(args[0]) || args[0] == "--map", "{line}");
        assert!(line.contains(expected) || args[1].contains('\n'), "{line}");
    }
}

#[test]
fn refuses_what_is_no_trace_file() {
    let missing = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-such-trace.lis");
    let line = refused(&replay(&missing, &[]));
    assert!(line.contains("no-such-trace.lis") && line.contains("expected"), "{line}");

    let directory = refused(&replay(Path::new(env!("CARGO_TARGET_TMPDIR")), &[]));
    assert!(directory.contains("expected"), "{directory}");

    let empty = TempFile::new("empty.lis", "");
    assert!(refused(&replay(&empty.0, &[])).contains("the trace is empty"));
}

#[test]
fn names_file_and_line_of_what_is_no_trace_line() {
    for (number, bad) in
        [&b"12 1 0"[..], b"12 1 zero 7", b"12 0 0 7", b"12 1000001 0 7", b"\xFF 1 0 7", b""].iter().enumerate()
    {
        let mut content = trace().into_bytes();
        content.extend_from_slice(bad);
        content.extend_from_slice(b"\n1 1 0 0\n");
        let name = format!("bad-{number}.lis");
        let file = TempFile::new(&name, content);
        for args in [&[][..], &["--json"]] {
            let line = refused(&replay(&file.0, args));
            assert!(line.contains(&format!("{name}:301: ")) && line.contains("expected"), "{line}");
        }
    }
}

#[test]
fn refuses_a_broken_zstd_stream() {
    let packed = zstd::encode_all(trace().as_bytes(), 0).expect("it compresses");
    let cut = TempFile::new("cut.lis.zst", &packed[..packed.len() / 2]);
    let line = refused(&replay(&cut.0, &[]));
    assert!(line.contains("cut.lis.zst:") && line.contains("expected"), "{line}");
    let plain = TempFile::new("plain.lis.zst", trace());
    refused(&replay(&plain.0, &[]));
}

#[test]
fn replays_a_trace_once_on_every_map() {
    let file = TempFile::new("once.lis", trace());
    for map in MAPS {
        for threads in ["1", "3"] {
            let args = ["--map", map, "--threads", threads, "--capacity", "50", "--sample", "1"];
            let text = replay(&file.0, &args);
            assert_success(&text);
            let text = str::from_utf8(&text.stdout).expect("UTF-8");
            for part in [map, "hit rate", "throughput", "P99.9", "\nget ", "\ninsert ", "\nevict ", "\nstats "] {
                assert!(text.contains(part), "no {part:?} in {text}");
            }

            let report = json(&replay(&file.0, &[&args[..], &["--json"]].concat()));
            assert_eq!(report["map"], map);
            assert_eq!(report["accesses"], ACCESSES);
            assert_eq!(report["gets"], ACCESSES);
            assert_eq!(report["latency_ns"]["get"]["count"], ACCESSES);
            let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"));
            assert_eq!(count("hits") + count("misses"), ACCESSES);
            assert_eq!(count("inserts") + count("bypassed"), count("misses"));
            assert_eq!(report["latency_ns"]["insert"]["count"], count("inserts"));
            assert_eq!(report["latency_ns"]["evict"]["count"], count("evict_passes"));
            assert!(count("evict_passes") > 0 && count("entries") <= count("peak_entries"), "{report}");
            assert_eq!(report["stats"].is_object(), map == "syncmap", "{report}");
        }
    }
}

#[test]
fn one_thread_hits_what_an_unbounded_cache_must() {
    let file = TempFile::new("unbounded.lis", trace());
    for map in MAPS {
        let report = json(&replay(&file.0, &["--map", map, "--threads", "1", "--capacity", "1000", "--json"]));
        // 450 pages are read once; the five hot ones miss once each.
        assert_eq!(report["misses"], 455, "{map}");
        assert_eq!(report["entries"], 455, "{map}");
        assert_eq!(report["evicted"], 0, "{map}");
        assert!(report["latency_ns"]["evict"]["max"].is_null(), "{map}");
    }
}

#[test]
fn compressed_and_plain_traces_are_the_same_accesses() {
    let packed = zstd::encode_all(trace().as_bytes(), 0).expect("it compresses");
    let plain = TempFile::new("same.lis", trace());
    let zst = TempFile::new("same.lis.zst", &packed);
    let unnamed = TempFile::new("same.packed", &packed);
    for file in [&plain, &zst, &unnamed] {
        let report = json(&replay(&file.0, &["--threads", "1", "--json"]));
        assert_eq!(report["accesses"], ACCESSES);
        assert_eq!(report["workload"]["accesses"], ACCESSES);
        assert_eq!(report["workload"]["keys"], 455);
    }
}

#[test]
fn a_limit_of_time_repeats_the_trace() {
    let file = TempFile::new("timed.lis", "1 2 0 0\n");
    // Two accesses are dealt out to three threads: one has nothing to do.
    let report = json(&replay(&file.0, &["--seconds", "0.5", "--threads", "3", "--json"]));
    assert_eq!(report["seconds"], 0.5);
    assert!(report["accesses"].as_u64().unwrap() > 100, "{report}");
    assert!(report["elapsed_ns"].as_u64().unwrap() >= 250_000_000, "{report}");
}

#[test]
fn generates_its_workload() {
    for map in MAPS {
        let args =
            ["--map", map, "--seconds", "0.05", "--keys", "2000", "--capacity", "200", "--threads", "2", "--json"];
        let report = json(&run(args.into_iter().chain(["--read-share", "50"])));
        assert_eq!(report["workload"]["kind"], "zipf");
        let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"));
        assert_eq!(count("gets") + count("overwrites"), count("accesses"));
        let share = count("gets") as f64 / count("accesses") as f64;
        assert!((0.4..0.6).contains(&share), "{share}");
        assert!((0.2..0.95).contains(&report["hit_rate"].as_f64().unwrap()), "{report}");
    }
}

#[test]
fn help_is_printed_to_standard_output() {
    let output = run(["--help"]);
    assert_success(&output);
    let text = str::from_utf8(&output.stdout).expect("UTF-8");
    for option in ["--map", "--threads", "--seconds", "--read-share", "--capacity", "--trace", "--json"] {
        assert!(text.contains(option), "no {option} in {text}");
    }
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let mut child = example()
        .args(["--keys", "100", "--seconds", "0.2", "--threads", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example starts");
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut stderr).expect("UTF-8");
    let status = child.wait().expect("it ends");
    assert!(status.success() && stderr.is_empty(), "{status}: {stderr}");
}

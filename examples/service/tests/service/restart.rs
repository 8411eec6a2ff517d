//! Ends and starts: by signals and by force, with and without a warm file.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;

use crate::port;
use crate::server::{Answer, MAPS, Place, Server, command, flip_byte, log};

fn warm(place: &Place) -> String {
    place.warm_file().to_str().unwrap().to_owned()
}

#[test]
fn a_warm_start_serves_from_the_cache_what_has_not_changed() {
    for map in MAPS {
        let place = Place::new();
        let warm = warm(&place);
        let args = ["--map", map, "--warm-file", &warm];
        let server = Server::start(&place, &args);
        let tag = server.put("/cache/kept", "kept").header("etag").to_owned();
        server.put("/cache/replaced", "old");
        server.put("/cache/deleted", "old");
        server.put("/cache/expired?ttl=0.3", "old");
        server.put("/cache/lasting?ttl=60", "lasting");
        server.stop();

        // Another instance changes the database and leaves the warm file as it is.
        let server = Server::start(&place, &["--map", map]);
        server.put("/cache/replaced", "new");
        server.delete("/cache/deleted");
        thread::sleep(Duration::from_millis(300));
        server.kill();

        let server = Server::start(&place, &args);
        let kept = server.get("/cache/kept");
        assert_eq!((kept.text(), kept.header("x-cache"), kept.header("etag")), ("kept", "hit", tag.as_str()), "{map}");
        assert_eq!(server.read("/cache/lasting"), (200, "hit".into(), "lasting".into()), "{map}");
        assert_eq!(server.status()["loads"], 0, "{map}");
        assert_eq!(server.read("/cache/replaced"), (200, "miss".into(), "new".into()), "{map}");
        assert_eq!(server.read("/cache/deleted"), (404, "miss".into(), String::new()), "{map}");
        assert_eq!(server.read("/cache/expired"), (404, "miss".into(), String::new()), "{map}");
        assert!(log(&place).contains("2 of "), "{}", log(&place));
    }
}

/// Versions of another database mean nothing, also where this one has written as often.
#[test]
fn a_warm_file_of_a_database_that_was_deleted_is_not_served() {
    let place = Place::new();
    let warm = warm(&place);
    let args = ["--warm-file", &warm];
    let server = Server::start(&place, &args);
    server.put("/cache/a", "old");
    server.stop();
    for suffix in ["", "-wal", "-shm"] {
        let mut path = place.database().into_os_string();
        path.push(suffix);
        let _absent = std::fs::remove_file(path);
    }
    let server = Server::start(&place, &[]);
    assert_eq!(server.put("/cache/a", "new").status, 201, "the database is a new one");
    server.stop();
    assert_eq!(Server::start(&place, &args).get("/cache/a").text(), "new");
}

#[test]
fn after_a_kill_all_that_was_acknowledged_is_there() {
    for map in MAPS {
        let place = Place::new();
        let warm = warm(&place);
        let args = ["--map", map, "--warm-file", &warm, "--warm-every", "20ms"];
        let server = Server::start(&place, &args);
        for n in 0..200 {
            assert!(matches!(server.put(&format!("/cache/{}", n % 20), n.to_string()).status, 201 | 204));
        }
        wait_for_warm_file(&place);
        assert_eq!(server.put("/cache/0", "last").status, 204);
        server.kill();
        let server = Server::start(&place, &args);
        assert_eq!(server.read("/cache/0").2, "last", "{map}");
        for key in 1..20 {
            assert_eq!(server.read(&format!("/cache/{key}")).2, (180 + key).to_string(), "{map}");
        }
        assert!(server.status()["loads"].as_u64().unwrap() <= 1, "{map}: it started cold");
    }
}

/// Waits for a warm file with all that is cached: the next one may have been begun before, but not the one after it.
fn wait_for_warm_file(place: &Place) {
    let modified = || std::fs::metadata(place.warm_file()).and_then(|file| file.modified()).ok();
    let begin = Instant::now();
    for _ in 0..2 {
        let before = modified();
        while modified() == before {
            assert!(begin.elapsed() < Duration::from_secs(20), "no warm file");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_damaged_warm_file_is_said_to_be_so_and_not_used() {
    let place = Place::new();
    let warm = warm(&place);
    // Sweeps that are suspended would be warned of, too.
    let args = ["--warm-file", warm.as_str(), "--sweep-slo", "60s"];
    let server = Server::start(&place, &args);
    for n in 0..1500 {
        server.put(&format!("/cache/{n}"), n.to_string());
    }
    server.stop();
    let whole = std::fs::read(place.warm_file()).unwrap();
    let damages: [(&str, &dyn Fn()); 5] = [
        ("a bit", &|| flip_byte(&place.warm_file(), whole.len() / 2)),
        ("the head", &|| flip_byte(&place.warm_file(), 3)),
        ("cut off", &|| std::fs::write(place.warm_file(), &whole[..whole.len() - 100]).unwrap()),
        ("cut off between frames", &|| std::fs::write(place.warm_file(), &whole[..whole.len() - 9]).unwrap()),
        ("more at the end", &|| std::fs::write(place.warm_file(), [&whole[..], b"more"].concat()).unwrap()),
    ];
    for (name, damage) in damages {
        std::fs::write(place.warm_file(), &whole).unwrap();
        damage();
        std::fs::write(place.log(), "").unwrap();
        let server = Server::start(&place, &args);
        let log = log(&place);
        assert_eq!(log.matches("WARN").count(), 1, "{name}: {log}");
        assert!(log.contains("starting cold") && log.contains("expected"), "{name}: {log}");
        assert_eq!(server.status()["entries"], 0, "{name}");
        assert_eq!(server.read("/cache/7"), (200, "miss".into(), "7".into()), "{name}");
        server.kill();
    }
    std::fs::write(place.warm_file(), &whole).unwrap();
    assert_eq!(Server::start(&place, &args).status()["entries"], 1500, "the whole file");
}

/// A service that has 50 keys in a warm file and is in the middle of reading it: it, where the rest of the file is to be
/// written, the rest, and its answer when asked whether it is ready.
fn start_slowly(place: &Place) -> (Server, File, Vec<u8>, Answer) {
    let warm = warm(place);
    let address = format!("127.0.0.1:{}", port::free());
    let args = ["--warm-file", &warm, "--listen", &address];
    let server = Server::start(place, &args);
    for n in 0..50 {
        server.put(&format!("/cache/{n}"), "x");
    }
    server.stop();
    // A pipe in place of the file, which the service reads as slowly as it is written here.
    let mut whole = std::fs::read(place.warm_file()).unwrap();
    std::fs::remove_file(place.warm_file()).unwrap();
    mkfifoat(CWD, place.warm_file(), Mode::RUSR | Mode::WUSR).unwrap();
    let mut server = Server::spawn(&mut command(place, &args), place);
    server.url = format!("http://{address}");
    let mut pipe = File::options().write(true).open(place.warm_file()).unwrap();
    let rest = whole.split_off(40);
    pipe.write_all(&whole).unwrap();
    let begin = Instant::now();
    loop {
        match server.try_send("GET", "/ready", &[], b"") {
            Ok(answer) => return (server, pipe, rest, answer),
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(20), "{error}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The database hangs while it is asked for versions.
#[test]
fn a_signal_ends_a_start_that_hangs() {
    let place = Place::new();
    let (server, mut pipe, rest, _) = start_slowly(&place);
    server.fault("database?mode=stall");
    pipe.write_all(&rest).unwrap();
    drop(pipe);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(server.status()["ready"], false);
    let begin = Instant::now();
    server.stop();
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert!(!place.warm_file().is_file(), "what was not read is not written");
}

#[test]
fn nothing_is_served_before_the_cache_is_warm() {
    let place = Place::new();
    let (server, mut pipe, rest, not_ready) = start_slowly(&place);
    assert_eq!((not_ready.status, not_ready.header("retry-after")), (503, "1"));
    assert_eq!(server.get("/cache/7").status, 503);
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.status()["ready"], false);
    pipe.write_all(&rest).unwrap();
    drop(pipe);
    server.wait_for("warm cache", |status| status["ready"] == true);
    assert_eq!(server.get("/ready").status, 200);
    assert_eq!(server.read("/cache/7"), (200, "hit".into(), "x".into()));
    assert_eq!(server.status()["loads"], 0);
}

/// Writers go on until they are refused; what was acknowledged must be there afterwards, and what was not is theirs to
/// know.
#[test]
fn a_stop_under_load_loses_nothing() {
    const WRITERS: u64 = 4;
    for (map, signal) in MAPS.into_iter().zip([Signal::TERM, Signal::INT, Signal::TERM, Signal::INT]) {
        let place = Place::new();
        let warm = warm(&place);
        let args = ["--map", map, "--warm-file", &warm];
        let server = Server::start(&place, &args);
        let total = AtomicU64::new(0);
        let write = |writer: u64| {
            let mut last = 0;
            loop {
                match server.try_send("PUT", &format!("/cache/{writer}"), &[], (last + 1).to_string().as_bytes()) {
                    Ok(answer) if matches!(answer.status, 201 | 204) => last += 1,
                    Ok(answer) => panic!("{answer:?}"),
                    // The connection was refused: it has stopped.
                    Err(_) => return last,
                }
                total.fetch_add(1, Relaxed);
            }
        };
        let last: Vec<u64> = thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
            while total.load(Relaxed) < 100 {
                thread::sleep(Duration::from_millis(1));
            }
            server.signal(signal);
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        assert!(server.wait().success());
        let server = Server::start(&place, &args);
        for (writer, last) in last.into_iter().enumerate() {
            let value: u64 = server.read(&format!("/cache/{writer}")).2.parse().unwrap();
            // A connection may be closed under a request that was never taken up; none is cut that was.
            assert!(value == last, "{map}: {value} is there, {last} was acknowledged");
        }
        assert_eq!(server.status()["loads"], 0, "{map}: the warm file was not written");
    }
}

#[test]
fn a_request_under_way_is_answered_before_the_end() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    server.fault("database?mode=stall&millis=5000");
    thread::scope(|scope| {
        let put = scope.spawn(|| server.put("/cache/a", "x").status);
        let get = scope.spawn(|| server.get("/cache/b").status);
        server.wait_for("load", |status| status["loading"] == 1);
        // For the write, of which no figure tells.
        thread::sleep(Duration::from_secs(2));
        server.signal(Signal::TERM);
        assert_eq!((put.join().unwrap(), get.join().unwrap()), (201, 404));
    });
    assert!(server.wait().success());
    assert_eq!(Server::start(&place, &[]).read("/cache/a").2, "x");
}

#[test]
fn what_cannot_be_started_says_why() {
    let place = Place::new();
    let _server = Server::start(&place, &[]);
    let alias = Place::new();
    symlink(place.database(), alias.database()).unwrap();
    let nowhere = Place::new();
    std::fs::write(nowhere.database(), "no database, but long enough to be taken for the head of one".repeat(20))
        .unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: [(&Place, &[&str], &str); 7] = [
        (&place, &[], "another instance"),
        (&alias, &[], "another instance"),
        (&nowhere, &[], "expected an SQLite database"),
        (&Place::new(), &["--listen", &taken], "expected a free address"),
        (&Place::new(), &["--negative-ttl", "0s"], "at least 1ms"),
        (&Place::new(), &["--negative-ttl", "soon"], "expected"),
        (&Place::new(), &["--map", "treemap"], "readmostly"),
    ];
    for (place, args, expected) in cases {
        let status = Server::spawn(&mut command(place, args), place).wait();
        let error = log(place);
        assert!(!status.success() && error.contains(expected) && !error.contains("panicked"), "{args:?}: {error}");
    }
}

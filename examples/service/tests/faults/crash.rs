//! The service is killed in the middle of writes and started again.

use crate::client::{Client, start_in};
use std::{sync::mpsc, thread, time::Duration};
use tempfile::TempDir;

const WRITERS: usize = 8;
const KEYS: usize = 5;

/// What a writer knows of its keys: the number of the last write that was acknowledged, and of the last that was begun.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    acknowledged: u64,
    begun: u64,
}

fn key(writer: usize, key: usize) -> String {
    format!("key-{writer}-{key}")
}

fn value(writer: usize, key: usize, number: u64) -> String {
    format!("{writer}/{key}/{number}/{}", "x".repeat(200))
}

/// Writes until the service is gone.
fn write(client: &Client, writer: usize, known: &mut [Known; KEYS], first: &mpsc::Sender<()>) {
    for at in (0..KEYS).cycle() {
        let number = known[at].begun + 1;
        known[at].begun = number;
        if !client.is_written(&key(writer, at), &value(writer, at, number)) {
            return;
        }
        known[at].acknowledged = number;
        // Nobody listens any more once the service is about to be killed.
        let _ = first.send(());
    }
}

/// Expects every key to have a value that was written whole, and none older than what was acknowledged.
fn check(client: &Client, known: &mut [[Known; KEYS]; WRITERS]) {
    for (writer, known) in known.iter_mut().enumerate() {
        for (at, known) in known.iter_mut().enumerate() {
            let reply = client.read(&key(writer, at));
            if reply.status == 404 {
                assert_eq!(known.acknowledged, 0, "{} is lost", key(writer, at));
                continue;
            }
            let body = String::from_utf8(reply.body).unwrap();
            let number = body.split('/').nth(2).and_then(|number| number.parse().ok()).expect("a value of this test");
            assert_eq!(body, value(writer, at, number));
            assert!((known.acknowledged..=known.begun).contains(&number), "{number} of {known:?}, {}", reply.source);
            // What was not acknowledged and is there will stay.
            known.acknowledged = number;
        }
    }
}

#[test]
fn what_was_acknowledged_outlives_a_crash_and_nothing_older_is_served() {
    let folder = TempDir::new().unwrap();
    let warm_file = folder.path().join("warm");
    let options = ["--warm-file", warm_file.to_str().unwrap(), "--warm-every", "50ms", "--threads", "2"];
    let mut known = [[Known::default(); KEYS]; WRITERS];
    for round in 0..6 {
        let (service, client) = start_in(folder.path(), &options);
        check(&client, &mut known);
        let (first, writes) = mpsc::channel();
        thread::scope(|scope| {
            for (writer, known) in known.iter_mut().enumerate() {
                let (client, first) = (&client, first.clone());
                scope.spawn(move || write(client, writer, known, &first));
            }
            // The more is written in between, the later the round.
            (0..50).for_each(|_| writes.recv_timeout(Duration::from_secs(20)).expect("a write"));
            thread::sleep(Duration::from_millis(40 * round));
            drop(service);
        });
    }
    let (_service, client) = start_in(folder.path(), &options);
    check(&client, &mut known);
    assert!(known.iter().flatten().all(|known| known.acknowledged > 0), "{known:?}");
}

#[test]
fn a_warm_file_that_is_broken_is_not_served() {
    let folder = TempDir::new().unwrap();
    let warm_file = folder.path().join("warm");
    let options = ["--warm-file", warm_file.to_str().unwrap(), "--warm-every", "50ms"];
    let (service, client) = start_in(folder.path(), &options);
    client.write("kept", "old");
    while !std::fs::metadata(&warm_file).is_ok_and(|file| file.len() > 0) {
        thread::sleep(Duration::from_millis(10));
    }
    client.write("kept", "new");
    drop(service);
    let whole = std::fs::read(&warm_file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    for broken in [&whole[..whole.len() / 2], b"", b"not a warm file at all", &flipped, &whole[1..]] {
        std::fs::write(&warm_file, broken).unwrap();
        let (_service, client) = start_in(folder.path(), &options);
        assert_eq!(client.read("kept").body, b"new");
    }
}

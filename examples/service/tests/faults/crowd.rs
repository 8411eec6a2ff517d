//! A thousand clients that leave in the middle.
#![cfg(target_os = "linux")]

use crate::{
    client::{Client, start},
    process::{Service, Usage},
};
use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

const CROWD: usize = 1_000;
/// At a time, since each needs a descriptor on either side.
const GROUP: usize = 100;
/// What the allocator may keep.
const MOST_BYTES: u64 = 16 << 20;

fn descriptors(service: &Service) -> usize {
    procfs::process::Process::new(service.id().cast_signed()).unwrap().fd_count().unwrap()
}

/// Clients leave before, in the middle of and after their request, and in the middle of the answer.
fn come_and_go(client: &Client) {
    let body = "x".repeat(50_000);
    let requests = [
        String::new(),
        "PUT /cache/kept HTT".into(),
        "PUT /cache/kept HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n".into(),
        format!("PUT /cache/kept HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n{body}"),
        "PUT /cache/kept HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nnew\r\n".into(),
        "GET /cache/large HTTP/1.1\r\nhost: a\r\n\r\n".repeat(20),
        "GET /cache/absent HTTP/1.1\r\nhost: a\r\n\r\n".into(),
        "GET /status HTTP/1.1\r\nhost: a\r\n\r\n".into(),
    ];
    for group in 0..CROWD / GROUP {
        let streams: Vec<_> = (0..GROUP)
            .map(|n| {
                let mut stream = client.connect();
                // What does not fit is not sent: nobody reads the answers.
                stream.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
                let _ = stream.write_all(requests[(group + n) % requests.len()].as_bytes());
                stream
            })
            .collect();
        client.expect_hit("kept", "old");
        drop(streams);
    }
}

/// Waits until the service has closed what its clients have left; its descriptors then, which must be `most` at most.
fn settled(service: &Service, most: usize) -> usize {
    let start = Instant::now();
    let (mut open, mut since) = (descriptors(service), Instant::now());
    while open > most || since.elapsed() < Duration::from_millis(500) {
        assert!(start.elapsed() < Duration::from_secs(20), "{open} descriptors, expected {most} at most");
        thread::sleep(Duration::from_millis(20));
        let now = descriptors(service);
        if now != open {
            (open, since) = (now, Instant::now());
        }
    }
    open
}

#[test]
fn a_thousand_clients_that_leave_take_nothing_with_them() {
    let (service, client) = start(&["--threads", "2"]);
    client.write("kept", "old");
    client.write("large", "x".repeat(1_000_000));
    client.expect_hit("kept", "old");
    // Once, so that the allocator and the database have what they will keep.
    come_and_go(&client);
    let before = settled(&service, GROUP - 1);
    let bytes = Usage::of(service.id()).unwrap().resident_bytes;
    come_and_go(&client);
    settled(&service, before);
    let grown = Usage::of(service.id()).unwrap().resident_bytes.saturating_sub(bytes);
    assert!(grown < MOST_BYTES, "{grown} bytes more");
    client.expect_hit("kept", "old");
    assert_eq!(client.write("kept", "new").status, 204);
    client.expect_hit("kept", "new");
}

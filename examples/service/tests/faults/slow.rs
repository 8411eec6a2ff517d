//! Clients that take their time.

use crate::client::{rest_of, start};
use std::{
    io::Write,
    thread,
    time::{Duration, Instant},
};

const SLOW_CLIENTS: usize = 100;
/// Each fills the buffers of the system with some megabytes.
const IDLE_CLIENTS: usize = 20;

#[test]
fn slow_clients_delay_nobody_else_and_are_cut_in_the_end() {
    let (_service, client) = start(&["--client-timeout", "1s", "--threads", "2"]);
    client.write("kept", "old");
    let start = Instant::now();
    let slow: Vec<_> = (0..SLOW_CLIENTS)
        .map(|n| {
            let mut stream = client.connect();
            let request = match n % 2 {
                0 => "GET /cache/kept HTTP/1.1\r\nhost: a\r\nx-slow: ",
                _ => "PUT /cache/kept HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n",
            };
            stream.write_all(request.as_bytes()).unwrap();
            thread::spawn(move || {
                // A byte at a time, for far longer than the service has patience.
                while start.elapsed() < Duration::from_secs(10) && stream.write_all(b"x").is_ok() {
                    thread::sleep(Duration::from_millis(100));
                }
                let answer = rest_of(stream);
                (start.elapsed(), answer)
            })
        })
        .collect();
    while start.elapsed() < Duration::from_millis(800) {
        client.expect_hit("kept", "old");
    }
    for slow in slow {
        let (took, answer) = slow.join().unwrap();
        assert!(took < Duration::from_secs(8), "a slow client was kept for {took:?}");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer:?}");
    }
    client.expect_hit("kept", "old");
}

#[test]
fn clients_that_do_not_take_their_answers_delay_nobody_else() {
    let (_service, client) = start(&["--threads", "2", "--body-limit", "10000000"]);
    let large = vec![b'x'; 10_000_000];
    client.write("large", &large);
    client.write("kept", "old");
    let idle: Vec<_> = (0..IDLE_CLIENTS)
        .map(|_| {
            let mut stream = client.connect();
            stream.write_all(b"GET /cache/large HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
            stream
        })
        .collect();
    // What fits into the buffers is sent.
    thread::sleep(Duration::from_millis(500));
    for _ in 0..100 {
        client.expect_hit("kept", "old");
    }
    assert_eq!(client.write("kept", "new").status, 204);
    client.expect_hit("kept", "new");
    drop(idle);
    assert_eq!(client.read("large").body, large);
}

//! Bodies that are too long.

use crate::client::{rest_of, start, status_of};
use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

const LIMIT: usize = 10_000;

#[test]
fn bodies_up_to_the_limit_are_taken_and_longer_ones_are_not() {
    let (_service, client) = start(&["--body-limit", &LIMIT.to_string()]);
    let longest = vec![b'x'; LIMIT];
    assert_eq!(client.write("kept", &longest).status, 201);
    let refusal = client.write("kept", vec![b'y'; LIMIT + 1]);
    assert_eq!(refusal.status, 413);
    assert_eq!(String::from_utf8(refusal.body).unwrap(), "body too long; expected 10000 bytes at most\n");
    client.expect_hit("kept", &longest);
    assert_eq!(client.write("empty", "").status, 201);
    client.expect_hit("empty", "");
}

#[test]
fn a_body_that_is_announced_as_too_long_is_not_waited_for() {
    let (_service, client) = start(&["--body-limit", &LIMIT.to_string()]);
    let begin = Instant::now();
    for length in [LIMIT as u64 + 1, 10_000_000_000] {
        let mut stream = client.connect();
        write!(stream, "PUT /cache/k HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\nfirst bytes").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{length}");
    }
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert_eq!(client.read("k").status, 404);
}

#[test]
fn a_body_without_a_length_is_refused_once_it_is_too_long() {
    let (_service, client) = start(&["--body-limit", &LIMIT.to_string(), "--client-timeout", "3s"]);
    client.write("kept", "old");
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    let head = "PUT /cache/kept HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = client.send(format!("{head}{}0\r\n\r\n", chunk.repeat(11)).as_bytes());
    assert_eq!(status_of(&answer), 413, "{answer:?}");
    client.expect_hit("kept", "old");
    let answer = client.send(format!("{head}{}0\r\n\r\n", chunk.repeat(10)).as_bytes());
    assert_eq!(status_of(&answer), 204, "{answer:?}");
    client.expect_hit("kept", "x".repeat(LIMIT));

    // One that does not end.
    let mut stream = client.connect();
    stream.write_all(head.as_bytes()).unwrap();
    let sent = (0..1_000).take_while(|_| stream.write_all(chunk.as_bytes()).is_ok()).count();
    let answer = rest_of(stream);
    assert!(sent < 1_000 || status_of(&answer) == 413, "{sent} chunks, {answer:?}");
    client.expect_hit("kept", "x".repeat(LIMIT));
}

//! Requests that are none: each gets a 4xx, and one line that says what was expected where the service itself says no.

use crate::client::{Client, start, status_of};
use std::io::{Read, Write};

/// Sends the request and expects a status and a line that tells what was expected.
fn refused(client: &Client, request: &str, status: u16) {
    let answer = client.send(request.as_bytes());
    let shown = &request[..request.len().min(80)];
    assert_eq!(status_of(&answer), status, "{shown:?} got {answer:?}");
    let (_, line) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(line.contains("expected") && line.ends_with('\n'), "{shown:?} got {line:?}");
    assert_eq!(line.lines().count(), 1, "{shown:?} got {line:?}");
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
}

fn put(path: &str, headers: &str) -> String {
    format!("PUT {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 3\r\n{headers}\r\nnew")
}

#[test]
fn what_is_no_http_is_refused() {
    let (_service, client) = start(&[]);
    client.write("kept", "old");
    let long = "a".repeat(100_000);
    let many: String = (0..500).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (request, status) in [
        ("\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03 hello\r\n\r\n".to_owned(), 400),
        ("\r\n\r\n\0\0\0\r\n\r\n".into(), 400),
        ("GET\r\n\r\n".into(), 400),
        ("GET /cache/kept\r\n\r\n".into(), 400),
        ("GET /cache/kept HTTP/9.9\r\n\r\n".into(), 400),
        ("GET /cache/a b HTTP/1.1\r\n\r\n".into(), 400),
        ("G\u{1}T /cache/kept HTTP/1.1\r\n\r\n".into(), 400),
        ("GET /cache/kept HTTP/1.1\r\nno colon\r\n\r\n".into(), 400),
        (format!("GET /cache/kept HTTP/1.1\r\nx: {}\r\n\r\n", long.repeat(10)), 431),
        (format!("GET /cache/kept HTTP/1.1\r\n{many}\r\n"), 431),
        (get(&format!("/cache/{long}")), 414),
        ("PUT /cache/kept HTTP/1.1\r\ncontent-length: three\r\n\r\nnew".into(), 400),
        ("PUT /cache/kept HTTP/1.1\r\ncontent-length: 18446744073709551614\r\n\r\nnew".into(), 431),
        ("PUT /cache/kept HTTP/1.1\r\ncontent-length: -3\r\n\r\nnew".into(), 400),
        ("PUT /cache/kept HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nnew".into(), 400),
        ("PUT /cache/kept HTTP/1.1\r\ntransfer-encoding: best\r\n\r\nnew".into(), 400),
    ] {
        let answer = client.send(request.as_bytes());
        assert_eq!(status_of(&answer), status, "{:?} got {answer:?}", &request[..request.len().min(80)]);
    }
    client.expect_hit("kept", "old");
}

#[test]
fn bad_keys_are_refused() {
    let (_service, client) = start(&[]);
    for (path, status) in [
        ("/cache/%ff".to_owned(), 400),
        ("/cache/%e2%82".into(), 400),
        ("/cache/a%00b".into(), 400),
        ("/cache/a%0d%0ab".into(), 400),
        (format!("/cache/{}", "k".repeat(513)), 414),
        (format!("/cache/{}", "%C3%A4".repeat(257)), 414),
        ("/cache/".into(), 404),
        ("/cache/a/b".into(), 404),
        ("/".into(), 404),
        ("/cache/absent".into(), 404),
    ] {
        refused(&client, &get(&path), status);
    }
    let longest = "k".repeat(512);
    assert_eq!(client.write(&longest, "v").status, 201);
    client.expect_hit(&longest, "v");
    // Where a percent sign begins no escape, it stands for itself or is refused, but is never taken for another key.
    for key in ["%zz", "%", "%4"] {
        let status = client.send(put(&format!("/cache/{key}"), "").as_bytes());
        assert!([201, 400].contains(&status_of(&status)), "{key:?} got {status:?}");
    }
    assert_eq!(client.read("zz").status, 404);
}

#[test]
fn bad_conditions_and_times_are_refused_and_nothing_is_written() {
    let (_service, client) = start(&[]);
    assert_eq!(client.write("kept", "old").status, 201);
    for header in [
        "if-match: 1",
        "if-match: \"one\"",
        "if-match: \"1",
        "if-match: W/\"1\"",
        "if-match: \"1\", \"2\"",
        "if-match: \"99999999999999999999\"",
        "if-match:",
        "if-match: \"1\"\r\nif-match: \"1\"",
        "if-match: \"1\"\r\nif-none-match: *",
        "if-none-match: \"1\"",
        "if-none-match: x",
    ] {
        refused(&client, &put("/cache/kept", &format!("{header}\r\n")), 400);
    }
    for ttl in ["-1", "0", "abc", "", "NaN", "inf", "1e400", "1,5", "1&ttl=2", "0x10", "%31%00"] {
        refused(&client, &put(&format!("/cache/kept?ttl={ttl}"), ""), 400);
    }
    refused(&client, &put("/cache/kept?tll=5", ""), 400);
    refused(&client, &put("/cache/kept", "if-match: \"12345\"\r\n"), 412);
    refused(&client, &put("/cache/kept", "if-none-match: *\r\n"), 412);
    refused(&client, "DELETE /cache/kept HTTP/1.1\r\nhost: a\r\nconnection: close\r\nif-match: x\r\n\r\n", 400);
    refused(&client, "POST /cache/kept HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 405);
    refused(&client, "BREW /cache/kept HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 405);
    client.expect_hit("kept", "old");
    // The longest time is a time.
    assert_eq!(status_of(&client.send(put("/cache/long?ttl=1e300", "").as_bytes())), 400);
    assert_eq!(status_of(&client.send(put("/cache/long?ttl=1e15", "").as_bytes())), 201);
    client.expect_hit("long", "new");
}

#[test]
fn half_a_request_changes_nothing_and_a_connection_outlives_a_refusal() {
    let (_service, client) = start(&[]);
    client.write("kept", "old");
    for half in
        ["", "P", "PUT /cache/kept", "PUT /cache/kept HTTP/1.1\r\nhost", "PUT /cache/kept HTTP/1.1\r\nhost: a\r\n"]
    {
        let answer = client.send_part(half.as_bytes());
        assert!([0, 400].contains(&status_of(&answer)), "{half:?} got {answer:?}");
    }
    let half = "PUT /cache/kept HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nnew";
    assert!([0, 400].contains(&status_of(&client.send_part(half.as_bytes()))));
    for chunk in ["zz\r\nnew\r\n0\r\n\r\n", "3\r\nnew", "3\r\nnewer\r\n0\r\n\r\n", "ffffffffffffffffff\r\nnew"] {
        let request = format!("PUT /cache/kept HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
        let answer = client.send_part(request.as_bytes());
        assert!([0, 400].contains(&status_of(&answer)), "{chunk:?} got {answer:?}");
    }
    client.expect_hit("kept", "old");

    let mut stream = client.connect();
    stream.write_all(b"GET /cache/%ff HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    stream.write_all(b"GET /cache/kept HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert!(answers.starts_with("HTTP/1.1 400") && answers.contains("HTTP/1.1 200"), "{answers:?}");
    assert!(answers.ends_with("\r\n\r\nold"), "{answers:?}");
}

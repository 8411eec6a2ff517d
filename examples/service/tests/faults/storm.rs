//! All of it at once, under the load test, which checks every answer.

use crate::client::{Client, PROGRAM, start};
use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const SECONDS: u64 = 6;

/// Leaves connections in the middle of requests.
fn disturb(client: &Client) {
    for request in
        ["PUT /cache/key-1 HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf", "garbage\r\n\r\n", "GET /cac"]
    {
        let _ = client.connect().write_all(request.as_bytes());
    }
}

fn requests(client: &Client) -> u64 {
    let status: serde_json::Value = serde_json::from_slice(&client.get("/status.json").body).expect("JSON");
    status["requests"].as_u64().expect("a number")
}

#[test]
fn no_answer_is_wrong_while_the_database_stalls_and_goes_and_clients_leave() {
    let (service, client) = start(&["--faults", "--threads", "2", "--load-timeout", "300ms", "--sweep-every", "100ms"]);
    let duration = format!("{SECONDS}s");
    // Not filled first, for which no write may fail, but by the requests themselves.
    let mut load = Command::new(PROGRAM)
        .args(["load", "--url", service.url(), "--verify", "--rate", "500", "--duration", &duration])
        .args(["--no-fill", "--reads", "60", "--keys", "300", "--ttl", "1", "--expiring", "40"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a load test that starts");
    let start = Instant::now();
    while requests(&client) < 500 {
        assert!(start.elapsed() < Duration::from_secs(20), "no requests come");
        thread::sleep(Duration::from_millis(10));
    }
    for mode in ["stall", "gone"].into_iter().cycle() {
        client.fault(&format!("mode={mode}&millis=500"));
        disturb(&client);
        thread::sleep(Duration::from_millis(800));
        assert!(start.elapsed() < Duration::from_secs(120), "the load does not end");
        if load.try_wait().expect("a child").is_some() {
            break;
        }
    }
    let load = load.wait_with_output().expect("a load test that ends");
    let output = String::from_utf8_lossy(&load.stdout);
    assert!(load.status.success(), "{output}\n{}", String::from_utf8_lossy(&load.stderr));
    assert!(output.contains("503 Service Unavailable"), "expected faults to be felt: {output}");
}

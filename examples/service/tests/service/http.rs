//! Routes, status codes, conditions and what is refused.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use crate::server::{MAPS, Place, Server, on_each_map, read_all};

#[test]
fn a_value_is_put_read_replaced_and_deleted_on_each_map() {
    for map in MAPS {
        let place = Place::new();
        let server = Server::start(&place, &["--map", map]);
        assert_eq!(server.status()["map"], map);

        let put = server.put("/cache/a", "one");
        assert_eq!(put.status, 201, "{map}");
        let read = server.get("/cache/a");
        assert_eq!((read.status, read.text(), read.header("x-cache")), (200, "one", "hit"), "{map}");
        assert_eq!(read.header("etag"), put.header("etag"));
        assert_eq!(read.header("content-type"), "application/octet-stream");

        let replaced = server.put("/cache/a", "two");
        assert_eq!(replaced.status, 204, "{map}");
        assert_ne!(replaced.header("etag"), put.header("etag"));
        assert_eq!(server.read("/cache/a"), (200, "hit".into(), "two".into()), "{map}");

        assert_eq!(server.delete("/cache/a").status, 204, "{map}");
        assert_eq!(server.read("/cache/a"), (404, "negative".into(), String::new()), "{map}");
        assert_eq!(server.delete("/cache/a").status, 404, "{map}");
        let again = server.put("/cache/a", "one");
        assert_eq!(again.status, 201);
        assert_ne!(again.header("etag"), put.header("etag"), "{map}: a version came back");
        assert_eq!(server.read("/cache/a"), (200, "hit".into(), "one".into()), "{map}");
    }
}

#[test]
fn keys_and_values_may_be_any_text_and_any_bytes() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let value: Vec<u8> = (0..=255).collect();
    let longest = format!("/cache/{}", "k".repeat(512));
    for path in ["/cache/a%2Fb", "/cache/%C3%A4%20%E2%82%AC", "/cache/a+b", "/cache/..a", longest.as_str()] {
        assert_eq!(server.put(path, &value).status, 201, "{path}");
        assert_eq!(server.get(path).body, value, "{path}");
    }
    assert_eq!(server.get("/cache/b").status, 404);
    assert_eq!(server.put("/cache/empty", "").status, 201);
    assert_eq!(server.read("/cache/empty"), (200, "hit".into(), String::new()));
    assert_eq!(server.status()["entries"], 7, "six values and what is known to be absent");
}

#[test]
fn a_reader_that_knows_the_version_is_not_sent_it() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let tag = server.put("/cache/a", "one").header("etag").to_owned();
    let list = format!("\"x\", {tag}");
    for known in [tag.as_str(), "*", list.as_str()] {
        let answer = server.send("GET", "/cache/a", &[("if-none-match", known)], b"");
        assert_eq!((answer.status, answer.body.len(), answer.header("etag")), (304, 0, tag.as_str()), "{known}");
    }
    server.put("/cache/a", "two");
    let answer = server.send("GET", "/cache/a", &[("if-none-match", &tag)], b"");
    assert_eq!((answer.status, answer.text()), (200, "two"));
    assert_eq!(server.send("GET", "/cache/b", &[("if-none-match", &tag)], b"").status, 404);
    let head = server.send("HEAD", "/cache/a", &[], b"");
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, "3"));
}

#[test]
fn writes_hold_to_their_conditions() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    let put = |condition: (&str, &str), body: &str| server.send("PUT", "/cache/a", &[condition], body.as_bytes());
    let any = ("if-match", "*");
    let none = ("if-none-match", "*");

    assert_eq!(put(any, "no").status, 412);
    let first = put(none, "one");
    assert_eq!(first.status, 201);
    assert_eq!(put(none, "no").status, 412);
    let first = ("if-match", first.header("etag"));
    let second = put(first, "two");
    assert_eq!(second.status, 204);
    assert_eq!(put(first, "no").status, 412);
    // More than a database of signed integers can hold.
    assert_eq!(put(("if-match", "\"18446744073709551615\""), "no").status, 412);
    assert_eq!(server.read("/cache/a"), (200, "hit".into(), "two".into()));
    let third = put(any, "three");
    assert_eq!(third.status, 204);

    let delete = |condition| server.send("DELETE", "/cache/a", &[condition], b"").status;
    assert_eq!(delete(first), 412);
    assert_eq!(delete(none), 412);
    assert_eq!(server.read("/cache/a"), (200, "hit".into(), "three".into()));
    assert_eq!(delete(("if-match", third.header("etag"))), 204);
    assert_eq!(delete(any), 412);
    assert_eq!(delete(none), 404);
}

/// Each of many adds up by compare and swap. A swap that looked first and wrote later would lose some.
#[test]
fn swaps_by_several_clients_lose_nothing() {
    const ADDERS: usize = 4;
    const TIMES: usize = 25;
    for map in MAPS {
        let place = Place::new();
        let server = Server::start(&place, &["--map", map]);
        server.put("/cache/sum", "0");
        let add = || {
            let read = server.get("/cache/sum");
            let sum = read.text().parse::<usize>().unwrap() + 1;
            let condition = [("if-match", read.header("etag"))];
            server.send("PUT", "/cache/sum", &condition, sum.to_string().as_bytes()).status == 204
        };
        let add_all = || {
            let mut left = TIMES;
            while left > 0 {
                left -= usize::from(add());
            }
        };
        thread::scope(|scope| (0..ADDERS).for_each(|_| drop(scope.spawn(add_all))));
        assert_eq!(server.get("/cache/sum").text(), (ADDERS * TIMES).to_string(), "{map}");
    }
}

/// The status expected, the method, the path, headers and the body.
type Case<'a> = (u16, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a [u8]);

#[test]
fn bad_input_is_refused_in_one_line_that_says_what_was_expected() {
    let place = Place::new();
    let server = Server::start(&place, &["--body-limit", "1000"]);
    let long = format!("/cache/{}", "k".repeat(513));
    let big = [b'x'; 1001];
    let none: &[(&str, &str)] = &[];
    let cases: &[Case<'_>] = &[
        (400, "GET", "/cache/%FF", none, b""),
        (400, "GET", "/cache/a%00b", none, b""),
        (400, "GET", "/cache/a%0Ab", none, b""),
        (414, "GET", &long, none, b""),
        (414, "PUT", &long, none, b"x"),
        (400, "PUT", "/cache/a?ttl=", none, b"x"),
        (400, "PUT", "/cache/a?ttl=0", none, b"x"),
        (400, "PUT", "/cache/a?ttl=-1", none, b"x"),
        (400, "PUT", "/cache/a?ttl=NaN", none, b"x"),
        (400, "PUT", "/cache/a?ttl=1e300", none, b"x"),
        (400, "PUT", "/cache/a?ttl=soon", none, b"x"),
        (400, "PUT", "/cache/a?ttl=1&ttl=2", none, b"x"),
        (400, "PUT", "/cache/a?tll=1", none, b"x"),
        (400, "PUT", "/cache/a", &[("if-match", "7")], b"x"),
        (400, "PUT", "/cache/a", &[("if-match", "\"seven\"")], b"x"),
        (400, "PUT", "/cache/a", &[("if-match", "\"1\""), ("if-match", "\"2\"")], b"x"),
        (400, "PUT", "/cache/a", &[("if-match", "*"), ("if-none-match", "*")], b"x"),
        (400, "PUT", "/cache/a", &[("if-none-match", "\"1\"")], b"x"),
        (400, "DELETE", "/cache/a", &[("if-match", "")], b""),
        (413, "PUT", "/cache/a", none, &big),
        (404, "GET", "/cache", none, b""),
        (404, "GET", "/cache/", none, b""),
        (404, "GET", "/cache/a/b", none, b""),
        (404, "GET", "/", none, b""),
        (404, "GET", "/cache/a", none, b""),
        (405, "POST", "/cache/a", none, b""),
        (405, "PUT", "/status", none, b""),
        (412, "PUT", "/cache/a", &[("if-match", "\"7\"")], b"x"),
        (400, "POST", "/faults/database?mode=broken", none, b""),
        (400, "POST", "/faults/sweep", none, b""),
    ];
    for (status, method, path, headers, body) in cases {
        let answer = server.send(method, path, headers, body);
        let text = answer.text();
        let case = format!("{method} {path} {headers:?}: {} {text:?}", answer.status);
        assert_eq!(answer.status, *status, "{case}");
        assert!(text.contains("expected") && text.ends_with('\n') && text.lines().count() == 1, "{case}");
        assert!(answer.header("content-type").starts_with("text/plain"), "{case}");
    }
    // More than fits into the buffers of a connection. A client that is not done within a second is cut, which a slow
    // machine may make of one of them.
    let huge = vec![b'x'; 8 << 20];
    let mut answers = (0..5).map(|_| server.try_send("PUT", "/cache/a", &[], &huge));
    assert_eq!(answers.find_map(Result::ok).expect("an answer").status, 413);
    assert_eq!(server.put("/cache/a", &big[..1000]).status, 201, "as long as the limit");
    assert_eq!(server.send("GET", "/cache/a", &[("if-none-match", "unquoted")], b"").status, 400);
}

#[test]
fn what_is_not_http_is_refused_and_what_comes_slowly_is_cut() {
    let place = Place::new();
    let server = Server::start(&place, &["--client-timeout", "2s", "--body-limit", "1000"]);
    let say = |text: &str| {
        let mut stream = server.connect();
        stream.write_all(text.as_bytes()).unwrap();
        read_all(stream)
    };
    assert!(say("complete nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert!(say("GET /cache/a HTTP/1.1\r\nbroken\r\n\r\n").starts_with("HTTP/1.1 400"));
    let chunked = format!(
        "PUT /cache/a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n{}\r\n0\r\n\r\n",
        "x".repeat(1001)
    );
    assert!(say(&chunked).starts_with("HTTP/1.1 413"), "of no announced length");
    let begin = Instant::now();
    assert!(say("PUT /cache/a HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nhalf").starts_with("HTTP/1.1 408"));
    assert!(!say("GET /cache/a HT").starts_with("HTTP/1.1 2"));
    assert!((Duration::from_secs(4)..Duration::from_secs(20)).contains(&begin.elapsed()));
    assert_eq!(server.get("/cache/a").status, 404, "half a body was taken for all of it");
    assert_eq!(server.put("/cache/a", "x").status, 201);
}

#[test]
fn clients_that_go_away_in_the_middle_harm_nobody() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    server.put("/cache/a", "one");
    let heads = [
        "PUT /cache/a HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nhalf",
        "PUT /cache/a HTTP/1.1\r\nhost: h\r\ncontent-le",
        "GET /cache/b HTTP/1.1\r\nhost: h\r\n\r\n",
    ];
    for n in 0..300 {
        server.connect().write_all(heads[n % 3].as_bytes()).unwrap();
    }
    assert_eq!(server.read("/cache/a"), (200, "hit".into(), "one".into()));
    server.wait_for("end of all loads", |status| status["loading"] == 0);
}

#[test]
fn a_panic_is_an_answer_of_500_and_no_more() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    assert_eq!(server.send("POST", "/faults/panic", &[], b"").status, 500);
    assert_eq!(server.put("/cache/a", "x").status, 201);
}

#[test]
fn faults_are_not_served_unless_asked_for() {
    let place = Place::new();
    let server = Server::start(&place, &[]);
    server.fault("database?mode=ok");
    drop(server);
    let mut command = crate::server::command(&place, &[]);
    let args: Vec<_> = command.get_args().filter(|arg| *arg != "--faults").map(ToOwned::to_owned).collect();
    command = std::process::Command::new(command.get_program());
    let server = Server::start_with(command.args(args), &place);
    assert_eq!(server.send("POST", "/faults/database?mode=gone", &[], b"").status, 404);
}

#[test]
fn figures_are_shown_as_a_page_as_json_and_for_prometheus() {
    on_each_map(|map| {
        let place = Place::new();
        let server = Server::start(
            &place,
            &[
                ["--map", map],
                ["--instance", "one"],
                ["--sweep-every", "50ms"],
                ["--sweep-slo", "60s"],
                ["--negative-ttl", "10m"],
            ]
            .concat(),
        );
        assert_eq!(server.get("/health").text(), "ok\n");
        assert_eq!(server.get("/ready").text(), "ready\n");
        let page = server.get("/status");
        assert!(page.header("content-type").starts_with("text/html") && page.text().contains("status.json"));
        server.put("/cache/a", "x");
        for _ in 0..8 {
            server.get("/cache/a");
        }
        server.get("/cache/b");
        server.get("/cache/b");
        // The requests may fall into several seconds; each counts in the one in which it ended, and in no later one.
        let bucket = "cache_request_duration_seconds_bucket{instance_name=\"one\",outcome=\"hit\",le=\"+Inf\"}";
        server.wait_for_metric(&format!("{bucket} 8"));
        let status = server.wait_for("sweep, and second without requests after one with some", |status| {
            let series = status["series"].as_array().unwrap();
            series.iter().any(|second| second["rate"] != 0.0)
                && series.last().is_some_and(|last| last["rate"] == 0.0)
                && status["sweeps"]["count"] != 0
                && status["negative_entries"] == 1
        });
        for (figure, expected) in [
            ("requests", 11),
            ("hits", 8),
            ("negative_hits", 1),
            ("misses", 1),
            ("loads", 1),
            ("load_failures", 0),
            ("loading", 0),
            ("entries", 2),
        ] {
            assert_eq!(status[figure], expected, "{map}, {figure}: {status}");
        }
        assert_eq!((&status["instance"], &status["ready"]), (&"one".into(), &true.into()));
        assert_eq!(status["map_stats"].is_object(), map == "readmostly");
        assert!(status["near_cache"].is_null());
        assert!(status["resident_bytes"].as_u64().unwrap() > 1 << 20);
        let metrics = server.get("/metrics");
        assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
        for line in [
            "cache_hits_total{instance_name=\"one\"} 8",
            "cache_entries{instance_name=\"one\"} 2",
            "cache_breaker{instance_name=\"one\"} 0",
        ] {
            assert!(metrics.text().contains(line), "{map}, {line}: {}", metrics.text());
        }
        assert_eq!(metrics.text().contains("cache_map_promotions"), map == "readmostly");
    });
}

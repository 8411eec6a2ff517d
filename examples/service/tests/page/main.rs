//! The status page in headless Chromium: in front of the service itself, and of figures that are hard to bring about.
//!
//! Pictures of what was tested are left in `page` of the tests' temporary folder. Without a Chromium nothing is tested.

mod browser;
mod mock;
#[path = "../../src/page.rs"]
mod page;
#[path = "../common/port.rs"]
mod port;
#[path = "../service/server.rs"]
#[allow(dead_code, reason = "the tests over HTTP use more of it")]
mod server;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{scope, sleep};
use std::time::Duration;

use serde_json::Value;

use crate::browser::{Browser, DESK, PHONE};
use crate::mock::Mock;
use crate::server::{Place, Server};

const BANNER: &str = "document.getElementById('banner').dataset.state";
const TOPS: &str = "['tiles', 'charts', 'service-table'].map((id) => document.getElementById(id).getBoundingClientRect().top + scrollY)";

#[test]
fn shows_what_the_service_says_until_it_is_gone_and_again_when_it_is_back() {
    let Some(browser) = Browser::start() else { return };
    let place = Place::new();
    let instance = "<b>one</b> & 'two'";
    let host = format!("127.0.0.1:{}", port::free());
    // What is absent is to be remembered until the end, as it counts among the entries.
    let server = Server::start(&place, &["--listen", &host, "--instance", instance, "--negative-ttl", "1h"]);
    browser.open(&format!("{}/status", server.url));
    browser.wait_for(&format!("{BANNER} == 'serving' && shown"));
    let tops = browser.read(TOPS);

    let over = AtomicBool::new(false);
    scope(|threads| {
        threads.spawn(|| traffic(&server, &over));
        let _end = End(&over);
        expect_moving_charts(&browser);
    });
    browser.resize(DESK);

    expect_agreement(&browser, &server);
    assert_eq!(browser.read("document.getElementById('instance').textContent"), instance);
    assert_eq!(browser.errors(), [""; 0]);

    server.kill();
    browser.wait_for(&format!("{BANNER} == 'gone'"));
    let banner = browser.read("document.getElementById('banner').textContent");
    assert!(banner.as_str().is_some_and(|text| text.contains("cannot be reached")), "{banner}");
    assert_eq!(browser.read(TOPS), tops, "the page moved when the server went");
    sleep(Duration::from_secs(4));
    browser.picture("service-gone", DESK, "light");
    browser.picture("service-gone-phone", PHONE, "dark");
    browser.resize(DESK);

    let _server = Server::start(&place, &["--listen", &host, "--instance", instance]);
    browser.wait_for(&format!("{BANNER} == 'serving' && shown.series.length >= 3"));
    let rates = browser.read("CHARTS[0].drawn.data[1]");
    let rates = rates.as_array().expect("a column");
    let gap = rates.iter().position(Value::is_null).expect("no gap for the time without a server");
    assert!(gap > 0 && rates[gap + 1..].iter().any(Value::is_number), "{rates:?}");
    browser.picture("service-back", DESK, "light");
    browser.expect_requests_to(&host);
}

#[test]
fn few_seconds_five_minutes_a_spike_zeros_and_huge_figures_are_readable() {
    let Some(browser) = Browser::start() else { return };
    let mock = Mock::start();
    browser.open(&mock.url("/status"));
    browser.wait_for(&format!("{BANNER} == 'gone'")); // nothing to say yet: 500
    browser.picture("mock-nothing", DESK, "light");
    let tops = browser.read(TOPS);

    for (name, status) in mock::situations() {
        mock.say(&status);
        // As a page that is opened now: what came before is another situation.
        browser.open(&mock.url("/status"));
        browser.wait_for("shown && CHARTS[0].drawn.data[0].length > 0");
        expect_figures(&browser);
        for (size, scheme) in [(DESK, "light"), (DESK, "dark"), (PHONE, "light")] {
            let width = size.0;
            browser.picture(&format!("mock-{name}-{scheme}-{width}"), size, scheme);
            assert_eq!(browser.cut(), [""; 0], "{name}, {width} pixels wide: text that does not fit");
        }
        browser.resize(DESK);
        assert_eq!(browser.read(TOPS), tops, "{name}: the page moved when the figures came");
    }
    browser.expect_requests_to(mock.host());
}

#[test]
fn says_what_is_wrong_and_takes_nothing_for_markup() {
    let Some(browser) = Browser::start() else { return };
    let mock = Mock::start();
    let mut status = mock::status(30, mock::steady);
    let evil = "<img src=x onerror='document.title=1'>";
    status["instance"] = evil.into();
    status["map"] = evil.into();
    status["map_stats"][evil] = evil.into();
    status["sweeps"]["breaker"] = evil.into();
    mock.say(&status);
    browser.open(&mock.url("/status"));
    browser.wait_for(&format!("{BANNER} == 'serving' && shown"));
    assert_eq!(browser.read("document.querySelectorAll('img').length"), 0);
    assert_eq!(browser.read("document.getElementById('map').textContent"), evil);
    assert_eq!(browser.errors(), [""; 0]);

    let says = |state: &str, part: &str| {
        browser.wait_for(&format!(
            "{BANNER} == '{state}' && document.getElementById('banner').textContent.includes('{part}')"
        ));
    };
    status["ready"] = false.into();
    mock.say(&status);
    says("warming", "Not ready");
    browser.picture("mock-not-ready", DESK, "light");
    mock.say_text("{");
    says("gone", "no JSON");
    mock.stall();
    says("gone", "did not answer within 3 s");
    mock.say_text("");
    says("gone", "answered 500");
}

#[test]
fn charts_are_read_with_the_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let mock = Mock::start();
    mock.say(&mock::status(100, mock::steady));
    browser.open(&mock.url("/status"));
    browser.wait_for("shown && CHARTS[0].drawn.data[0].length > 0");

    let at = "CHARTS[0].at.textContent";
    assert_eq!(browser.read(at), "latest");
    browser.press("Tab");
    assert_eq!(browser.read("document.activeElement == CHARTS[0].plot"), true);
    browser.press("Home");
    let first = browser.read(at);
    browser.press("ArrowRight");
    browser.press("ArrowRight");
    let third = browser.read(at);
    assert_eq!(
        browser.read("[0, 2].map((n) => clock(CHARTS[0].drawn.data[0][n]))"),
        Value::from([first, third.clone()].to_vec())
    );
    assert_eq!(browser.read("CHARTS[5].at.textContent"), third, "the other charts follow");
    let spoken = browser.read("document.getElementById('spoken').textContent");
    assert!(
        spoken.as_str().is_some_and(|text| text.starts_with(third.as_str().unwrap_or("?")) && text.ends_with("/s")),
        "{spoken}"
    );
    browser.picture("mock-cursor", DESK, "light");
    browser.press("Escape");
    assert_eq!(browser.read(at), "latest");
}

/// Ends the traffic when dropped, also by a panic.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Hits, misses and a few writes, until it is over.
fn traffic(server: &Server, over: &AtomicBool) {
    for n in 0..97 {
        server.put(&format!("/cache/key-{n}"), "value");
    }
    for n in (0u32..).take_while(|_| !over.load(Relaxed)) {
        match n % 50 {
            0 => server.get(&format!("/cache/absent-{n}")),
            1 => server.put(&format!("/cache/key-{}", n % 97), format!("value {n}")),
            _ => server.get(&format!("/cache/key-{}", n % 97)),
        };
        sleep(Duration::from_millis(1));
    }
}

/// While there is traffic.
fn expect_moving_charts(browser: &Browser) {
    browser.wait_for("CHARTS[0].drawn.data[1].length >= 3 && CHARTS[2].drawn.data[3].at(-1) > 0");
    browser.expect_lines(&["rate", "hits", "P50", "P99", "P99.9", "promotions", "memory", "entries"]);
    let (second, drawing) = ("CHARTS[0].drawn.data[0].at(-1)", "CHARTS[0].plot.querySelector('canvas').toDataURL()");
    let before = browser.read(&format!("[{second}, {drawing}]"));
    browser.wait_for(&format!("{second} > {} && {drawing} != {}", before[0], before[1]));
    browser.picture("service-light", DESK, "light");
    browser.picture("service-dark", DESK, "dark");
    browser.picture("service-phone", PHONE, "light");
}

/// That the page agrees with what the service tells anyone, when it is quiet.
fn expect_agreement(browser: &Browser, server: &Server) {
    let told = server.status();
    browser.wait_for(&format!("shown.requests == {} && shown.series.at(-1).rate == 0", told["requests"]));
    let shown = expect_figures(browser);
    for name in ["requests", "hits", "misses", "negative_hits", "loads", "load_failures", "entries", "map"] {
        assert_eq!(shown[name], told[name], "{name}");
    }
    assert!(told["hits"].as_u64() > Some(100) && told["misses"].as_u64() > Some(0), "{told}");
}

/// That every figure of the last answer stands on the page, whole ones with thousands separators. Returns the answer.
fn expect_figures(browser: &Browser) -> Value {
    let both = browser.read(
        "({ shown, rows: Object.fromEntries(['service', 'map'].map((id) => [id, Object.fromEntries([...document.querySelectorAll(`#${id}-table tr[data-name]`)]
            .map((row) => [row.dataset.name, row.children[1].textContent]))])) })",
    );
    let (shown, rows) = (&both["shown"], &both["rows"]);
    let named = |figures: &Value| figures.as_object().cloned().unwrap_or_default();
    for (name, value) in named(&shown["map_stats"]) {
        expect_figure(&rows["map"], &name, &value);
    }
    for (name, value) in named(shown).into_iter().filter(|(_, value)| value.is_number()) {
        expect_figure(&rows["service"], &name, &value);
    }
    for (name, value) in named(&shown["sweeps"]) {
        expect_figure(&rows["service"], &format!("sweeps_{name}"), &value);
    }
    shown.clone()
}

fn expect_figure(rows: &Value, name: &str, value: &Value) {
    let text = rows[name].as_str().unwrap_or_else(|| panic!("the page has no row for {name}"));
    assert!(text.contains(|c: char| c.is_alphanumeric()), "{name} is {value}, and the page says {text:?}");
    let with_unit = ["_bytes", "_us", "_ms", "_seconds", "_time", "longest_wait", "longest_promotion"];
    if let Some(count) = value.as_u64().filter(|_| !with_unit.iter().any(|end| name.ends_with(end))) {
        assert_eq!(text, grouped(count), "{name}");
    }
}

fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

//! A headless Chromium that looks at one page.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use headless_chrome::browser::default_executable;
use headless_chrome::protocol::cdp::Log::LogEntryLevel;
use headless_chrome::protocol::cdp::{Emulation, Network, Page, types::Event};
use headless_chrome::{LaunchOptions, Tab};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Width and height in pixels.
pub(crate) type Size = (u32, u32);
pub(crate) const DESK: Size = (1400, 1300);
pub(crate) const PHONE: Size = (360, 2900);

/// How long the browser may take for anything, on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(120);

const FLAGS: [&str; 3] = ["--disable-quic", "--disable-component-update", "--hide-scrollbars"];

pub(crate) struct Browser {
    tab: Arc<Tab>,
    seen: Arc<Mutex<Seen>>,
    _process: headless_chrome::Browser,
}

/// What the page has done.
#[derive(Default)]
struct Seen {
    requests: Vec<String>,
    errors: Vec<String>,
}

impl Browser {
    /// Says so if there is none.
    pub(crate) fn start() -> Option<Browser> {
        let Ok(path) = default_executable() else {
            // Not through `eprintln`, which shows nothing of a test that passes.
            let text = "\n*** NOT TESTED: the status page. There is no Chromium here; `apt-get install chromium` or set CHROME.\n";
            std::io::stderr().write_all(text.as_bytes()).expect("a standard error");
            return None;
        };
        let options = LaunchOptions::default_builder()
            .path(Some(path))
            .sandbox(false)
            .args(FLAGS.iter().map(OsStr::new).collect())
            .idle_browser_timeout(2 * PATIENCE)
            .build()
            .expect("options");
        let process = headless_chrome::Browser::new(options).expect("Chromium starts");
        let tab = process.set_default_timeout(PATIENCE).new_tab().expect("a tab");
        tab.set_default_timeout(PATIENCE);
        let seen = Arc::default();
        watch(&tab, Arc::clone(&seen));
        let browser = Browser { tab, seen, _process: process };
        browser.resize(DESK);
        Some(browser)
    }

    pub(crate) fn open(&self, url: &str) {
        self.tab.navigate_to(url).and_then(|tab| tab.wait_until_navigated()).expect("the page loads");
    }

    /// The value of an expression in the page.
    pub(crate) fn read(&self, script: &str) -> Value {
        let result = self.tab.evaluate(&format!("JSON.stringify({script})"), false);
        let value = result.unwrap_or_else(|error| panic!("{script}: {error}")).value.unwrap_or_default();
        serde_json::from_str(value.as_str().unwrap_or("null")).expect("JSON")
    }

    pub(crate) fn wait_for(&self, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.read(&format!("!!({condition})")) != true {
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {condition}; {} reads {}",
                self.tab.get_url(),
                self.read("document.body.innerText.slice(0, 200)")
            );
            sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn press(&self, key: &str) {
        self.tab.press_key(key).expect("a key");
    }

    pub(crate) fn resize(&self, (width, height): Size) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.tab.call_method(from_json::<Emulation::SetDeviceMetricsOverride>(size)).expect("a size");
    }

    /// Leaves a picture of the page in the tests' temporary folder; `scheme` is `light` or `dark`.
    pub(crate) fn picture(&self, name: &str, size: Size, scheme: &str) {
        self.resize(size);
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.tab.call_method(from_json::<Emulation::SetEmulatedMedia>(media)).expect("a scheme");
        sleep(Duration::from_millis(300)); // the charts follow the size at the next frame
        let png =
            self.tab.capture_screenshot(Page::CaptureScreenshotFormatOption::Png, None, None, true).expect("a picture");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("{name}.png")), png).expect("a file");
    }

    /// Texts that are cut off or reach out of their place.
    pub(crate) fn cut(&self) -> Vec<String> {
        let script = "[...document.querySelectorAll('html, #banner, dt, dd, h1, h2, th, td, .key, .at')]
            .filter((e) => !e.classList.contains('unseen') && e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)
            .map((e) => `${e.tagName} ${e.textContent.slice(0, 60)}`)";
        serde_json::from_value(self.read(script)).expect("a list of texts")
    }

    /// Waits until each of these lines is drawn in its colour, in the order of the charts.
    pub(crate) fn expect_lines(&self, names: &[&str]) {
        let script = "CHARTS.flatMap((chart) => {
            const canvas = chart.plot.querySelector('canvas');
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return chart.lines.map((line, n) => {
                const colour = [1, 3, 5].map((at) => parseInt(css(STROKES[n].color).trim().slice(at, at + 2), 16));
                const drawn = (at) => data[at + 3] > 128 && colour.every((part, k) => Math.abs(part - data[at + k]) < 32);
                return [line.name, Array.from({ length: data.length / 4 }, (_, n) => drawn(4 * n)).filter(Boolean).length];
            });
        })";
        let deadline = Instant::now() + PATIENCE;
        loop {
            let drawn: Vec<(String, u64)> = serde_json::from_value(self.read(script)).expect("lines and their pixels");
            assert_eq!(drawn.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
            if drawn.iter().all(|(_, pixels)| *pixels >= 5) {
                return;
            }
            assert!(Instant::now() < deadline, "pixels of the lines: {drawn:?}");
            sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").errors.clone()
    }

    /// That the page asked no other server.
    pub(crate) fn expect_requests_to(&self, host: &str) {
        let requests = self.seen.lock().expect("no panic").requests.clone();
        let allowed = [format!("http://{host}/status"), "data:".to_owned()];
        let strange: Vec<_> =
            requests.iter().filter(|url| !allowed.iter().any(|start| url.starts_with(start))).collect();
        assert!(strange.is_empty(), "the page asked {strange:?}");
        assert!(requests.iter().any(|url| url.ends_with("/status.json")), "the requests were not seen");
    }
}

fn watch(tab: &Tab, seen: Arc<Mutex<Seen>>) {
    tab.call_method(from_json::<Network::Enable>(json!({}))).expect("events of the network");
    tab.enable_runtime().and_then(|tab| tab.enable_log()).expect("events of the console");
    let listener = move |event: &Event| {
        let mut seen = seen.lock().expect("no panic");
        match event {
            Event::NetworkRequestWillBeSent(event) => seen.requests.push(event.params.request.url.clone()),
            Event::RuntimeExceptionThrown(event) => seen.errors.push(format!("{:?}", event.params.exception_details)),
            Event::RuntimeConsoleAPICalled(event) => seen.errors.push(format!("{:?}", event.params.args)),
            Event::LogEntryAdded(event) if event.params.entry.level == LogEntryLevel::Error => {
                seen.errors.push(format!("{} {:?}", event.params.entry.text, event.params.entry.url));
            }
            _ => {}
        }
    };
    tab.add_event_listener(Arc::new(listener)).expect("a listener");
}

/// A message to the browser: the types of these have many optional fields and no default.
fn from_json<T: DeserializeOwned>(message: Value) -> T {
    serde_json::from_value(message).expect("a message of the protocol")
}

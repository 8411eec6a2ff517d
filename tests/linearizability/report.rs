//! A history in print.

// Each crate that shares this module uses a part of it.
#![allow(dead_code)]

use std::fmt::Write;

use super::history::{Event, History};
use super::scenario::Scenario;
use super::spec::Violation;

/// What is wrong with a history, and the part of it that shows this: one operation per line, one column per thread,
/// times in nanoseconds (or ticks) since the first operation of a thread.
pub(crate) fn report(scenario: &Scenario, history: &History, violation: &Violation) -> String {
    let Scenario { start, mix, keys, mask, pauses, .. } = scenario;
    let mut text = format!(
        "{violation}\n\
         scenario {}: {keys} keys, {start:?}, {mix:?}, hash mask {mask:#x}, pauses {pauses}\n",
        scenario.name()
    );
    let shows_it = |index: &usize| violation.events.is_empty() || violation.events.contains(index);
    let events = || (0..history.events.len()).filter(shows_it).map(|index| &history.events[index]);
    let title = |thread| if thread == 0 { "alone".to_owned() } else { format!("thread {thread}") };
    let width = |thread| {
        let calls = events().filter(|event| event.thread == thread).map(|event| call(event).len());
        calls.max().unwrap_or(0).max(title(thread).len()) + 2
    };
    let widths: Vec<usize> = (0..=scenario.threads.len()).map(width).collect();
    let start = history.events.iter().find(|event| event.thread > 0).map_or(0, |event| event.from as i64);
    text.push_str("      from        to  ");
    for (thread, &width) in widths.iter().enumerate() {
        let _ = write!(text, "{:<width$}", title(thread));
    }
    text.truncate(text.trim_end().len());
    for event in events() {
        let times = [event.from, event.to].map(|time| time as i64 - start);
        let indent = widths[..event.thread].iter().sum();
        let _ = write!(text, "\n{:>10}{:>10}  {:indent$}{}", times[0], times[1], "", call(event));
    }
    text
}

fn call(event: &Event) -> String {
    format!("{} = {}", event.op, event.outcome)
}

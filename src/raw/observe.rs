//! What is told to those who observe the slow paths: a recorder of `metrics`, a subscriber of `tracing`.
//!
//! Both are code of the user's, and may use the map that they are told about. Without the features of these names
//! everything here is empty.
//!
//! # Why nothing can deadlock
//!
//! What happens under the writer lock is noted in a [`Report`] there, which runs no code but this crate's. The report is
//! a field of what holds the lock, behind the lock itself, so it is dropped after it, and that is when it is told:
//! whichever way a hold of the lock ends, the lock is free by then. No other lock is held where the writer lock is
//! released. So an observer may wait for a thread that holds the writer lock, or for what that thread does next, but
//! the thread never waits for an observer. (If a `Hash` or `Eq` of the user's calls an observer, that happens under the
//! lock, and is as if the `Hash` itself did what the observer does.)
//!
//! A `LoadingMap` is the one place where a thread may wait for another that is in an observer: who removes, inserts or
//! asks for a key waits for one that is just putting what it loaded into the map. So an observer with a lock of its own
//! must not call it under that lock.
//!
//! # Why it ends
//!
//! An insert that an observer makes may copy too, and telling of that would make the observer insert again. So while a
//! thread is in an observer that was called from here, what it does to any map is counted but not told. That also keeps
//! an observer that has a lock of its own from being called again below itself.
//!
//! # Panics
//!
//! A panic of an observer passes through the operation, whose step under the lock has been carried out by then; an operation
//! that takes the lock again, an insert that found no room or the making of a snapshot, goes no further. During a panic
//! nothing is told: another one would abort the process.

use std::time::Duration;

/// What happened under the lock.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    allow(dead_code, reason = "what a recorder is told of is not all that a subscriber is")
)]
pub(super) enum Event {
    /// The lock was waited for.
    Waited(Duration),
    /// A step of a copy: so many nodes, out of so many buckets.
    Copied { slots: usize, buckets: usize, duration: Duration },
    /// A table with so many nodes in so many buckets became the read table, so long after the copy to it began.
    Promoted { slots: usize, buckets: usize, duration: Duration, compaction: bool },
}

pub(super) use report::Report;

#[cfg(not(any(feature = "metrics", feature = "tracing")))]
mod report {
    /// Nothing.
    pub(in crate::raw) struct Report;

    impl Report {
        #[inline(always)]
        pub(in crate::raw) fn new() -> Self {
            Report
        }

        #[inline(always)]
        pub(in crate::raw) fn note(&mut self, _event: super::Event) {}
    }
}

#[cfg(any(feature = "metrics", feature = "tracing"))]
mod report {
    use std::thread;

    use super::Event;
    use crate::sync::{LocalCell, local};

    /// What one hold of the lock has to tell; tells it when dropped.
    ///
    /// At most a wait, a step of a copy, and the promotion that it leads to. Most have nothing to tell, so this is small,
    /// and allocates when there is something: with room for three here an insert took twice as many instructions more.
    pub(in crate::raw) struct Report(Vec<Event>);

    impl Report {
        #[inline]
        pub(in crate::raw) fn new() -> Self {
            Report(Vec::new())
        }

        #[inline]
        pub(in crate::raw) fn note(&mut self, event: Event) {
            if super::is_heard(&event) {
                self.0.push(event);
            }
        }

        #[cold]
        fn tell(&self) {
            if thread::panicking() {
                return;
            }
            let Some(_telling) = Telling::begin() else { return };
            for event in &self.0 {
                #[cfg(feature = "metrics")]
                super::record(event);
                #[cfg(feature = "tracing")]
                super::trace(event);
            }
        }
    }

    impl Drop for Report {
        #[inline]
        fn drop(&mut self) {
            if !self.0.is_empty() {
                self.tell();
            }
        }
    }

    local! {
        /// Whether this thread is in an observer.
        static TELLING: LocalCell<bool> = LocalCell::new(false);
    }

    /// Says that this thread is in an observer, until dropped; nobody is told anything below it.
    struct Telling(());

    impl Telling {
        fn begin() -> Option<Self> {
            (!TELLING.with(|telling| telling.replace(true))).then(|| Telling(()))
        }
    }

    impl Drop for Telling {
        fn drop(&mut self) {
            TELLING.with(|telling| telling.set(false));
        }
    }
}

/// Whether somebody may listen. Runs no code of theirs: the highest level that any subscriber wants is a number in `tracing`.
#[cfg(any(feature = "metrics", feature = "tracing"))]
#[inline]
fn is_heard(event: &Event) -> bool {
    #[cfg(feature = "tracing")]
    let (is_debug, is_trace) = {
        use tracing::level_filters::LevelFilter;
        let level = LevelFilter::current();
        (level >= LevelFilter::DEBUG, level >= LevelFilter::TRACE)
    };
    #[cfg(not(feature = "tracing"))]
    let (is_debug, is_trace) = (false, false);
    match event {
        Event::Waited(_) => cfg!(feature = "metrics"),
        Event::Copied { .. } => is_trace,
        Event::Promoted { .. } => is_debug || cfg!(feature = "metrics"),
    }
}

/// The histograms that are written to as things happen. They have no label: a map does not know its name.
#[cfg(feature = "metrics")]
pub(crate) mod histograms {
    pub(crate) const WRITER_WAIT: &str = "readmostly_writer_wait_seconds";
    pub(crate) const PROMOTION: &str = "readmostly_promotion_seconds";
}

#[cfg(feature = "metrics")]
fn record(event: &Event) {
    match *event {
        Event::Waited(time) => metrics::histogram!(histograms::WRITER_WAIT).record(time),
        Event::Promoted { duration, .. } => metrics::histogram!(histograms::PROMOTION).record(duration),
        // Too many of them, and their longest is in `Stats`.
        Event::Copied { .. } => {}
    }
}

/// Opens and closes the spans of what is over: their own length says nothing, the field `duration` does.
#[cfg(feature = "tracing")]
fn trace(event: &Event) {
    const TARGET: &str = "readmostly";
    match *event {
        Event::Waited(_) => {}
        Event::Copied { slots, buckets, duration } => {
            let duration = duration.as_secs_f64();
            tracing::trace_span!(target: TARGET, "copy", slots, buckets, duration).in_scope(|| ());
        }
        Event::Promoted { slots, buckets, duration, compaction } => {
            let duration = duration.as_secs_f64();
            let tell = || tracing::debug_span!(target: TARGET, "promotion", slots, buckets, duration).in_scope(|| ());
            if compaction {
                tracing::debug_span!(target: TARGET, "compaction", slots, buckets, duration).in_scope(tell);
            } else {
                tell();
            }
        }
    }
}

//! Maps, sets and snapshots in a text format and in a binary one that wants lengths ahead.

#![cfg(feature = "serde")]

mod common;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use common::{Counted, Tally, eventually};
use readmostly::{SyncMap, SyncSet};
use serde::{Serialize, Serializer};

#[test]
fn what_is_written_can_be_read() {
    let map: SyncMap<String, Option<u32>> = (0..500).map(|n| (n.to_string(), (n % 2 == 0).then_some(n))).collect();
    let set: SyncSet<u32> = (0..500).collect();
    let snapshot = map.snapshot();
    for text in [serde_json::to_string(&map), serde_json::to_string(&snapshot), serde_json::to_string_pretty(&map)] {
        assert_eq!(serde_json::from_str::<SyncMap<String, Option<u32>>>(&text.unwrap()).unwrap(), map);
    }
    for bytes in [postcard::to_allocvec(&map), postcard::to_allocvec(&snapshot)] {
        assert_eq!(postcard::from_bytes::<SyncMap<String, Option<u32>>>(&bytes.unwrap()).unwrap(), map);
    }
    assert_eq!(serde_json::from_str::<SyncSet<u32>>(&serde_json::to_string(&set).unwrap()).unwrap(), set);
    assert_eq!(postcard::from_bytes::<SyncSet<u32>>(&postcard::to_allocvec(&set).unwrap()).unwrap(), set);
}

#[test]
fn they_look_like_maps_and_sequences() {
    assert_eq!(serde_json::to_string(&SyncMap::from([("a", 1)])).unwrap(), r#"{"a":1}"#);
    assert_eq!(serde_json::to_string(&SyncSet::from([1])).unwrap(), "[1]");
    assert_eq!(serde_json::to_string(&SyncMap::<u8, u8>::new()).unwrap(), "{}");
    assert_eq!(serde_json::to_string(&SyncMap::<u8, u8>::new().snapshot()).unwrap(), "{}");
    assert_eq!(serde_json::to_string(&SyncSet::<u8>::new()).unwrap(), "[]");
    assert_eq!(postcard::to_allocvec(&SyncMap::<u8, u8>::new()).unwrap(), [0]);
    let map: BTreeMap<u8, u8> = (0..5).map(|n| (n, n)).collect();
    let sorted = |bytes: Vec<u8>| postcard::from_bytes::<BTreeMap<u8, u8>>(&bytes).unwrap();
    assert_eq!(sorted(postcard::to_allocvec(&map.clone().into_iter().collect::<SyncMap<_, _>>()).unwrap()), map);
}

/// A snapshot has the keys of its moment, and the values that they have when written.
#[test]
fn snapshots_write_frozen_keys_with_live_values() {
    let map = SyncMap::from([("a", 1), ("b", 2)]);
    let snapshot = map.snapshot();
    map.insert("a", 10);
    map.insert("c", 3);
    map.remove("b");
    assert_eq!(serde_json::to_string(&snapshot).unwrap(), r#"{"a":10}"#);
    assert_eq!(postcard::to_allocvec(&snapshot).unwrap(), [1, 1, b'a', 20]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Entry by entry

/// Runs `at_first` when the first byte of an entry is written to it.
struct Writer<F: FnMut()> {
    text: Vec<u8>,
    at_first: Option<F>,
}

impl<F: FnMut()> Write for Writer<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        if self.text.len() > 1
            && let Some(mut at_first) = self.at_first.take()
        {
            at_first();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What comes later is not looked at before its turn: most of the entries are gone by then.
#[test]
fn entries_are_written_one_by_one() {
    let map: SyncMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    let set: SyncSet<u32> = (0..1000).collect();
    let mut writer = Writer { text: Vec::new(), at_first: Some(|| map.retain(|_, _| false)) };
    serde_json::to_writer(&mut writer, &map).unwrap();
    assert_eq!(serde_json::from_slice::<SyncMap<u32, u32>>(&writer.text).unwrap().len(), 1);
    let mut writer = Writer { text: Vec::new(), at_first: Some(|| set.retain(|_| false)) };
    serde_json::to_writer(&mut writer, &set).unwrap();
    assert_eq!(serde_json::from_slice::<SyncSet<u32>>(&writer.text).unwrap().len(), 1);
}

struct Id(Counted);

impl Serialize for Id {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.serialize_u32(self.0.id())
    }
}

/// Binary formats have the number of entries ahead: it is right although others change it, and what was counted is there
/// when it is written.
#[test]
fn lengths_are_right_while_others_change_them() {
    let tally = &Tally::default();
    let map: &SyncMap<u32, Id> = &(0..200).map(|n| (n, Id(tally.make(n)))).collect();
    let done = &AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(move || {
            for n in (0..1000).cycle().take_while(|_| !done.load(SeqCst)) {
                map.insert(n, Id(tally.make(n)));
                map.remove(&(n * 7 % 1000));
            }
        });
        let written: Result<Vec<Vec<u8>>, _> = (0..300).map(|_| postcard::to_allocvec(&map)).collect();
        done.store(true, SeqCst);
        for bytes in written.unwrap() {
            let (entries, rest) = postcard::take_from_bytes::<BTreeMap<u32, u32>>(&bytes).expect("as many as it says");
            assert!(rest.is_empty() && entries.iter().all(|(key, value)| key == value));
        }
    });
    map.clear();
    eventually("nothing is kept", || {
        map.flush();
        tally.live() == 0
    });
}

/// The first error ends it, and the serializer is not asked for more.
#[test]
fn errors_come_through() {
    struct Refuses;
    impl Serialize for Refuses {
        fn serialize<Z: Serializer>(&self, _: Z) -> Result<Z::Ok, Z::Error> {
            Err(serde::ser::Error::custom("refused"))
        }
    }
    let map: SyncMap<u32, Refuses> = (0..10).map(|n| (n, Refuses)).collect();
    assert_eq!(serde_json::to_string(&map).unwrap_err().to_string(), "refused");
    assert!(postcard::to_allocvec(&map).is_err());
    let mut visits = 0;
    let stopped = map.snapshot().try_for_each(|_, _| {
        visits += 1;
        if visits == 3 { Err("stop") } else { Ok(()) }
    });
    assert_eq!((stopped, visits), (Err("stop"), 3));
}

// ---------------------------------------------------------------------------------------------------------------------
// Input that is not what it should be

#[test]
fn the_last_of_equal_keys_wins() {
    let map: SyncMap<String, u32> = serde_json::from_str(r#"{"a": 1, "b": 2, "a": 3}"#).unwrap();
    assert_eq!(map, SyncMap::from([("a".to_owned(), 3), ("b".to_owned(), 2)]));
    assert_eq!(serde_json::from_str::<SyncSet<u32>>("[1, 2, 1]").unwrap(), SyncSet::from([1, 2]));
}

#[test]
fn lengths_that_lie_are_errors() {
    // Lengths of 2^35 - 1 and 2^63, as postcard writes numbers, then one entry.
    for claim in [&[0xff, 0xff, 0xff, 0xff, 0x7f][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]] {
        let bytes = [claim, &[1, 1]].concat();
        assert!(postcard::from_bytes::<SyncMap<u8, u8>>(&bytes).is_err());
        assert!(postcard::from_bytes::<SyncSet<u8>>(&bytes).is_err());
        assert!(postcard::from_bytes::<Vec<SyncMap<u8, SyncSet<u8>>>>(&[claim, &bytes].concat()).is_err());
    }
    assert!(postcard::from_bytes::<SyncMap<u8, u8>>(&[2, 1, 1]).is_err(), "cut off");
}

/// What was read before the error is dropped.
#[test]
fn errors_say_what_was_expected() {
    let error = |text| serde_json::from_str::<SyncMap<String, u32>>(text).unwrap_err().to_string();
    assert!(error("[1]").contains("expected a map"), "{}", error("[1]"));
    assert!(error(r#"{"a": 1, "b": "x"}"#).contains("expected u32"));
    assert!(error(r#"{"a": 1"#).starts_with("EOF"));
    let error = serde_json::from_str::<SyncSet<u32>>("{}").unwrap_err().to_string();
    assert!(error.contains("expected a sequence"), "{error}");
}

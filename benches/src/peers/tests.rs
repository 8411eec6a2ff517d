use super::*;

/// What every map can do, the results also seen through a handle of another thread.
struct Behaves;

impl PerMap<u64, u64> for Behaves {
    type Output = ();

    fn run<M: Map<u64, u64>>(self) {
        let map = filled::<M>();
        assert_reads(&map, 7, Some(8));
        let mut handle = map.handle();
        handle.insert(7, 70);
        assert_reads(&map, 7, Some(70));
        handle.renew();
        assert!(handle.remove(&7), "{}", M::NAME);
        assert!(!handle.remove(&7), "{}", M::NAME);
        assert_reads(&map, 7, None);
        handle.insert(7, 71);
        handle.renew();
        assert_reads(&map, 7, Some(71));
        assert_eq!(handle.read(&7, |value| *value), Some(71), "{}", M::NAME);

        let grown = M::grown(Hasher::default(), (0..100).map(|key| (key, key)));
        (0..100).for_each(|key| assert_eq!(grown.handle().read(&key, |value| *value), Some(key), "{}", M::NAME));
    }
}

/// The keys from 0 to 99, each with the next number as its value.
fn filled<M: Map<u64, u64>>() -> M {
    M::filled(Hasher::default(), (0..100_u32).map(|key| (u64::from(key), u64::from(key) + 1)))
}

/// Another thread reads what a new handle of this thread does.
fn assert_reads<M: Map<u64, u64>>(map: &M, key: u64, expected: Option<u64>) {
    let read = || map.handle().read(&key, |value| *value);
    let elsewhere = std::thread::scope(|scope| scope.spawn(read).join().unwrap());
    assert_eq!((read(), elsewhere), (expected, expected), "{}", M::NAME);
}

#[test]
fn all_peers_do_the_same() {
    Peer::ALL.iter().for_each(|peer| peer.with(Behaves));
}

#[test]
fn a_peer_has_the_name_of_its_map() {
    struct Name;

    impl PerMap<u64, u64> for Name {
        type Output = &'static str;

        fn run<M: Map<u64, u64>>(self) -> &'static str {
            M::NAME
        }
    }

    for peer in Peer::ALL {
        assert_eq!(peer.with(Name), peer.name());
        assert_eq!(Peer::from_str(peer.name(), false).as_ref(), Ok(peer));
    }
}

fn changes_on_condition<H: GetOrInsert<u64, u64> + CompareAndSwap<u64, u64>>(name: &str, handle: &mut H) {
    assert!(!handle.get_or_insert(7, 70), "{name}");
    assert!(handle.get_or_insert(700, 70), "{name}");
    assert_eq!(handle.read(&700, |value| *value), Some(70), "{name}");

    assert!(!handle.compare_and_swap(&7, &70, 71), "{name}");
    assert_eq!(handle.read(&7, |value| *value), Some(8), "{name}");
    assert!(handle.compare_and_swap(&7, &8, 71), "{name}");
    assert_eq!(handle.read(&7, |value| *value), Some(71), "{name}");
    assert!(!handle.compare_and_swap(&701, &8, 71), "{name}");
    assert_eq!(handle.read(&701, |value| *value), None, "{name}");
}

fn ranges_and_clears<H: Range<u64, u64> + Clear<u64, u64>>(name: &str, handle: &mut H) {
    fn entries<H: Range<u64, u64>>(handle: &mut H) -> Vec<(u64, u64)> {
        let mut entries = Vec::new();
        handle.range(|key, value| entries.push((*key, *value)));
        entries.sort_unstable();
        entries
    }

    let before = entries(handle);
    assert_eq!(before.len(), 101, "{name}");
    assert_eq!((before[7], before[8], before[100]), ((7, 71), (8, 9), (700, 70)), "{name}");
    handle.clear();
    assert_eq!(handle.read(&7, |value| *value), None, "{name}");
    assert_eq!(entries(handle), [], "{name}");
    handle.insert(1, 2);
    assert_eq!(entries(handle), [(1, 2)], "{name}");
}

macro_rules! for_maps {
    ($($map:ident),*; |$name:ident, $handle:ident| $check:expr) => {
        $({
            let map: $map<u64, u64> = filled();
            let ($name, $handle) = (<$map<u64, u64> as Map<u64, u64>>::NAME, &mut map.handle());
            $check;
        })*
    };
}

#[test]
fn further_operations_do_the_same() {
    for_maps! {
        Readmostly, ReadmostlyPinned, Dashmap, Papaya, PapayaPinned, SccMap, SccIndex, Flurry, StdRwLock, StdMutex,
        ParkingLotRwLock, ParkingLotMutex, CopyOnWrite, CopyOnWriteCached, Evmap, Moka, QuickCache;
        |name, handle| {
            changes_on_condition(name, handle);
            ranges_and_clears(name, handle);
        }
    }
}

#[test]
fn snapshots_are_counted() {
    for_maps! {
        Readmostly, ReadmostlyPinned, CopyOnWrite, CopyOnWriteCached;
        |name, handle| {
            assert_eq!(handle.snapshot_len(), 100, "{name}");
            handle.insert(100, 0);
            assert_eq!(handle.snapshot_len(), 101, "{name}");
        }
    }
}

#[test]
fn the_floor_does_the_same() {
    let mut map = plain(Hasher::default(), (0..100_u32).map(|key| (u64::from(key), u64::from(key) + 1)));
    changes_on_condition("hashbrown", &mut map);
    ranges_and_clears("hashbrown", &mut map);
    assert!(Handle::remove(&mut map, &1) && !Handle::remove(&mut map, &1));
}

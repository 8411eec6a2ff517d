//! Random schedules of loads.

use std::sync::Arc;

use readmostly::LoadingMap;
use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::PctScheduler;
use shuttle::sync::atomic::{AtomicU64, Ordering::SeqCst};
use shuttle::{Config, Runner, thread};

const KEY: u32 = 1;

/// What loads come from, and what is known of it.
#[derive(Default)]
struct Source {
    version: AtomicU64,
    /// The last version whose predecessors have been removed from the map.
    removed: AtomicU64,
    loaders: AtomicU64,
}

/// Threads that load one key in either form, now and then without success, beside two that change the source. All end
/// (shuttle notices when nobody can go on), and nobody gets what was out of date before it asked.
#[test]
fn loads_are_shared_and_never_out_of_date() {
    check(|map, source| (0..2).map(|_| start(map, source, change)).collect());
}

/// The same with one that puts what it changes into the map, as a service does that writes to its database, and one that
/// evicts.
#[test]
fn inserts_keep_loads_out_also_beside_evictions() {
    check(|map, source| vec![start(map, source, replace), start(map, source, |map, _| drop(map.map().remove(&KEY)))]);
}

fn check(writers: fn(&Arc<LoadingMap<u32, u64>>, &Arc<Source>) -> Vec<thread::JoinHandle<()>>) {
    let _planted = readmostly_loom_tests::controls::planted();
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.silence_warnings = true;
    Runner::new(PctScheduler::new_from_seed(1, 4, crate::histories()), config).run(move || {
        let (map, source) = (Arc::new(LoadingMap::<u32, u64>::new()), Arc::new(Source::default()));
        let readers: Vec<_> = (0..3).map(|id| start(&map, &source, move |map, source| read(map, source, id))).collect();
        readers.into_iter().chain(writers(&map, &source)).for_each(|thread| thread.join().unwrap());
        assert_eq!(map.loading(), 0);
    });
}

fn start(
    map: &Arc<LoadingMap<u32, u64>>,
    source: &Arc<Source>,
    work: impl FnOnce(&LoadingMap<u32, u64>, &Source) + Send + 'static,
) -> thread::JoinHandle<()> {
    let (map, source) = (Arc::clone(map), Arc::clone(source));
    thread::spawn(move || work(&map, &source))
}

fn change(map: &LoadingMap<u32, u64>, source: &Source) {
    let version = source.version.fetch_add(1, SeqCst) + 1;
    if thread_rng().gen_bool(0.5) {
        drop(map.remove(&KEY));
    } else {
        map.clear();
    }
    source.removed.fetch_max(version, SeqCst);
}

/// The only one that changes the source, or what it inserts might be older than what others do.
fn replace(map: &LoadingMap<u32, u64>, source: &Source) {
    let version = source.version.fetch_add(1, SeqCst) + 1;
    drop(map.insert(KEY, version));
    source.removed.fetch_max(version, SeqCst);
}

fn read(map: &LoadingMap<u32, u64>, source: &Source, id: usize) {
    let at_least = source.removed.load(SeqCst);
    let load = || {
        // Each change of the source lets a load begin beside one that is out of date.
        let others = source.loaders.fetch_add(1, SeqCst);
        let version = source.version.load(SeqCst);
        assert!(others <= version, "{others} other loaders after {version} changes");
        thread::yield_now();
        source.loaders.fetch_sub(1, SeqCst);
        if thread_rng().gen_bool(0.2) { Err(()) } else { Ok(version) }
    };
    let found = match id {
        0 => block_on(map.get_or_load_async(KEY, || async { load() })),
        _ => map.get_or_load(KEY, load),
    };
    if let Ok(found) = found {
        assert!(*found >= at_least, "found {}, when {at_least} was the oldest", *found);
    }
}

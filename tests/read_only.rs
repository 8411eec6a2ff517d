//! Reads write nothing that others read: with the memory of a map mapped read-only they find what they should, and a
//! write that anything made would end the process.
//!
//! All that a map allocates while it is filled comes from one arena, and the large tables that it maps itself are found
//! among the mappings of the process. Then all of it is protected, and several threads look up what is there and what
//! is not. Two things a read does write: the record of its thread in the epoch, which is not the map's and so not
//! protected; and, in an amended map, a count of misses. Where that lies is found by looking what changes when a thread
//! makes as many misses as it counts at once. It alone stays writable, and has to account for all that changed there.
//!
//! Each case runs in a process of its own: this one, started again for one test.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "an allocator and memory protection are unsafe by nature")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::{Debug, Write};
use std::hash::Hash;
use std::ops::Range;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use std::{env, fs, ptr, slice};

use readmostly::{Snapshot, SyncMap};

// ---------------------------------------------------------------------------------------------------------------------
// The arena

/// Takes memory from the arena for a thread that fills a map, and from the system otherwise.
struct Arena;

#[global_allocator]
static ALLOCATOR: Arena = Arena;

/// How much address space the arena has; pages that are not used cost nothing.
const ARENA: usize = 256 << 20;

/// What is protected by itself starts and ends at a multiple of this, which is one of every page size.
const GRAIN: usize = 64 << 10;

/// Allocations aligned to a cache line are: the striped counts among them.
const LINE: usize = 32;

static START: AtomicUsize = AtomicUsize::new(0);
static USED: AtomicUsize = AtomicUsize::new(0);

/// The allocations: offset and size of each, a half of the word each.
static PIECES: [AtomicU64; 1 << 17] = [const { AtomicU64::new(0) }; 1 << 17];
static PIECE_COUNT: AtomicUsize = AtomicUsize::new(0);

/// The mapped tables, for the fault handler.
static TABLES: [[AtomicUsize; 2]; 4] = [const { [const { AtomicUsize::new(0) }; 2] }; 4];

thread_local! {
    static FILLING: Cell<bool> = const { Cell::new(false) };
}

/// Where the allocation `number` lies.
fn piece(number: usize) -> Range<usize> {
    let piece = PIECES[number].load(SeqCst);
    let start = START.load(SeqCst) + (piece >> 32) as usize;
    start..start + (piece & 0xffff_ffff) as usize
}

fn is_in_arena(address: usize) -> bool {
    let start = START.load(SeqCst);
    start != 0 && (start..start + ARENA).contains(&address)
}

fn carve(layout: Layout) -> *mut u8 {
    let (align, size) = if layout.align() >= LINE {
        (GRAIN, layout.size().next_multiple_of(GRAIN))
    } else {
        (layout.align(), layout.size())
    };
    let offset = USED.load(SeqCst).next_multiple_of(align);
    let number = PIECE_COUNT.fetch_add(1, SeqCst);
    if offset + size > ARENA || number >= PIECES.len() {
        return ptr::null_mut();
    }
    USED.store(offset + size, SeqCst);
    PIECES[number].store((offset as u64) << 32 | layout.size() as u64, SeqCst);
    (START.load(SeqCst) + offset) as *mut u8
}

// SAFETY: memory of the arena is given out once and never again, aligned as asked for and zero; all else is the
// system's, and goes back there.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if FILLING.get() {
            return carve(layout);
        }
        // SAFETY: as promised to this method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if FILLING.get() {
            return carve(layout);
        }
        // SAFETY: as promised to this method.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if !is_in_arena(memory.addr()) {
            // SAFETY: as promised to this method.
            unsafe { System.dealloc(memory, layout) }
        }
    }
}

/// Has a map of its own used, and its garbage freed.
///
/// What a thread, or the epoch, allocates for all maps is then allocated, and not from the arena. The queue of
/// crossbeam-epoch has moved on to new nodes too, if it is in use: who pins may add to it.
fn use_another_map() {
    let map = SyncMap::new();
    for round in 0..16 {
        drop(map.insert(0, String::from("a value")));
        map.snapshot().for_each(|_, value| assert_eq!(value, "a value", "in round {round}"));
        map.flush();
    }
}

/// Runs `fill` with its memory from the arena. One thread does, once.
fn in_arena<T>(fill: impl FnOnce() -> T) -> T {
    use_another_map();
    // SAFETY: a new mapping touches no memory of anybody's.
    let start = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(ptr::null_mut(), ARENA, access, libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE, -1, 0)
    };
    assert_ne!(start, libc::MAP_FAILED);
    let gap = start.addr().next_multiple_of(GRAIN) - start.addr();
    assert_eq!(START.swap(start.addr() + gap, SeqCst), 0);
    USED.store(0, SeqCst);
    FILLING.set(true);
    let filled = fill();
    FILLING.set(false);
    use_another_map();
    filled
}

/// The words of a piece of memory, copied.
fn words(memory: &Range<usize>) -> Vec<u64> {
    // SAFETY: memory of the arena, which no thread writes to at the moment.
    unsafe { slice::from_raw_parts(memory.start as *const u64, memory.len() / 8) }.to_vec()
}

// ---------------------------------------------------------------------------------------------------------------------
// Protection

/// How a process ends that wrote where it must not.
const CAUGHT: i32 = 86;

fn protect(memory: &Range<usize>, access: i32) {
    // SAFETY: whole pages of the arena or of a table; whoever writes there after this is what is being looked for.
    let failed = unsafe { libc::mprotect(memory.start as *mut _, memory.len(), access) };
    assert_eq!(failed, 0, "mprotect: {}", std::io::Error::last_os_error());
}

/// A line of text in no memory of the heap.
struct Line {
    text: [u8; 160],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let part = &part.as_bytes()[..part.len().min(self.text.len() - self.len)];
        self.text[self.len..self.len + part.len()].copy_from_slice(part);
        self.len += part.len();
        Ok(())
    }
}

/// Says what was written to, and ends the process.
extern "C" fn on_fault(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel passes it to a handler that asked for it.
    let address = unsafe { (*info).si_addr() }.addr();
    let mut line = Line { text: [0; 160], len: 0 };
    let number = (0..PIECE_COUNT.load(SeqCst)).find(|&number| piece(number).contains(&address));
    let table = TABLES.iter().map(|[start, end]| start.load(SeqCst)..end.load(SeqCst)).find(|t| t.contains(&address));
    let _ = if let Some(number) = number {
        let (at, size) = (address - piece(number).start, piece(number).len());
        writeln!(line, "caught: a write to byte {at} of {size} that the map has allocated, its allocation {number}")
    } else if let Some(table) = table {
        writeln!(line, "caught: a write to byte {} of a mapped table", address - table.start)
    } else {
        writeln!(line, "a segmentation fault at {address:#x}, which is not the map's")
    };
    // SAFETY: a handler may call both.
    unsafe {
        libc::write(2, line.text.as_ptr().cast(), line.len);
        libc::_exit(if line.text.starts_with(b"caught") { CAUGHT } else { 1 });
    }
}

fn catch_faults() {
    // SAFETY: the handler calls only what a handler may; all zero is a valid `sigaction`.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut()), 0);
    }
}

/// The nameless private mappings of the process that can be written to.
fn mappings() -> Vec<Range<usize>> {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux has it");
    let nameless = maps.lines().filter_map(|line| {
        let mut parts = line.split_whitespace();
        let (range, access) = (parts.next()?, parts.next()?);
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).expect("an address");
        (access == "rw-p" && parts.count() == 3).then(|| address(start)..address(end))
    });
    nameless.collect()
}

/// What is in `all` and not in `known`; neighbours may have been joined since.
fn without(all: Vec<Range<usize>>, known: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut rest = all;
    for taken in known {
        let cut = |range: Range<usize>| {
            [range.start..range.end.min(taken.start), range.start.max(taken.end)..range.end]
                .into_iter()
                .filter(|part| part.start < part.end)
        };
        rest = rest.into_iter().flat_map(cut).collect();
    }
    rest
}

/// The memory of one map.
struct Memory {
    arena: Range<usize>,
    tables: Vec<Range<usize>>,
}

impl Memory {
    /// All of it, when `filled` was done with its memory from the arena.
    fn of<T>(fill: impl FnOnce() -> T) -> (Self, T) {
        let mut before = Vec::new();
        let filled = in_arena(|| {
            FILLING.set(false);
            before = mappings();
            FILLING.set(true);
            fill()
        });
        let tables = without(mappings(), &before);
        for (table, known) in tables.iter().zip(&TABLES) {
            known[0].store(table.start, SeqCst);
            known[1].store(table.end, SeqCst);
        }
        let start = START.load(SeqCst);
        (Memory { arena: start..start + USED.load(SeqCst).next_multiple_of(GRAIN), tables }, filled)
    }

    fn protect(&self, access: i32) {
        protect(&self.arena, access);
        self.tables.iter().for_each(|table| protect(table, access));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Maps

trait Key: Hash + Eq + Clone + Debug + Send + Sync + 'static {
    fn of(number: u64) -> Self;
}

impl Key for u64 {
    fn of(number: u64) -> u64 {
        number
    }
}

impl Key for String {
    fn of(number: u64) -> String {
        format!("the key or value {number}")
    }
}

/// One kind of map.
#[derive(Clone, Copy)]
struct Kind {
    /// How many keys are put in first: for a table of less than what is mapped, or of more.
    keys: u64,
    tombstones: bool,
    amended: bool,
}

/// Tables of 16 KiB and, amended, 32: all from the arena.
const SMALL: u64 = 1_000;

/// Tables of 256 KiB, from which on they are mapped, or more.
const LARGE: u64 = 12_000;

/// Keys that are put in when a snapshot has frozen the table, so go to the dirty one.
const LATE: u64 = 8;

/// What is added to the key for the value of an entry that was overwritten.
const OVERWRITTEN: u64 = 1 << 40;

/// A map, and what keeps it amended.
type Filled<K> = (Box<SyncMap<K, K>>, Option<Snapshot<K, K>>);

impl Kind {
    fn is_removed(self, key: u64) -> bool {
        self.tombstones && key < self.keys && key % 3 == 1
    }

    fn value(key: u64) -> u64 {
        if key.is_multiple_of(5) { key + OVERWRITTEN } else { key }
    }

    /// Keys of the first table that have a value.
    fn present(self) -> impl Iterator<Item = u64> {
        (0..self.keys).filter(move |&key| !self.is_removed(key))
    }

    fn fill<K: Key>(self) -> Filled<K> {
        let map = Box::new(SyncMap::new());
        (0..self.keys).for_each(|key| drop(map.insert(K::of(key), K::of(key))));
        (0..self.keys).step_by(5).for_each(|key| drop(map.insert(K::of(key), K::of(Self::value(key)))));
        (0..self.keys).filter(|&key| self.is_removed(key)).for_each(|key| drop(map.remove(&K::of(key))));
        map.promote();
        let frozen = self.amended.then(|| {
            let frozen = map.snapshot();
            (self.keys..self.keys + LATE).for_each(|key| drop(map.insert(K::of(key), K::of(key))));
            frozen
        });
        // Garbage that waits is the epoch's to move, whoever pins.
        map.flush();
        (map, frozen)
    }
}

/// What the map is said to be, it is; or the test would show little.
fn check_kind<K: Key>(kind: Kind, map: &SyncMap<K, K>, memory: &Memory) {
    let stats = map.stats();
    assert_eq!(stats.dirty_len > 0, kind.amended, "amended");
    assert_eq!(stats.tombstones > 0, kind.tombstones, "tombstones");
    assert_eq!(stats.pending_garbage, 0, "garbage");
    assert!(memory.arena.len() > 10 * kind.keys as usize, "the nodes come from the arena");
    let mapped: usize = memory.tables.iter().map(|table| table.len()).sum();
    assert_eq!(kind.keys == LARGE, mapped > 0, "{mapped} bytes of tables are mapped");
    if kind.keys == LARGE {
        assert!(mapped > stats.table_bytes / 2, "{mapped} bytes of {} are mapped", stats.table_bytes);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Reads

const THREADS: usize = 4;

/// Misses that a thread counts at once.
const COUNTED: u64 = 16;

/// Absent keys, and removed ones, that each thread looks up. So few that the misses of all threads together stay below
/// the 512 after which a reader helps with the copy of an amended map: that is a write.
const ABSENT: usize = 24;

/// Reads what is there in every way.
fn read_present<K: Key>(kind: Kind, map: &SyncMap<K, K>) {
    let pinned = map.pin();
    for number in kind.present() {
        let (key, value) = (K::of(number), K::of(Kind::value(number)));
        assert_eq!(map.get(&key).as_deref(), Some(&value));
        assert_eq!(map.get_cloned(&key).as_ref(), Some(&value));
        assert!(map.contains_key(&key));
        assert_eq!(pinned.get(&key), Some(&value));
        assert_eq!(pinned.get_key_value(&key), Some((&key, &value)));
    }
    assert_eq!(map.len(), kind.present().count() + if kind.amended { LATE as usize } else { 0 });
    assert!(!map.is_empty() && map.capacity() > 0 && map.stats().table_bytes > 0);
}

/// Reads what is not there, or not in the first table.
fn read_others<K: Key>(kind: Kind, map: &SyncMap<K, K>) {
    let removed = (0..kind.keys).filter(|&key| kind.is_removed(key)).take(ABSENT);
    let absent = (kind.keys + LATE..).take(ABSENT);
    for number in removed.chain(absent) {
        let key = K::of(number);
        assert!(map.get(&key).is_none());
        assert!(map.pin().get_key_value(&key).is_none());
    }
    if kind.amended {
        for number in kind.keys..kind.keys + LATE {
            let key = K::of(number);
            assert_eq!(map.get(&key).as_deref(), Some(&key));
            assert_eq!(map.pin().get(&key), Some(&key));
        }
    }
}

/// Visits all entries. In an amended map that would complete the copy first.
fn iterate<K: Key>(kind: Kind, map: &SyncMap<K, K>) {
    let present = kind.present().count();
    let pinned = map.pin();
    assert_eq!(pinned.iter().filter(|(key, value)| pinned.get(*key) == Some(value)).count(), present);
    assert_eq!(pinned.keys().count(), present);
    assert_eq!(pinned.values().count(), present);
}

/// Finds the allocation that changes when a thread counts its misses: one, and one word of it.
fn find_count<K: Key>(kind: Kind, map: &SyncMap<K, K>, memory: &Memory) -> Range<usize> {
    let before = words(&memory.arena);
    thread::scope(|scope| {
        scope.spawn(|| (0..COUNTED).for_each(|n| assert!(!map.contains_key(&K::of(kind.keys + LATE + n)))));
    });
    let after = words(&memory.arena);
    let changed: Vec<_> = (0..before.len()).filter(|&word| before[word] != after[word]).collect();
    let [word] = changed[..] else { panic!("{COUNTED} misses change one word, not {}", changed.len()) };
    assert_eq!(after[word] - before[word], COUNTED);
    let address = memory.arena.start + word * 8;
    let count = (0..PIECE_COUNT.load(SeqCst)).map(piece).find(|piece| piece.contains(&address)).expect("the map's");
    assert_eq!(count.start % GRAIN, 0, "the counts lie on cache lines of their own");
    count
}

fn read_all<K: Key>(kind: Kind) {
    let (memory, (map, frozen)) = Memory::of(|| kind.fill::<K>());
    let map = &*map;
    check_kind(kind, map, &memory);
    catch_faults();
    memory.tables.iter().for_each(|table| protect(table, libc::PROT_READ));
    let count = kind.amended.then(|| find_count(kind, map, &memory));
    protect(&memory.arena, libc::PROT_READ);
    if let Some(count) = &count {
        protect(&(count.start..count.end.next_multiple_of(GRAIN)), libc::PROT_READ | libc::PROT_WRITE);
    }
    let (before, misses) = (count.as_ref().map(words), map.stats().misses);

    common::race(THREADS, |_| {
        read_present(kind, map);
        read_others(kind, map);
        if !kind.amended {
            iterate(kind, map);
        }
    });

    let misses = map.stats().misses - misses;
    assert_eq!(misses > 0, kind.amended, "misses");
    if let (Some(count), Some(before)) = (count, before) {
        let grown = words(&count).iter().zip(before).map(|(after, before)| after - before).sum::<u64>();
        assert_eq!(grown, misses, "what changed where the misses are counted is their count");
    }
    memory.protect(libc::PROT_READ | libc::PROT_WRITE);
    drop(frozen);
}

// ---------------------------------------------------------------------------------------------------------------------
// Tests

/// In the environment of a process that is to run one case itself: which.
const CASE: &str = "READMOSTLY_READ_ONLY_CASE";

/// Runs `case` of the calling test, in a process of its own, and returns how that ended.
fn in_child(test: &'static str, case: &str) -> Output {
    let mut child = Command::new(env::current_exe().expect("this program"));
    child.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(CASE, case);
    common::within(Duration::from_secs(120), move || child.output().expect("this program can be run"))
}

/// Runs `read_all` on every kind of map that is amended, or that is not.
fn on_every_kind(test: &'static str, amended: bool) {
    if let Ok(case) = env::var(CASE) {
        let is = |word| case.split(' ').any(|part| part == word);
        let kind = Kind { keys: if is("large") { LARGE } else { SMALL }, tombstones: is("tombstones"), amended };
        return if is("strings") { read_all::<String>(kind) } else { read_all::<u64>(kind) };
    }
    for keys in ["numbers", "strings"] {
        for size in ["small", "large"] {
            for rest in ["clean", "tombstones"] {
                let case = format!("{keys} {size} {rest}");
                let output = in_child(test, &case);
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{case}: {}\n{said}", output.status);
            }
        }
    }
}

#[test]
fn reads_of_a_settled_map_write_nothing() {
    on_every_kind("reads_of_a_settled_map_write_nothing", false);
}

#[test]
fn reads_of_an_amended_map_write_their_count_of_misses_alone() {
    on_every_kind("reads_of_an_amended_map_write_their_count_of_misses_alone", true);
}

/// Protects a map and then writes to it.
fn write(case: &str) {
    let kind = Kind { keys: LARGE, tombstones: false, amended: case == "iterate" };
    let (memory, (map, _frozen)) = Memory::of(|| kind.fill::<u64>());
    check_kind(kind, &map, &memory);
    catch_faults();
    match case {
        "new key" => memory.tables.iter().for_each(|table| protect(table, libc::PROT_READ)),
        _ => memory.protect(libc::PROT_READ),
    }
    match case {
        "overwrite" => drop(map.insert(7, 0)),
        "remove" => drop(map.remove(&7)),
        "new key" => drop(map.insert(kind.keys + LATE, 0)),
        "snapshot" => drop(map.snapshot()),
        "iterate" => drop(map.pin().iter().count()),
        _ => panic!("no such case: {case}"),
    }
}

/// Without it, no other test could fail.
#[test]
fn writes_are_caught() {
    if let Ok(case) = env::var(CASE) {
        return write(&case);
    }
    let a_node = format!("caught: a write to byte 0 of {} that", 3 * size_of::<u64>());
    let expected = [
        ("overwrite", "that the map has allocated"),
        ("remove", a_node.as_str()),
        ("new key", "of a mapped table"),
        ("snapshot", "that the map has allocated"),
        ("iterate", "that the map has allocated"),
    ];
    for (case, report) in expected {
        let output = in_child("writes_are_caught", case);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(CAUGHT), "{case}: {}\n{said}", output.status);
        assert!(said.contains(report), "{case}: {said}");
    }
}

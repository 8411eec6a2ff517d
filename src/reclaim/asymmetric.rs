//! An epoch whose pin costs next to nothing, because whoever wants the epoch to move pays.
//!
//! # Protocol
//!
//! There is one global epoch, a number that grows step by step, and a record per thread with the epoch in which the
//! thread is pinned, or [`UNPINNED`].
//!
//! - *pin*: load the epoch; store it to the own record; **light barrier**; only then look at shared pointers.
//! - *unpin*: store `UNPINNED`, Release.
//! - *issue a ticket*, after making something unreachable: full fence; load the epoch `t`.
//! - *advance* from `e`: load the epoch `e`; **heavy barrier**; look at all records; if each is `UNPINNED` or pinned in
//!   `e`, exchange the epoch from `e` to `e + 1`.
//! - a ticket is *due* when the epoch is at least `t + 3`.
//!
//! The barriers are a pair: heavy orders its thread against light in every other one as if both were SeqCst fences.
//! With `membarrier` the heavy one makes every thread of the process execute a fence at some point during the call, so
//! the light one need only keep the compiler from moving things. `FlushProcessWriteBuffers` of Windows does the same, and
//! stands for `membarrier` below. Where the kernel refuses, both are SeqCst fences: same code, same argument.
//!
//! # Argument
//!
//! Let W make X unreachable, fence (call it Fw) and load the epoch `t`. Let Ak be the advance to `t + k`, with its
//! heavy barrier Fk. Let T be pinned and hold a reference to X, so that a load of T's has read the link to X that W
//! removed. To show: A3 cannot happen before T unpins.
//!
//! 1. *Fw precedes F2, and every later heavy barrier, in the order of SeqCst fences.* Before F2, A2 loaded the epoch `t
//!    + 1`. After Fw, W loaded `t`, which is older. Had F2 come first, W would have had to see `t + 1` or newer.
//! 2. *A3 sees T's record.* T's record was stored before T's part of F3, or after it. If after, T's loads of links come
//!    after it too, so after Fw (by 1), and see what W did: T would not have found X.
//! 3. *The record does not let A3 pass.* It would have to say `t + 2`, which was stored after F2. With `membarrier`, a
//!    load that comes before T's part of F2 cannot return that, so T's load of the epoch, and with it the loads of links,
//!    come after T's part of F2. With fences, T's own comes after F2, since the load before it returns what was stored
//!    after F2. Either way T's loads of links come after Fw (by 1): T would not have found X.
//!
//! That is why a ticket waits for three steps and not two: with two, step 3 would need a fence in T between the load of
//! the epoch and the loads of links, which is what this epoch exists to avoid.
//!
//! *What T read under its guard happens before the free.* T's store of `UNPINNED`, or of a later pin, is a Release that
//! A3's look at the record (Acquire) reads; A3's exchange is a Release; who finds the ticket due has read it, or a
//! later one in the release sequence that it heads, with Acquire.
//!
//! *References that T did not get through the link that W removed.* T may have made X itself, or have reached it
//! through something that was unreachable before X was. Then T was pinned when W removed the link, or T's way to X
//! began at a link that somebody removed before that, with a fence of their own: the same argument holds for that link.
//! And the fence need not be W's: who seals a batch that others filled took it over from them, so their removals come
//! before its fence.
//!
//! *Loads by other threads.* T may lend its guard: hand something on to a thread U, and unpin after U has said that it is
//! done. Wherever above T's loads of links come after something, read U's: T's part of a heavy barrier, or its fence, comes
//! before the handing over, which happens before U's loads. (The rule for SeqCst fences is itself one of what happens
//! before and after them, not of one thread's program.) And U's loads happen before T's unpin. So U need not be pinned, nor
//! have a record.
//!
//! A thread that registers late adds its record before it pins. If A3 does not find the record, the thread added it
//! after its part of F3, and step 2 holds as if it had been stored then.
//!
//! # Signal handlers
//!
//! A handler may pin and unpin between any two steps of a pin or unpin of the thread that it interrupts. It leaves the
//! record as it found it: unpinned if it was, else with as many guards as before. And each step here does what is right
//! whether or not it was so for a while in between: what was asked of the record before the handler came is true after
//! it.
//!
//! # Limits
//!
//! - A thread that stays pinned stops reclamation for the process, as with every epoch.
//! - If the kernel refuses `membarrier` later on (a seccomp filter installed after the first pin), nothing is freed
//!   from then on but by dropping maps.
//! - The child of a `fork` has the records of all threads of its parent. One that was pinned at that moment stays so,
//!   and nothing is freed but by dropping maps. To unpin it would be wrong: its thread is gone, but it may have lent what
//!   its guard protects to the one that lives on, as `std::thread::scope` allows. Programs that `fork` without `exec`
//!   should do so while no other thread uses maps.

use std::fmt;
use std::marker::PhantomData;
use std::ptr;

use crate::sync::{
    AtomicBool, AtomicPtr, AtomicUsize, CachePadded, LocalCell, Ordering, OwnCell, compiler_fence, const_fn, fault,
    fence, global, leak, local, local_with_drop,
};

#[cfg(any(readmostly_loom, readmostly_shuttle))]
#[path = "asymmetric/model.rs"]
mod system;
#[cfg(not(any(readmostly_loom, readmostly_shuttle)))]
#[path = "asymmetric/system.rs"]
mod system;

use system::{barrier, has_barrier, is_worth_a_barrier};

/// What a record says while its thread is not pinned. No epoch has this number.
const UNPINNED: usize = 0;

/// What the record of threads that have none says: neither unpinned nor an epoch.
const NEVER_UNPINNED: usize = 2;

/// What one advance adds. Two, starting at one, so that the epoch is never `UNPINNED`, also when it wraps.
const STEP: usize = 2;

/// What the epoch must have moved on by until a ticket is due: three steps.
const DUE_AFTER: usize = 3 * STEP;

/// The bit of [`Record::more`] that says that the thread has given the record up while pinned: the last guard frees it.
const GIVEN_UP: u64 = 1 << 63;

global! {
    /// The epoch. On a line of its own: it is read at every pin, and written at most once per batch of garbage.
    static EPOCH: CachePadded<AtomicUsize> = CachePadded::new(AtomicUsize::new(1));
}

global! {
    /// All records there ever were; a thread that ends leaves its record to another.
    static RECORDS: AtomicPtr<CachePadded<Record>> = AtomicPtr::new(ptr::null_mut());
}

/// What one thread shows to the others.
struct Record {
    epoch: AtomicUsize,
    /// How many guards the thread has beyond the first; touched by that thread alone, and by signal handlers that
    /// interrupt it. Of 64 bits, so that leaked guards cannot make it wrap.
    more: OwnCell,
    /// Whether pinning needs a fence, because no `membarrier` will make up for it.
    fences: bool,
    /// Whether a thread has the record.
    taken: AtomicBool,
    next: *const CachePadded<Record>,
}

// SAFETY: `more` is used only by the thread that has taken the record, handed on by `taken`; `fences` and `next` do not
// change once the record is in the list; the rest is atomic.
unsafe impl Sync for Record {}

/// Keeps everything that was reachable while it exists from being freed.
pub(crate) struct Guard {
    record: &'static Record,
    /// Belongs to the thread whose record it is.
    _not_send: PhantomData<*const ()>,
}

/// This thread's record, given up when the thread ends.
struct Participant(&'static Record);

impl Drop for Participant {
    fn drop(&mut self) {
        // Fails where thread-locals go in any order, and then nothing pins after this.
        let _ = RECORD.try_with(|record| record.set(&NO_RECORD));
        if self.0.is_pinned() {
            self.0.more.set(self.0.more.get() | GIVEN_UP);
        } else {
            self.0.release();
        }
    }
}

global! {
    /// Not in the list, and never unpinned, so that there is one question to ask before the fast path and not two.
    static NO_RECORD: Record = Record::new(NEVER_UNPINNED, false);
}

local! {
    /// The record in `PARTICIPANT` if pinning it takes no fence; without a destructor, and so without a check. Else, and
    /// before that is initialised, and when it is gone, `NO_RECORD`.
    static RECORD: LocalCell<&'static Record> = LocalCell::new(&NO_RECORD);
}

local_with_drop! {
    static PARTICIPANT: Participant = Participant(Record::take());
}

/// Pins the current thread.
#[inline]
pub(crate) fn pin() -> Guard {
    let record = RECORD.with(LocalCell::get);
    if record.is_pinned() {
        return pin_otherwise(record);
    }
    // Relaxed: what it comes after is a matter of the barriers: step 3 of the argument.
    record.show(EPOCH.load(Ordering::Relaxed));
    // The light barrier. SeqCst: keeps the compiler from moving loads up; the processor is kept from it by `membarrier`.
    compiler_fence(Ordering::SeqCst);
    Guard::of(record)
}

/// Pins a thread that is pinned already, that needs a fence for it, that has no record yet, or that ends and has given
/// its record up.
#[inline(never)]
fn pin_otherwise(record: &'static Record) -> Guard {
    let no_record: &'static Record = &NO_RECORD;
    if !ptr::eq(record, no_record) {
        return record.nest();
    }
    match PARTICIPANT.try_with(|participant| participant.0) {
        Ok(own) if own.is_pinned() => own.nest(),
        Ok(own) => {
            if !own.fences {
                RECORD.with(|record| record.set(own));
            }
            own.enter();
            Guard::of(own)
        }
        Err(_) => {
            // A destructor of another thread-local uses a map: a record for this one guard.
            let lent = Record::take();
            lent.more.set(GIVEN_UP);
            lent.enter();
            Guard::of(lent)
        }
    }
}

impl Record {
    const_fn! {
        const fn new(epoch: usize, fences: bool) -> Self {
            Record {
                epoch: AtomicUsize::new(epoch),
                more: OwnCell::new(0),
                fences,
                taken: AtomicBool::new(true),
                next: ptr::null(),
            }
        }
    }

    /// Whether its thread, which asks, is pinned.
    #[inline(always)]
    fn is_pinned(&self) -> bool {
        // Relaxed: this thread stored it.
        self.epoch.load(Ordering::Relaxed) != UNPINNED
    }

    #[inline(always)]
    fn show(&self, epoch: usize) {
        // Release: pairs with the Acquire load of records in `advance`. A look that finds this pin and not the unpin
        // before it is still ordered after what was read then; and one that finds the unpin, after what came before.
        self.epoch.store(epoch, Ordering::Release);
    }

    /// Pins the thread in the epoch of now, whether or not it was pinned.
    fn enter(&self) {
        // Relaxed: as in `pin`.
        self.show(EPOCH.load(Ordering::Relaxed));
        // The light barrier, partner of `heavy_barrier`: step 2 of the argument.
        if self.fences {
            // SeqCst: as above; partner of the fence in `heavy_barrier`.
            fence(Ordering::SeqCst);
        } else {
            // SeqCst: as in `pin`.
            compiler_fence(Ordering::SeqCst);
        }
    }

    /// A guard beside those that the thread has.
    fn nest(&'static self) -> Guard {
        self.more.set(self.more.get() + 1);
        Guard::of(self)
    }

    /// A record that is free, or a new one.
    fn take() -> &'static Record {
        // Acquire: pairs with the Release exchange below, by which a record was added.
        let mut head = RECORDS.load(Ordering::Acquire);
        let mut record = head.cast_const();
        // SAFETY: records are never freed.
        while let Some(free) = unsafe { record.as_ref() } {
            // Acquire: pairs with the Release store in `release`, so `more` is seen as that left it. Relaxed on
            // failure: the record is left alone.
            if free.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return free;
            }
            record = free.next;
        }
        let new = leak(Box::new(CachePadded::new(Record::new(UNPINNED, !has_barrier()))));
        loop {
            new.next = head;
            // Release on success: publishes the record to the Acquire loads of `RECORDS`. Relaxed on failure: the head
            // is not followed here.
            match RECORDS.compare_exchange(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return new,
                Err(found) => head = found,
            }
        }
    }

    /// Leaves the record, whose thread is not pinned, to another thread.
    fn release(&self) {
        self.more.set(0);
        // Release: pairs with the Acquire exchange in `take`.
        self.taken.store(false, Ordering::Release);
    }

    /// Ends one guard of several, or the last of a record that was given up.
    #[inline(never)]
    fn end_one(&self) {
        let more = self.more.get();
        if more == GIVEN_UP {
            self.show(UNPINNED);
            self.release();
        } else {
            self.more.set(more - 1);
        }
    }
}

impl Guard {
    #[inline(always)]
    fn of(record: &'static Record) -> Self {
        Guard { record, _not_send: PhantomData }
    }

    /// A guard that protects what this one does, however long it outlives it.
    pub(crate) fn nest(&self) -> Guard {
        self.record.nest()
    }

    /// Lets go of what was protected so far and protects from now on.
    ///
    /// Takes `&mut self`, so that no reference obtained under the guard survives the call.
    #[inline]
    pub(crate) fn repin(&mut self) {
        let is_only = self.record.more.get() & !GIVEN_UP == 0;
        // Relaxed, both: this thread stored the one, and the other is as in `pin`. In the same epoch a new pin would
        // protect no less than the old one.
        if is_only && self.record.epoch.load(Ordering::Relaxed) != EPOCH.load(Ordering::Relaxed) {
            self.record.enter();
        }
    }
}

impl Drop for Guard {
    #[inline(always)]
    fn drop(&mut self) {
        if self.record.more.get() == 0 {
            self.record.show(UNPINNED);
        } else {
            self.record.end_one();
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Says whether every guard that existed when it was issued is gone.
pub(super) struct Ticket(usize);

impl Ticket {
    /// Marks this moment: everything that was made unreachable before is covered.
    pub(super) fn issue(guard: &Guard) -> Ticket {
        // SeqCst: Fw of the argument; partner of the heavy barriers.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        let ticket = Ticket(EPOCH.load(Ordering::Relaxed));
        advance_sometimes(guard);
        ticket
    }

    pub(super) fn is_due(&self) -> bool {
        // Acquire: pairs with the Release exchange in `advance`, and so with every unpin that was seen before it.
        let passed = EPOCH.load(Ordering::Acquire).wrapping_sub(self.0);
        passed >= DUE_AFTER || fault!(DueEarly) && passed >= DUE_AFTER - STEP
    }
}

/// Tries to move the epoch, unless that was tried a short while ago.
///
/// An advance interrupts every running thread, for a microsecond or, in a virtual machine, ten. So it is not worth one
/// for each batch when batches come fast. When they come slowly it is: what waits should not wait for long.
#[cold]
pub(super) fn advance_sometimes(guard: &Guard) {
    if is_worth_a_barrier() {
        advance(guard);
    }
}

/// Tries to move the epoch by one step.
#[cold]
pub(super) fn advance(_guard: &Guard) {
    // Relaxed: step 1 of the argument needs that this comes before the fence in `heavy_barrier`, and no more.
    let epoch = EPOCH.load(Ordering::Relaxed);
    if !heavy_barrier() {
        return;
    }
    // Acquire: pairs with the Release exchange in `Record::take`.
    let mut record = RECORDS.load(Ordering::Acquire).cast_const();
    // SAFETY: records are never freed.
    while let Some(here) = unsafe { record.as_ref() } {
        // Acquire: pairs with the Release store in `Record::show`.
        let pinned = here.epoch.load(Ordering::Acquire);
        if pinned != UNPINNED && pinned != epoch {
            return;
        }
        record = here.next;
    }
    // Release: pairs with the Acquire load in `is_due`. No Acquire: an exchange continues the release sequence of the
    // one before, so who reads this one is ordered after what that advance saw. Relaxed on failure: another thread has
    // moved the epoch, which is as good.
    let _ = EPOCH.compare_exchange(epoch, epoch.wrapping_add(STEP), Ordering::Release, Ordering::Relaxed);
}

/// Orders this thread against the light barriers of all others, as SeqCst fences would; false if that failed.
fn heavy_barrier() -> bool {
    // SeqCst: F of the argument, in this thread; partner of `Fw` in `issue` and of the fence in `enter`.
    fence(Ordering::SeqCst);
    !has_barrier() || barrier()
}

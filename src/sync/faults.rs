//! Mistakes that a test build plants on purpose: a check that does not find them is no evidence.
//!
//! Exists only under `--cfg readmostly_faults`. Elsewhere `fault!(..)` is the literal `false`.

use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A mistake in the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            const ALL: &[Fault] = &[$(Fault::$name,)*];
        }
    };
}

faults! {
    /// A bucket's tag is stored before the pointer in its slot.
    PublishFirst,
    /// The guard of a lookup lets go before its result is used.
    UnpinEarly,
    /// The copier leaves a tombstone behind without expunging it.
    SkipExpunge,
    /// Dirty becomes read when one step of the copy has been made.
    PromoteEarly,
    /// What is retired is freed at the next opportunity, whoever reads it.
    FreeAtOnce,
    /// The value of a node is compared and then stored, in two steps.
    SplitExchange,
    /// A new key goes into the table that is being copied, behind the copier's back.
    InsertIntoRead,
    /// A lookup takes an expunged node for the absence of its key.
    StaleRead,
    /// `clear` leaves the nodes of the tables it took out as they are.
    ClearLightly,
    /// An iteration or snapshot does not stop inserts into its table.
    NeverFrozen,
    /// A node is deallocated without regard to its first value, which may still be read.
    NodeAlone,
    /// A generation does not keep its successor alive.
    ShortChain,
    /// An epoch's ticket is due one step too soon.
    DueEarly,
    /// A load puts what it has loaded into the map although that is out of date.
    LandSuperseded,
    /// A load begins beside one of the same key that goes on.
    LeadBeside,
    /// The end of a load wakes one of those who wait for it.
    WakeOne,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::ALL.iter().find(|fault| format!("{fault:?}") == name);
        named.copied().ok_or_else(|| format!("one of {:?} was expected, not {name:?}", Self::ALL))
    }
}

/// What stands in [`PLANTED`] when nothing is.
const NONE: u8 = u8::MAX;

static PLANTED: AtomicU8 = AtomicU8::new(NONE);

/// Plants a mistake, in all maps of the process, until what it returns is dropped.
#[must_use]
pub fn plant(fault: Fault) -> Planted {
    // SeqCst: what is planted before threads start is seen by them; there is no partner to name.
    let before = PLANTED.swap(fault as u8, Ordering::SeqCst);
    assert_eq!(before, NONE, "one mistake at a time");
    Planted(())
}

/// A mistake that is planted as long as this exists.
#[derive(Debug)]
pub struct Planted(());

impl Drop for Planted {
    fn drop(&mut self) {
        // SeqCst: as in `plant`.
        PLANTED.store(NONE, Ordering::SeqCst);
    }
}

pub(crate) fn is_planted(fault: Fault) -> bool {
    // Relaxed: set before the threads of a test start and taken back after they ended.
    PLANTED.load(Ordering::Relaxed) == fault as u8
}

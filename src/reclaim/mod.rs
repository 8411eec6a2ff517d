//! When memory that readers may still look at can be freed, and who frees it, a little at a time.
//!
//! The rest of the crate knows three things:
//!
//! - [`pin`] gives a [`Guard`]. What was reachable from a map while the guard exists stays allocated until it is gone:
//!   what its thread reached, and what others did if that happened after the pin and before the end.
//! - [`Domain::retire`] takes something that has been made unreachable and drops it when no guard that existed at that
//!   moment is left.
//! - [`Domain::flush`] drops what can be dropped now.
//!
//! Behind this door stand a [`domain`], which owns the garbage of one map and paces its freeing, and an epoch, which
//! tells it when. There are two epochs:
//!
//! - `asymmetric`, for Linux and Windows: pinning is two plain stores to the thread's own line, and whoever wants the
//!   epoch to move pays for a barrier in all threads;
//! - `crossbeam`, for everything else, and wherever the build sets `--cfg readmostly_crossbeam`: crossbeam-epoch, with
//!   a locked instruction per pin.
//!
//! Models of the map have a third, `contract`, under `--cfg readmostly_contract`: it states what an epoch promises and
//! has no epochs.
//!
//! An epoch offers `pin` and `Guard::repin`; [`Ticket::issue`], which marks a moment; [`Ticket::is_due`], which says
//! whether every guard of that moment is gone; `advance`, which tries to bring that about, and `advance_sometimes`,
//! which does so at a rate that other threads hardly notice.

#![allow(unsafe_code, reason = "second of the three layers in which unsafe code may stand")]

mod bin;
mod domain;
#[cfg(readmostly_loom)]
pub mod exposed;

#[cfg(readmostly_contract)]
#[path = "contract.rs"]
mod epoch;
// Where there is a barrier; Cargo.toml has the dependency of the other case under the same condition.
#[cfg(all(any(target_os = "linux", windows), not(any(readmostly_crossbeam, readmostly_contract))))]
#[path = "asymmetric.rs"]
mod epoch;
#[cfg(all(any(not(any(target_os = "linux", windows)), readmostly_crossbeam), not(readmostly_contract)))]
#[path = "crossbeam.rs"]
mod epoch;

pub(crate) use bin::Graveyard;
pub(crate) use domain::{Domain, Retired, Visit};
pub(crate) use epoch::{Guard, pin};

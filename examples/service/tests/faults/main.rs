//! The service among clients that do everything wrong, on a database that does not answer, and after its death.
//!
//! After each of it, what was cached must be there and right, and other requests must not have waited.

mod bodies;
mod client;
mod crash;
mod crowd;
mod database;
mod malformed;
// Not all of it is needed here.
#[allow(dead_code)]
#[path = "../../src/load/process.rs"]
mod process;
mod slow;
mod storm;

//! Starts the service and drives it over HTTP.

mod caching;
mod faults;
mod http;
#[path = "../common/port.rs"]
mod port;
mod restart;
mod server;

//! Starts the service and drives it over HTTP.

mod caching;
mod faults;
mod http;
mod restart;
mod server;

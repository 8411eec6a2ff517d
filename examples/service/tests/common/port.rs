//! Ports for servers.

use std::iter::repeat_with;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Below those that systems choose for connections and for listeners that ask for any.
const PORTS: Range<u16> = 10_000..32_000;

/// A free port, which stays free while a server that has it is stopped and started again.
pub(crate) fn free() -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    repeat_with(|| rand::random_range(PORTS)).take(1_000).find(is_free).expect("a free port")
}

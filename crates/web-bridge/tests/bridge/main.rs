//! The bridge from outside: a real server, raw HTTP, the bus in memory.

#![expect(clippy::unwrap_used, reason = "a test's helpers are tests")]

mod access;
mod http;
mod lifecycle;
mod limits;
mod socketio;
mod stream;
mod testkit;

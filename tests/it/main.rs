//! The stories, one module each.

// What goes wrong in a test's own scaffolding is a failed test.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod bus_bad_input;
mod bus_hosts;
mod bus_outage;
mod bus_python;
mod command_line;
mod flood;
mod loops;
mod python_to_everywhere;

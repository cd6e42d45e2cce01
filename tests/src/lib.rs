//! The whole system, tested from outside: real processes, sockets and files.
//!
//! [`Cantina`] is a running `cantina-log serve`; [`Program`] any process whose
//! output a test reads; [`oracle`] reads session files without the code that
//! wrote them. Nothing here sleeps: every wait is for a line, an exit or an
//! answer, and has a deadline.

mod cantina;
pub mod oracle;
mod paths;
mod program;

pub use cantina::{Cantina, Setup, Stopped};
pub use paths::{binary, chromium, fixture, js, python};
pub use program::{DEADLINE, Program};

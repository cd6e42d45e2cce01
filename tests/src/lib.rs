//! The whole system, tested from outside: real processes, sockets and files.
//!
//! [`Cantina`] is a running `cantina-log serve`; [`Program`] any process whose
//! output a test reads; [`OnBus`] a program on the same bus; [`Hosts`] are many that publish entries there;
//! [`Watcher`] is a dashboard; [`oracle`] reads session files without the code that wrote them. Nothing here sleeps: every wait is for a line, an exit or an
//! answer, and has a deadline.

mod cantina;
mod hosts;
mod on_bus;
pub mod oracle;
mod paths;
mod program;
mod watcher;

pub use cantina::{Cantina, Setup, Stopped, can_name_hosts};
pub use hosts::{AtWork, Hosts, Mark, Published};
pub use on_bus::{KeptEvents, Listener, OnBus};
pub use paths::{binary, chromium, example, fixture, js, py, python};
pub use program::{DEADLINE, Program};
pub use watcher::{Watched, Watcher};

//! What the bus takes and gives, and what the client library does by itself.

use anyhow::Result;
use tokio::runtime::Builder;

use crate::options::Options;
use crate::runs::Runs;
use crate::{bus_kept, bus_live};

/// An event's payload.
pub(crate) const PAYLOAD: &[u8] = &[b'x'; 400];

/// The threads on which the client library runs: it is quicker on one here, on
/// several there, and what is compared with it is compared with the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// Only the one that waits.
    One,
    /// Two besides that.
    Several,
}

/// Runs `future` on a runtime of its own. With it go the connections: one that
/// is left behind and not read slows down everybody on its server.
pub(crate) fn run<T>(threads: Threads, future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = match threads {
        Threads::One => Builder::new_current_thread().enable_all().build()?,
        Threads::Several => Builder::new_multi_thread().worker_threads(2).enable_all().build()?,
    };
    runtime.block_on(future)
}

pub(crate) fn measure(options: &Options) -> Result<String> {
    Ok(format!("{}\n{}", bus_live::measure(options)?, bus_kept::measure(options)?))
}

/// `ours` against the better of the library's, all of the same round.
pub(crate) fn ratios(ours: &[f64], theirs: [&[f64]; 2]) -> Runs {
    let theirs = theirs[0].iter().zip(theirs[1]).map(|(one, other)| one.max(*other));
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

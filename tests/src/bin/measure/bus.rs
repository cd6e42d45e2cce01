//! What the bus takes and gives, and what the client library does by itself.

use anyhow::Result;

use crate::options::Options;
use crate::runs::Runs;
use crate::{bus_kept, bus_live};

/// The bytes of an event's payload, about those of an entry.
pub(crate) const PAYLOAD: &[u8] = &[b'x'; 400];

pub(crate) fn measure(options: &Options) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build()?;
    let live = bus_live::measure(options, &runtime)?;
    let kept = bus_kept::measure(options, &runtime)?;
    Ok(format!("{live}\n{kept}"))
}

/// `ours` against `theirs`, both of the same round.
pub(crate) fn ratios(ours: &[f64], theirs: &[f64]) -> Runs {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

//! The door between `tracing` and a record sink.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use log_entry::{Levels, RecordSink};
use parking_lot::{Mutex, RwLock};
use tracing::dispatcher::{self, WeakDispatch};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, Subscriber, callsite};
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::filter::ByLevel;
use crate::recorder::Recorder;

/// Captures events for one sink. Clones are the same capture.
#[derive(Clone)]
pub struct Capture {
    sink: Arc<dyn RecordSink>,
    shared: Arc<Shared>,
}

/// Changes which events are captured, at any time and from any thread.
#[derive(Clone)]
pub struct LevelsHandle(pub(crate) Arc<Shared>);

/// What a capture, its layer, filter and handle have in common.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) levels: RwLock<Levels>,
    pub(crate) reentrant: AtomicU64,
    /// The subscriber the layer is part of.
    pub(crate) dispatch: Mutex<Option<WeakDispatch>>,
    /// Held while the levels change.
    change: Mutex<()>,
}

/// A layer that offers every event of the default [`Levels`] (INFO and above)
/// to `sink`. To change the levels, use a [`Capture`].
///
/// ```no_run
/// use std::sync::Arc;
///
/// use log_entry::RecordSink;
/// use tracing_subscriber::prelude::*;
///
/// fn install(sink: Arc<dyn RecordSink>) {
///     tracing_subscriber::registry().with(tracing_capture::layer(sink)).init();
/// }
/// ```
pub fn layer<S>(sink: Arc<dyn RecordSink>) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    Capture::new(sink).layer()
}

// === impl Capture ===

impl Capture {
    /// A capture of the default [`Levels`] (INFO and above) for `sink`.
    pub fn new(sink: Arc<dyn RecordSink>) -> Self {
        Self { sink, shared: Arc::default() }
    }

    /// The layer to add to a subscriber. It filters for itself only.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let recorder = Recorder::new(Arc::clone(&self.sink), Arc::clone(&self.shared));
        recorder.with_filter(ByLevel(Arc::clone(&self.shared)))
    }

    /// The handle that changes which events are captured.
    pub fn levels(&self) -> LevelsHandle {
        LevelsHandle(Arc::clone(&self.shared))
    }

    /// How many events were not captured because they were logged while
    /// another was being captured on the same thread.
    pub fn reentrant(&self) -> u64 {
        self.shared.reentrant.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("levels", &self.shared.levels)
            .field("reentrant", &self.shared.reentrant)
            .finish_non_exhaustive()
    }
}

// === impl LevelsHandle ===

impl LevelsHandle {
    /// The levels that hold now.
    pub fn get(&self) -> Levels {
        self.0.levels.read().clone()
    }

    /// Captures by `levels` from now on. Every callsite of the program is asked
    /// anew; events do not wait for it.
    pub fn set(&self, levels: Levels) {
        let _change = self.0.change.lock();
        *self.0.levels.write() = levels;
        let dispatch = self.0.dispatch.lock().as_ref().and_then(WeakDispatch::upgrade);
        // A layer that is not part of a subscriber yet is asked when it is.
        if let Some(dispatch) = dispatch {
            rebuild_interest_cache(&dispatch);
        }
    }
}

/// Has every callsite ask anew whether it is wanted.
///
/// While there is a single subscriber, `tracing` asks the default of the calling
/// thread about every callsite, and where that is none, every event of the
/// program ends up disabled. It is none on a thread without a subscriber, and on
/// one that is dispatching an event. So this is then left to a thread that has
/// nothing else to do.
fn rebuild_interest_cache(dispatch: &Dispatch) {
    if !dispatcher::get_default(Dispatch::is::<NoSubscriber>) {
        return callsite::rebuild_interest_cache();
    }
    thread::scope(|scope| {
        let rebuild = || dispatcher::with_default(dispatch, callsite::rebuild_interest_cache);
        // Without a thread to spare, callsites go by the old levels until the
        // next change; there is nothing better to be done here.
        let _ = thread::Builder::new().name("levels".to_owned()).spawn_scoped(scope, rebuild);
    });
}

impl fmt::Debug for LevelsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LevelsHandle").field(&self.0.levels).finish()
    }
}

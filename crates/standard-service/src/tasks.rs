//! Who owns what a service runs.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt, mem,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::unwind::{catch_panic, message};

/// How long an aborted task may take to end. Only one that blocks its thread takes longer.
const ABORT_PATIENCE: Duration = Duration::from_millis(100);

/// The panics that are kept with their texts; further ones are only logged.
const PANICS_MAX: usize = 16;

/// The tasks of a service: started here, ended here.
///
/// * **Cancellation is asked for, ending is awaited.** Every task gets a token; [`stop`](Self::stop) cancels it and waits.
/// * **A panic stays in its task.** It is logged with the task's name at once, and is part of what `stop` returns.
/// * **Many short tasks are fine.** One that has ended leaves nothing behind once the next is spawned.
/// * **Dropping aborts** every task, without waiting.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use std::time::Duration;
///
/// let tasks = standard_service::Tasks::default();
/// tasks.spawn("polite", |cancelled| async move { cancelled.cancelled().await });
/// tasks.spawn("deaf", |_cancelled| std::future::pending());
///
/// let error = tasks.stop(Duration::from_millis(1)).await.expect_err("one does not listen");
/// assert_eq!(error.aborted, ["deaf"]);
/// assert_eq!(error.to_string(), "tasks aborted after 1ms: deaf");
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Tasks {
    shared: Arc<Shared>,
}

/// Spawns into the [`Tasks`] it came from, from inside one of them: a listener, for its connections.
///
/// It does not keep them alive.
#[derive(Debug, Clone)]
pub struct Spawner {
    shared: Weak<Shared>,
}

/// Not every task ended well.
///
/// What is in `stuck` may still run, because a task that blocks its thread cannot be ended; everything else has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopError {
    /// How long the tasks were given.
    pub patience: Duration,
    /// Tasks that were still running then, and were aborted.
    pub aborted: Vec<String>,
    /// Tasks that went on even after that.
    pub stuck: Vec<String>,
    /// Tasks that panicked, at any time, in the order in which it was noticed; at most the first 16.
    pub panicked: Vec<TaskPanic>,
}

/// A task panicked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPanic {
    /// The name of the task.
    pub task: String,
    /// What the panic said.
    pub message: String,
}

type Name = Cow<'static, str>;

/// What a task ends with: nothing, or the text of its panic.
type Ended = Result<(), String>;

#[derive(Debug, Default)]
struct Shared {
    cancelled: CancellationToken,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    set: JoinSet<Ended>,
    names: HashMap<Id, Name>,
    panicked: Vec<TaskPanic>,
    is_closed: bool,
}

// === impl Tasks ===

impl Tasks {
    /// Starts a task. It should end soon after its token is cancelled.
    ///
    /// Once `stop` was called, nothing is started, and `task` is dropped.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn spawn<F>(
        &self,
        name: impl Into<Cow<'static, str>>,
        task: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        self.shared.spawn(name.into(), task);
    }

    /// A handle with which a task can start others beside itself.
    pub fn spawner(&self) -> Spawner {
        Spawner { shared: Arc::downgrade(&self.shared) }
    }

    /// The token that every task gets. Cancelling it asks all of them to end, and awaits nothing.
    pub fn token(&self) -> CancellationToken {
        self.shared.cancelled.clone()
    }

    /// Tasks that have not ended.
    pub fn running(&self) -> usize {
        let mut running = self.shared.running.lock();
        running.reap();
        running.names.len()
    }

    /// The tasks that panicked so far, at most the first 16.
    pub fn panicked(&self) -> Vec<TaskPanic> {
        let mut running = self.shared.running.lock();
        running.reap();
        running.panicked.clone()
    }

    /// Cancels every task, waits up to `patience` for all of them together, and aborts those that are left.
    ///
    /// When this returns, no task runs, save those in [`StopError::stuck`], if any.
    /// Stopping again does nothing.
    /// If the call is dropped while it waits, the tasks that are left are aborted.
    pub async fn stop(&self, patience: Duration) -> Result<(), StopError> {
        let deadline = Instant::now() + patience;
        let mut running = self.shared.close();
        self.shared.cancelled.cancel();
        running.join_until(deadline).await;
        let mut error =
            StopError { patience, aborted: running.names(), stuck: Vec::new(), panicked: vec![] };
        running.set.abort_all();
        running.join_until(Instant::now() + ABORT_PATIENCE).await;
        error.stuck = running.names();
        error.panicked = mem::take(&mut running.panicked);
        if error.is_empty() { Ok(()) } else { Err(error) }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        // A spawner may keep the rest alive for a moment; the tasks go now.
        drop(self.shared.close());
        self.shared.cancelled.cancel();
    }
}

// === impl Spawner ===

impl Spawner {
    /// As [`Tasks::spawn`]. If the tasks are stopped or gone, `task` is dropped.
    pub fn spawn<F>(
        &self,
        name: impl Into<Cow<'static, str>>,
        task: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(shared) = self.shared.upgrade() {
            shared.spawn(name.into(), task);
        }
    }
}

// === impl Shared ===

impl Shared {
    fn spawn<F>(&self, name: Name, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let task = named(name.clone(), task(self.cancelled.clone()));
        let mut running = self.running.lock();
        if running.is_closed {
            return;
        }
        running.reap();
        let id = running.set.spawn(task).id();
        running.names.insert(id, name);
    }

    /// Takes out everything that runs; from now on nothing is added.
    fn close(&self) -> Running {
        mem::replace(&mut *self.running.lock(), Running { is_closed: true, ..Running::default() })
    }
}

/// Runs a task and, if it panics, says so at once: its owner may not look for a while.
async fn named(name: Name, task: impl Future<Output = ()>) -> Ended {
    let ended = catch_panic(task).await;
    if let Err(message) = &ended {
        error!(task = %name, panic = %message, "a task panicked");
    }
    ended
}

// === impl Running ===

impl Running {
    /// Forgets the tasks that have ended.
    fn reap(&mut self) {
        while let Some(ended) = self.set.try_join_next_with_id() {
            self.ended(ended);
        }
    }

    async fn join_until(&mut self, deadline: Instant) {
        while let Ok(Some(ended)) = timeout_at(deadline, self.set.join_next_with_id()).await {
            self.ended(ended);
        }
    }

    fn ended(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, panic) = match ended {
            Ok((id, ended)) => (id, ended.err()),
            Err(error) => (error.id(), panic_of(error)),
        };
        let name = self.names.remove(&id);
        if let (Some(name), Some(message)) = (name, panic)
            && self.panicked.len() < PANICS_MAX
        {
            self.panicked.push(TaskPanic { task: name.into_owned(), message });
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.names.values().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }
}

/// The text of a panic that came while a task was dropped; none if it was aborted.
fn panic_of(error: JoinError) -> Option<String> {
    error.try_into_panic().ok().map(|panic| message(&*panic))
}

// === impl StopError ===

impl StopError {
    fn is_empty(&self) -> bool {
        self.aborted.is_empty() && self.stuck.is_empty() && self.panicked.is_empty()
    }
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.aborted.is_empty() {
            parts.push(format!(
                "tasks aborted after {:?}: {}",
                self.patience,
                self.aborted.join(", ")
            ));
        }
        if !self.stuck.is_empty() {
            parts.push(format!("tasks that block and still run: {}", self.stuck.join(", ")));
        }
        if !self.panicked.is_empty() {
            let panicked: Vec<String> = self.panicked.iter().map(ToString::to_string).collect();
            parts.push(format!("tasks panicked: {}", panicked.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}

impl std::error::Error for StopError {}

impl fmt::Display for TaskPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.task, self.message)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn stop_lets_a_task_finish_its_work() {
        let tasks = Tasks::default();
        let (done, mut finished) = mpsc::channel(1);
        tasks.spawn("worker", |cancelled| async move {
            cancelled.cancelled().await;
            tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.ok();
            done.send("finished").await.unwrap();
        });
        assert_eq!(tasks.stop(PATIENCE).await, Ok(()));
        assert_eq!(finished.recv().await, Some("finished"));
        assert_eq!(tasks.stop(PATIENCE).await, Ok(()), "stopping again does nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_never_ends_is_aborted_at_the_deadline_and_named() {
        let tasks = Tasks::default();
        let (held, mut dropped) = oneshot::channel::<()>();
        tasks.spawn("deaf", |_| async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        tasks.spawn("polite", |cancelled| async move { cancelled.cancelled().await });
        let before = Instant::now();
        let error = tasks.stop(PATIENCE).await.unwrap_err();
        assert_eq!(before.elapsed(), PATIENCE);
        assert_eq!(error.to_string(), "tasks aborted after 2s: deaf");
        assert_eq!(dropped.try_recv(), Err(oneshot::error::TryRecvError::Closed), "it still runs");
    }

    #[tokio::test]
    async fn a_panic_is_reported_by_name_and_takes_nobody_down() {
        let tasks = Tasks::default();
        let (sender, mut receiver) = mpsc::channel(1);
        tasks.spawn("unlucky", |_| async { panic!("no more {}", "coffee") });
        tasks.spawn("other", |_| async move { sender.send("alive").await.unwrap() });
        assert_eq!(receiver.recv().await, Some("alive"));
        assert_eq!(receiver.recv().await, None);
        let expected =
            vec![TaskPanic { task: "unlucky".to_owned(), message: "no more coffee".to_owned() }];
        assert_eq!(tasks.panicked(), expected);
        let error = tasks.stop(PATIENCE).await.unwrap_err();
        assert_eq!(error.to_string(), "tasks panicked: unlucky (no more coffee)");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_task_that_blocks_its_thread_is_named_and_not_waited_for() {
        let tasks = Tasks::default();
        let (release, blocked) = std::sync::mpsc::sync_channel::<()>(1);
        let (entered, has_entered) = oneshot::channel();
        tasks.spawn("blocked", move |_| async move {
            entered.send(()).unwrap();
            blocked.recv().unwrap();
        });
        has_entered.await.unwrap();
        let error = tasks.stop(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(error.stuck, ["blocked"]);
        release.send(()).unwrap();
    }

    #[tokio::test]
    async fn ten_thousand_short_tasks_leave_nothing_behind() {
        let tasks = Tasks::default();
        let (sender, mut receiver) = mpsc::channel(1);
        let spawner = tasks.spawner();
        for number in 0..10_000 {
            let sender = sender.clone();
            spawner.spawn("connection", move |_| async move { sender.send(number).await.unwrap() });
            assert_eq!(receiver.recv().await, Some(number));
            let known = tasks.shared.running.lock().names.len();
            assert!(known <= 2, "{known} tasks are remembered after {number}");
        }
    }

    #[tokio::test]
    async fn dropping_ends_every_task_and_starts_no_more() {
        let tasks = Tasks::default();
        let spawner = tasks.spawner();
        let (held, dropped) = oneshot::channel::<()>();
        tasks.spawn("holder", |_| async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        drop(tasks);
        assert!(dropped.await.is_err());
        let (held, dropped) = oneshot::channel::<()>();
        spawner.spawn("too late", |_| async move { held.send(()).unwrap() });
        assert!(dropped.await.is_err());
    }

    #[tokio::test]
    async fn nothing_is_started_after_stop() {
        let tasks = Tasks::default();
        tasks.stop(PATIENCE).await.unwrap();
        let (held, dropped) = oneshot::channel::<()>();
        tasks.spawn("too late", |_| async move { held.send(()).unwrap() });
        assert!(dropped.await.is_err());
        assert_eq!(tasks.running(), 0);
    }
}

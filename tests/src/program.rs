//! A process whose output a test reads.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest that anything in a test may take.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// A running process. It is killed when this goes out of scope.
pub struct Program {
    name: String,
    child: Child,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    exit: Receiver<()>,
}

/// Lines that may wait to be read by a test.
const LINES_MAX: usize = 100_000;

impl Program {
    /// Starts `command` with its output captured.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("starting {name}: {error}"));
        let (line_sender, lines) = sync_channel(LINES_MAX);
        let (exit_sender, exit) = sync_channel(1);
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if line_sender.send(line).is_err() {
                    break;
                }
            }
            drop(exit_sender);
        });
        let mut stderr = child.stderr.take().expect("it is piped");
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What was said until then is what there is.
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { name, child, lines, stderr: Some(stderr), exit }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the process reads.
    ///
    /// # Panics
    ///
    /// If it was taken before.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("it is taken once")
    }

    /// The next line, or nothing when the output has ended.
    ///
    /// # Panics
    ///
    /// If none comes in time.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("{} says nothing for {DEADLINE:?}", self.name),
        }
    }

    /// The first line that `wanted` accepts; those before it are passed over.
    ///
    /// # Panics
    ///
    /// If none comes in time, or the output ends without one.
    #[track_caller]
    pub fn line_where<T>(&mut self, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let start = Instant::now();
        let mut seen = 0;
        while start.elapsed() < DEADLINE {
            let Some(line) = self.line() else {
                let stderr = self.stderr();
                panic!("{} ended after {seen} other lines: {stderr}", self.name)
            };
            if let Some(found) = wanted(&line) {
                return found;
            }
            seen += 1;
        }
        panic!("{} said {seen} other lines in {DEADLINE:?}", self.name);
    }

    /// Sends a signal: `TERM`, `INT`, `KILL`, `STOP`, `CONT`.
    ///
    /// # Panics
    ///
    /// If there is no such process or signal.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status().expect("kill runs");
        assert!(status.success(), "sending {signal} to {}", self.name);
    }

    /// Waits for the end. Returns how it ended, the lines not yet read, and
    /// what it said on stderr.
    ///
    /// # Panics
    ///
    /// If it does not end in time.
    #[track_caller]
    pub fn end(mut self) -> (ExitStatus, Vec<String>, String) {
        let mut lines = Vec::new();
        let start = Instant::now();
        loop {
            match self.lines.recv_timeout(DEADLINE.saturating_sub(start.elapsed())) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("{} does not end", self.name),
            }
        }
        // The output has ended, and with it, in a moment, the process.
        let _ = self.exit.recv_timeout(DEADLINE);
        let status = self.child.wait().expect("a child can be waited for");
        let stderr = self.stderr();
        (status, lines, stderr)
    }

    /// What it said on stderr until it ended.
    fn stderr(&mut self) -> String {
        let thread = self.stderr.take();
        thread.map(|thread| thread.join().expect("the reader does not panic")).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

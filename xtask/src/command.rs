//! Running other programs, in sight.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A program with its arguments; it is printed before it is run.
#[derive(Debug)]
pub(crate) struct Program {
    command: Command,
}

const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Program {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self { command: Command::new(program) }
    }

    /// The Cargo that runs us.
    pub(crate) fn cargo() -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// The arguments in `text`, which are separated by spaces.
    pub(crate) fn args(mut self, text: &str) -> Self {
        self.command.args(text.split_whitespace());
        self
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end; an exit code other than 0 is an error.
    pub(crate) fn run(mut self) -> Result<()> {
        self.print();
        let status = self.command.status().with_context(|| self.cannot_start())?;
        self.judge(status.success(), &status.to_string())
    }

    /// Runs it to its end, which must come within `limit`.
    pub(crate) fn run_within(mut self, limit: Duration) -> Result<()> {
        self.print();
        let mut child = self.command.spawn().with_context(|| self.cannot_start())?;
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = child.try_wait()? {
                return self.judge(status.success(), &status.to_string());
            }
            if Instant::now() >= deadline {
                child.kill()?;
                child.wait()?;
                bail!("`{}` did not end within {} s", self.shown(), limit.as_secs());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Runs it quietly and returns what it printed.
    pub(crate) fn read(mut self) -> Result<String> {
        let output =
            self.command.stderr(Stdio::inherit()).output().with_context(|| self.cannot_start())?;
        self.judge(output.status.success(), &output.status.to_string())?;
        String::from_utf8(output.stdout).with_context(|| format!("reading `{}`", self.shown()))
    }

    /// Starts it as the first of a process group of its own: a Ctrl-C in the
    /// terminal reaches us alone, and we say who ends when.
    pub(crate) fn start_apart(mut self) -> Result<Child> {
        use std::os::unix::process::CommandExt as _;
        self.print();
        let child = self.command.process_group(0).stdin(Stdio::null()).spawn();
        child.with_context(|| self.cannot_start())
    }

    /// Becomes the program; returns only if that fails.
    pub(crate) fn become_it(mut self) -> anyhow::Error {
        use std::os::unix::process::CommandExt as _;
        self.print();
        let error = self.command.exec();
        anyhow::Error::new(error).context(self.cannot_start())
    }

    fn judge(&self, is_success: bool, status: &str) -> Result<()> {
        if !is_success {
            bail!("`{}` failed: {status}", self.shown());
        }
        Ok(())
    }

    fn print(&self) {
        println!("$ {}", self.shown());
    }

    fn cannot_start(&self) -> String {
        format!("starting `{}`", self.command.get_program().display())
    }

    fn shown(&self) -> String {
        let program = Path::new(self.command.get_program());
        let program = if program.is_absolute() { program.file_name() } else { None }
            .unwrap_or(self.command.get_program());
        let words = std::iter::once(program).chain(self.command.get_args());
        words.map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
    }
}

fn quoted(word: &str) -> String {
    let is_plain = word.chars().all(|c| c.is_alphanumeric() || "-_./=:,+@".contains(c));
    if is_plain && !word.is_empty() { word.to_owned() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_an_error() {
        assert!(Program::new("true").run().is_ok());
        let error = Program::new("sh").arg("-c").arg("exit 3").run().unwrap_err();
        assert_eq!(error.to_string(), "`sh -c 'exit 3'` failed: exit status: 3");
        let error = Program::new("no-such-program").run().unwrap_err();
        assert_eq!(error.to_string(), "starting `no-such-program`");
    }

    #[test]
    fn a_program_that_does_not_end_is_an_error() {
        let program = Program::new("sh").arg("-c").arg("read line < /dev/zero");
        let error = program.run_within(Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not end within"), "{error}");
    }
}

//! The machine, for the head of the figures.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::options::Options;

/// A heading and what the figures were measured with.
pub(crate) fn gather(options: &Options) -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let python = tests::python();
    let facts = [
        ("Date", chrono::Utc::now().format("%Y-%m-%d").to_string()),
        ("Cores", format!("{cores} ({})", processor())),
        ("Memory", memory()),
        ("Kernel", output("uname", &["-sr"])),
        ("rustc", output("rustc", &["--version"])),
        ("Python", output(&python, &["--version"])),
        ("Node", output("node", &["--version"])),
        ("NATS server", output(nats_server(), &["--version"])),
        (
            "Program",
            format!("{}, {}", output(tests::binary(), &["--version"]), profile(&tests::binary())),
        ),
        ("Measured by", format!("`cargo xtask bench`, {}", own_profile())),
    ];
    let mut text = "# Performance\n\n".to_owned();
    if options.is_quick {
        text.push_str("Short runs: they show that it works, not how fast it is.\n\n");
    }
    text.push_str("A figure is the median of its runs, with the least and the most of them.\n\n");
    text.push_str("| | |\n| --- | --- |\n");
    text + &facts.map(|(name, value)| format!("| {name} | {value} |\n")).concat()
}

/// How a program was built: cargo names its folder after that.
fn profile(program: &Path) -> String {
    let folder = program.parent().and_then(Path::file_name);
    let name = folder.map_or("somewhere".into(), |name| name.to_string_lossy());
    format!("built as `{name}`")
}

fn own_profile() -> String {
    std::env::current_exe().map_or_else(|_| "unknown".to_owned(), |program| profile(&program))
}

fn nats_server() -> PathBuf {
    std::env::var_os("NATS_SERVER").map_or_else(|| "nats-server".into(), PathBuf::from)
}

/// What a command says on one line, or that it does not run.
fn output(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let output = Command::new(program.as_ref()).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.ok().and_then(|text| text.lines().next().map(str::to_owned));
    line.unwrap_or_else(|| "not found".to_owned())
}

fn processor() -> String {
    field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn memory() -> String {
    let kib = field("/proc/meminfo", "MemTotal");
    let kib = kib.and_then(|text| text.strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map_or_else(|| "unknown".to_owned(), |kib| format!("{:.0} GiB", kib / 1024.0 / 1024.0))
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

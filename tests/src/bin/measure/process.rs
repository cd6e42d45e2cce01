//! What the kernel says of a process.

use anyhow::{Context as _, Result};

/// Ticks of `/proc/PID/stat` in a second: fixed for every program on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU seconds that the process has used, in all its threads.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = read(pid, "stat")?;
    ticks(&stat).map(|ticks| ticks / TICKS_PER_SECOND).context("/proc/PID/stat has other columns")
}

/// `VmRSS` or `VmHWM`, what is or was at most resident, in MiB.
pub(crate) fn resident_mib(pid: u32, name: &str) -> Result<f64> {
    let status = read(pid, "status")?;
    kib(&status, name).map(|kib| kib / 1024.0).with_context(|| format!("there is no {name}"))
}

/// The bytes that the process has read, and those that it has written, to files
/// and connections together.
pub(crate) fn bytes_passed(pid: u32) -> Result<[u64; 2]> {
    let io = read(pid, "io")?;
    let count = |name| count(&io, name).with_context(|| format!("there is no {name}"));
    Ok([count("rchar")?, count("wchar")?])
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))
}

/// The 14th and 15th column, `utime` and `stime`.
fn ticks(stat: &str) -> Option<f64> {
    // The second, the name, may hold anything; it ends with the last bracket.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut columns = rest.split_ascii_whitespace().skip(11);
    let mut next = || columns.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

fn kib(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn count(io: &str, name: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 31 0 0 20 0 3 0 1 1 1";
        assert_eq!(ticks(stat), Some(281.0));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn the_size_is_found_by_its_name() {
        let status = "Name:\ta\nVmHWM:\t    6144 kB\nVmRSS:\t    5120 kB\n";
        assert_eq!(kib(status, "VmRSS"), Some(5120.0));
        assert_eq!(kib(status, "VmHWM"), Some(6144.0));
        assert_eq!(kib(status, "VmSwap"), None);
    }
    #[test]
    fn the_bytes_are_found_by_their_name() {
        let io = "rchar: 812\nwchar: 19\nsyscr: 3\n";
        assert_eq!([count(io, "rchar"), count(io, "wchar")], [Some(812), Some(19)]);
        assert_eq!(count(io, "char"), None);
    }
}

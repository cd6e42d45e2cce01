//! `serve` as a process, where nobody reads what it prints or someone
//! configures nonsense.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);

fn serve(home: &Path, set: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cantina-log"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--python-listen", "127.0.0.1:0"]);
    command.arg("--addr-file").arg(home.join("addresses"));
    command.arg("--session-dir").arg(home.join("logs"));
    command.env("XDG_CONFIG_HOME", home);
    for pair in set {
        command.args(["--set", pair]);
    }
    command
        .stdout(Stdio::null())
        .stderr(File::create(home.join("stderr")).expect("the system works"));
    command
}

/// Waits until it is ready, asks it to stop, and returns its exit code.
fn stopped(mut child: Child, home: &Path) -> Option<i32> {
    let started = Instant::now();
    while !home.join("addresses").exists() && child.try_wait().expect("the system works").is_none()
    {
        assert!(started.elapsed() < DEADLINE, "it does not get ready");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Command::new("kill").arg(child.id().to_string()).status().expect("the system works");
    let code = child.wait().expect("the system works").code();
    let mut text = String::new();
    File::open(home.join("stderr"))
        .expect("the system works")
        .read_to_string(&mut text)
        .expect("the system works");
    assert!(!text.contains("panicked"), "{text}");
    code
}

#[test]
fn it_serves_although_nobody_can_read_what_it_prints() {
    let home = tempfile::tempdir().expect("the system works");
    let full = OpenOptions::new().write(true).open("/dev/full").expect("the system works");
    let child = serve(home.path(), &[]).stdout(full).spawn().expect("the system works");
    assert_eq!(stopped(child, home.path()), Some(0));

    let home = tempfile::tempdir().expect("the system works");
    let mut child =
        serve(home.path(), &[]).stdout(Stdio::piped()).spawn().expect("the system works");
    drop(child.stdout.take());
    assert_eq!(stopped(child, home.path()), Some(0));
}

#[test]
fn settings_beyond_all_measure_mean_without_limit() {
    let home = tempfile::tempdir().expect("the system works");
    let set = [
        "batch_size=9000000000000000000",
        "max_queue_size=9000000000000000000",
        "max_queue_bytes=9000000000000000000",
        "max_memory_logs=9000000000000000000",
        "max_memory_bytes=9000000000000000000",
        "max_clients=9000000000000000000",
        "retention.max_age_days=9000000000000000000",
        "deduplication_window=31000000",
        "shutdown_deadline=31000000",
    ];
    let child = serve(home.path(), &set).spawn().expect("the system works");
    assert_eq!(stopped(child, home.path()), Some(0));
}

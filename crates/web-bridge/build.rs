//! Embeds the dashboard's build, if there is one.
//!
//! `ui/dist` is built apart from Cargo and not committed. Whatever files are in
//! it become a table of names and bytes; without it the table is empty, and the
//! bridge serves a page that says how to build the dashboard. Nothing is built
//! here.

use std::path::Path;
use std::{env, fmt::Write as _, fs, io};

fn main() -> io::Result<()> {
    let crate_dir = env::var("CARGO_MANIFEST_DIR").expect("Cargo names the crate's directory");
    let out_dir = env::var("OUT_DIR").expect("Cargo names the output directory");
    let ui = Path::new(&crate_dir).join("ui");
    let dist = ui.join("dist");
    let is_built = dist.join("index.html").is_file();
    // A path that does not exist counts as changed in every build, so until
    // there is a `dist` its parent is watched.
    let watched = if is_built { &dist } else { &ui };
    println!("cargo::rerun-if-changed={}", watched.display());
    let table = if is_built { table(&dist)? } else { "&[]".to_owned() };
    fs::write(Path::new(&out_dir).join("dashboard.rs"), table)
}

/// A slice of pairs: the name of a file in `dist`, and its bytes.
fn table(dist: &Path) -> io::Result<String> {
    let mut files: Vec<_> = fs::read_dir(dist)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let mut table = "&[\n".to_owned();
    for file in files.iter().filter(|file| file.path().is_file()) {
        let name = file.file_name();
        let (name, path) = (name.display(), file.path());
        let path = path.display().to_string();
        writeln!(table, "    (\"{name}\", include_bytes!({path:?}).as_slice()),")
            .expect("a `String` takes everything");
    }
    table.push(']');
    Ok(table)
}

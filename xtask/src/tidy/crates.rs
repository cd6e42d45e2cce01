//! Packages: each says what it is, and none is taken for somebody else's.

use std::path::Path;

use anyhow::Result;

use crate::metadata::Package;

/// Every package has a description, and its first file opens with one.
pub(super) fn describes_itself(
    packages: &[Package],
    read: impl Fn(&Path) -> Result<String>,
) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for package in packages {
        if package.description.is_empty() {
            problems.push(format!("{}: has no description", package.name));
        }
        let is_first = |kind: &str| kind == "lib" || kind == "bin";
        for target in package.targets.iter().filter(|target| is_first(&target.kind)) {
            if !read(&target.source)?.starts_with("//! ") {
                let source = target.source.display();
                problems.push(format!("{source}: does not open with what it is"));
            }
        }
    }
    Ok(problems)
}

/// Packages from elsewhere, in the lock file, under one of our names.
pub(super) fn foreign(lock: &str, packages: &[Package]) -> Vec<String> {
    let ours = |name: &str| packages.iter().any(|package| package.name == name.replace('_', "-"));
    let mut problems = Vec::new();
    for package in lock.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().strip_prefix('=').map(|value| value.trim().trim_matches('"'))
        };
        if let (Some(name), Some(source)) = (value("name"), value("source"))
            && ours(name)
        {
            problems.push(format!("Cargo.lock: `{name}` comes from {source}, and is not ours"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Target;

    fn package(description: &str) -> Package {
        let target =
            Target { name: "bus".into(), kind: "lib".into(), source: "bus/src/lib.rs".into() };
        Package {
            name: "ring-buffer".into(),
            description: description.into(),
            targets: vec![target],
            ..Package::default()
        }
    }

    #[test]
    fn a_crate_that_does_not_say_what_it_is_fails() {
        let check =
            |package, text: &str| describes_itself(&[package], |_| Ok(text.to_owned())).unwrap();
        assert_eq!(check(package("A buffer."), "//! A buffer."), [""; 0]);
        assert_eq!(check(package(""), "//! A buffer."), ["ring-buffer: has no description"]);
        let problems = check(package("A buffer."), "use std::fs;\n//! A buffer.");
        assert_eq!(problems, ["bus/src/lib.rs: does not open with what it is"]);
    }

    #[test]
    fn a_registry_package_under_our_name_fails() {
        let ours = "[[package]]\nname = \"ring-buffer\"\nversion = \"0.1.0\"\n";
        let other = "[[package]]\nname = \"serde\"\nsource = \"registry+x\"\n";
        let packages = [package("A buffer.")];
        assert_eq!(foreign(&format!("{ours}\n{other}"), &packages), [""; 0]);
        let theirs =
            "[[package]]\nname = \"ring_buffer\"\nversion = \"2.0.2\"\nsource = \"registry+x\"\n";
        let problems = foreign(&format!("{ours}\n{theirs}"), &packages);
        assert_eq!(problems, ["Cargo.lock: `ring_buffer` comes from registry+x, and is not ours"]);
    }
}

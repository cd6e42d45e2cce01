//! The layers: which crate may know which.
//!
//! The table in `docs/architecture.md` says it, and `cargo metadata` says what
//! is. Both must be the same, edge by edge.

use std::collections::{BTreeMap, BTreeSet};

use crate::metadata::Package;
use crate::table;

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    layer: u32,
    may_know: BTreeSet<String>,
}

const HEADER: [&str; 3] = ["layer", "crate", "knows"];
/// Not built on by anybody: they are outside of the layers.
const OUTSIDE: [&str; 3] = ["tests", "nats-fixture", "xtask"];

/// What the table in `document` and the packages disagree on.
pub(crate) fn check(document: &str, packages: &[Package]) -> Vec<String> {
    let table = match parse(document) {
        Ok(table) => table,
        Err(problem) => return vec![problem],
    };
    let names: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .filter(|name| !OUTSIDE.contains(name))
        .collect();
    let mut problems = strangers(&table, &names);
    problems.extend(upward(&table));
    for package in packages {
        let real: BTreeSet<&str> = package
            .dependencies
            .iter()
            .map(String::as_str)
            .filter(|name| names.contains(name))
            .collect();
        if package.name == "xtask" && !real.is_empty() {
            problems.push(format!("xtask knows {}", join(&real)));
        }
        if let Some(row) = table.get(&package.name) {
            problems.extend(differences(&package.name, row, &real));
        }
    }
    problems
}

/// The table whose columns begin with [`HEADER`].
fn parse(document: &str) -> Result<BTreeMap<String, Row>, String> {
    let Some(rows) = table::rows(document, &HEADER) else {
        return Err(format!("there is no table with the columns {}", HEADER.join(", ")));
    };
    let mut table = BTreeMap::new();
    for cells in rows {
        let layer = cells[0].parse().map_err(|_| format!("`{}` is no layer", cells[0]))?;
        let may_know = cells[2].split(',').map(|name| name.trim().to_owned());
        let may_know = may_know.filter(|name| name != "—").collect();
        if table.insert(cells[1].clone(), Row { layer, may_know }).is_some() {
            return Err(format!("`{}` is in the table twice", cells[1]));
        }
    }
    Ok(table)
}

fn strangers(table: &BTreeMap<String, Row>, names: &BTreeSet<&str>) -> Vec<String> {
    let listed: BTreeSet<&str> = table.keys().map(String::as_str).collect();
    let missing = names.difference(&listed).map(|name| format!("`{name}` is not in the table"));
    let gone = listed.difference(names).map(|name| format!("`{name}` is in the table only"));
    missing.chain(gone).collect()
}

/// Edges that do not point down.
fn upward(table: &BTreeMap<String, Row>) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, row) in table {
        for known in &row.may_know {
            if table.get(known).is_some_and(|known| known.layer >= row.layer) {
                problems.push(format!("`{name}` is not above `{known}`, and may not know it"));
            }
        }
    }
    problems
}

fn differences(name: &str, row: &Row, real: &BTreeSet<&str>) -> Vec<String> {
    let allowed: BTreeSet<&str> = row.may_know.iter().map(String::as_str).collect();
    let forbidden = real.difference(&allowed);
    let unused = allowed.difference(real);
    forbidden
        .map(|known| format!("`{name}` knows `{known}`, and the table does not allow it"))
        .chain(unused.map(|known| format!("`{name}` does not know `{known}`, as the table says")))
        .collect()
}

fn join(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
# Layers

| layer | crate | knows | why |
|---|---|---|---|
| 2 | `service` | bus, entry | x |
| 1 | `bus` | — | x |
| 0 | `entry` | — | x |

Text after it.
";

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.into(),
            dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
            ..Package::default()
        }
    }

    fn workspace() -> Vec<Package> {
        vec![
            package("service", &["bus", "entry", "tokio"]),
            package("bus", &["serde"]),
            package("entry", &[]),
            package("xtask", &["anyhow"]),
            package("tests", &["service"]),
        ]
    }

    #[track_caller]
    fn fails(document: &str, packages: &[Package], expected: &str) {
        assert_eq!(check(document, packages), [expected]);
    }

    #[test]
    fn what_is_as_the_table_says_passes() {
        assert_eq!(check(TABLE, &workspace()), [""; 0]);
    }

    #[test]
    fn an_edge_that_is_not_listed_fails() {
        let mut packages = workspace();
        packages[1].dependencies.push("entry".into());
        fails(TABLE, &packages, "`bus` knows `entry`, and the table does not allow it");
    }

    #[test]
    fn a_listed_edge_that_does_not_exist_fails() {
        let mut packages = workspace();
        packages[0].dependencies.retain(|name| name != "bus");
        fails(TABLE, &packages, "`service` does not know `bus`, as the table says");
    }

    #[test]
    fn a_crate_that_is_only_here_or_there_fails() {
        let mut packages = workspace();
        packages.push(package("new", &[]));
        fails(TABLE, &packages, "`new` is not in the table");
        packages.retain(|package| package.name != "new" && package.name != "entry");
        packages[0].dependencies.retain(|name| name != "entry");
        assert_eq!(check(TABLE, &packages)[0], "`entry` is in the table only");
    }

    #[test]
    fn an_edge_that_points_up_or_aside_fails() {
        let table = TABLE.replace("| 2 |", "| 1 |");
        fails(&table, &workspace(), "`service` is not above `bus`, and may not know it");
    }

    #[test]
    fn xtask_knows_nobody() {
        let mut packages = workspace();
        packages[3].dependencies.push("bus".into());
        fails(TABLE, &packages, "xtask knows bus");
    }

    #[test]
    fn a_table_that_cannot_be_read_fails() {
        fails("no table", &workspace(), "there is no table with the columns layer, crate, knows");
        let odd = TABLE.replace("| 0 |", "| zero |");
        fails(&odd, &workspace(), "`zero` is no layer");
        let double = TABLE.replace("`entry` |", "`bus` |");
        fails(&double, &workspace(), "`bus` is in the table twice");
    }
}

//! Source files: short functions, and tests that wait for what they test.

use super::Source;
use crate::rust_text::{code_only, functions, line_of, test_modules};

/// A screen.
const LINES_MAX: usize = 70;

/// Functions that may be longer, each with the reason.
const LONGER: [(&str, &str, &str); 0] = [];

pub(super) fn check(source: &Source) -> Vec<String> {
    let mut problems = long_functions(source);
    problems.extend(sleeping_tests(source));
    problems
}

fn long_functions(source: &Source) -> Vec<String> {
    if source.ending() != "rs" {
        return Vec::new();
    }
    let is_excused =
        |name: &str| LONGER.iter().any(|(path, longer, _)| *path == source.path && *longer == name);
    functions(&source.text)
        .into_iter()
        .filter(|function| function.lines > LINES_MAX && !is_excused(&function.name))
        .map(|function| {
            let (path, line) = (&source.path, function.line);
            format!(
                "{path}:{line}: `{}` has {} lines, not {LINES_MAX}",
                function.name, function.lines
            )
        })
        .collect()
}

/// A test that sleeps is slow on a good day, and fails on a bad one.
fn sleeping_tests(source: &Source) -> Vec<String> {
    let text = if source.ending() == "rs" { code_only(&source.text) } else { source.text.clone() };
    let modules = test_modules(&text);
    let is_test = |line| {
        is_test_file(&source.path)
            || modules.iter().any(|&(first, last)| (first..=last).contains(&line))
    };
    let is_call = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let calls = text.match_indices("sleep(").filter(|(at, _)| is_call(*at));
    let lines = calls.map(|(at, _)| line_of(&text, at));
    lines
        .filter(|&line| is_test(line))
        .map(|line| format!("{}:{line}: a test that sleeps", source.path))
        .collect()
}

fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_code = [".rs", ".py", ".ts", ".js", ".mjs"].iter().any(|ending| name.ends_with(ending));
    let is_for_tests = path.starts_with("tests/")
        || path.contains("/tests/")
        || name == "tests.rs"
        || name.contains(".test.");
    is_code && is_for_tests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_function_longer_than_a_screen_fails() {
        let of = |lines: usize| format!("fn long() {{\n{}}}\n", "    a();\n".repeat(lines - 2));
        assert_eq!(check(&source("crates/a/src/b.rs", &of(70))), [""; 0]);
        let problems = check(&source("crates/a/src/b.rs", &of(71)));
        assert_eq!(problems, ["crates/a/src/b.rs:1: `long` has 71 lines, not 70"]);
    }

    #[test]
    fn a_test_that_sleeps_fails() {
        let sleeps = "fn a() {\n    thread::sleep(second);\n}\n";
        assert_eq!(check(&source("crates/a/src/b.rs", sleeps)), [""; 0]);
        let in_tests = format!("#[cfg(test)]\nmod tests {{\n{sleeps}}}\n");
        let problems = check(&source("crates/a/src/b.rs", &in_tests));
        assert_eq!(problems, ["crates/a/src/b.rs:4: a test that sleeps"]);
        for path in [
            "crates/a/tests/b.rs",
            "crates/a/src/tests.rs",
            "tests/tests/it/b.rs",
            "crates/a/python/tests/test_b.py",
            "tests/js/b.mjs",
            "crates/a/ui/src/b.test.ts",
        ] {
            assert_eq!(check(&source(path, sleeps)).len(), 1, "{path}");
        }
    }

    #[test]
    fn a_deadline_or_a_word_in_a_comment_is_no_sleep() {
        let waits = "fn a() {\n    sleep_until(deadline); // never sleep()\n}\n";
        assert_eq!(check(&source("crates/a/tests/b.rs", waits)), [""; 0]);
    }
}

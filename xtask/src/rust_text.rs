//! Rust source as far as tidy needs it: without comments and texts, and cut
//! into functions.

/// A function: its name, the line it begins on, and how many lines it has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// `source` with comments, texts and characters blanked out. Lines stay lines.
pub(crate) fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let blank = blank_length(rest, code.chars().last());
        if blank == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..blank].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[blank..];
        }
    }
    code
}

/// The bytes at the beginning of `text` that are a comment or a text.
fn blank_length(text: &str, before: Option<char>) -> usize {
    if text.starts_with("//") {
        text.find('\n').unwrap_or(text.len())
    } else if text.starts_with("/*") {
        block_comment(text)
    } else if text.starts_with('"') {
        quoted(text, '"')
    } else if text.starts_with('r') && !before.is_some_and(is_word) {
        raw_text(&text[1..]).map_or(0, |length| length + 1)
    } else if before == Some('b') && text.starts_with('r') {
        raw_text(&text[1..]).map_or(0, |length| length + 1)
    } else if text.starts_with('\'') && is_character(text) {
        quoted(text, '\'')
    } else {
        0
    }
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a text up to its closing `quote`.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return at + quote.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of `"…"` or `#"…"#`, if `text` begins with that.
fn raw_text(text: &str) -> Option<usize> {
    let hashes = text.chars().take_while(|&c| c == '#').count();
    if !text[hashes..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let inside = &text[hashes + 1..];
    Some(inside.find(&end).map_or(text.len(), |at| hashes + 1 + at + end.len()))
}

/// Whether this quote begins a character, and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut next = text.chars().skip(1);
    matches!((next.next(), next.next()), (Some('\\'), _) | (Some(_), Some('\'')))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The functions that have a body, in the order in which they begin.
pub(crate) fn functions(source: &str) -> Vec<Function> {
    let code = code_only(source);
    let mut functions = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].chars().next_back().is_some_and(is_word) {
            continue;
        }
        let name: String = code[at + 3..].chars().take_while(|&c| is_word(c)).collect();
        let Some(end) = body_end(&code[at..]) else { continue };
        if !name.is_empty() {
            let line = line_of(&code, at);
            functions.push(Function { name, line, lines: line_of(&code, at + end) - line + 1 });
        }
    }
    functions
}

/// Where the body of the function that `code` begins with ends; nothing, if it
/// has none.
fn body_end(code: &str) -> Option<usize> {
    let (mut depth, mut brackets) = (0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' if depth == 1 && brackets == 0 => return Some(at),
            '}' if depth == 0 => return None,
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The part of a file that only tests compile: `#[cfg(test)] mod … { … }`, as
/// pairs of first and last line.
pub(crate) fn test_modules(code: &str) -> Vec<(usize, usize)> {
    let mut modules = Vec::new();
    for (at, marker) in code.match_indices("#[cfg(test)]") {
        let item = &code[at + marker.len()..];
        let is_module = item.trim_start().starts_with("mod ");
        if let Some(end) = body_end(item).filter(|_| is_module) {
            modules.push((line_of(code, at), line_of(code, at + marker.len() + end)));
        }
    }
    modules
}

/// The number of the line at byte `at`, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_are_no_code() {
        let source = r##"let a = "x { y"; // fn no() {
let b = r#"fn "no" {"#; /* } /* } */ */ let c = '{'; fn f<'a>(x: &'a str) {}
let d = b"\"{"; let e = '\''; let f = br"{";"##;
        let code = code_only(source);
        assert_eq!(code.matches('{').count(), 1, "{code}");
        assert_eq!(code.matches('}').count(), 1, "{code}");
        assert_eq!(code.lines().count(), source.lines().count());
        assert!(code.contains("fn f<'a>(x: &'a str) {}"), "{code}");
    }

    #[test]
    fn functions_have_a_beginning_and_an_end() {
        let source = "trait T { fn none(&self) -> [u8; 3]; }\n\
                      pub fn one(a: [u8; 2]) {\n    let inner = || { 1 };\n}\n\
                      fn outer() {\n    fn inner() {}\n}\n\
                      type F = fn (u8);\n";
        let expected = [("one", 2, 3), ("outer", 5, 3), ("inner", 6, 1)];
        let expected =
            expected.map(|(name, line, lines)| Function { name: name.into(), line, lines });
        assert_eq!(functions(source), expected);
    }

    #[test]
    fn test_modules_are_found() {
        let source = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n\
                      #[cfg(test)]\nmod elsewhere;\n";
        assert_eq!(test_modules(&code_only(source)), [(2, 5)]);
    }
}

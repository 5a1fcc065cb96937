//! The project's own source text, for tests that hold its architecture.
//!
//! Promises each Rust file of the product once, with comments, string contents and test modules blanked out (lines stay where
//! they are), so that a search finds code and nothing else. Reads files; understands no more Rust than that.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One file of a crate's `src`.
#[derive(Debug)]
pub struct Source {
    /// From the project's root, `peer/src/download/state.rs`.
    pub path: String,
    /// As it is on disk.
    pub text: String,
    /// Without comments, what stands in strings, and test modules; nothing of a file of tests.
    pub code: String,
    /// The same with what stands in strings.
    pub live: String,
    /// A file of tests or of what they share (`tests.rs`, `state_tests.rs`, `testing.rs` beside what they test).
    pub is_test: bool,
}

/// Where the project's `Cargo.toml` is.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the project")
        .to_owned()
}

/// The files of these crates (`shared`, `tracker`, `peer`), in the order of their paths.
pub fn of(crates: &[&str]) -> Vec<Source> {
    let root = root();
    let mut open: Vec<PathBuf> = crates.iter().map(|name| root.join(name).join("src")).collect();
    let mut sources = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(read(&root, &path));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn read(root: &Path, path: &Path) -> Source {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let path = path
        .strip_prefix(root)
        .expect("below the root")
        .to_string_lossy()
        .into_owned();
    let is_test = path
        .split('/')
        .skip(2)
        .any(|part| part == "tests" || part == "testing.rs" || part.ends_with("tests.rs"));
    let (mut code, mut live) = (without_comments(&text, true), without_comments(&text, false));
    for range in test_items(&code) {
        blank(&mut code, &range);
        blank(&mut live, &range);
    }
    if is_test {
        (code, live) = (String::new(), String::new());
    }
    Source {
        path,
        text,
        code,
        live,
        is_test,
    }
}

/// Blanks comments and, if asked to, what stands between quotes; everything keeps its place.
fn without_comments(text: &str, strings_too: bool) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let comment = rest.starts_with(b"//") || rest.starts_with(b"/*");
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + block_comment(rest)
        } else if let Some(hashes) = raw_string(bytes, at) {
            at + raw_string_length(rest, hashes)
        } else if rest[0] == b'"' {
            at + string_length(rest)
        } else if let Some(length) = char_literal(rest) {
            at + length
        } else {
            at += 1;
            continue;
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' && (comment || strings_too && *byte != b'"') {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).expect("only whole characters are blanked")
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The number of `#` when a raw string begins here.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let in_a_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    let rest = bytes[at..].strip_prefix(b"r")?;
    let hashes = rest.iter().take_while(|&&byte| byte == b'#').count();
    let word_before = in_a_word && bytes[at - 1] != b'b';
    (rest.get(hashes) == Some(&b'"') && !word_before).then_some(hashes)
}

fn raw_string_length(rest: &[u8], hashes: usize) -> usize {
    let mut end = vec![b'"'];
    end.resize(hashes + 1, b'#');
    let open = hashes + 2;
    rest[open..]
        .windows(end.len())
        .position(|window| window == end)
        .map_or(rest.len(), |n| open + n + end.len())
}

fn string_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character literal; none for a lifetime.
fn char_literal(rest: &[u8]) -> Option<usize> {
    let inside = rest.strip_prefix(b"'")?;
    if inside.first() == Some(&b'\\') {
        return inside
            .iter()
            .skip(2)
            .position(|&byte| byte == b'\'')
            .map(|n| n + 4);
    }
    let length = std::str::from_utf8(&inside[..inside.len().min(4)]).map_or_else(
        |error| {
            if error.valid_up_to() > 0 {
                first_length(inside)
            } else {
                0
            }
        },
        |_| first_length(inside),
    );
    (length > 0 && inside.get(length) == Some(&b'\'')).then_some(length + 2)
}

fn first_length(bytes: &[u8]) -> usize {
    match bytes.first() {
        None => 0,
        Some(0..=0x7f) => 1,
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(_) => 4,
    }
}

/// Every item behind `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let items = code.match_indices("#[cfg(test)]");
    items.map(|(start, _)| start..item_end(code, start)).collect()
}

fn blank(text: &mut String, range: &Range<usize>) {
    let blank: String = text[range.clone()]
        .bytes()
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect();
    text.replace_range(range.clone(), &blank);
}

/// Where the item that begins at `start` ends: at its `;`, or at the brace that closes its first one.
pub fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (n, c) in code[start..].char_indices() {
        match c {
            ';' if depth == 0 => return start + n + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return start + n + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// The line that holds this place of the text, counted from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_test_modules_are_blanked_and_lines_stay() {
        let text = "use a; // tokio\nconst T: &str = \"tokio\\\"\"; /* tokio\n */ let c = '\"'; let l: &'a str;\n\
                    #[cfg(test)]\nmod tests { fn f() { tokio } }\nuse b; let r = r#\"tokio\"#;";
        let mut code = without_comments(text, true);
        for range in test_items(&code) {
            blank(&mut code, &range);
        }
        assert!(without_comments(text, false).contains("r#\"tokio\"#"));
        assert!(!code.contains("tokio"), "{code}");
        assert!(
            code.contains("use a;") && code.contains("use b;") && code.contains("let l: &'a str;"),
            "{code}"
        );
        assert_eq!(code.matches('\n').count(), text.matches('\n').count());
    }
}

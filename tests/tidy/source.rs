//! Source files as the rules see them: code without comments and text, comments without code.

use std::fs;
use std::path::{Path, PathBuf};

/// One `.rs` file. `code` and `comments` have the same lines as the file, so that a line's number is
/// the same in all three.
pub(crate) struct Source {
    /// Path from the repository's top, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) code: String,
    pub(crate) comments: String,
}

/// The repository's top folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace above").to_path_buf()
}

/// Every file of the repository, without what builds and fuzzing leave behind.
pub(crate) fn files() -> Vec<String> {
    fn walk(folder: &Path, prefix: &str, out: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let left_behind = name == ".git" || name.starts_with("target");
            let fuzzing = ["/fuzz/corpus", "/fuzz/artifacts"].iter().any(|end| path.ends_with(end));
            if left_behind || fuzzing {
                continue;
            }
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{path}/"), out);
            } else {
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    walk(&root(), "", &mut out);
    out.sort();
    out
}

/// Every Rust source.
pub(crate) fn sources() -> Vec<Source> {
    files()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .map(|path| {
            let text = fs::read_to_string(root().join(&path)).expect("sources are UTF-8");
            let (code, comments) = split(&text);
            Source { path, text, code, comments }
        })
        .collect()
}

/// Separates code from comments; the content of string and character literals is in neither.
pub(crate) fn split(text: &str) -> (String, String) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut comments) = (String::new(), String::new());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let end = at
            + match rest {
                ['/', '/', ..] => line_comment(rest),
                ['/', '*', ..] => block_comment(rest),
                ['"', ..] => string(rest),
                ['r', '"' | '#', ..] if !continues_a_word(&chars, at) => raw_string(rest),
                ['b', 'r', '"' | '#', ..] if !continues_a_word(&chars, at) => {
                    1 + raw_string(&rest[1..])
                }
                ['\'', '\\', ..] => character(rest),
                ['\'', _, '\'', ..] => 3,
                _ => 0,
            };
        if end == at {
            code.push(chars[at]);
            comments.push(if chars[at] == '\n' { '\n' } else { ' ' });
            at += 1;
            continue;
        }
        let comment = rest[0] == '/';
        for &c in &chars[at..end] {
            code.push(if c == '\n' { '\n' } else { ' ' });
            comments.push(if c == '\n' || comment { c } else { ' ' });
        }
        at = end;
    }
    (code, comments)
}

fn continues_a_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn line_comment(rest: &[char]) -> usize {
    rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// 0 when it is none, such as a raw identifier.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut at = 2 + hashes;
    while at < rest.len() {
        let closed = rest[at] == '"' && rest[at + 1..].iter().take(hashes).all(|&c| c == '#');
        if closed && rest.len() > at + hashes {
            return at + 1 + hashes;
        }
        at += 1;
    }
    rest.len()
}

fn character(rest: &[char]) -> usize {
    // The escaped character itself may be a quote.
    rest.iter().skip(3).position(|&c| c == '\'').map_or(rest.len(), |at| at + 4)
}

/// The functions of a file: name, line of its `fn` (from 1), lines to its closing brace.
pub(crate) fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut out = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let standalone = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !standalone || name.is_empty() {
            continue;
        }
        let Some(open) = rest.find(['{', ';']) else { continue };
        if rest.as_bytes()[open] == b';' {
            continue;
        }
        let mut depth = 0;
        let body = rest[open..].char_indices().find_map(|(index, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            (depth == 0).then(|| &rest[..open + index])
        });
        let lines = body.unwrap_or(rest).matches('\n').count() + 1;
        out.push((name, code[..at].matches('\n').count() + 1, lines));
    }
    out
}

//! What stands in the files: unsafe, time, leftovers, lengths, names, comments.

use std::collections::BTreeMap;

use crate::report;
use crate::source::{Source, functions, sources, split};

/// Lines a function may have. Those that are longer are listed below and can only shrink.
const LONGEST_FUNCTION: usize = 70;

/// Functions longer than that, with the lines they have: `("path", "name", lines)`. An entry may only
/// be lowered or taken away.
const LONG_FUNCTIONS: [(&str, &str, usize); 0] = [];

/// Lines a test module inside a file may have before it moves to `tests.rs` beside it.
const LONGEST_TEST_MODULE: usize = 150;

/// The lines of the code of `sources` in which `wanted` finds something.
fn find(sources: &[Source], wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        for (index, line) in source.code.lines().enumerate() {
            if wanted(line) {
                let shown = source.text.lines().nth(index).unwrap_or_default().trim();
                findings.push(format!("{}:{}: {shown}", source.path, index + 1));
            }
        }
    }
    findings
}

/// The sources whose path starts with one of `folders`.
fn under(folders: &[&str]) -> Vec<Source> {
    let inside = |source: &Source| folders.iter().any(|folder| source.path.starts_with(folder));
    sources().into_iter().filter(inside).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part)
    })
}

#[test]
fn unsafe_stays_in_its_cage() {
    let outside: Vec<Source> = sources()
        .into_iter()
        .filter(|source| !source.path.starts_with("server/src/raw/"))
        .collect();
    let findings = find(&outside, |line| has_word(line, "unsafe"));
    report("Move it to server/src/raw behind a safe function, or do without:", &findings);
}

#[test]
fn unsafe_blocks_say_why() {
    let mut findings = Vec::new();
    for source in under(&["server/src/raw/"]) {
        let comments: Vec<&str> = source.comments.lines().collect();
        for (index, line) in source.code.lines().enumerate() {
            let opens = line.contains("unsafe {") || line.contains("unsafe impl");
            let near = &comments[index.saturating_sub(6)..=index.min(comments.len() - 1)];
            if opens && !near.iter().any(|comment| comment.contains("SAFETY:")) {
                findings.push(format!("{}:{}", source.path, index + 1));
            }
        }
    }
    report("Say above the block, after SAFETY:, why it is sound:", &findings);
}

#[test]
fn one_file_reads_the_time() {
    let mut inside = under(&["server/src/", "replication/src/"]);
    // The second one asks the runtime, whose time simulations set as well.
    let readers = ["server/src/clock.rs", "replication/src/pace.rs"];
    inside.retain(|source| !readers.contains(&&*source.path) && !is_test(source));
    let findings = find(&inside, |line| {
        line.contains("Instant::now")
            || line.contains("SystemTime::now")
            || line.contains("UNIX_EPOCH.elapsed")
    });
    report(
        "Take the time as an argument, or ask clock.rs: then tests and simulations can set it:",
        &findings,
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let findings: Vec<String> = sources()
        .iter()
        .filter(|source| {
            let header = source.text.trim_start().strip_prefix("//!");
            let first = header.and_then(|rest| rest.lines().next()).unwrap_or_default();
            first.trim().len() < 10
        })
        .map(|source| source.path.clone())
        .collect();
    report("Start it with //!: what it is for, the idea, the invariant it keeps:", &findings);
}

#[test]
fn nothing_is_left_behind() {
    let findings = find(&sources(), |line| {
        ["todo!", "unimplemented!", "dbg!", "#[ignore"].iter().any(|left| line.contains(left))
    });
    report(
        "Finish it, return an error, or take it out; a test that can not run yet is not a test:",
        &findings,
    );
    let marks: Vec<String> = sources()
        .iter()
        .flat_map(|source| {
            let marked =
                |line: &&str| ["TODO", "FIXME", "XXX"].iter().any(|mark| has_word(line, mark));
            source
                .comments
                .lines()
                .filter(marked)
                .map(|line| format!("{}: {}", source.path, line.trim()))
        })
        .collect();
    report("Do it now, or state in the comment what is so and why:", &marks);
}

#[test]
fn reexports_are_named() {
    let findings = find(&sources(), |line| {
        let line = line.trim_start();
        line.starts_with("pub") && line.contains("use ") && line.contains("::*")
    });
    report("Name what you re-export, so that a reader finds where it comes from:", &findings);
}

#[test]
fn tests_have_names_not_numbers() {
    let mut findings = Vec::new();
    for source in sources() {
        for (name, line, _) in functions(&source.code) {
            let rest = name.strip_prefix("test").or_else(|| name.strip_prefix('t')).unwrap_or("");
            let numbered = rest.trim_start_matches('_').starts_with(|c: char| c.is_ascii_digit());
            // ElastiCache's TestFailover is no test of ours.
            let is_prefixed = name.starts_with("test_") && !name.starts_with("test_failover");
            if numbered || is_prefixed {
                findings.push(format!("{}:{line}: {name}", source.path));
            }
        }
    }
    report("Name the test after what has to be true:", &findings);
}

#[test]
fn functions_stay_short() {
    let listed: BTreeMap<(&str, &str), usize> =
        LONG_FUNCTIONS.iter().map(|(path, name, lines)| ((*path, *name), *lines)).collect();
    let mut met = Vec::new();
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| !is_test(source)) {
        for (name, line, lines) in functions(production(&source.code)) {
            let limit = listed.get(&(&*source.path, &*name)).copied().unwrap_or(LONGEST_FUNCTION);
            if lines > limit {
                findings
                    .push(format!("{}:{line}: {name} has {lines} lines of {limit}", source.path));
            }
            if lines > LONGEST_FUNCTION {
                met.push((source.path.clone(), name, lines));
            }
        }
    }
    report("Give its steps names of their own:", &findings);
    let stale: Vec<String> = LONG_FUNCTIONS
        .iter()
        .filter(|(path, name, lines)| !met.contains(&((*path).into(), (*name).into(), *lines)))
        .map(|(path, name, _)| format!("{path}: {name}"))
        .collect();
    report("It has become shorter: lower its number in LONG_FUNCTIONS, or take it out:", &stale);
}

#[test]
fn long_test_modules_have_their_own_file() {
    let mut findings = Vec::new();
    for source in sources().iter().filter(|source| !source.path.starts_with("tests/")) {
        let lines = source.code.lines().count() - production(&source.code).lines().count();
        if lines > LONGEST_TEST_MODULE && !is_test(source) {
            findings.push(format!("{}: {lines} lines of tests", source.path));
        }
    }
    report("Move the tests to tests.rs beside the code:", &findings);
}

#[test]
fn handlers_are_synchronous_and_know_no_locks() {
    let mut handlers = under(&["server/src/types/", "server/src/commands/"]);
    handlers.retain(|source| !is_test(source));
    let findings = find(&handlers, |line| {
        has_word(line, "async") || line.contains(".await") || has_word(line, "tokio")
    });
    report("A handler runs to completion: what has to wait belongs to dispatch:", &findings);
    let mut types = under(&["server/src/types/"]);
    types.retain(|source| !is_test(source));
    let findings = find(&types, |line| {
        has_word(line, "parking_lot") || has_word(line, "Mutex") || has_word(line, "TcpStream")
    });
    report(
        "Dispatch takes the locks that the row's key specs name; the handler gets the keys:",
        &findings,
    );
}

#[test]
fn replication_moves_bytes_not_values() {
    let findings = find(&under(&["replication/src/"]), |line| has_word(line, "larder_server"));
    report(
        "Reach the data set through the trait; replication knows bytes, offsets, epochs, zones:",
        &findings,
    );
}

#[test]
fn comments_explain_the_code_not_its_history() {
    let mut findings = Vec::new();
    for source in sources() {
        for (index, line) in source.comments.lines().enumerate() {
            let lower = line.to_lowercase();
            let numbered = lower.split_whitespace().any(|word| {
                let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '#');
                word.strip_prefix('#')
                    .is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
            });
            let named = ["issue ", "issues ", "ticket "].iter().any(|word| {
                lower
                    .split(word)
                    .skip(1)
                    .any(|after| after.starts_with(|c: char| c.is_ascii_digit() || c == '#'))
            });
            if numbered || named {
                findings.push(format!("{}:{}: {}", source.path, index + 1, line.trim()));
            }
        }
    }
    report("Say why the code is as it is; numbers of issues belong to commit messages:", &findings);
}

#[test]
fn the_rules_see_code_as_the_compiler_does() {
    let text = "let a = \"unsafe // {\"; // unsafe here\nlet b = '\"'; /* x\n/* y */ */ r#\"dbg!\"#; '\\'';\nfn long() {\n    a();\n}\n";
    let (code, comments) = split(text);
    assert!(!code.contains("unsafe") && !code.contains("dbg!") && !code.contains('"'), "{code}");
    assert!(comments.contains("unsafe here") && comments.contains("y"), "{comments}");
    assert_eq!(code.lines().count(), text.lines().count());
    assert_eq!(functions(&code), [("long".to_owned(), 4, 3)]);
    assert!(split("fn f<'a>(x: &'a str) -> &'a str { x }").0.contains("&'a str { x }"));
}

/// The code before a file's own test module.
fn production(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod ").next().unwrap_or(code)
}

/// Whether a whole file is test code.
fn is_test(source: &Source) -> bool {
    source.path.starts_with("tests/")
        || source.path.starts_with("benches/")
        || source.path.contains("/tests/")
        || source.path.ends_with("/tests.rs")
        || source.path.contains("/fuzz/")
}

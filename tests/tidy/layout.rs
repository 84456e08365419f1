//! Where things are: folders, names, lengths, dependencies, what has to be executable.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::report;
use crate::source::{files, root, sources};

/// Lines a file may have: about what a reader holds in mind as one room.
const LONGEST_FILE: usize = 700;

#[test]
fn the_top_level_is_the_house() {
    let house = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "protocol",
        "replication",
        "server",
        "client",
        "tests",
        "benches",
    ];
    let findings: Vec<String> = fs::read_dir(root())
        .expect("the top folder")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            !house.contains(&name.as_str()) && !name.starts_with('.') && name != "target"
        })
        .collect();
    report(
        "Put it into the crate it belongs to; the top level holds six crates and a README:",
        &findings,
    );
}

#[test]
fn names_say_what_is_inside() {
    let empty = ["utils", "util", "helpers", "helper", "misc", "manager", "common", "stuff"];
    let stale = ["_v2", "_new", "_legacy", "_old", "_tmp", "_bak"];
    let findings: Vec<String> = files()
        .into_iter()
        .filter(|path| {
            path.split('/').any(|part| {
                let stem = part.split('.').next().unwrap_or(part);
                stem.split(['_', '-']).any(|word| empty.contains(&word))
                    || stale.iter().any(|end| stem.ends_with(end))
            })
        })
        .collect();
    report("Name the file after the one thing it holds, in the field's words:", &findings);
}

#[test]
fn files_are_one_room() {
    let findings: Vec<String> = sources()
        .iter()
        .map(|source| (source.text.lines().count(), &source.path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    report(
        "Find the two things in it and give each its own file (never split by size alone):",
        &findings,
    );
}

#[test]
fn dependencies_point_one_way() {
    let allowed: [(&str, &[&str]); 6] = [
        ("protocol", &[]),
        ("replication", &["protocol"]),
        ("server", &["protocol", "replication"]),
        ("client", &["server"]),
        ("tests", &[]),
        ("benches", &["protocol", "replication", "server", "client"]),
    ];
    let mut findings = Vec::new();
    for (crate_name, allowed) in allowed {
        let path = format!("{crate_name}/Cargo.toml");
        let manifest = fs::read_to_string(root().join(&path)).expect("a manifest");
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let Some(name) = line.strip_prefix("larder-") else { continue };
            let name: String = name.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
            // Tests may use what stands above them, for their own purposes.
            let for_tests = section == "[dev-dependencies]";
            if !allowed.contains(&name.as_str()) && !for_tests {
                findings.push(format!("{path}: larder-{name}"));
            }
            if crate_name == "client" && !for_tests && !line.contains("optional = true") {
                findings.push(format!("{path}: larder-{name} only under the feature `embedded`"));
            }
        }
    }
    report(
        "Dependencies point protocol <- replication <- server; turn it around with a trait:",
        &findings,
    );
}

#[test]
fn what_is_run_can_be_run() {
    let findings: Vec<String> = ["tests/run", "tests/programs/install", ".ci/run"]
        .iter()
        .filter(|path| {
            let file = fs::metadata(root().join(path));
            !file.is_ok_and(|file| file.permissions().mode() & 0o111 == 0o111)
        })
        .map(|path| (*path).to_owned())
        .collect();
    report("Give it the run bit (chmod +x, git update-index --chmod=+x):", &findings);
}

#[test]
fn the_lock_file_is_there() {
    assert!(root().join("Cargo.lock").exists(), "commit Cargo.lock: a build has to be repeatable");
}

//! Where a run took place: what a reader needs to judge its numbers, and nothing that names
//! the machine's owner, its host or its folders.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::peer::run_program;

/// The run's folder name: date and machine, e.g. `2025-11-03-amd-epyc-2-cores`.
pub fn run_name(suffix: Option<&str>) -> String {
    let date = said(Command::new("date").args(["-u", "+%Y-%m-%d"]));
    // Not `available_parallelism`: under --pin that would be the generator's share.
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let mut name = format!("{date}-{}-{cores}-cores", slug(&cpu_model()));
    if let Some(suffix) = suffix {
        name.push('-');
        name.push_str(&slug(suffix));
    }
    name
}

/// The text of `environment.txt`. `servers` are lines about each server.
pub fn describe(workspace: &Path, pinning: &str, servers: &[String]) -> String {
    let git = |args: &[&str]| said(Command::new("git").args(args).current_dir(workspace));
    let mut commit = git(&["rev-parse", "HEAD"]);
    // Earlier runs lying in the tree do not change what was built.
    if !git(&["status", "--porcelain", "--", ".", ":!benches/runs"]).is_empty() {
        commit.push_str(" with uncommitted changes");
    }
    let mut lines = vec![
        format!("command: {}", command_line()),
        format!("date: {}", said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))),
        format!("commit: {commit}"),
        format!("rustc: {}", said(Command::new("rustc").arg("--version"))),
        format!("kernel: {}", said(Command::new("uname").args(["-srm"]))),
        format!("cpu: {}", cpu_model()),
        format!(
            "cores: {}",
            fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default().trim()
        ),
        format!("hypervisor: {}", hypervisor()),
        format!("last-level cache: {}", last_level_cache()),
        format!("memory: {}", memory()),
        format!("transparent huge pages: {}", huge_pages()),
        format!("pinning: {pinning}"),
    ];
    lines.extend(servers.iter().map(|server| format!("server: {server}")));
    lines.push("mitigations:".into());
    lines.extend(mitigations());
    lines.join("\n") + "\n"
}

/// The arguments as given; a path is cut to its last part.
fn command_line() -> String {
    let words = std::env::args().map(|word| match word.rsplit_once('/') {
        Some((_, last)) => last.to_owned(),
        None => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

fn said(command: &mut Command) -> String {
    run_program(command).map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().map(str::trim) == Some(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    field(&text, "model name")
        .or_else(|| field(&text, "Model"))
        .unwrap_or_else(|| std::env::consts::ARCH.into())
}

fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    field(&text, "MemTotal").unwrap_or_else(|| "unknown".into())
}

fn huge_pages() -> String {
    fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled")
        .map_or_else(|_| "unknown".into(), |text| text.trim().to_owned())
}

fn hypervisor() -> &'static str {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if text.contains(" hypervisor") { "yes (a virtual machine)" } else { "no" }
}

fn last_level_cache() -> String {
    (0..5)
        .rev()
        .find_map(|index| {
            fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size")).ok()
        })
        .map_or_else(|| "unknown".into(), |size| size.trim().to_owned())
}

fn mitigations() -> Vec<String> {
    let Ok(folder) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return vec!["  unknown".into()];
    };
    let mut lines: Vec<String> = folder
        .flatten()
        .filter_map(|entry| {
            let state = fs::read_to_string(entry.path()).ok()?;
            Some(format!("  {}: {}", entry.file_name().to_string_lossy(), state.trim()))
        })
        .collect();
    lines.sort();
    lines
}

/// Lower case, words joined by hyphens, marketing signs dropped.
fn slug(text: &str) -> String {
    let text = text.replace("(R)", "").replace("(TM)", "").to_lowercase();
    let words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_a_folder() {
        assert_eq!(slug("Intel(R) Xeon(R) CPU @ 2.20GHz"), "intel-xeon-cpu-2-20ghz");
    }
}

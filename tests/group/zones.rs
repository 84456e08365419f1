//! Zones as network namespaces: links between them are cut while clients beside a node still reach it.
//!
//! Needs root and Linux's namespaces; without them the tests say so and pass. Everything is in
//! namespaces of its own, which are removed afterwards.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use larder_tests::{eventually, program};
use tempfile::TempDir;

use crate::cluster::folder;

const ZONES: [&str; 3] = ["a", "b", "c"];

/// Namespaces for three zones around one that connects them.
struct Zones {
    tag: String,
}

fn ip(line: &str) -> bool {
    let run = Command::new("ip")
        .args(line.split(' '))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    run.is_ok_and(|status| status.success())
}

impl Zones {
    /// Makes them, where that is allowed.
    fn make() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let zones = Self { tag: format!("ldr{}x{number}", std::process::id()) };
        let hub = zones.hub();
        if !ip(&format!("netns add {hub}")) {
            eprintln!("no network namespaces here: nothing is tested");
            return None;
        }
        let mut lines = vec![
            format!("-n {hub} link set lo up"),
            format!("-n {hub} link add bridge type bridge"),
            format!("-n {hub} addr add 10.77.0.10/24 dev bridge"),
            format!("-n {hub} link set bridge up"),
        ];
        for (index, zone) in ZONES.iter().enumerate() {
            let space = zones.space(zone);
            lines.push(format!("netns add {space}"));
            lines.push(format!("-n {hub} link add to-{zone} type veth peer name up netns {space}"));
            lines.push(format!("-n {hub} link set to-{zone} master bridge up"));
            lines.push(format!("-n {space} addr add {}/24 dev up", address(index)));
            lines.push(format!("-n {space} link set dev up up"));
            lines.push(format!("-n {space} link set lo up"));
        }
        let failed = lines.iter().find(|line| !ip(line));
        assert!(failed.is_none(), "ip {}", failed.map_or("", String::as_str));
        Some(zones)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.tag)
    }

    fn space(&self, zone: &str) -> String {
        format!("{}-{zone}", self.tag)
    }

    fn cut(&self, zone: &str) {
        assert!(ip(&format!("-n {} link set to-{zone} down", self.hub())));
    }

    fn heal(&self, zone: &str) {
        assert!(ip(&format!("-n {} link set to-{zone} up", self.hub())));
    }
}

impl Drop for Zones {
    fn drop(&mut self) {
        for zone in ZONES {
            ip(&format!("netns del {}", self.space(zone)));
        }
        ip(&format!("netns del {}", self.hub()));
    }
}

fn address(index: usize) -> String {
    format!("10.77.0.{}", index + 1)
}

/// A command that runs inside a namespace.
fn inside(space: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", space]);
    command
}

/// Three members, one in each zone.
struct Group {
    zones: Zones,
    nodes: Vec<(Child, TempDir)>,
}

impl Group {
    fn start(args: &[&str]) -> Option<Self> {
        let zones = Zones::make()?;
        let peers: Vec<String> = ZONES
            .iter()
            .enumerate()
            .map(|(index, zone)| format!("n-00{}={zone}@{}:6379", index + 1, address(index)))
            .collect();
        let mut group = Self { zones, nodes: Vec::new() };
        for (index, zone) in ZONES.iter().enumerate() {
            let dir = folder();
            let log = File::create(dir.path().join("log")).expect("a log file");
            let child = inside(&group.zones.space(zone))
                .arg(program())
                .args(["--bind", &address(index), "127.0.0.1", "--protected-mode", "no"])
                .args(["--save", "", "--dir", &dir.path().display().to_string()])
                .args(["--group", "n", "--node-id", &format!("n-00{}", index + 1)])
                .args(["--group-secret", "a secret that nobody guesses", "--zone", zone])
                .args(["--primary-endpoint-port", "7000"])
                .arg("--peers")
                .args(&peers)
                .args(args)
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a second handle to the log"))
                .stderr(log)
                .spawn()
                .expect("the server starts");
            group.nodes.push((child, dir));
        }
        group.wait_whole();
        Some(group)
    }

    /// What redis-cli prints for a command to one node, asked beside it.
    fn ask(&self, index: usize, line: &str) -> String {
        let output = inside(&self.zones.space(ZONES[index]))
            .args(["timeout", "2", "redis-cli", "-h", &address(index)])
            .args(line.split(' '))
            .stderr(Stdio::null())
            .output();
        output
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default()
    }

    /// The line after this one in what a node says of its group.
    fn status(&self, index: usize, name: &str) -> String {
        let text = self.ask(index, "GROUP STATUS");
        let mut lines = text.lines().skip_while(|line| *line != name);
        lines.nth(1).unwrap_or_default().to_owned()
    }

    fn wait_whole(&self) {
        eventually("all are in sync", || {
            (0..3).all(|index| self.ask(index, "INFO group").contains("group_in_sync:3"))
        });
    }

    /// The primary, as this node knows it.
    fn primary(&self, asked: usize) -> usize {
        let id = self.status(asked, "primary");
        id.strip_prefix("n-00").and_then(|n| n.parse::<usize>().ok()).map_or(9, |n| n - 1)
    }

    fn log(&self, index: usize) -> String {
        fs::read_to_string(self.nodes[index].1.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for (child, _) in &mut self.nodes {
            // Both fail only when the process is gone already, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            for index in 0..self.nodes.len() {
                let log = self.log(index);
                let tail: Vec<&str> = log.lines().rev().take(15).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                eprintln!("--- end of the log of n-00{} ---\n{}", index + 1, tail.join("\n"));
            }
        }
    }
}

/// A client inside a zone, which writes to the node there and notes what is acknowledged.
struct Writer {
    child: Child,
    input: ChildStdin,
    replies: Receiver<String>,
    number: u64,
    acked: Vec<(u64, Instant)>,
}

impl Writer {
    fn inside(group: &Group, zone: usize, port: &str) -> Self {
        let mut child = inside(&group.zones.space(ZONES[zone]))
            .args(["redis-cli", "-h", &address(zone), "-p", port])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-cli is installed");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (told, replies) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, input, replies, number: 0, acked: Vec::new() }
    }

    /// Writes once; whether it was acknowledged within some time.
    fn write(&mut self, patience: Duration) -> bool {
        self.number += 1;
        let number = self.number;
        let sent = self.input.write_all(format!("SET k:{number} {number}\n").as_bytes());
        if sent.and_then(|()| self.input.flush()).is_err() {
            return false;
        }
        loop {
            match self.replies.recv_timeout(patience) {
                Ok(line) if line == "OK" => {
                    self.acked.push((number, Instant::now()));
                    return true;
                }
                Ok(line) if line.is_empty() => {}
                _ => return false,
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Both fail only when the process is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_isolated_primary_falls_silent_before_the_next_one_speaks() {
    let Some(group) = Group::start(&[]) else { return };
    let old = group.primary(0);
    let asked = (old + 1) % 3;
    let mut writer = Writer::inside(&group, old, "6379");
    for _ in 0..100 {
        assert!(writer.write(Duration::from_secs(10)));
    }
    let before = writer.acked.len();
    group.zones.cut(ZONES[old]);
    // The client is on the primary's side of the cut; it writes until it is refused.
    while writer.write(Duration::from_secs(10)) {}
    let last = writer.acked.last().map(|(_, at)| *at).expect("it wrote");
    let lost = writer.acked.len() - before;
    let mut through = Writer::inside(&group, asked, "7000");
    through.number = 1_000_000;
    eventually("a write to the next primary", || through.write(Duration::from_secs(1)));
    let first = through.acked[0].1;
    assert!(last < first, "the old primary spoke last {:?} after the new one", last - first);
    let new = group.primary(asked);
    assert_ne!(new, old);
    println!("silent {:?} before the next one; {lost} writes to the old one alone", first - last);
    group.zones.heal(ZONES[old]);
    group.wait_whole();
    assert_eq!(group.primary(old), new, "it follows by itself");
    assert!(group.ask(old, "ROLE").starts_with("slave"));
    // What the group never got is in a file, which an event names.
    let files: Vec<_> = fs::read_dir(group.nodes[old].1.path())
        .expect("its folder")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("lost-writes-"))
        .collect();
    assert_eq!(files.len(), 1, "{lost} writes");
    let kept = fs::read(files[0].path()).expect("the file");
    let kept = String::from_utf8_lossy(&kept);
    let kept: HashSet<&str> = kept.lines().filter(|line| line.starts_with("k:")).collect();
    for (number, _) in &writer.acked[before..] {
        let key = format!("k:{number}");
        let is_there = || group.ask(new, &format!("EXISTS {key}")).trim() == "1";
        let is_kept = kept.contains(key.as_str());
        assert!(is_kept || is_there(), "{key} is neither in the group nor in the file");
    }
    let name = files[0].file_name().to_string_lossy().into_owned();
    eventually("an event names it", || group.ask(new, "GROUP EVENTS").contains(&name));
}

#[test]
fn with_quorum_an_isolated_primary_acknowledges_nothing() {
    let Some(group) = Group::start(&["--write-acks", "quorum"]) else { return };
    let old = group.primary(0);
    let asked = (old + 1) % 3;
    let mut writer = Writer::inside(&group, old, "6379");
    for _ in 0..100 {
        assert!(writer.write(Duration::from_secs(10)));
    }
    group.zones.cut(ZONES[old]);
    let cut = Instant::now();
    while writer.write(Duration::from_secs(10)) {}
    let late = writer.acked.iter().filter(|(_, at)| *at > cut + Duration::from_secs(10));
    assert_eq!(late.count(), 0);
    eventually("another primary", || ![old, 9].contains(&group.primary(asked)));
    let new = group.primary(asked);
    for (number, _) in &writer.acked {
        let found = group.ask(new, &format!("GET k:{number}"));
        assert_eq!(found.trim(), number.to_string(), "k:{number} was acknowledged");
    }
    group.zones.heal(ZONES[old]);
    group.wait_whole();
}

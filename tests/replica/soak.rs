//! The long run: writers that never stop, and cuts, stops, restarts and kills in between, with a stock
//! server as primary and as replica. At the end both have the same data, and whoever could go on where
//! it was did.
//!
//! `LARDER_SOAK_SECONDS=300` for longer, `LARDER_SEED` for another course, `LARDER_TEST_REDIS` and
//! `LARDER_TEST_REDIS82` for other peers.

use std::net::SocketAddr;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder_tests::{Conn, Redis, Rng, Server, encode, eventually};

use crate::generate::Generator;
use crate::pool::KEYS;
use crate::rows::{Row, rows};
use crate::{SMALL, assert_same_data, field, is_caught_up, next_told};

/// How long one pair runs unless something else is said.
const SPAN: Duration = Duration::from_secs(7);
/// Connections that write.
const WRITERS: u64 = 3;
/// Commands of one pipeline.
const BLOCK: usize = 200;

/// Directives of both: nothing waits, and whoever ends in order leaves a file that tells where it was.
const ARGS: [&str; 8] = [
    "--repl-diskless-sync-delay",
    "0",
    "--repl-ping-replica-period",
    "1",
    "--repl-backlog-size",
    "128mb",
    "--save",
    "3600 1000000000",
];

type Launch = fn(&[&str]) -> Server;

/// What happens to a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    /// The primary cuts the link.
    Cut,
    /// The replica cuts it.
    Hangup,
    /// The replica stands still for a while.
    Stop,
    /// The replica ends in order and comes back with its file.
    Restart,
    /// The replica is killed and comes back with an older file or none.
    Kill,
    /// The primary ends in order and comes back with its file.
    PrimaryRestart,
    /// The primary is killed and comes back with an older file or none.
    PrimaryKill,
}

impl Mishap {
    /// Whether somebody begins with what a file has.
    fn has_file(self) -> bool {
        matches!(self, Self::Restart | Self::Kill | Self::PrimaryRestart | Self::PrimaryKill)
    }
}

const MISHAPS: [Mishap; 10] = [
    Mishap::Cut,
    Mishap::Cut,
    Mishap::Cut,
    Mishap::Hangup,
    Mishap::Hangup,
    Mishap::Stop,
    Mishap::Restart,
    Mishap::Kill,
    Mishap::PrimaryRestart,
    Mishap::PrimaryKill,
];

/// What writers share.
struct Writing {
    primary: SocketAddr,
    /// Whether the primary is a stock server.
    is_stock: bool,
    over: AtomicBool,
    /// Held by each writer for a block of commands, and by who wants to see what they wrote.
    turn: RwLock<()>,
    written: AtomicU64,
}

impl Writing {
    /// Writes until it is over; a primary that is gone comes back.
    fn write(&self, rows: &std::collections::BTreeMap<String, Row>, seed: u64) {
        let (mut generator, mut rng) = (Generator::new(rows, seed), Rng::new(seed));
        let mut conn = None;
        while !self.over.load(Ordering::Relaxed) {
            let Some(open) = conn.as_mut() else {
                conn = Conn::tcp(self.primary).ok();
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            let commands = block(&mut generator, &mut rng, self.is_stock);
            let bytes: Vec<u8> = commands.iter().flat_map(|words| encode(words)).collect();
            let turn = self.turn.read().expect("nobody panics in a turn");
            let is_answered =
                open.try_send(&bytes).is_ok() && commands.iter().all(|_| open.try_reply().is_ok());
            if is_answered {
                self.written.fetch_add(commands.len() as u64, Ordering::Relaxed);
            } else {
                conn = None;
            }
            drop(turn);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Random writes, some of them in transactions, with deadlines that come soon.
fn block(generator: &mut Generator, rng: &mut Rng, is_stock: bool) -> Vec<Vec<Vec<u8>>> {
    let word = |word: &str| vec![word.as_bytes().to_vec()];
    let mut next = || if is_stock { next_told(generator) } else { generator.command().1 };
    let mut commands = Vec::with_capacity(BLOCK);
    while commands.len() < BLOCK {
        let words = next();
        if rng.below(20) == 0 {
            commands.extend([word("MULTI"), words, next(), word("EXEC")]);
        } else {
            commands.push(words);
        }
        if rng.below(10) == 0 {
            let ms = rng.below(50).to_string();
            let (_, keys) = rng.pick(KEYS);
            let key = rng.pick(keys).to_string();
            commands.push(["PEXPIRE", &key, &ms].map(|word| word.as_bytes().to_vec()).into());
        }
    }
    commands
}

/// How often a primary sent everything, and how often it let somebody go on, since it started.
fn syncs(primary: &Server) -> (u64, u64) {
    let count = |name: &str| primary.info(name).parse().expect("a count");
    (count("sync_full"), count("sync_partial_ok"))
}

/// A primary, a replica, and what happened to them.
struct Pair {
    primary: Server,
    replica: Server,
    counts: std::collections::BTreeMap<String, u32>,
    /// Up to where the replica's log was judged, or need not be.
    judged: usize,
}

impl Pair {
    /// Waits for something.
    fn wait_for(&self, what: &str, mut has_come: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !has_come() {
            assert!(Instant::now() < deadline, "never happened: {what}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_up(&self) {
        let mut ours = None;
        self.wait_for("the link is up", || {
            if ours.is_none() {
                ours = Conn::tcp(self.replica.addr()).ok();
            }
            let Some(conn) = ours.as_mut() else { return false };
            field(conn, "master_link_status") == "up"
                && field(&mut self.primary.connect(), "slave0").contains("state=online")
        });
    }

    /// Lets something happen, waits for the link, and tells whether all of the data set was sent.
    fn suffer(&mut self, mishap: Mishap, rng: &mut Rng) {
        let (before, logged) = (syncs(&self.primary), self.replica.log().len());
        let mut expected = (before.0, before.1 + 1);
        match mishap {
            Mishap::Cut => drop(self.primary.connect().run("CLIENT KILL TYPE replica")),
            Mishap::Hangup => drop(self.replica.connect().run("CLIENT KILL TYPE master")),
            Mishap::Stop => {
                self.replica.signal("STOP");
                thread::sleep(Duration::from_millis(rng.below(500) as u64));
                self.replica.signal("CONT");
                expected = before;
            }
            Mishap::Restart => {
                end(&mut self.replica);
                thread::sleep(Duration::from_millis(rng.below(300) as u64));
                self.replica.restart();
            }
            Mishap::Kill => {
                self.replica.signal("KILL");
                self.replica.wait_exit();
                self.replica.restart();
                // Its file is older than what the primary keeps, if it has one at all.
                return self.come_back(mishap, before, None, logged);
            }
            Mishap::PrimaryRestart => {
                end(&mut self.primary);
                self.primary.restart();
                expected = (0, 1);
            }
            Mishap::PrimaryKill => {
                self.primary.signal("KILL");
                self.primary.wait_exit();
                self.primary.restart();
                // Once, or more often where a FLUSHALL ended what was sent.
                return self.come_back(mishap, (0, 0), None, logged);
            }
        }
        self.come_back(mishap, before, Some(expected), logged);
    }

    /// Waits for the link; `logged`: how long the replica's log was before.
    fn come_back(
        &mut self,
        mishap: Mishap,
        before: (u64, u64),
        expected: Option<(u64, u64)>,
        logged: usize,
    ) {
        let what = format!("it is in sync again after {mishap:?}");
        self.wait_for(&what, || {
            let now = syncs(&self.primary);
            expected.map_or(now != before, |wanted| now.0 + now.1 >= wanted.0 + wanted.1)
        });
        self.wait_up();
        let now = syncs(&self.primary);
        let mut what = format!("{mishap:?}");
        if let Some(expected) = expected.filter(|expected| now.0 != expected.0) {
            let is_theirs = self.has_let_go(logged);
            assert!(is_theirs, "full syncs after {what}: {} and not {}", now.0, expected.0);
            what += " in FLUSHALL";
        }
        *self.counts.entry(what).or_default() += 1;
    }

    /// Whether a stock replica forgot where it was: Redis 8 does when its link ends while FLUSHALL SYNC
    /// blocks the link. It also does when it cannot read its primary's stream, but tells that.
    fn has_let_go(&self, logged: usize) -> bool {
        let log = self.replica.log();
        let said = |line: &str| log.get(logged..).is_some_and(|since| since.contains(line));
        !self.replica.is_larder()
            && self.replica.major() >= 8
            && said("Connection with master lost")
            && !said("Caching the disconnected master state")
            && !said("Protocol error")
    }

    /// Whether a stock primary came back without its data, and its replica was let go on with it: FLUSHALL
    /// writes a file as of the offset before it, and is told to replicas only later.
    fn has_lost_flush(&self) -> bool {
        let log = self.primary.log();
        let last = log.lines().rev().find(|line| line.contains("Done loading RDB"));
        last.is_some_and(|line| line.contains("keys loaded: 0, keys expired: 0"))
            && syncs(&self.primary).0 == 0
    }

    /// Makes both the same again; what the replica said of commands that did not fit its data is Redis's.
    fn flush_again(&mut self) {
        self.primary.connect().run("FLUSHALL");
        eventually("the replica has nothing either", || {
            is_caught_up(&mut self.primary.connect(), 1)
        });
        self.judged = self.replica.log().len();
        *self.counts.entry("PrimaryKill in FLUSHALL".to_owned()).or_default() += 1;
    }

    /// Compares the data while nothing is written.
    fn assert_same(&mut self, when: &str) {
        eprintln!("comparing {when}");
        let (mut theirs, mut ours) = (self.primary.connect(), self.replica.connect());
        settle(&mut theirs);
        eventually("the replica catches up", || {
            is_caught_up(&mut theirs, 1)
                && field(&mut ours, "slave_repl_offset") == field(&mut theirs, "master_repl_offset")
        });
        assert_same_data(&mut theirs, &mut ours);
        let log = self.replica.log();
        let is_bad = |line: &&str| line.contains("CRITICAL") || line.contains("panic");
        let new = log.get(self.judged..).unwrap_or_default();
        let bad: Vec<&str> = new.lines().filter(is_bad).take(20).collect();
        assert!(bad.is_empty(), "{when}: {bad:#?}");
        assert!(!self.primary.log().contains("panic"), "{when}");
        self.judged = log.len();
    }
}

/// What both said last is needed to understand a failure.
impl Drop for Pair {
    fn drop(&mut self) {
        for server in [&self.primary, &self.replica].into_iter().filter(|_| thread::panicking()) {
            let log = server.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(60)..].join("\n");
            eprintln!("--- end of the log of {} ---\n{end}", server.addr());
        }
    }
}

/// Ends a server in order.
fn end(server: &mut Server) {
    server.signal("TERM");
    assert!(server.wait_exit().success(), "{}", server.log());
}

/// Takes the deadlines from all keys, after those that are due went.
fn settle(conn: &mut Conn) {
    thread::sleep(Duration::from_millis(200));
    for db in 0..16 {
        conn.run(&format!("SELECT {db}"));
        for key in conn.run("KEYS *").items() {
            conn.call(&[b"PERSIST".to_vec(), key.text().into_bytes()]);
        }
    }
}

/// Commands that both know, as Larder describes them.
fn common_rows(peer: &Server) -> std::collections::BTreeMap<String, Row> {
    let theirs = rows(peer);
    let mut rows = rows(&Server::start());
    rows.retain(|name, row| theirs.contains_key(name) && row.flags.iter().any(|f| f == "write"));
    rows
}

fn soak(name: &str, primary: Launch, replica: Launch) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let span = number("LARDER_SOAK_SECONDS").map_or(SPAN, Duration::from_secs);
    let seed = number("LARDER_SEED").unwrap_or(1);
    let is_stock = !name.starts_with("larder");
    let args = [&ARGS[..], if is_stock { &SMALL[..] } else { &[] }].concat();
    let primary = primary(&args);
    let port = primary.addr().port().to_string();
    let replica = replica(&[&args[..], &["--replicaof", "127.0.0.1", &port]].concat());
    let rows = common_rows(if is_stock { &primary } else { &replica });
    let mut pair = Pair { primary, replica, counts: Default::default(), judged: 0 };
    pair.wait_up();
    let writing = Writing {
        primary: pair.primary.addr(),
        is_stock,
        over: AtomicBool::new(false),
        turn: RwLock::new(()),
        written: AtomicU64::new(0),
    };
    let (mut rng, end) = (Rng::new(seed), Instant::now() + span);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (writing, rows) = (&writing, &rows);
            scope.spawn(move || writing.write(rows, seed * 1000 + writer));
        }
        // Whatever fails, writers end.
        let _over = Over(&writing.over);
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(200 + rng.below(400) as u64));
            let mishap = *rng.pick(&MISHAPS);
            pair.suffer(mishap, &mut rng);
            // What went wrong in a mishap would be forgotten with the next FLUSHALL.
            if mishap.has_file() {
                let rest = writing.turn.write().unwrap_or_else(|poisoned| poisoned.into_inner());
                if mishap == Mishap::PrimaryKill && pair.has_lost_flush() {
                    pair.flush_again();
                }
                pair.assert_same(&format!("after {mishap:?}"));
                drop(rest);
            }
        }
    });
    pair.assert_same("at the end");
    let (seconds, written) = (span.as_secs(), writing.written.load(Ordering::Relaxed));
    eprintln!("{name}, seed {seed}, {seconds} s: {written} writes, {:?}", pair.counts);
}

struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_stock_primary_and_our_replica() {
    soak("stock to larder", Redis::with, Server::with);
}

#[test]
fn our_primary_and_a_stock_replica() {
    soak("larder to stock", Server::with, Redis::with);
}

const NEWER: Launch = |args| Redis::newer(args).expect("it is named");

fn has_newer() -> bool {
    std::env::var_os("LARDER_TEST_REDIS82").is_some()
}

#[test]
fn a_newer_primary_and_our_replica() {
    if has_newer() {
        soak("newer to larder", NEWER, Server::with);
    }
}

#[test]
fn our_primary_and_a_newer_replica() {
    if has_newer() {
        soak("larder to newer", Server::with, NEWER);
    }
}

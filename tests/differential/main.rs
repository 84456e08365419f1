//! Random commands of every row, generated from the rows' own argument lists, on Larder and on a
//! `redis-server`: replies and data sets have to be the same.
//!
//! A run is made of rounds; a round starts from empty data sets and follows from its seed, the rows,
//! and nothing else. The default run plays the same rounds every time, so that it says the same
//! about the same server; `LARDER_DIFF_SECONDS=600` plays new ones for so long, and `LARDER_SEED=n`
//! one again. `LARDER_DIFF_ROWS=hash,set,lpush` plays only these groups and commands: with a seed,
//! give the same rows. `LARDER_DIFF_ALL=1` goes on after a difference, without the row that had it.

mod events;
mod exceptions;
mod generate;
mod play;
mod pool;
mod replicas;
mod rows;
mod state;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use larder_tests::{Redis, Rng, Server};

use exceptions::Judge;
use generate::Generator;
use play::{Failure, Pair, Step};
use pool::KEYS;
use rows::{Row, rows};

/// Rounds of the default run.
const ROUNDS: u64 = 50;
/// The same with events, which take three times as long.
const LISTENING_ROUNDS: u64 = 12;

/// Commands between two comparisons of the data sets, and such blocks in a round.
const BLOCK: usize = 150;
const BLOCKS: usize = 10;

/// Rows that came with 7.2, whatever else a newer peer changed in them.
const ONLY_7_2: [&str; 4] = ["client|no-touch", "client|setinfo", "waitaof", "cluster|myshardid"];

/// How much larger the server may be after all rounds than after the first ones, in bytes.
const GROWTH_BYTES: u64 = 64 << 20;

/// How long a history that led to a difference is shortened.
const SHORTENING: Duration = Duration::from_secs(30);

#[test]
fn random_commands_answer_like_redis() {
    let (larder, redis) = (Server::start(), Redis::start());
    let rows = shared_rows(&larder, &redis, |_| true);
    play(&larder, &redis, &rows, ROUNDS, Pair::new);
}

#[test]
fn random_commands_raise_the_events_of_redis() {
    let events = ["--notify-keyspace-events", "EAmn"];
    let (larder, redis) = (Server::with(&events), Redis::with(&events));
    let rows = shared_rows(&larder, &redis, |_| true);
    play(&larder, &redis, &rows, LISTENING_ROUNDS, Pair::listening);
}

#[test]
fn random_commands_that_only_a_newer_redis_has_answer_like_it() {
    let Some(newer) = Redis::newer(&[]) else { return };
    let (larder, redis) = (Server::start(), Redis::start());
    let old = rows(&redis);
    // Of the others, those that make what the new ones work on: their replies are not compared with
    // a version that Larder does not follow.
    let old_ones = ["hset", "hdel", "hgetall", "hget", "copy", "rename", "del"];
    let is_new = |row: &Row| !old.contains_key(&row.name) && !ONLY_7_2.contains(&&*row.name);
    let rows =
        shared_rows(&larder, &newer, |row| is_new(row) || old_ones.contains(&row.name.as_str()));
    if rows.values().any(is_new) {
        play(&larder, &newer, &rows, ROUNDS, Pair::new);
    }
}

#[test]
fn a_seed_gives_the_same_commands() {
    let rows = rows(&Server::start());
    let commands = |seed| {
        let mut generator = Generator::new(&rows, seed);
        (0..2000).map(|_| generator.command()).collect::<Vec<_>>()
    };
    assert_eq!(commands(7), commands(7));
    assert_ne!(commands(7), commands(8));
}

/// Rows that both servers have and that `wanted` and the environment choose.
fn shared_rows(
    larder: &Server,
    peer: &Server,
    wanted: impl Fn(&Row) -> bool,
) -> BTreeMap<String, Row> {
    let theirs = rows(peer);
    let chosen = std::env::var("LARDER_DIFF_ROWS").unwrap_or_default();
    let chosen: Vec<&str> = chosen.split(',').filter(|word| !word.is_empty()).collect();
    let mut rows = rows(larder);
    rows.retain(|name, row| {
        let container = name.split('|').next().unwrap_or_default();
        let named = [name.as_str(), container, &row.group].iter().any(|n| chosen.contains(n));
        theirs.contains_key(name) && wanted(row) && (chosen.is_empty() || named)
    });
    rows
}

/// Plays rounds until the run's end.
///
/// # Panics
/// With the first difference; with `LARDER_DIFF_ALL`, with the first one of every row.
#[track_caller]
fn play<'a>(
    larder: &'a Server,
    redis: &'a Server,
    rows: &BTreeMap<String, Row>,
    rounds: u64,
    pair: impl Fn(&'a Server, &'a Server) -> Pair<'a>,
) {
    let setting = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let all = std::env::var_os("LARDER_DIFF_ALL").is_some();
    let (fixed, seconds) = (setting("LARDER_SEED"), setting("LARDER_DIFF_SECONDS"));
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64);
    let mut seeds = Rng::new(now);
    let begin = Instant::now();
    let mut rows = rows.clone();
    let mut found = Vec::new();
    let mut size_bytes = 0;
    for number in 0.. {
        let over = match (fixed, seconds) {
            (Some(_), _) => number == 1,
            (None, Some(seconds)) => begin.elapsed() >= Duration::from_secs(seconds),
            (None, None) => number == rounds,
        };
        if over || (!all && !found.is_empty()) {
            break;
        }
        let seed = fixed.unwrap_or(if seconds.is_some() { seeds.bits() >> 32 } else { number });
        if let Some(Found { row, report, hung }) = round(pair(larder, redis), &rows, seed) {
            rows.remove(&row);
            eprintln!("{report}\n");
            found.push(row);
            if hung {
                break;
            }
        }
        let now_bytes = larder.resident();
        size_bytes = if number == 0 { now_bytes } else { size_bytes };
        let limit_bytes = size_bytes + GROWTH_BYTES;
        assert!(now_bytes < limit_bytes, "the server grew from {size_bytes} to {now_bytes} bytes");
    }
    assert!(found.is_empty(), "the replies differ: {found:?}");
}

/// A difference.
struct Found {
    /// The row of the step that showed it; empty when the data sets did.
    row: String,
    report: String,
    /// Whether a server stopped answering.
    hung: bool,
}

/// Plays one round; odd seeds in RESP3. The first difference, if any.
fn round(mut pair: Pair<'_>, rows: &BTreeMap<String, Row>, seed: u64) -> Option<Found> {
    let mut generator = Generator::new(rows, seed);
    let setup = setup(&mut generator, seed);
    let mut history = Vec::new();
    let failure = try_round(&mut pair, &mut generator, &setup, &mut history).err()?;
    let row = match history.last() {
        Some(Step::Command { name, .. }) => name.clone(),
        _ => String::new(),
    };
    let hung = failure.hung;
    Some(Found { row, report: report(&mut pair, &setup, history, failure, seed), hung })
}

fn hello(seed: u64) -> Step {
    Step::prepare(&format!("HELLO {}", 2 + seed % 2))
}

/// What a round starts with: nothing in the data sets, and sizes at which encodings change.
fn setup(generator: &mut Generator, seed: u64) -> Vec<Step> {
    let mut steps = vec![hello(seed), Step::prepare("CLIENT SETNAME "), Step::prepare("FLUSHALL")];
    let choices: [(&str, &[&str]); 10] = [
        ("hash-max-listpack-entries", &["4", "128"]),
        ("hash-max-listpack-value", &["16", "64"]),
        ("set-max-intset-entries", &["4", "512"]),
        ("set-max-listpack-entries", &["5", "128"]),
        ("set-max-listpack-value", &["16", "64"]),
        ("zset-max-listpack-entries", &["4", "128"]),
        ("zset-max-listpack-value", &["16", "64"]),
        ("list-max-listpack-size", &["4", "-2"]),
        ("stream-node-max-entries", &["4", "100"]),
        ("hll-sparse-max-bytes", &["40", "3000"]),
    ];
    for (name, values) in choices {
        let value = generator.pool.rng.pick(values);
        steps.push(Step::prepare(&format!("CONFIG SET {name} {value}")));
    }
    steps
}

fn try_round(
    pair: &mut Pair<'_>,
    generator: &mut Generator,
    setup: &[Step],
    history: &mut Vec<Step>,
) -> Result<(), Failure> {
    for step in setup {
        pair.run(step)?;
    }
    let mut next = |pair: &mut Pair<'_>, step: Step| {
        history.push(step);
        pair.run(&history[history.len() - 1])
    };
    for _ in 0..BLOCKS {
        next(pair, setup[0].clone())?;
        next(pair, Step::prepare("SELECT 0"))?;
        for step in refill(pair, generator)? {
            next(pair, step)?;
        }
        for _ in 0..BLOCK {
            if generator.pool.chance(3) {
                let transaction = transaction(generator);
                next(pair, transaction)?;
                continue;
            }
            let (name, words) = generator.command();
            let judge = generator.row(&name).map_or(Judge::Bytes, exceptions::judge);
            next(pair, Step::Command { name, words, judge })?;
        }
        next(pair, Step::Compare)?;
    }
    Ok(())
}

/// A transaction of commands whose replies are compared byte by byte.
fn transaction(generator: &mut Generator) -> Step {
    let plain = |generator: &mut Generator| loop {
        let (name, words) = generator.command();
        let is_plain = generator.row(&name).map(exceptions::judge) == Some(Judge::Bytes);
        // RESET ends it, HELLO tells the connection's number.
        if is_plain && !["reset", "hello"].contains(&name.as_str()) {
            return (name, words);
        }
    };
    let key = |generator: &mut Generator| {
        let (_, keys) = generator.pool.rng.pick(KEYS);
        generator.pool.rng.pick(keys).as_bytes().to_vec()
    };
    let watched = match generator.pool.rng.below(3) {
        0 => Vec::new(),
        len => (0..len).map(|_| key(generator)).collect(),
    };
    let before = generator.pool.chance(30).then(|| plain(generator));
    let len = generator.pool.rng.below(6);
    let queued = (0..len).map(|_| plain(generator)).collect();
    Step::Transaction { watched, before, queued }
}

/// Steps that put a value of its own type under most keys that have none or another.
fn refill(pair: &mut Pair<'_>, generator: &mut Generator) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for (group, keys) in KEYS {
        for key in *keys {
            let [ours, _] = pair.both(&["TYPE", key])?;
            let kind = match *group {
                "counter" | "bitmap" | "hyperloglog" => "string",
                "sorted-set" | "geo" => "zset",
                other => other,
            };
            let missing = ours.value.text() == "none";
            // A stream gets entries and groups now and then.
            let fits = ours.value.text() == kind && (kind != "stream" || generator.pool.chance(50));
            if fits || generator.pool.chance(10) {
                continue;
            }
            if !missing && ours.value.text() != kind {
                let words = vec![b"DEL".to_vec(), key.as_bytes().to_vec()];
                steps.push(Step::Command { name: "del".into(), words, judge: Judge::Bytes });
            }
            let times = 1 + generator.pool.rng.below(4);
            for _ in 0..times {
                let Some((name, words)) = generator.maker(key) else { break };
                steps.push(Step::Command { name, words, judge: Judge::Bytes });
            }
        }
    }
    Ok(steps)
}

/// Plays a history from the start; the index of the step that failed, and why.
fn replay(pair: &mut Pair<'_>, setup: &[Step], history: &[Step]) -> Option<(usize, Failure)> {
    for step in setup {
        if let Err(failure) = pair.run(step) {
            return Some((0, failure));
        }
    }
    history
        .iter()
        .enumerate()
        .find_map(|(at, step)| pair.run(step).err().map(|failure| (at, failure)))
}

/// A difference, with a shorter way there.
fn report(
    pair: &mut Pair<'_>,
    setup: &[Step],
    history: Vec<Step>,
    failure: Failure,
    seed: u64,
) -> String {
    let number = history.len();
    let last = history.last().map_or_else(String::new, Step::line);
    let (kept, failure) =
        if failure.hung { (history, failure) } else { shorten(pair, setup, history, failure) };
    let lines: Vec<String> = setup.iter().chain(&kept).map(Step::line).collect();
    let tail = lines[lines.len().saturating_sub(60)..].join("\n  ");
    let what = failure.what;
    format!("LARDER_SEED={seed}, step {number}: {last}\nthe shortest way there:\n  {tail}\n{what}")
}

fn shorten(
    pair: &mut Pair<'_>,
    setup: &[Step],
    history: Vec<Step>,
    failure: Failure,
) -> (Vec<Step>, Failure) {
    let deadline = Instant::now() + SHORTENING;
    let (mut kept, mut found) = (history, failure);
    // First only what names a key that the last step names: mostly that is all it takes.
    if let Some(Step::Command { words: last, .. }) = kept.last() {
        let named: Vec<&[u8]> = KEYS
            .iter()
            .flat_map(|(_, keys)| keys.iter().map(|key| key.as_bytes()))
            .filter(|key| last.iter().any(|word| word == key))
            .collect();
        let related =
            |step: &&Step| step.commands().iter().flatten().any(|word| named.contains(&&word[..]));
        let fewer: Vec<Step> = kept.iter().filter(related).cloned().collect();
        if let Some((at, failure)) = replay(pair, setup, &fewer) {
            kept = fewer[..=at].to_vec();
            found = failure;
        }
    }
    let mut chunk = kept.len() / 2;
    while chunk > 0 {
        let mut start = 0;
        while start + 1 < kept.len() && Instant::now() < deadline {
            let mut fewer = kept.clone();
            fewer.drain(start..(start + chunk).min(kept.len() - 1));
            match replay(pair, setup, &fewer) {
                Some((_, failure)) if failure.hung => return (kept, found),
                Some((at, failure)) => {
                    fewer.truncate(at + 1);
                    (kept, found) = (fewer, failure);
                }
                None => start += chunk,
            }
        }
        chunk /= 2;
    }
    (kept, found)
}

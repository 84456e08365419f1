//! Random commands on Larder and on Redis, replies compared one by one.
//!
//! A [`Table`] lists commands with blanks; a seed decides which come in which order and what fills
//! the blanks. When a reply differs, the history is shortened as far as the difference survives, and
//! printed with the seed.

use std::time::{Duration, Instant, SystemTime};

use crate::process::{Redis, Server};
use crate::rng::Rng;
use crate::script::{Rule, Side, Step};
use crate::words::quoted;

/// Commands a round has; every round starts from an empty data set.
const ROUND: usize = 3000;

/// Commands to choose from, one a line, in the language of scripts (`@near 2 TTL {key}`).
///
/// Blanks: `{key}`, `{value}`, `{int}`, `{small}` (-20..20), `{float}`, `{pattern}`, and
/// `{a|b|c}` one of the words, of which any may be empty.
#[derive(Clone, Copy, Debug)]
pub struct Table(pub &'static str);

/// Runs random commands for `LARDER_DIFF_SECONDS` (10 unless told), from `LARDER_SEED` if set, and
/// otherwise from a new seed each time.
///
/// # Panics
/// When a reply differs: the message has the seed and the shortest history found.
#[track_caller]
pub fn differential(table: Table) {
    let setting = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = setting("LARDER_DIFF_SECONDS").unwrap_or(10);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let fixed = setting("LARDER_SEED");
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos() as u64);
    let mut seeds = Rng::new(now);
    let (larder, redis) = (Server::start(), Redis::start());
    let newer = redis.major() > 7;
    loop {
        let seed = fixed.unwrap_or_else(|| seeds.bits() >> 32);
        let mut history = generate(table, &mut Rng::new(seed));
        if newer {
            history.iter_mut().filter(|s| s.only_7).for_each(|s| s.rule = Rule::Skip);
        }
        for protocol in [2, 3] {
            if let Some((failed, _)) = first_difference(&larder, &redis, protocol, &history) {
                report(&larder, &redis, protocol, &history[..=failed], seed);
            }
        }
        if Instant::now() >= deadline || fixed.is_some() {
            return;
        }
    }
}

/// Plays a history on emptied servers; where and how the replies first differ.
fn first_difference(
    larder: &Server,
    redis: &Server,
    protocol: u8,
    history: &[Step],
) -> Option<(usize, String)> {
    let (mut ours, mut theirs) = (Side::new(larder, protocol), Side::new(redis, protocol));
    let reset = Step::parse("FLUSHALL", 0);
    for side in [&mut ours, &mut theirs] {
        side.run(&reset).unwrap_or_else(|why| panic!("{why}"));
    }
    history.iter().enumerate().find_map(|(index, step)| {
        let (ours, theirs) = match (ours.run(step), theirs.run(step)) {
            (Ok(ours), Ok(theirs)) => (ours, theirs),
            (Err(why), _) | (_, Err(why)) => return Some((index, why)),
        };
        step.judge(protocol, &ours, &theirs).map(|found| (index, found))
    })
}

/// Shortens the history that led to a difference, and fails the test with it.
#[track_caller]
fn report(larder: &Server, redis: &Server, protocol: u8, history: &[Step], seed: u64) -> ! {
    let mut kept = history.to_vec();
    let mut found = String::new();
    // A difference that a clash of clocks made does not come again: then the history stays long.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut chunk = kept.len() / 2;
    while chunk > 0 && Instant::now() < deadline {
        let mut start = 0;
        while start + 1 < kept.len() && Instant::now() < deadline {
            let mut without = kept.clone();
            without.drain(start..(start + chunk).min(kept.len() - 1));
            match first_difference(larder, redis, protocol, &without) {
                Some((at, difference)) => {
                    without.truncate(at + 1);
                    (kept, found) = (without, difference);
                }
                None => start += chunk,
            }
        }
        chunk /= 2;
    }
    let tail: Vec<&str> = kept.iter().rev().take(40).map(|step| step.line.as_str()).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    panic!("LARDER_SEED={seed} RESP{protocol}: after\n  {}\n{found}", tail.join("\n  "));
}

fn generate(table: Table, rng: &mut Rng) -> Vec<Step> {
    let lines: Vec<&str> = table.0.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    (0..ROUND)
        .map(|number| Step::parse(&fill(lines[rng.below(lines.len())], rng), number))
        .collect()
}

/// Fills the blanks of a line.
fn fill(line: &str, rng: &mut Rng) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, tail)) = rest.split_once('{') {
        let (blank, tail) = tail.split_once('}').unwrap_or_else(|| panic!("open blank: {line}"));
        out.push_str(before);
        out.push_str(&word(blank, rng));
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn word(blank: &str, rng: &mut Rng) -> String {
    match blank {
        "key" => format!("key:{}", rng.below(8)),
        "small" => (rng.below(41) as i64 - 20).to_string(),
        "int" => integer(rng),
        "float" => float(rng),
        "pattern" => {
            let patterns = ["*", "key:*", "key:[0-3]", "k?y:[^1]", "*:[3-1]", "key:\\\\1", "[", ""];
            quoted(rng.pick(&patterns).as_bytes())
        }
        "value" => match rng.below(8) {
            0..3 => integer(rng),
            3 => float(rng),
            4 => {
                let len = *rng.pick(&[0, 1, 5, 43, 44, 45, 63, 64, 100, 200, 300]);
                quoted(&rng.bytes(len))
            }
            5 => quoted("x".repeat(rng.below(70)).as_bytes()),
            6 => {
                (*rng.pick(&["\"\"", "\" 1\"", "+1", "01", "-0", "1e3", "nan", "0x10"])).to_owned()
            }
            _ => format!("word{}", rng.below(5)),
        },
        choices => (*rng.pick(&choices.split('|').collect::<Vec<_>>())).to_owned(),
    }
}

fn integer(rng: &mut Rng) -> String {
    match rng.below(6) {
        0..3 => (rng.below(2001) as i64 - 1000).to_string(),
        3 => (rng.bits() as i64).to_string(),
        _ => {
            let edge = *rng.pick(&[i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX]);
            edge.to_string()
        }
    }
}

fn float(rng: &mut Rng) -> String {
    let edges =
        ["0.1", "-0.0", "1e15", "3.0e3", "5.0", "1.5e-5", "inf", "-inf", "nan", "1e308", " 1"];
    match rng.below(3) {
        0 => quoted(rng.pick(&edges).as_bytes()),
        _ => format!("{}.{}", rng.below(2001) as i64 - 1000, rng.below(10_000)),
    }
}

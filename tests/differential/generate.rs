//! Random commands from the rows' own argument lists.
//!
//! Most commands are well-formed; some lie about their counts, say an option twice, leave out or
//! swap words.

use std::collections::BTreeMap;

use crate::exceptions;
use crate::pool::{KEYS, Pool};
use crate::rows::{Arg, Kind, Row};

/// The command that makes a value of a type, so that the others find something under their keys.
const MAKERS: &[(&str, &[&str])] = &[
    ("string", &["set"]),
    ("counter", &["incrby"]),
    ("bitmap", &["setbit"]),
    ("hyperloglog", &["pfadd"]),
    ("list", &["rpush"]),
    ("hash", &["hset"]),
    ("set", &["sadd"]),
    ("sorted-set", &["zadd"]),
    ("geo", &["geoadd"]),
    ("stream", &["xadd", "xadd", "xadd", "xgroup|create", "xgroup|create"]),
];

/// Chooses and writes commands.
pub(crate) struct Generator {
    rows: BTreeMap<String, Row>,
    /// Names, each as often as its weight.
    lots: Vec<String>,
    pub(crate) pool: Pool,
}

/// A command in the making.
struct Draft<'a> {
    row: &'a Row,
    words: Vec<Vec<u8>>,
    /// How often the next repeated argument comes, where another argument says so.
    count: Option<usize>,
    /// The key to use wherever a key is wanted.
    key: Option<&'a str>,
}

impl Generator {
    /// A source of commands of these rows; the same seed and rows give the same commands.
    pub(crate) fn new(rows: &BTreeMap<String, Row>, seed: u64) -> Self {
        let lots = rows
            .values()
            .flat_map(|row| std::iter::repeat_n(row.name.clone(), exceptions::weight(row)))
            .collect();
        Self { rows: rows.clone(), lots, pool: Pool::new(seed) }
    }

    /// The row that a command came from.
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.get(name)
    }

    /// The next command: its row's name and its words.
    pub(crate) fn command(&mut self) -> (String, Vec<Vec<u8>>) {
        let name = self.pool.rng.pick(&self.lots).clone();
        if name == "command|getkeys" || name == "command|getkeysandflags" {
            let mut words: Vec<Vec<u8>> = name.split('|').map(|w| w.as_bytes().to_vec()).collect();
            let (_, inner) = self.command();
            words.extend(inner);
            return (name, words);
        }
        let words = self.write(&name, None);
        (name, words)
    }

    /// A command that puts something of its type under a key; `None` when no row can.
    pub(crate) fn maker(&mut self, key: &str) -> Option<(String, Vec<Vec<u8>>)> {
        let (group, _) = KEYS.iter().find(|(_, keys)| keys.contains(&key))?;
        let (_, makers) = MAKERS.iter().find(|(name, _)| name == group)?;
        let name = match key {
            "f1" => "incrbyfloat".to_owned(),
            _ => (*self.pool.rng.pick(makers)).to_owned(),
        };
        self.rows.get(&name)?;
        let words = self.write(&name, Some(key));
        Some((name, words))
    }

    fn write(&mut self, name: &str, key: Option<&str>) -> Vec<Vec<u8>> {
        let Some(row) = self.rows.get(name) else { return Vec::new() };
        let words: Vec<Vec<u8>> = name.split('|').map(|w| self.pool.cased(w)).collect();
        let name_words = words.len();
        let mut draft = Draft { row, words, count: None, key };
        sequence(&mut self.pool, &mut draft, &row.args);
        let mut words = draft.words;
        if key.is_none() && !row.takes_time() && self.pool.chance(4) {
            spoil(&mut self.pool, &mut words, name_words);
        }
        words
    }
}

impl Pool {
    /// The word as tokens are written: mostly in capitals.
    fn cased(&mut self, word: &str) -> Vec<u8> {
        let word = if self.chance(15) { word.to_lowercase() } else { word.to_uppercase() };
        word.into_bytes()
    }
}

/// Writes arguments in their order; options that words introduce come in any order.
fn sequence(pool: &mut Pool, draft: &mut Draft<'_>, args: &[Arg]) {
    let mut rest = args;
    while let Some(first) = rest.first() {
        let options = rest.iter().take_while(|arg| arg.optional && introduced(arg)).count();
        if options == 0 {
            if !first.optional || pool.chance(60) {
                argument(pool, draft, first);
            }
            rest = &rest[1..];
            continue;
        }
        let mut chosen: Vec<&Arg> = rest[..options].iter().filter(|_| pool.chance(30)).collect();
        if pool.chance(3) {
            chosen.push(&rest[pool.rng.below(options)]);
        }
        for at in (1..chosen.len()).rev() {
            chosen.swap(at, pool.rng.below(at + 1));
        }
        for arg in chosen {
            argument(pool, draft, arg);
        }
        rest = &rest[options..];
    }
}

/// Whether a word introduces the argument, whichever form it takes.
fn introduced(arg: &Arg) -> bool {
    arg.token.is_some()
        || match arg.kind {
            Kind::OneOf => arg.args.iter().all(introduced),
            Kind::Block => arg.args.first().is_some_and(introduced),
            _ => false,
        }
}

fn argument(pool: &mut Pool, draft: &mut Draft<'_>, arg: &Arg) {
    // Keys and ids of XREAD come in equal numbers.
    if arg.kind == Kind::Block && arg.args.iter().filter(|part| part.multiple).count() > 1 {
        draft.count = Some(1 + pool.rng.below(3));
    }
    let times = match draft.count {
        _ if !arg.multiple => 1,
        Some(count) if pool.chance(97) => count,
        _ => *pool.rng.pick(&[1, 1, 1, 2, 2, 3, 4, 6]),
    };
    for time in 0..times {
        if let Some(token) = &arg.token
            && (time == 0 || arg.multiple_token)
        {
            draft.words.push(pool.cased(token));
        }
        one(pool, draft, arg);
    }
}

fn one(pool: &mut Pool, draft: &mut Draft<'_>, arg: &Arg) {
    let row = draft.row;
    match arg.kind {
        Kind::Word => {}
        Kind::Block => sequence(pool, draft, &arg.args),
        Kind::OneOf => {
            let kept: Vec<&Arg> =
                arg.args.iter().filter(|part| !exceptions::left_out(row, part)).collect();
            if !kept.is_empty() {
                let part = *pool.rng.pick::<&Arg>(&kept);
                argument(pool, draft, part);
            }
        }
        Kind::Key => {
            let key = draft.key.map(|key| key.as_bytes().to_vec());
            draft.words.push(key.unwrap_or_else(|| pool.key(&row.name, &row.group)));
        }
        _ if arg.name == "numkeys" || arg.name == "numfields" => {
            let count = 1 + pool.rng.below(4);
            draft.count = Some(count);
            let said = match pool.rng.below(40) {
                0 => "0".to_owned(),
                1 => "-1".to_owned(),
                2 => (count + 1).to_string(),
                3 => (count - 1).to_string(),
                4 => "9223372036854775807".to_owned(),
                5 => "x".to_owned(),
                _ => count.to_string(),
            };
            draft.words.push(said.into_bytes());
        }
        kind => draft.words.push(pool.word(&row.name, &row.group, &arg.name, kind)),
    }
}

/// Makes one mistake after the name.
fn spoil(pool: &mut Pool, words: &mut Vec<Vec<u8>>, name_words: usize) {
    let count = words.len() - name_words;
    let at = name_words + pool.rng.below(count);
    let word = pool.any();
    match pool.rng.below(6) {
        0 => words.push(word),
        1 => words.insert(at, word),
        _ if count == 0 => {}
        2 => words[at] = word,
        3 => drop(words.remove(at)),
        4 => words.truncate(words.len() - 1),
        _ => {
            let other = name_words + pool.rng.below(count);
            words.swap(at, other);
        }
    }
}

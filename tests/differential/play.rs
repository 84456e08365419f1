//! Two servers that get the same commands, and how their replies are judged.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use larder_tests::{Conn, Reply, Rule, Server, Value, difference, encode, quoted, sorted};

use crate::events::{self, Listeners};
use crate::exceptions::{self, Judge};
use crate::state;

/// How long a reply may take before the server counts as hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// How far two clocks of one deadline may be apart, in milliseconds.
pub(crate) const CLOCKS_MS: i64 = 5_000;

/// What is done to both servers.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A command and how its replies are compared; `name` is its row's.
    Command { name: String, words: Vec<Vec<u8>>, judge: Judge },
    /// Commands between MULTI and EXEC: first keys to watch, and maybe a command before MULTI that
    /// changes one of them.
    Transaction { watched: Vec<Vec<u8>>, before: Option<Words>, queued: Vec<Words> },
    /// Compares the whole data set.
    Compare,
}

/// A row's name and a command of it.
pub(crate) type Words = (String, Vec<Vec<u8>>);

impl Step {
    /// A command that only prepares, whatever it answers.
    pub(crate) fn prepare(line: &str) -> Self {
        let words = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        Self::Command { name: String::new(), words, judge: Judge::Skip }
    }

    /// The step as a line to type.
    pub(crate) fn line(&self) -> String {
        let commands = self.commands();
        if commands.is_empty() {
            return "(the data sets are compared)".to_owned();
        }
        let lines: Vec<String> = commands.iter().map(|words| line(words)).collect();
        lines.join("\n  ")
    }

    /// What is sent.
    pub(crate) fn commands(&self) -> Vec<Vec<Vec<u8>>> {
        match self {
            Self::Compare => Vec::new(),
            Self::Command { words, .. } => vec![words.clone()],
            Self::Transaction { watched, before, queued } => {
                let mut commands = Vec::new();
                if !watched.is_empty() {
                    commands.push([&[b"WATCH".to_vec()], &watched[..]].concat());
                }
                commands.extend(before.iter().map(|(_, words)| words.clone()));
                commands.push(vec![b"MULTI".to_vec()]);
                commands.extend(queued.iter().map(|(_, words)| words.clone()));
                commands.push(vec![b"EXEC".to_vec()]);
                commands
            }
        }
    }
}

/// A command as a line to type.
fn line(words: &[Vec<u8>]) -> String {
    let plain = |word: &[u8]| {
        !word.is_empty() && word.iter().all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(b))
    };
    let word = |word: &Vec<u8>| {
        if plain(word) { String::from_utf8_lossy(word).into() } else { quoted(word) }
    };
    words.iter().map(word).collect::<Vec<String>>().join(" ")
}

/// Why a step failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Both replies, or what happened.
    pub(crate) what: String,
    /// Whether a server stopped answering: then nothing can be tried again.
    pub(crate) hung: bool,
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self { what, hung: false }
    }
}

/// Larder and its peer.
#[derive(Debug)]
pub(crate) struct Pair<'a> {
    servers: [&'a Server; 2],
    conns: [Conn; 2],
    /// Who listens to events, where they are compared.
    pub(crate) listeners: Option<Listeners>,
    /// Whether the peer is a Redis before 7.2.
    pub(crate) old_peer: bool,
    /// Whether it is one after 7.
    pub(crate) new_peer: bool,
}

impl<'a> Pair<'a> {
    pub(crate) fn new(larder: &'a Server, redis: &'a Server) -> Self {
        let version = redis.info("redis_version");
        let old_peer = version.starts_with("7.0") || version.starts_with("6.");
        let servers = [larder, redis];
        let new_peer = redis.major() > 7;
        Self { servers, conns: servers.map(connect), listeners: None, old_peer, new_peer }
    }

    /// The same, comparing events as well.
    pub(crate) fn listening(larder: &'a Server, redis: &'a Server) -> Self {
        let mut pair = Self::new(larder, redis);
        pair.listeners = Some(Listeners::new(pair.servers));
        pair
    }

    /// The events since the last call, where they are compared.
    fn events(&mut self) -> Result<Option<[Vec<String>; 2]>, Failure> {
        let Some(mut listeners) = self.listeners.take() else { return Ok(None) };
        let events = listeners.take(self);
        self.listeners = Some(listeners);
        events.map(Some)
    }

    /// Runs a step on both.
    pub(crate) fn run(&mut self, step: &Step) -> Result<(), Failure> {
        match step {
            Step::Compare => state::compare(self),
            Step::Transaction { before, queued, .. } => {
                self.transaction(&step.commands(), before.as_ref(), queued)
            }
            Step::Command { name, words, judge } => self.command(name, words, *judge),
        }
    }

    fn command(&mut self, name: &str, words: &[Vec<u8>], judge: Judge) -> Result<(), Failure> {
        let says = |wanted: &str| words.iter().any(|w| w.eq_ignore_ascii_case(wanted.as_bytes()));
        // Elements without a weight, or in the order of a set, come in the order of a hash table.
        let by_weight = judge == Judge::Sort && says("BY");
        if judge == Judge::ByMember {
            self.level_scores(name, words, says("BYLEX"))?;
        }
        if judge == Judge::Geo && !self.has_geohashes(name, words)? {
            return Ok(());
        }
        let held = if judge == Judge::Drawn { self.held(words)? } else { BTreeSet::new() };
        self.events()?;
        let replies = self.both(words)?;
        let events = self.events()?;
        let has_failed = replies[0].value.is_error("");
        let wrong = match judge {
            Judge::Scan { at } => self.scan(words, at, &replies)?,
            Judge::Sort if by_weight => judged(Judge::Length, &replies, &held),
            _ => judged(judge, &replies, &held),
        };
        if let Some(what) = wrong {
            let [ours, theirs] = replies.each_ref().map(|reply| &reply.value);
            let [ours_before, theirs_before] = [ours, theirs].map(before_7_2);
            let same_before = self.old_peer
                && match judge {
                    Judge::Times => alike_but_for_times(&ours_before, &theirs_before),
                    _ => ours_before == theirs_before,
                };
            let known = same_before
                || exceptions::known(name, &ours.to_string(), &theirs.to_string(), self.old_peer);
            if !known {
                return Err(what.into());
            }
            self.forget(words)?;
        } else if let Some(events) = events
            && let Some(what) = events::judged(name, events, has_failed, self.old_peer)
        {
            return Err(what.into());
        }
        // SORT gives a sorted set the encoding that it reads, however small the set is.
        if judge == Judge::Drawn || by_weight || (judge == Judge::Sort && self.is_zset(words)?) {
            self.forget(words)?;
        }
        Ok(())
    }

    /// Runs commands up to EXEC, and compares all replies and then what EXEC answers, one by one.
    fn transaction(
        &mut self,
        commands: &[Vec<Vec<u8>>],
        before: Option<&Words>,
        queued: &[Words],
    ) -> Result<(), Failure> {
        self.events()?;
        let mut replies = self.batch(commands)?;
        let Some([ours, theirs]) = replies.pop() else { return Ok(()) };
        self.events()?;
        for (words, [ours, theirs]) in commands.iter().zip(&replies) {
            let older =
                |value: &Value| if self.old_peer { before_7_2(value) } else { value.clone() };
            if older(&ours.value) == older(&theirs.value) {
                continue;
            }
            let found = before.into_iter().chain(queued).find(|(_, known)| known == words);
            let name = found.map_or("", |(name, _)| name);
            let [ours, theirs] = [ours, theirs].map(|reply| reply.value.to_string());
            if self.old_peer && ours == "+QUEUED" || self.is_known(name, &ours, &theirs) {
                // One of the two refused what only the other one knows, and with it all the rest.
                return self.both(&["FLUSHALL"]).and(self.both(&["SELECT", "0"])).map(drop);
            }
            return Err(format!("{}\n{}", line(words), difference(&ours, &theirs)).into());
        }
        let (Value::Array(ours), Value::Array(theirs)) = (&ours.value, &theirs.value) else {
            let same = ours.value == theirs.value;
            return if same { Ok(()) } else { Err(shown(&ours.value, &theirs.value).into()) };
        };
        // What one of the two refused to queue, the other did as well: then there is no array.
        for ((name, words), (ours, theirs)) in queued.iter().zip(ours.iter().zip(theirs)) {
            let same = ours == theirs || (self.old_peer && before_7_2(ours) == before_7_2(theirs));
            if same {
                continue;
            }
            if !self.is_known(name, &ours.to_string(), &theirs.to_string()) {
                return Err(format!("{}\n{}", line(words), shown(ours, theirs)).into());
            }
            self.forget(words)?;
        }
        Ok(())
    }

    fn is_known(&self, name: &str, ours: &str, theirs: &str) -> bool {
        exceptions::known(name, ours, theirs, self.old_peer)
    }

    fn is_zset(&mut self, words: &[Vec<u8>]) -> Result<bool, Failure> {
        let Some(key) = words.get(1) else { return Ok(false) };
        let [ours, _] = self.both(&[b"TYPE", &key[..]])?;
        Ok(ours.value == Value::Simple("zset".into()))
    }

    /// Whether all scores under the key that a command reads are geohashes of 52 bits.
    fn has_geohashes(&mut self, name: &str, words: &[Vec<u8>]) -> Result<bool, Failure> {
        let source = if name == "geosearchstore" { 2 } else { 1 };
        let Some(key) = words.get(source) else { return Ok(true) };
        let [ours, _] = self.both(&[b"ZRANGE", &key[..], b"0", b"-1", b"WITHSCORES"])?;
        let Value::Array(items) = ours.value else { return Ok(true) };
        // RESP3 has pairs, RESP2 members and scores in turn.
        let flat: Vec<Value> = items
            .into_iter()
            .flat_map(|item| if let Value::Array(pair) = item { pair } else { vec![item] })
            .collect();
        let mut scores = flat.iter().skip(1).step_by(2).map(|score| match score {
            Value::Double(text) => text.clone(),
            other => other.text(),
        });
        let geohash =
            |text: String| text.parse::<u64>().is_ok_and(|bits| (1..1 << 52).contains(&bits));
        Ok(scores.all(geohash))
    }

    /// Gives all members of the sorted set that a range by member reads the same score.
    fn level_scores(
        &mut self,
        name: &str,
        words: &[Vec<u8>],
        by_member: bool,
    ) -> Result<(), Failure> {
        let source = if name == "zrangestore" { 2 } else { 1 };
        let always = name.contains("lex");
        if let Some(key) = words.get(source)
            && (always || by_member)
        {
            let once_and_minus_once: [&[u8]; 7] =
                [b"ZUNIONSTORE", key, b"2", key, key, b"WEIGHTS", b"1"];
            self.both(&[&once_and_minus_once[..], &[b"-1"]].concat())?;
        }
        Ok(())
    }

    /// Takes away on both what a command named, after they went different ways lawfully.
    fn forget(&mut self, words: &[Vec<u8>]) -> Result<(), Failure> {
        let mut delete = vec![b"DEL".to_vec()];
        delete.extend_from_slice(&words[1..]);
        self.both(&delete).map(drop)
    }

    /// Sends a command to both and reads both replies, Larder's first.
    pub(crate) fn both<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Result<[Reply; 2], Failure> {
        let mut replies = self.batch(&[words])?;
        Ok(replies.swap_remove(0))
    }

    /// Sends several commands at once and reads the replies of both.
    pub(crate) fn batch<W, A>(&mut self, commands: &[W]) -> Result<Vec<[Reply; 2]>, Failure>
    where
        W: AsRef<[A]>,
        A: AsRef<[u8]>,
    {
        let bytes: Vec<u8> = commands.iter().flat_map(|words| encode(words.as_ref())).collect();
        let failed = |who: &str, error: &io::Error| Failure {
            what: format!("    {who}: {error}"),
            hung: matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        };
        for (conn, who) in self.conns.iter_mut().zip(["larder", "redis"]) {
            conn.try_send(&bytes).map_err(|error| failed(who, &error))?;
        }
        let mut replies: Vec<[Reply; 2]> = Vec::with_capacity(commands.len());
        for _ in commands {
            let [ours, theirs] = &mut self.conns;
            let ours = ours.try_reply().map_err(|error| failed("larder", &error))?;
            let theirs = theirs.try_reply().map_err(|error| failed("redis", &error))?;
            replies.push([ours, theirs]);
        }
        let closed = |at: usize| replies.iter().any(|pair| pair[at].value == Value::Closed);
        if closed(0) || closed(1) {
            let who = if closed(0) { "larder" } else { "redis" };
            self.conns = self.servers.map(connect);
            return Err(format!("    {who} closed the connection").into());
        }
        Ok(replies)
    }

    /// Everything under the key that a command draws from, as Larder has it.
    fn held(&mut self, words: &[Vec<u8>]) -> Result<BTreeSet<String>, Failure> {
        let Some(key) = words.get(1) else { return Ok(BTreeSet::new()) };
        let probes: [&[&[u8]]; 3] = [
            &[b"SMEMBERS", key],
            &[b"HGETALL", key],
            &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        ];
        let mut held = BTreeSet::new();
        for [ours, _] in self.batch(&probes)? {
            leaves(&ours.value, &mut |leaf| {
                held.insert(leaf);
            });
        }
        Ok(held)
    }

    /// Follows both cursors to the end and compares what they met.
    fn scan(
        &mut self,
        words: &[Vec<u8>],
        at: usize,
        first: &[Reply; 2],
    ) -> Result<Option<String>, Failure> {
        if first.iter().any(|reply| reply.value.is_error("")) {
            return Ok(Rule::Bytes.judge(&first[0], &first[1]));
        }
        // A cursor from nowhere leads anywhere.
        if words[at] != b"0" {
            return Ok(Rule::Kind.judge(&first[0], &first[1]));
        }
        let mut met = [BTreeSet::new(), BTreeSet::new()];
        for (side, met) in met.iter_mut().enumerate() {
            let mut reply = first[side].clone();
            for _ in 0..10_000 {
                let parts = reply.value.items();
                let [cursor, elements] = &parts[..] else {
                    return Ok(Some(format!("    no cursor: {}", reply.value)));
                };
                let size = if &*words[0].to_ascii_lowercase() == b"scan"
                    || &*words[0].to_ascii_lowercase() == b"sscan"
                {
                    1
                } else {
                    2
                };
                met.extend(elements.items().chunks(size).map(|part| format!("{part:?}")));
                if cursor.text() == "0" {
                    break;
                }
                let mut words = words.to_vec();
                words[at] = cursor.text().into_bytes();
                let bytes = encode(&words);
                let again = self.conns[side].try_send(&bytes);
                reply = again.and_then(|()| self.conns[side].try_reply()).map_err(|error| {
                    Failure { what: format!("    scanning: {error}"), hung: true }
                })?;
            }
        }
        let [ours, theirs] = met.map(|met| format!("{met:?}"));
        Ok((ours != theirs).then(|| difference(&ours, &theirs)))
    }
}

pub(crate) fn connect(server: &Server) -> Conn {
    let mut conn = server.connect();
    conn.set_patience(PATIENCE).expect("a timeout is legal");
    conn
}

/// Both replies, one under the other.
fn shown(ours: &Value, theirs: &Value) -> String {
    difference(&ours.to_string(), &theirs.to_string())
}

/// What is wrong, if anything.
fn judged(judge: Judge, [ours, theirs]: &[Reply; 2], held: &BTreeSet<String>) -> Option<String> {
    let shapes = || [shape(&ours.value), shape(&theirs.value)];
    match judge {
        // Larder's errors are text: bytes of the client's that are none it says otherwise.
        _ if ours.value.is_error("") && ours.value == theirs.value => None,
        Judge::Bytes | Judge::Sort | Judge::ByMember | Judge::Geo => {
            Rule::Bytes.judge(ours, theirs)
        }
        Judge::Unordered => Rule::Unordered.judge(ours, theirs),
        Judge::Near(span) => Rule::Near(span).judge(ours, theirs),
        Judge::Skip | Judge::Scan { .. } => None,
        Judge::Times => (!alike_but_for_times(&ours.value, &theirs.value))
            .then(|| difference(&ours.value.to_string(), &theirs.value.to_string())),
        Judge::Length => {
            let length = |value: &Value| match value {
                Value::Array(items) => items.len(),
                _ => 0,
            };
            let [ours, theirs] =
                [ours, theirs].map(|reply| (reply.value.kind(), length(&reply.value)));
            (ours != theirs).then(|| difference(&format!("{ours:?}"), &format!("{theirs:?}")))
        }
        Judge::Shape | Judge::Drawn => {
            let [ours_shape, theirs_shape] = shapes();
            if ours_shape != theirs_shape {
                return Rule::Bytes.judge(ours, theirs);
            }
            let mut stranger = None;
            if judge == Judge::Drawn {
                leaves(&ours.value, &mut |leaf| {
                    if !held.contains(&leaf) && !ours.value.is_error("") {
                        stranger = Some(format!("    larder drew {leaf}, which is not there"));
                    }
                });
            }
            stranger
        }
    }
}

/// The reply with its texts taken away; errors stay.
fn shape(value: &Value) -> String {
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            let items: Vec<String> = items.iter().map(shape).collect();
            format!("{}[{}]", value.kind(), items.join(" "))
        }
        Value::Map(pairs) => format!("%{}", pairs.len()),
        Value::Error(text) => text.clone(),
        other => other.kind().to_string(),
    }
}

/// Every bulk string or double in a reply.
fn leaves(value: &Value, take: &mut impl FnMut(String)) {
    match value {
        Value::Array(items) | Value::Set(items) => items.iter().for_each(|v| leaves(v, take)),
        Value::Map(pairs) => pairs.iter().for_each(|(k, v)| {
            leaves(k, take);
            leaves(v, take);
        }),
        Value::Bulk(bytes) => take(quoted(bytes)),
        Value::Double(text) => take(quoted(text.as_bytes())),
        _ => {}
    }
}

/// Whether two replies are the same but for points in time (milliseconds since 1970) and the fields
/// of streams that count the time since something happened.
pub(crate) fn alike_but_for_times(ours: &Value, theirs: &Value) -> bool {
    const SINCE: [&str; 4] = ["idle", "inactive", "seen-time", "active-time"];
    let near = |a: i64, b: i64| a == b || a.abs_diff(b) <= CLOCKS_MS.unsigned_abs();
    match (ours, theirs) {
        (Value::Integer(a), Value::Integer(b)) => {
            a == b || (*a > 1_000_000_000_000 && near(*a, *b))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            // An entry of XPENDING: id, consumer, time since, deliveries.
            let entry = matches!(
                &a[..],
                [Value::Bulk(_), Value::Bulk(_), Value::Integer(_), Value::Integer(_)]
            );
            a.iter().zip(b).enumerate().all(|(at, (x, y))| {
                let after_name = at > 0
                    && matches!(&a[at - 1], Value::Bulk(_))
                    && SINCE.contains(&&*a[at - 1].text());
                // What Redis's radix tree has says nothing about a stream.
                if at > 0 && a[at - 1].to_string().starts_with(r#""radix-tree-"#) {
                    return true;
                }
                match (x, y) {
                    (Value::Integer(x), Value::Integer(y)) if after_name || (entry && at == 2) => {
                        near(*x, *y)
                    }
                    _ => alike_but_for_times(x, y),
                }
            })
        }
        (Value::Map(a), Value::Map(b)) if a.len() == b.len() => {
            let flat = |pairs: &[(Value, Value)]| {
                Value::Array(pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()]).collect())
            };
            alike_but_for_times(&flat(a), &flat(b))
        }
        _ => ours == theirs,
    }
}

/// The same elements whatever their order.
pub(crate) fn same_elements(ours: &Value, theirs: &Value) -> bool {
    sorted(ours) == sorted(theirs)
}

/// A reply without what 7.2 changed in many: scores and coordinates had 17 digits and no negative
/// zero; a group's consumers were not made by a call that had nothing for them, and had no time of
/// their last success.
pub(crate) fn before_7_2(value: &Value) -> Value {
    let number = |text: &str| {
        text.parse::<f64>().map_or_else(|_| text.to_owned(), |number| (number + 0.0).to_string())
    };
    match value {
        Value::Bulk(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Bulk(number(text).into_bytes()),
            Err(_) => value.clone(),
        },
        Value::Double(text) => Value::Double(number(text)),
        Value::Array(items) => {
            let named = |at: usize, names: &[&str]| matches!(&items[at], Value::Bulk(name) if names.iter().any(|n| n.as_bytes() == name));
            let new = ["active-time", "inactive"];
            let kept = items.iter().enumerate().filter(|(at, item)| {
                let nothing_pending = || {
                    ["pel-count", "pending"]
                        .iter()
                        .any(|n| item.field(n) == Some(Value::Integer(0)))
                };
                let consumer = matches!(item, Value::Map(_) | Value::Array(_))
                    && item.items().first().is_some_and(|first| first.to_string() == "\"name\"")
                    && item.field("last-delivered-id").is_none();
                !(named(*at, &new)
                    || (*at > 0 && named(at - 1, &new))
                    || (*at > 0 && named(at - 1, &["consumers"]) && item.kind() == ':')
                    || (consumer && nothing_pending()))
            });
            Value::Array(kept.map(|(_, item)| before_7_2(item)).collect())
        }
        Value::Map(pairs) => before_7_2(&Value::Array(
            pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
        )),
        other => other.clone(),
    }
}

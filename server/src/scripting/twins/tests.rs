//! Twins beside their texts: the same random calls on the same random data, the same outcome.
//!
//! A call goes to two nodes whose clocks stand still between steps, one without native scripts. The
//! replies must be the same at every step, the data and the effects at the end.

use super::{cache, records, sessions};
use crate::clock::Clock;
use crate::config::DirectiveOptions;
use crate::scripting::script::Digest;
use crate::scripting::tests::Effects;
use crate::{Local, Node};
use larder_protocol::{CommandError, Reply, Version, encode};

/// A node whose clock stands still.
struct Side {
    local: Local,
    clock: Clock,
    effects: Effects,
    _node: Node,
}

impl Side {
    fn start(with_natives: bool) -> Self {
        let clock = Clock::manual(1_764_000_000_000);
        let mut builder = Node::builder()
            .clock(clock.clone())
            .directive("enable-debug-command", "yes")
            .expect("a directive");
        if !with_natives {
            builder = builder.without_native_scripts();
        }
        let node = builder.start().expect("a node");
        let effects = Effects::default();
        node.read_log(Box::new(effects.clone()));
        let mut local = node.local();
        // What is due goes when it is met, so that both nodes note it at the same step.
        assert_eq!(local.call(&[b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0"]), Reply::Ok);
        Self { local, clock, effects, _node: node }
    }

    /// A reply as bytes. An error's text goes without the place in the script, which only a text
    /// has.
    fn call(&mut self, parts: &[&[u8]]) -> Vec<u8> {
        let reply = match self.local.call(parts) {
            Reply::Error(error) => {
                let text = error.to_string();
                let text = text.split(" script: ").next().unwrap_or_default();
                let is_lua = text.contains("user_script") || text.contains("attempt to");
                Reply::Error(CommandError::custom(if is_lua { "ERR in Lua" } else { text }))
            }
            other => other,
        };
        let mut bytes = Vec::new();
        encode(&reply, Version::Resp3, &mut bytes);
        bytes
    }
}

/// Two nodes, one without native scripts, and what was asked of both.
pub(super) struct Pair {
    text: Side,
    native: Side,
    pub(super) random: fastrand::Rng,
    seed: u64,
    steps: u32,
}

impl Pair {
    pub(super) fn start() -> Self {
        let mut random = fastrand::Rng::with_seed(fastrand::u64(..));
        let seed = random.get_seed();
        random.seed(seed);
        Self { text: Side::start(false), native: Side::start(true), random, seed, steps: 0 }
    }

    /// Sends both the same and gives what both answered.
    pub(super) fn call(&mut self, parts: &[&[u8]]) -> String {
        self.steps += 1;
        let (expected, got) = (self.text.call(parts), self.native.call(parts));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let asked: Vec<String> = parts.iter().skip(2).map(|part| text(part)).collect();
        let (seed, step) = (self.seed, self.steps);
        if got != expected {
            for part in parts {
                let stored = text(&self.native.call(&[b"GET", part]));
                eprintln!("{}: {stored:?}", text(part));
            }
        }
        assert_eq!(text(&got), text(&expected), "seed {seed}, step {step}: {asked:?}");
        text(&got)
    }

    /// Calls a script.
    pub(super) fn eval(&mut self, script: &str, keys: &[&[u8]], args: &[&[u8]]) -> String {
        let count = keys.len().to_string();
        let mut parts = vec![&b"EVAL"[..], script.as_bytes(), count.as_bytes()];
        parts.extend_from_slice(keys);
        parts.extend_from_slice(args);
        self.call(&parts)
    }

    /// Lets time go on.
    pub(super) fn advance(&mut self, by_ms: i64) {
        self.text.clock.advance(by_ms);
        self.native.clock.advance(by_ms);
    }

    /// The time of both.
    pub(super) fn now_ms(&self) -> i64 {
        self.text.clock.unix_ms()
    }

    /// Compares data and effects.
    pub(super) fn finish(mut self) {
        self.call(&[b"DEBUG", b"DIGEST"]);
        let effects = |side: &Side| {
            let bytes = side.effects.0.lock().expect("effects").clone();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (text, native) = (effects(&self.text), effects(&self.native));
        assert!(!text.is_empty());
        let same = text.bytes().zip(native.bytes()).take_while(|(one, other)| one == other).count();
        let part = |effects: &str| {
            let bytes = effects.as_bytes().get(same.saturating_sub(300)..).unwrap_or_default();
            String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
        };
        let (of_text, of_native) = (part(&text), part(&native));
        assert!(text == native, "seed {}: {of_text:?} but {of_native:?}", self.seed);
    }
}

/// Texts, in the order of their table.
fn texts<const N: usize>(twins: &[super::Twin]) -> [&'static str; N] {
    std::array::from_fn(|place| twins[place].text)
}

#[test]
fn every_text_has_its_twin() {
    let natives = super::all();
    for twin in [cache::TWINS, records::TWINS, sessions::TWINS].into_iter().flatten() {
        let digest = Digest::of(twin.text.as_bytes());
        assert_eq!(digest.hex(), twin.digest, "the twin of:\n{}", twin.text);
        assert!(natives.has(&digest));
    }
}

/// A node without native scripts has none of the client's either.
#[test]
fn they_can_be_left_out() {
    let digest = cache::TWINS[0].digest;
    let call = [&b"SCRIPT"[..], b"EXISTS", digest.as_bytes()];
    let (mut text, mut native) = (Side::start(false), Side::start(true));
    assert_eq!(text.local.call(&call), Reply::array([0_i64]));
    assert_eq!(native.local.call(&call), Reply::array([1_i64]));
}

#[test]
fn the_caches_scripts_do_what_their_texts_do() {
    let mut pair = Pair::start();
    for _ in 0..4000 {
        step_of_cache(&mut pair);
    }
    pair.finish();
}

fn step_of_cache(pair: &mut Pair) {
    let [acquire, fill, release, invalidate, drop_tag] = texts(cache::TWINS);
    let name = format!("{{c:{}}}", pair.random.u8(..4));
    let keys = [name.clone(), format!("{name}#l"), format!("{name}#f")];
    let tags: Vec<String> =
        (0..pair.random.usize(..3)).map(|_| format!("{{c}}#t:{}", pair.random.u8(..3))).collect();
    let token = format!("token{}", pair.random.u8(..2));
    let ms = pair.random.u16(..2000).to_string();
    let stays = (pair.random.u16(..3) * 700).to_string();
    let flag = pair.random.u8(..2).to_string();
    let version = u64::from(pair.random.u8(..3)).to_be_bytes();
    let [key, lease, fence] = [0, 1, 2].map(|at| keys[at].as_bytes());
    let [token, ms, stays, flag] = [&token, &ms, &stays, &flag].map(|arg| arg.as_bytes());
    match pair.random.u8(..20) {
        0..5 => drop(pair.eval(acquire, &[key, lease, fence], &[token, b"900", flag])),
        5..10 => {
            let started = (pair.now_ms() - i64::from(pair.random.u16(..1500))).to_string();
            let mut keys = vec![key, lease, fence];
            if !tags.is_empty() {
                keys.push(b"{c}#d");
                keys.extend(tags.iter().map(|tag| tag.as_bytes()));
            }
            let body: &[u8] = b"\0body\xff";
            pair.eval(fill, &keys, &[token, ms, stays, &version, started.as_bytes(), body]);
        }
        10 => drop(pair.eval(release, &[lease], &[token, flag])),
        11 => drop(pair.eval(release, &[lease], &[token, b"300"])),
        12..14 => drop(pair.eval(invalidate, &[key, lease, fence], &[ms, &version, stays, flag])),
        14 => {
            let tag = tags.first().map_or(&b"{c}#t:0"[..], |tag| tag.as_bytes());
            pair.eval(drop_tag, &[b"{c}#d", tag], &[]);
        }
        15..18 => {
            let by_ms = pair.random.i64(0..400);
            pair.advance(by_ms);
        }
        18 => {
            // What no client of ours writes or asks.
            let at = pair.random.usize(..3);
            let key = keys[at].as_bytes();
            let number = ODD_NUMBERS[pair.random.usize(..ODD_NUMBERS.len())];
            let odd: [&[&[u8]]; 6] = [
                &[b"SET", key, b"L\x01"],
                &[b"SET", key, b"throttled"],
                &[b"SET", b"{c}#t:0", number],
                &[b"SET", b"{c}#d", number],
                &[b"RPUSH", key, b"x"],
                &[b"DEL", key, b"{c}#t:0", b"{c}#d"],
            ];
            let command = odd[pair.random.usize(..odd.len())];
            pair.call(command);
        }
        _ => {
            let script = [acquire, fill, release, invalidate, drop_tag][pair.random.usize(..5)];
            pair.eval(script, &[key, lease, fence], &[token, b" 7", b"0x10", b"", b"x"]);
        }
    }
}

#[test]
fn the_records_scripts_do_what_their_texts_do() {
    let mut pair = Pair::start();
    for _ in 0..3000 {
        step_of_records(&mut pair);
    }
    pair.finish();
}

fn step_of_records(pair: &mut Pair) {
    let [create, save] = texts(records::TWINS);
    let key = format!("{{r:{}}}", pair.random.u8(..3));
    let call = format!("call{:08}", pair.random.u8(..20));
    let deadline = (pair.now_ms() + pair.random.i64(-100..5000)).to_string();
    let fields: Vec<String> = (0..6).map(|_| format!(".{}", pair.random.u8(..8))).collect();
    let key = key.as_bytes();
    let mut args = vec![call.as_bytes(), deadline.as_bytes()];
    match pair.random.u8(..10) {
        0..3 => {
            args.extend(fields[..pair.random.usize(..3) * 2].iter().map(|field| field.as_bytes()));
            pair.eval(create, &[key], &args);
        }
        3..8 => {
            args.push(if pair.random.bool() { b"1" } else { b"0" });
            args.push(if pair.random.bool() { b"1" } else { b"2" });
            args.extend(fields[..pair.random.usize(2..7)].iter().map(|field| field.as_bytes()));
            pair.eval(save, &[key], &args);
        }
        8 => {
            let by_ms = pair.random.i64(0..900);
            pair.advance(by_ms);
        }
        _ => {
            let calls = calls(&mut pair.random);
            let odd: [&[&[u8]]; 4] = [
                &[b"DEL", key],
                &[b"SET", key, b"x"],
                &[b"HDEL", key, b"_o"],
                &[b"HSET", key, b"_o", &calls],
            ];
            let command = odd[pair.random.usize(..odd.len())];
            pair.call(command);
        }
    }
}

#[test]
fn the_scripts_of_sessions_do_what_their_texts_do() {
    let mut pair = Pair::start();
    for _ in 0..5000 {
        step_of_sessions(&mut pair);
    }
    pair.finish();
}

/// What stands where a number should: some of it Lua counts with.
const ODD_NUMBERS: [&[u8]; 8] =
    [b"no number", b"1e3", b"0x10", b" 7", b"007", b"1.5", b"-3", b"1e300"];

/// The keys of a session, and its digest and user.
struct Named {
    digest: String,
    user: String,
    session: String,
    mark: String,
    generation: String,
    index: String,
    doomed: String,
}

fn named(number: u8) -> Named {
    let (digest, user) = (format!("d{number}"), format!("u{}", number % 2));
    let key = |kind: &str| format!("web:{{{user}}}:{kind}");
    let (session, mark) = (key(&format!("s:{digest}")), key(&format!("x:{digest}")));
    let (generation, index, doomed) = (key("g"), key("u"), key("d"));
    Named { digest, user, session, mark, generation, index, doomed }
}

/// A call of one of the scripts, as the client makes it or nearly so.
fn step_of_sessions(pair: &mut Pair) {
    let [create, load, touch, patch, rotate, close, close_all, bury, list, lock, unlock, sweep] =
        texts(sessions::TWINS);
    let (one, other) = (named(pair.random.u8(..8)), named(pair.random.u8(..8)));
    let id = format!("call{:08}", pair.random.u8(..20));
    let [flag, grace] = [pair.random.u8(..2), pair.random.u8(..2)].map(|flag| flag.to_string());
    let version = pair.random.u8(..6).to_string();
    let fields: Vec<String> = (0..6).map(|_| format!("f{}", pair.random.u8(..7))).collect();
    let field = |at: usize| fields[at].as_bytes();
    let keys = [&one.session, &one.mark, &one.generation, &one.index].map(|key| key.as_bytes());
    let [session, mark, generation, index] = keys;
    let (digest, user, id) = (one.digest.as_bytes(), one.user.as_bytes(), id.as_bytes());
    let doomed = one.doomed.as_bytes();
    match pair.random.u8(..30) {
        0..6 => step_of_create(pair, create, &one, id, &fields),
        6..10 => drop(pair.eval(load, &keys[..3], &[])),
        10..12 => drop(pair.eval(touch, &keys, &[digest, b"1500"])),
        12..17 => {
            let expected: &[u8] = if pair.random.bool() { b"" } else { version.as_bytes() };
            let most_bytes: &[u8] = if pair.random.u8(..8) == 0 { b"6" } else { b"1000" };
            let mut args = vec![id, digest, b"1500", expected, most_bytes, flag.as_bytes()];
            args.push(if pair.random.bool() { b"1" } else { b"2" });
            args.extend((0..pair.random.usize(4..7)).map(field));
            pair.eval(patch, &keys, &args);
        }
        17 | 18 => {
            let grace = format!("{grace}00");
            let to = other.digest.as_bytes();
            let mut keys = keys.to_vec();
            keys.extend([other.session.as_bytes(), other.mark.as_bytes()]);
            let least: &[u8] = if pair.random.bool() { b"0" } else { b"900" };
            let args = [id, digest, to, grace.as_bytes(), b"600", b"web:events", least];
            pair.eval(rotate, &keys, &args);
        }
        19 => {
            let args = [digest, b"600", b"web:events", user];
            pair.eval(close, &[session, mark, index], &args);
        }
        20 => {
            let mut keys = vec![index, doomed, generation];
            let kept = if pair.random.bool() { &b""[..] } else { digest };
            if !kept.is_empty() {
                keys.extend([session, mark]);
            }
            pair.eval(close_all, &keys, &[id, kept, b"9000", b"2"]);
        }
        21 => {
            let args = [&b"600"[..], b"web:events", user, b"2", digest, other.digest.as_bytes()];
            let keys = [doomed, session, mark, other.session.as_bytes(), other.mark.as_bytes()];
            pair.eval(bury, &keys, &args);
        }
        26 | 27 => drop(pair.eval(lock, &keys[..3], &[id, b"500"])),
        29 => drop(pair.eval(sweep, &[index], &[b"web:events"])),
        28 => drop(pair.eval(unlock, &keys[..2], &[id])),
        22 => drop(pair.eval(list, &[generation, session, other.session.as_bytes()], &[])),
        23 | 24 => {
            let by_ms = pair.random.i64(0..700);
            pair.advance(by_ms);
        }
        _ => step_of_others(pair, &one),
    }
}

fn step_of_create(pair: &mut Pair, create: &str, one: &Named, id: &[u8], fields: &[String]) {
    let most = pair.random.u8(..4).to_string();
    let evicts: &[u8] = if pair.random.u8(..4) > 0 { b"1" } else { b"0" };
    // Most of the time all that may be ended are named.
    let others: Vec<Named> = match pair.random.u8(..4) {
        0 => Vec::new(),
        _ => (0..8).map(named).filter(|other| other.user == one.user).collect(),
    };
    let count = others.len().to_string();
    let mut keys = vec![one.session.as_bytes(), one.mark.as_bytes()];
    keys.extend([one.generation.as_bytes(), one.index.as_bytes()]);
    let mut args = vec![id, one.digest.as_bytes(), one.user.as_bytes(), b"1500", b"4000"];
    args.extend([most.as_bytes(), evicts, b"1", b"label", b"web:events", b"600", b"9000"]);
    args.push(count.as_bytes());
    for other in &others {
        keys.extend([other.session.as_bytes(), other.mark.as_bytes()]);
        args.push(other.digest.as_bytes());
    }
    args.extend(fields[..4].iter().map(|field| field.as_bytes()));
    pair.eval(create, &keys, &args);
}

/// A row of calls, as many as there may be and more, from all times.
fn calls(random: &mut fastrand::Rng) -> Vec<u8> {
    let count = [2, 20, 255, 256, 300][random.usize(..5)];
    let second = [0, 4000, 9900, 9990][random.usize(..4)];
    let call = |at: u32| format!("call{:08}:{:04},", at % 20, (second + at / 9) % 10_000);
    (0..count).map(call).collect::<String>().into_bytes()
}

/// What no client of ours writes.
fn step_of_others(pair: &mut Pair, one: &Named) {
    let number = ODD_NUMBERS[pair.random.usize(..ODD_NUMBERS.len())];
    let field = [&b"_v"[..], b"_a", b"_c", b"_t", b"_r", b"_i", b"_k"][pair.random.usize(..7)];
    let (session, mark) = (one.session.as_bytes(), one.mark.as_bytes());
    let calls = calls(&mut pair.random);
    let leads = [&b">000001764000000"[..], &number[..1], one.digest.as_bytes()].concat();
    let odd: [&[&[u8]]; 8] = [
        &[b"DEL", session],
        &[b"SET", mark, b"y"],
        &[b"SET", mark, &leads],
        &[b"ZADD", one.index.as_bytes(), b"1764000000001", b"lost"],
        &[b"HDEL", session, b"_g"],
        &[b"HSET", session, field, number],
        &[b"HSET", session, b"_g", b"", b"_r", b"call00000003:0001,x,call00000004:0001,"],
        &[b"HSET", session, b"_g", b"", b"_r", &calls],
    ];
    let command = odd[pair.random.usize(..odd.len())];
    pair.call(command);
}

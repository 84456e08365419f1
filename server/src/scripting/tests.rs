//! Native scripts beside their texts: the same random data, the same calls, the same outcome.

use crate::config::DirectiveOptions;
use crate::{Local, NativeCall, NativeError, NativeResult, Node};
use larder_protocol::{CommandError, Reply, Version, encode};
use larder_replication::{FrameKind, Sink};
use std::sync::{Arc, Mutex};

/// Releases a lock if it is held by whom the token says.
const RELEASE: &str = r#"
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
"#;

fn release(script: &mut NativeCall<'_>) -> NativeResult {
    let (key, token) = (script.keys().at(0), script.args().at(0));
    let is_mine = script.call(&[b"GET", key], |reply| reply.as_bytes() == Some(token))?;
    if !is_mine {
        return Ok(Reply::Int(0));
    }
    script.call(&[b"DEL", key], |reply| reply.clone().into_owned())
}

/// Lets so many calls through in a window: the count so far and the milliseconds that are left.
const LIMIT: &str = r#"
local count = redis.call('INCR', KEYS[1])
if count == 1 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if count > tonumber(ARGV[1]) then
    return {0, redis.call('PTTL', KEYS[1])}
end
return {count, -1}
"#;

fn limit(script: &mut NativeCall<'_>) -> NativeResult {
    let key = script.keys().at(0);
    let max = std::str::from_utf8(script.args().at(0)).ok().and_then(|max| max.parse().ok());
    let max: i64 = max.ok_or(CommandError::NOT_INTEGER)?;
    let window = script.args().at(1);
    let integer = |reply: &Reply<'_>| reply.as_i64().unwrap_or_default();
    let count = script.call(&[b"INCR", key], integer)?;
    if count == 1 {
        script.call(&[b"PEXPIRE", key, window], |_| ())?;
    }
    if count > max {
        let left = script.call(&[b"PTTL", key], integer)?;
        return Ok(Reply::array([0, left]));
    }
    Ok(Reply::array([count, -1]))
}

/// Changes fields of a session that exists and prolongs it; what is empty is removed.
const PATCH: &str = r#"
if redis.call('EXISTS', KEYS[1]) == 0 then
    return false
end
for i = 2, #ARGV, 2 do
    if ARGV[i + 1] == '' then
        redis.call('HDEL', KEYS[1], ARGV[i])
    else
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('HGETALL', KEYS[1])
"#;

fn patch(script: &mut NativeCall<'_>) -> NativeResult {
    let (key, args) = (script.keys().at(0), script.args());
    if script.call(&[b"EXISTS", key], |reply| reply.as_i64() == Some(0))? {
        return Ok(Reply::Null);
    }
    for at in (1..args.len()).step_by(2) {
        let (field, value) = (args.at(at), args.at(at + 1));
        if value.is_empty() {
            script.call(&[b"HDEL", key, field], |_| ())?;
        } else {
            script.call(&[b"HSET", key, field, value], |_| ())?;
        }
    }
    script.call(&[b"PEXPIRE", key, args.at(0)], |_| ())?;
    // As a script sees it before it asks for other types: names and values in a row.
    script.call(&[b"HGETALL", key], |reply| match reply {
        Reply::Map(pairs) => {
            let flat = pairs.iter().flat_map(|(name, value)| [name, value]);
            Reply::Array(flat.map(|item| item.clone().into_owned()).collect())
        }
        other => other.clone().into_owned(),
    })
}

/// What it wrote stays.
const BREAKS: &str = "redis.call('SET', KEYS[1], 'written') error('it breaks')";

fn breaks(script: &mut NativeCall<'_>) -> NativeResult {
    let key = script.keys().at(0);
    script.call(&[b"SET", key, b"written"], |_| ())?;
    panic!("it breaks");
}

#[test]
fn what_was_written_before_a_panic_is_logged() {
    let node = Node::builder().native_script(BREAKS, breaks).start().expect("a node");
    let effects = Effects::default();
    node.read_log(Box::new(effects.clone()));
    let mut local = node.local();
    let eval: [&[u8]; 4] = [b"EVAL", BREAKS.as_bytes(), b"1", b"key"];
    let run = std::panic::AssertUnwindSafe(|| local.call(&eval));
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(node.local().get(b"key").as_deref(), Some(&b"written"[..]));
    let logged = effects.0.lock().expect("effects").clone();
    assert!(logged.windows(7).any(|window| window == b"written"), "{logged:?}");
}

/// The log of effects, as bytes.
#[derive(Clone, Default)]
pub(crate) struct Effects(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Sink for Effects {
    fn append(&mut self, _: u64, bytes: &[u8], _: FrameKind) -> bool {
        self.0.lock().expect("effects").extend_from_slice(bytes);
        true
    }
}

/// A node with a clock of its own, its effects, and a caller.
fn node(with_natives: bool) -> (Node, Effects, Local) {
    let mut builder = Node::builder()
        .clock(crate::clock::Clock::manual(1_000_000))
        .directive("enable-debug-command", "yes")
        .expect("a directive");
    if with_natives {
        builder = builder
            .native_script(RELEASE, release)
            .native_script(LIMIT, limit)
            .native_script(PATCH, patch);
    }
    let node = builder.start().expect("a node");
    let effects = Effects::default();
    node.read_log(Box::new(effects.clone()));
    let local = node.local();
    (node, effects, local)
}

/// An error's text without the place in the script, which only a text has.
fn comparable(reply: Reply<'static>) -> Reply<'static> {
    match reply {
        Reply::Error(error) => {
            let text = error.to_string().split(" script: ").next().unwrap_or_default().to_owned();
            Reply::Error(CommandError::custom(text))
        }
        other => other,
    }
}

/// Runs the same random commands and calls on both nodes.
#[test]
fn natives_do_what_their_texts_do() {
    let (text_node, text_effects, mut text) = node(false);
    let (native_node, native_effects, mut native) = node(true);
    let mut random = fastrand::Rng::with_seed(fastrand::u64(..));
    let seed = random.get_seed();
    for step in 0..2000 {
        let key = format!("key:{}", random.u8(..6));
        let word = format!("{}", random.u8(..4));
        let call: Vec<String> = match random.u8(..9) {
            0 => vec!["SET".into(), key, word],
            1 => vec!["HSET".into(), key, "f".into(), word],
            2 => vec!["DEL".into(), key],
            3 => vec!["RPUSH".into(), key, word],
            4 => vec!["EVAL".into(), RELEASE.into(), "1".into(), key, word],
            5 | 6 => vec!["EVAL".into(), LIMIT.into(), "1".into(), key, word, "500".into()],
            _ => {
                let value = if random.bool() { String::new() } else { word.clone() };
                let field = format!("f{word}");
                vec!["EVAL".into(), PATCH.into(), "1".into(), key, "900".into(), field, value]
            }
        };
        let call: Vec<&[u8]> = call.iter().map(|arg| arg.as_bytes()).collect();
        let (expected, got) = (comparable(text.call(&call)), comparable(native.call(&call)));
        let (mut expected_bytes, mut got_bytes) = (Vec::new(), Vec::new());
        encode(&expected, Version::Resp3, &mut expected_bytes);
        encode(&got, Version::Resp3, &mut got_bytes);
        assert_eq!(got_bytes, expected_bytes, "seed {seed}, step {step}: {got:?} {expected:?}");
    }
    let digest = [&b"DEBUG"[..], b"DIGEST"];
    assert_eq!(native.call(&digest), text.call(&digest), "seed {seed}");
    let bytes = |effects: &Effects| effects.0.lock().expect("effects").clone();
    assert!(!bytes(&text_effects).is_empty());
    assert_eq!(
        String::from_utf8_lossy(&bytes(&native_effects)),
        String::from_utf8_lossy(&bytes(&text_effects)),
        "seed {seed}"
    );
    drop((text_node, native_node));
}

#[test]
fn natives_are_found_by_their_digest() {
    let (_node, _, mut local) = node(true);
    let digest = super::script::Digest::of(RELEASE.as_bytes()).hex();
    local.set(b"lock", b"me");
    let evalsha = |token: &'static [u8]| [&b"EVALSHA"[..], b"", b"1", b"lock", token];
    for (token, reply) in [(&b"other"[..], 0), (b"me", 1), (b"me", 0)] {
        let mut call = evalsha(token);
        call[1] = digest.as_bytes();
        assert_eq!(local.call(&call), Reply::Int(reply));
    }
    assert_eq!(local.call(&[b"SCRIPT", b"FLUSH"]), Reply::Ok);
    let exists = local.call(&[b"SCRIPT", b"EXISTS", digest.as_bytes()]);
    assert_eq!(exists, Reply::array([1_i64]));
}

/// A native script that uses a key it was not given gets it.
#[test]
fn natives_may_use_other_keys() {
    fn sum(script: &mut NativeCall<'_>) -> NativeResult {
        let mut sum = 0;
        for key in [&b"a"[..], b"b", b"c"] {
            sum += script.call(&[b"INCRBY", key, b"1"], |reply| reply.as_i64().unwrap_or(0))?;
        }
        let failed = script.try_call(&[b"LPUSH", b"a", b"1"], |reply| reply.is_error())?;
        if !failed {
            return Err(NativeError::Failed(CommandError::SYNTAX));
        }
        Ok(Reply::Int(sum))
    }
    let node = Node::builder().native_script("sum", sum).start().expect("a node");
    let mut local = node.local();
    for round in 1..=3 {
        assert_eq!(local.call(&[b"EVAL", b"sum", b"0"]), Reply::Int(3 * round));
    }
    assert!(local.call(&[b"EVAL_RO", b"sum", b"0"]).is_error());
}

/// A reply of many strings is an array to a native script, as any other.
#[test]
fn natives_see_a_range_of_a_list_as_an_array() {
    fn last(script: &mut NativeCall<'_>) -> NativeResult {
        script.call(&[b"LRANGE", b"list", b"0", b"-1"], |reply| {
            let last = reply.as_slice().and_then(<[Reply<'_>]>::last);
            last.cloned().unwrap_or(Reply::Null).into_owned()
        })
    }
    let node = Node::builder().native_script("last", last).start().expect("a node");
    let mut local = node.local();
    assert_eq!(local.call(&[b"EVAL", b"last", b"0"]), Reply::Null);
    assert_eq!(local.call(&[b"RPUSH", b"list", b"7", b"x"]), Reply::Int(2));
    assert_eq!(local.call(&[b"EVAL", b"last", b"0"]), Reply::Owned(b"x".to_vec()));
    let text = b"return redis.call('LRANGE', 'list', 0, -1)[2]";
    assert_eq!(local.call(&[b"EVAL", text, b"0"]), Reply::Owned(b"x".to_vec()));
}

//! The scripts of sessions.
//!
//! A session is a hash whose fields of ours begin with `_`; beside it stand the index of its user
//! by deadline, the user's generation, and a mark where it was closed or went elsewhere.

use super::super::native::{NativeCall, NativeError, NativeResult};
use super::{NOT_A_NUMBER, Twin, expect, get, int, run, whole, whole_arg};
use larder_protocol::Reply;
use larder_protocol::reply::Digits;

/// The texts and their twins.
pub(super) const TWINS: &[Twin] = &[
    Twin {
        text: include_str!("../../../../client/src/scripts/sessions/create.lua"),
        digest: "3da48eba2b1ebd53f32b4ceb9f6680d3694ccda7",
        function: create,
    },
    Twin {
        text: include_str!("../../../../client/src/scripts/sessions/load.lua"),
        digest: "a0569d89b2623dff17b583cb14f6bed3b707ad82",
        function: load,
    },
    Twin {
        text: include_str!("../../../../client/src/scripts/sessions/touch.lua"),
        digest: "9a03f9399a96c0da586bdbad6c87de4a5903df5b",
        function: touch,
    },
    Twin {
        text: include_str!("../../../../client/src/scripts/sessions/patch.lua"),
        digest: "5f5a921d5d6406f115bbe8e69fcb39fa40d7e0d1",
        function: patch,
    },
    Twin {
        text: include_str!("../../../../client/src/scripts/sessions/rotate.lua"),
        digest: "78ba486a577f7464d6c258ee51f1d866ed1b2470",
        function: rotate,
    },
    Twin {
        text: include_str!("../../../../client/src/scripts/sessions/close.lua"),
        digest: "212f910539e667211295ec71b46e28c1d55d2df8",
        function: close,
    },
    Twin {
        text: include_str!("../../../../client/src/scripts/sessions/close_all.lua"),
        digest: "7b962f5ee47df9a7f5c70ff11034b09dcc91d9f2",
        function: close_all,
    },
    Twin {
        text: include_str!("../../../../client/src/scripts/sessions/list.lua"),
        digest: "5ae58ac871c5aaa0a3b8775be901f834cddeef24",
        function: list,
    },
];

/// A stored string, nothing where there is none.
type Stored = Option<Vec<u8>>;

/// Some fields of a hash.
fn fields<const N: usize>(
    script: &mut NativeCall<'_>,
    key: &[u8],
    names: [&[u8]; N],
) -> Result<[Stored; N], NativeError> {
    let mut command: Vec<&[u8]> = vec![b"HMGET", key];
    command.extend(names);
    script.call(&command, |reply| {
        let values = reply.as_slice().unwrap_or_default();
        std::array::from_fn(|at| values.get(at)?.as_bytes().map(<[u8]>::to_vec))
    })
}

/// A stored number; a text would fail to count with what is none.
fn number(stored: &Stored) -> Result<i64, NativeError> {
    stored.as_deref().and_then(whole).ok_or(NativeError::Failed(NOT_A_NUMBER))
}

/// Has the index of a user live as long as its last session.
fn keep_index(script: &mut NativeCall<'_>, index: &[u8]) -> Result<(), NativeError> {
    let last = script.call(&[b"ZREVRANGE", index, b"0", b"0", b"WITHSCORES"], |reply| {
        reply.as_slice().and_then(|last| match last.get(1)? {
            Reply::Double(score) => Some(Digits::new(*score as i64).as_bytes().to_vec()),
            other => other.as_bytes().map(<[u8]>::to_vec),
        })
    })?;
    // A member was added just before.
    let Some(last) = last else { return Err(NativeError::Failed(NOT_A_NUMBER)) };
    run(script, &[b"PEXPIREAT", index, &last])
}

fn create(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 3, 14)?;
    let (keys, args) = (script.keys(), script.args());
    let (idle_ms, absolute_ms) = (whole_arg(script, 3)?, whole_arg(script, 4)?);
    let most = whole_arg(script, 5)?;
    if args.len() % 2 != 0 {
        return Err(NativeError::Declined);
    }
    let now_ms = script.now_ms();
    let generation = get(script, keys.at(2))?;
    let generation = generation.unwrap_or_else(|| b"0".to_vec());
    let generation_number = whole(&generation).ok_or(NativeError::Declined)?;
    if int(script, &[b"EXISTS", keys.at(0)])? == 1 {
        let known = fields(script, keys.at(0), [b"_n", b"_v", b"_c", b"_g"])?;
        if known[0].as_deref() != Some(args.at(0)) {
            return Ok(Reply::array([0_i64]));
        }
        let (created, version) = (number(&known[2])?, number(&known[1])?);
        return Ok(Reply::array([1, created, version, number(&known[3])?]));
    }
    if generation != b"0" {
        run(script, &[b"PEXPIRE", keys.at(2), args.at(13)])?;
    }
    let now = Digits::new(now_ms);
    run(script, &[b"ZREMRANGEBYSCORE", keys.at(1), b"-inf", now.as_bytes()])?;
    if most > 0 {
        let count = int(script, &[b"ZCARD", keys.at(1)])?;
        if count >= most && args.at(6) == b"0" {
            return Ok(Reply::array([-1_i64]));
        }
        if count >= most {
            evict(script, count - most)?;
        }
    }
    let absolute_ms = now_ms + absolute_ms;
    let (absolute, deadline) =
        (Digits::new(absolute_ms), Digits::new(absolute_ms.min(now_ms + idle_ms)));
    let head: [&[u8]; 20] = [
        b"HSET",
        keys.at(0),
        b"_n",
        args.at(0),
        b"_v",
        b"1",
        b"_u",
        args.at(2),
        b"_c",
        now.as_bytes(),
        b"_t",
        now.as_bytes(),
        b"_a",
        absolute.as_bytes(),
        b"_g",
        &generation,
        b"_s",
        args.at(7),
        b"_l",
        args.at(8),
    ];
    run(script, &head)?;
    for at in (14..args.len()).step_by(2) {
        run(script, &[b"HSET", keys.at(0), args.at(at), args.at(at + 1)])?;
    }
    run(script, &[b"PEXPIREAT", keys.at(0), deadline.as_bytes()])?;
    run(script, &[b"ZADD", keys.at(1), deadline.as_bytes(), args.at(1)])?;
    keep_index(script, keys.at(1))?;
    let told = [&b"created "[..], args.at(1), b" ", args.at(2)].concat();
    run(script, &[b"PUBLISH", args.at(11), &told])?;
    Ok(Reply::array([1, now_ms, 1, generation_number]))
}

/// The members of an index, in the order of a command.
fn members(script: &mut NativeCall<'_>, command: &[&[u8]]) -> Result<Vec<Vec<u8>>, NativeError> {
    script.call(command, |reply| {
        let members = reply.as_slice().unwrap_or_default().iter();
        members.filter_map(|member| member.as_bytes().map(<[u8]>::to_vec)).collect()
    })
}

/// Ends the least recently used sessions of a user, up to a place in the index.
fn evict(script: &mut NativeCall<'_>, last: i64) -> Result<(), NativeError> {
    let (keys, args) = (script.keys(), script.args());
    let last = Digits::new(last);
    for digest in members(script, &[b"ZRANGE", keys.at(1), b"0", last.as_bytes()])? {
        if int(script, &[b"DEL", &[args.at(9), &digest].concat()])? == 1 {
            let event = [&b"evicted "[..], &digest[..], b" ", args.at(2)].concat();
            run(script, &[b"PUBLISH", args.at(11), &event])?;
        }
        run(script, &[b"SET", &[args.at(10), &digest].concat(), b"x", b"PX", args.at(12)])?;
        run(script, &[b"ZREM", keys.at(1), &digest])?;
    }
    Ok(())
}

/// All fields and values of a hash, in a row.
fn all(script: &mut NativeCall<'_>, key: &[u8]) -> Result<Vec<Reply<'static>>, NativeError> {
    script.call(&[b"HGETALL", key], |reply| match reply {
        Reply::Map(pairs) => {
            let flat = pairs.iter().flat_map(|(name, value)| [name, value]);
            flat.map(|item| item.clone().into_owned()).collect()
        }
        other => {
            let items = other.as_slice().unwrap_or_default().iter();
            items.map(|item| item.clone().into_owned()).collect()
        }
    })
}

fn load(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 2, 3)?;
    let (keys, args) = (script.keys(), script.args());
    let (mut digest, mut key) = (args.at(0).to_vec(), keys.at(0).to_vec());
    let mut fields = all(script, &key)?;
    if fields.is_empty() {
        let Some(mark) = get(script, keys.at(1))? else { return Ok(Reply::array([0_i64])) };
        let Some(target) = mark.strip_prefix(b">") else { return Ok(Reply::array([-1_i64])) };
        digest = target.to_vec();
        key = [args.at(1), target].concat();
        fields = all(script, &key)?;
        if fields.is_empty() {
            return Ok(Reply::array([-1_i64]));
        }
    }
    let field = |name: &[u8]| {
        let mut pairs = fields.chunks_exact(2);
        let pair = pairs.find(|pair| pair[0].as_bytes() == Some(name))?;
        pair[1].as_bytes().map(<[u8]>::to_vec)
    };
    let Some(user) = field(b"_u") else { return Ok(Reply::array([-1_i64])) };
    let current = get(script, &[args.at(2), &user].concat())?;
    if Some(current.unwrap_or_else(|| b"0".to_vec())) != field(b"_g") {
        return Ok(Reply::array([-1_i64]));
    }
    let (now_ms, left_ms) = (script.now_ms(), int(script, &[b"PTTL", &key])?);
    let head = [Reply::Int(1), Reply::Owned(digest), Reply::Int(now_ms), Reply::Int(left_ms)];
    Ok(Reply::Array(head.into_iter().chain([Reply::Array(fields)]).collect()))
}

/// Writes down that a session is used, and gives its deadline.
fn put_off(
    script: &mut NativeCall<'_>,
    deadline_ms: i64,
    digest: &[u8],
) -> Result<(), NativeError> {
    let (session, index) = (script.keys().at(0), script.keys().at(1));
    let deadline = Digits::new(deadline_ms);
    run(script, &[b"PEXPIREAT", session, deadline.as_bytes()])?;
    run(script, &[b"ZADD", index, deadline.as_bytes(), digest])?;
    keep_index(script, index)
}

fn touch(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 2, 2)?;
    let (key, args) = (script.keys().at(0), script.args());
    let idle_ms = whole_arg(script, 1)?;
    let [absolute] = fields(script, key, [b"_a"])?;
    if absolute.is_none() {
        return Ok(Reply::Int(0));
    }
    let now_ms = script.now_ms();
    let deadline_ms = number(&absolute)?.min(now_ms + idle_ms);
    run(script, &[b"HSET", key, b"_t", Digits::new(now_ms).as_bytes()])?;
    put_off(script, deadline_ms, args.at(0))?;
    Ok(Reply::Int((deadline_ms - now_ms).max(0)))
}

fn patch(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 2, 7)?;
    let (key, args) = (script.keys().at(0), script.args());
    let (idle_ms, most_bytes) = (whole_arg(script, 2)?, whole_arg(script, 4)?);
    let sets = usize::try_from(whole_arg(script, 6)?).map_err(|_| NativeError::Declined)?;
    let sets_end = sets.checked_mul(2).and_then(|count| count.checked_add(7));
    let Some(sets_end) = sets_end.filter(|end| *end <= args.len()) else {
        return Err(NativeError::Declined);
    };
    let expected = match args.at(3) {
        b"" => None,
        _ => Some(whole_arg(script, 3)?),
    };
    let known = fields(script, key, [b"_v", b"_a", b"_r"])?;
    if known[0].is_none() {
        return Ok(Reply::array([0_i64]));
    }
    let now_ms = script.now_ms();
    let version = number(&known[0])?;
    if known[2].as_deref() == Some(args.at(0)) {
        let left_ms = int(script, &[b"PTTL", key])?;
        return Ok(Reply::array([1, version, left_ms.max(0)]));
    }
    if expected.is_some_and(|expected| expected != version) {
        return Ok(Reply::array([-1, version]));
    }
    let old = all(script, key)?;
    let old: Vec<_> = old.chunks_exact(2).filter(|pair| is_data(&pair[0])).collect();
    let replaces = args.at(5) == b"1";
    if bytes_after(&old, replaces, args.iter().take(sets_end).skip(7)) > most_bytes {
        return Ok(Reply::array([-2_i64]));
    }
    if replaces {
        for pair in &old {
            run(script, &[b"HDEL", key, pair[0].as_bytes().unwrap_or_default()])?;
        }
    }
    for at in (7..sets_end).step_by(2) {
        run(script, &[b"HSET", key, args.at(at), args.at(at + 1)])?;
    }
    for at in sets_end..args.len() {
        run(script, &[b"HDEL", key, args.at(at)])?;
    }
    let deadline_ms = number(&known[1])?.min(now_ms + idle_ms);
    let (next, now) = (Digits::new(version + 1), Digits::new(now_ms));
    let touched =
        [&b"HSET"[..], key, b"_v", next.as_bytes(), b"_r", args.at(0), b"_t", now.as_bytes()];
    run(script, &touched)?;
    put_off(script, deadline_ms, args.at(1))?;
    Ok(Reply::array([1, version + 1, (deadline_ms - now_ms).max(0)]))
}

/// Whether a field is the application's.
fn is_data(name: &Reply<'_>) -> bool {
    !name.as_bytes().unwrap_or_default().starts_with(b"_")
}

/// What the application's fields take when others are set among them.
fn bytes_after<'a>(
    old: &[&[Reply<'static>]],
    replaces: bool,
    sets: impl Iterator<Item = &'a [u8]>,
) -> i64 {
    let len = |reply: &Reply<'_>| reply.as_bytes().unwrap_or_default().len() as i64;
    let kept = old.iter().filter(|_| !replaces);
    let mut sizes: Vec<(Vec<u8>, i64)> = kept
        .map(|pair| {
            let name = pair[0].as_bytes().unwrap_or_default().to_vec();
            (name, len(&pair[0]) + len(&pair[1]))
        })
        .collect();
    let sets: Vec<&[u8]> = sets.collect();
    let mut total: i64 = sizes.iter().map(|(_, bytes)| bytes).sum();
    for pair in sets.chunks_exact(2) {
        let bytes = (pair[0].len() + pair[1].len()) as i64;
        total += bytes;
        if replaces {
            continue;
        }
        match sizes.iter_mut().find(|(name, _)| name == pair[0]) {
            Some((_, known)) => total -= std::mem::replace(known, bytes),
            None => sizes.push((pair[0].to_vec(), bytes)),
        }
    }
    total
}

fn rotate(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 4, 6)?;
    let (keys, args) = (script.keys(), script.args());
    let grace_ms = whole_arg(script, 3)?;
    let moved = fields(script, keys.at(1), [b"_n", b"_v"])?;
    if let Some(nonce) = &moved[0] {
        if nonce != args.at(0) {
            return Ok(Reply::array([0_i64]));
        }
        let version = number(&moved[1])?;
        let left_ms = int(script, &[b"PTTL", keys.at(1)])?;
        return Ok(Reply::array([1, version, left_ms.max(0)]));
    }
    let known = fields(script, keys.at(0), [b"_v", b"_u"])?;
    if known[0].is_none() {
        return Ok(Reply::array([0_i64]));
    }
    let Some(user) = &known[1] else { return Err(NativeError::Declined) };
    let version = whole(known[0].as_deref().unwrap_or_default()).ok_or(NativeError::Declined)? + 1;
    let now_ms = script.now_ms();
    let left_ms = int(script, &[b"PTTL", keys.at(0)])?.max(1);
    run(script, &[b"RENAME", keys.at(0), keys.at(1)])?;
    let (digits, until) = (Digits::new(version), Digits::new(now_ms + left_ms));
    run(script, &[b"HSET", keys.at(1), b"_n", args.at(0), b"_v", digits.as_bytes()])?;
    run(script, &[b"ZREM", keys.at(2), args.at(1)])?;
    run(script, &[b"ZADD", keys.at(2), until.as_bytes(), args.at(2)])?;
    keep_index(script, keys.at(2))?;
    if grace_ms > 0 {
        let mark = [&b">"[..], args.at(2)].concat();
        run(script, &[b"SET", keys.at(3), &mark, b"PX", args.at(3)])?;
    } else {
        run(script, &[b"SET", keys.at(3), b"x", b"PX", args.at(4)])?;
    }
    let event = [&b"rotated "[..], args.at(1), b" ", args.at(2), b" ", &user[..]].concat();
    run(script, &[b"PUBLISH", args.at(5), &event])?;
    Ok(Reply::array([1, version, left_ms]))
}

fn close(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 3, 4)?;
    let (keys, args) = (script.keys(), script.args());
    let was = int(script, &[b"DEL", keys.at(0)])?;
    run(script, &[b"ZREM", keys.at(1), args.at(0)])?;
    run(script, &[b"SET", keys.at(2), b"x", b"PX", args.at(1)])?;
    if was == 1 {
        let event = [&b"closed "[..], args.at(0), b" ", args.at(3)].concat();
        run(script, &[b"PUBLISH", args.at(2), &event])?;
    }
    Ok(Reply::Int(was))
}

fn close_all(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 2, 8)?;
    let (keys, args) = (script.keys(), script.args());
    let kept = args.at(1);
    let kept_key = [args.at(2), kept].concat();
    if !kept.is_empty() {
        let is_repeated = script
            .call(&[b"HGET", &kept_key, b"_w"], |reply| reply.as_bytes() == Some(args.at(0)))?;
        if is_repeated {
            return Ok(Reply::Int(0));
        }
    }
    let generation = Digits::new(int(script, &[b"INCR", keys.at(1)])?);
    run(script, &[b"PEXPIRE", keys.at(1), args.at(7)])?;
    let mut count = 0;
    for digest in members(script, &[b"ZRANGE", keys.at(0), b"0", b"-1"])? {
        if digest == kept {
            continue;
        }
        if int(script, &[b"DEL", &[args.at(2), &digest].concat()])? == 1 {
            count += 1;
            let event = [&b"closed "[..], &digest[..], b" ", args.at(6)].concat();
            run(script, &[b"PUBLISH", args.at(5), &event])?;
        }
        run(script, &[b"SET", &[args.at(3), &digest].concat(), b"x", b"PX", args.at(4)])?;
        run(script, &[b"ZREM", keys.at(0), &digest])?;
    }
    if !kept.is_empty() && int(script, &[b"EXISTS", &kept_key])? == 1 {
        run(script, &[b"HSET", &kept_key, b"_g", generation.as_bytes(), b"_w", args.at(0)])?;
    }
    Ok(Reply::Int(count))
}

fn list(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 2, 1)?;
    let (keys, args) = (script.keys(), script.args());
    let generation = get(script, keys.at(1))?.unwrap_or_else(|| b"0".to_vec());
    let mut found = Vec::new();
    for digest in members(script, &[b"ZREVRANGE", keys.at(0), b"0", b"-1"])? {
        let key = [args.at(0), &digest].concat();
        let known = fields(script, &key, [b"_c", b"_t", b"_l", b"_g"])?;
        if known[0].is_none() || known[3].as_deref() != Some(&generation) {
            continue;
        }
        let (created, touched) = (number(&known[0])?, number(&known[1])?);
        let left_ms = int(script, &[b"PTTL", &key])?;
        let label = known[2].clone().map_or(Reply::Null, Reply::Owned);
        let numbers = [created, touched, left_ms].map(Reply::Int);
        let entry = [Reply::Owned(digest)].into_iter().chain(numbers).chain([label]);
        found.push(Reply::Array(entry.collect()));
    }
    Ok(Reply::Array(found))
}

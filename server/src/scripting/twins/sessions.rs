//! The scripts of sessions.
//!
//! A session is a hash whose fields of ours begin with `_`; beside it stand the index of its user
//! by deadline, the user's generation, those of the user that are doomed, and a mark where it was
//! closed (`x`) or has another digest (`>`, until when the old one leads on in 15 digits, digest).

use super::super::native::{NativeCall, NativeError, NativeResult};
use super::{NOT_A_NUMBER, Twin, calls, expect, get, int, run, text, whole, whole_arg};
use larder_protocol::Reply;
use larder_protocol::reply::Digits;

/// The texts and their twins.
pub(super) const TWINS: &[Twin] = &[
    Twin {
        text: text!("steps.lua", "sessions/create.lua"),
        digest: "7c705fd1dd1014754a840ec59f7986d3f1d4e29a",
        function: create,
    },
    Twin {
        text: text!("steps.lua", "sessions/load.lua"),
        digest: "2e89f32b4d9aa378c930e135146f03d9ca1ccd79",
        function: load,
    },
    Twin {
        text: text!("steps.lua", "sessions/touch.lua"),
        digest: "18b17d80a7a8044bbeb0b45b035de047e1c1e5e9",
        function: touch,
    },
    Twin {
        text: text!("steps.lua", "sessions/patch.lua"),
        digest: "d135231dcda7943cbc143699beb8794ddbe457d2",
        function: patch,
    },
    Twin {
        text: text!("steps.lua", "sessions/rotate.lua"),
        digest: "e8094546a0979a324e3d37fa8680bf103115d578",
        function: rotate,
    },
    Twin {
        text: text!("sessions/close.lua"),
        digest: "abc688865aceec1a6c5c56c0229f00e3341dbd73",
        function: close,
    },
    Twin {
        text: text!("steps.lua", "sessions/close_all.lua"),
        digest: "38b9c699d3803869f31bf690df2716ec33f4f4b2",
        function: close_all,
    },
    Twin {
        text: text!("sessions/bury.lua"),
        digest: "45fdd1042a58f12bc29bf325b150418ed0557b54",
        function: bury,
    },
    Twin {
        text: text!("sessions/list.lua"),
        digest: "bbd74992e58c826471bd754dbb8b8d110f93277a",
        function: list,
    },
    Twin {
        text: text!("steps.lua", "sessions/lock.lua"),
        digest: "b2f1bb8767cb2b59f28d21c728f71c5a6a3555dd",
        function: lock,
    },
    Twin {
        text: text!("steps.lua", "sessions/unlock.lua"),
        digest: "17566f636d69f44145946d17b2bc20aa2dba4b3f",
        function: unlock,
    },
    Twin {
        text: text!("steps.lua", "sessions/sweep.lua"),
        digest: "c3389eee9a64bc41b0e91bb93cbfb690ac4fd8a7",
        function: sweep,
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

/// A stored number. Lua counts with some other texts too: such a call is declined, so it has to be
/// read before anything is written.
fn number(stored: &Stored) -> Result<i64, NativeError> {
    stored.as_deref().and_then(whole).ok_or(NativeError::Declined)
}

/// The answer where there is no session: another digest, if the mark leads on, else nothing.
fn moved(script: &mut NativeCall<'_>, mark: &[u8]) -> NativeResult {
    let mark = get(script, mark)?.unwrap_or_default();
    Ok(match leads_on(script, &mark)? {
        Some(digest) => Reply::Array(vec![Reply::Int(2), Reply::Owned(digest.to_vec())]),
        None => Reply::array([0_i64]),
    })
}

/// Where a mark leads at this time.
fn leads_on<'m>(script: &NativeCall<'_>, mark: &'m [u8]) -> Result<Option<&'m [u8]>, NativeError> {
    let Some(rest) = mark.strip_prefix(b">") else { return Ok(None) };
    let Some((until, digest)) = rest.split_at_checked(15) else {
        return Err(NativeError::Declined);
    };
    let zeros = until.iter().take(14).take_while(|digit| **digit == b'0').count();
    let until_ms = whole(&until[zeros..]).ok_or(NativeError::Declined)?;
    Ok((until_ms > script.now_ms()).then_some(digest))
}

/// Whether a session belongs to a generation that is past.
fn is_void(
    script: &mut NativeCall<'_>,
    generation: &[u8],
    own: &Stored,
) -> Result<bool, NativeError> {
    Ok(Some(get(script, generation)?.unwrap_or_default()) != *own)
}

/// By how much the index of a user outlives its last session.
const INDEX_OUTLIVES_MS: f64 = 120_000.0;

/// Has a session stand in the index of its user, which lives a little longer than its last one.
fn enter(
    script: &mut NativeCall<'_>,
    index: &[u8],
    digest: &[u8],
    deadline_ms: &Digits,
) -> Result<(), NativeError> {
    run(script, &[b"ZADD", index, deadline_ms.as_bytes(), digest])?;
    let last = script.call(&[b"ZREVRANGE", index, b"0", b"0", b"WITHSCORES"], |reply| {
        reply.as_slice().and_then(|last| match last.get(1)? {
            Reply::Double(score) => Some(*score),
            other => std::str::from_utf8(other.as_bytes()?).ok()?.parse().ok(),
        })
    })?;
    let Some(last): Option<f64> = last else { return Err(NativeError::Failed(NOT_A_NUMBER)) };
    // As Lua writes it.
    let end = format!("{:.0}", last + INDEX_OUTLIVES_MS);
    run(script, &[b"PEXPIREAT", index, end.as_bytes()])
}

/// Takes the sessions out of an index that were over by then, and tells of them.
fn expire(
    script: &mut NativeCall<'_>,
    index: &[u8],
    by_ms: i64,
    channel: &[u8],
) -> Result<i64, NativeError> {
    let by = Digits::new(by_ms);
    let over = members(script, &[b"ZRANGEBYSCORE", index, b"-inf", by.as_bytes()])?;
    for digest in &over {
        run(script, &[b"PUBLISH", channel, &[&b"expired "[..], digest].concat()])?;
    }
    if !over.is_empty() {
        run(script, &[b"ZREMRANGEBYSCORE", index, b"-inf", by.as_bytes()])?;
    }
    Ok(over.len() as i64)
}

fn create(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 4, 13)?;
    let (keys, args, id) = (script.keys(), script.args(), calls::call_id(script)?);
    let (idle_ms, absolute_ms) = (whole_arg(script, 3)?, whole_arg(script, 4)?);
    let (most, named) = (whole_arg(script, 5)?, whole_arg(script, 12)?);
    let named = usize::try_from(named).map_err(|_| NativeError::Declined)?;
    let places = named.checked_mul(2).and_then(|count| count.checked_add(4));
    let is_whole = places.is_some_and(|places| places <= keys.len());
    if !is_whole || args.len() < 13 + named || (args.len() - 13 - named) % 2 != 0 {
        return Err(NativeError::Declined);
    }
    let now_ms = script.now_ms();
    if int(script, &[b"EXISTS", keys.at(0)])? == 1 {
        let [calls, created] = fields(script, keys.at(0), [b"_r", b"_c"])?;
        let Some(calls) = calls.filter(|calls| calls::since(calls, id).is_some()) else {
            return Ok(Reply::array([0_i64]));
        };
        let created = number(&created)?;
        run(script, &[b"HSET", keys.at(0), b"_r", &calls])?;
        return Ok(Reply::array([1, created]));
    }
    if int(script, &[b"EXISTS", keys.at(1)])? == 1 {
        return Ok(Reply::array([0_i64]));
    }
    let generation = get(script, keys.at(2))?.unwrap_or_default();
    let now = Digits::new(now_ms);
    expire(script, keys.at(3), now_ms, args.at(9))?;
    let surplus = if most > 0 { int(script, &[b"ZCARD", keys.at(3)])? - most + 1 } else { 0 };
    if surplus > 0 {
        if args.at(6) == b"0" {
            return Ok(Reply::array([-1_i64]));
        }
        if let Some(unnamed) = evict(script, surplus, named)? {
            return Ok(unnamed);
        }
    }
    if !generation.is_empty() {
        run(script, &[b"PEXPIRE", keys.at(2), args.at(11)])?;
    }
    let absolute_ms = now_ms + absolute_ms;
    let (absolute, deadline) =
        (Digits::new(absolute_ms), Digits::new(absolute_ms.min(now_ms + idle_ms)));
    let (calls, absolute, now) =
        (calls::with(b"", id, now_ms)?, absolute.as_bytes(), now.as_bytes());
    let mut head: Vec<&[u8]> = vec![b"HSET", keys.at(0), b"_r", &calls, b"_v", b"1"];
    head.extend([&b"_u"[..], args.at(2), b"_c", now, b"_t", now, b"_a", absolute]);
    head.extend([&b"_g"[..], &generation, b"_s", args.at(7), b"_l", args.at(8)]);
    run(script, &head)?;
    for at in (13 + named..args.len()).step_by(2) {
        run(script, &[b"HSET", keys.at(0), args.at(at), args.at(at + 1)])?;
    }
    run(script, &[b"PEXPIREAT", keys.at(0), deadline.as_bytes()])?;
    enter(script, keys.at(3), args.at(1), &deadline)?;
    let told = [&b"created "[..], args.at(1), b" ", args.at(2)].concat();
    run(script, &[b"PUBLISH", args.at(9), &told])?;
    Ok(Reply::array([1, now_ms]))
}

/// The members of an index, in the order of a command.
fn members(script: &mut NativeCall<'_>, command: &[&[u8]]) -> Result<Vec<Vec<u8>>, NativeError> {
    script.call(command, |reply| {
        let members = reply.as_slice().unwrap_or_default().iter();
        members.filter_map(|member| member.as_bytes().map(<[u8]>::to_vec)).collect()
    })
}

/// An array of texts.
fn texts(texts: Vec<Vec<u8>>) -> Reply<'static> {
    Reply::Array(texts.into_iter().map(Reply::Owned).collect())
}

/// Ends the least recently used sessions of a user; the answer, where they are not all named.
fn evict(
    script: &mut NativeCall<'_>,
    surplus: i64,
    named: usize,
) -> Result<Option<Reply<'static>>, NativeError> {
    let (keys, args) = (script.keys(), script.args());
    let last = Digits::new(surplus + 7);
    let oldest = members(script, &[b"ZRANGE", keys.at(3), b"0", last.as_bytes()])?;
    // Of two that have one name the last counts, as in a table.
    let place = |digest: &Vec<u8>| (0..named).rev().find(|at| args.at(13 + at) == digest);
    let doomed = oldest.iter().take(usize::try_from(surplus).unwrap_or_default());
    let places: Option<Vec<usize>> = doomed.clone().map(place).collect();
    let Some(places) = places else {
        return Ok(Some(Reply::Array(vec![Reply::Int(2), texts(oldest)])));
    };
    for (digest, place) in doomed.zip(places) {
        if int(script, &[b"DEL", keys.at(4 + 2 * place)])? == 1 {
            let event = [&b"evicted "[..], digest, b" ", args.at(2)].concat();
            run(script, &[b"PUBLISH", args.at(9), &event])?;
        }
        run(script, &[b"SET", keys.at(5 + 2 * place), b"x", b"PX", args.at(10)])?;
        run(script, &[b"ZREM", keys.at(3), digest])?;
    }
    Ok(None)
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
    expect(script, 3, 0)?;
    let keys = script.keys();
    let fields = all(script, keys.at(0))?;
    if fields.is_empty() {
        let Some(mark) = get(script, keys.at(1))? else { return Ok(Reply::array([0_i64])) };
        return Ok(match leads_on(script, &mark)? {
            Some(digest) => Reply::Array(vec![Reply::Int(2), Reply::Owned(digest.to_vec())]),
            None => Reply::array([-1_i64]),
        });
    }
    let mut pairs = fields.chunks_exact(2);
    let own = pairs.find(|pair| pair[0].as_bytes() == Some(b"_g"));
    let own = own.and_then(|pair| pair[1].as_bytes()).map(<[u8]>::to_vec);
    if is_void(script, keys.at(2), &own)? {
        return Ok(Reply::array([-1_i64]));
    }
    let (now_ms, left_ms) = (script.now_ms(), int(script, &[b"PTTL", keys.at(0)])?);
    let head = [Reply::Int(1), Reply::Int(now_ms), Reply::Int(left_ms), Reply::Array(fields)];
    Ok(Reply::Array(head.into()))
}

/// Writes down the deadline of a session.
fn put_off(
    script: &mut NativeCall<'_>,
    deadline_ms: i64,
    digest: &[u8],
) -> Result<(), NativeError> {
    let (session, index) = (script.keys().at(0), script.keys().at(3));
    let deadline = Digits::new(deadline_ms);
    run(script, &[b"PEXPIREAT", session, deadline.as_bytes()])?;
    enter(script, index, digest, &deadline)
}

fn touch(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 4, 2)?;
    let (keys, args) = (script.keys(), script.args());
    let idle_ms = whole_arg(script, 1)?;
    let [absolute, own] = fields(script, keys.at(0), [b"_a", b"_g"])?;
    if absolute.is_none() {
        return moved(script, keys.at(1));
    }
    if is_void(script, keys.at(2), &own)? {
        return Ok(Reply::array([0_i64]));
    }
    let now_ms = script.now_ms();
    let deadline_ms = number(&absolute)?.min(now_ms + idle_ms);
    run(script, &[b"HSET", keys.at(0), b"_t", Digits::new(now_ms).as_bytes()])?;
    put_off(script, deadline_ms, args.at(0))?;
    Ok(Reply::array([1, (deadline_ms - now_ms).max(0)]))
}

fn patch(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 4, 7)?;
    let (keys, args, id) = (script.keys(), script.args(), calls::call_id(script)?);
    let key = keys.at(0);
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
    let known = fields(script, key, [b"_v", b"_a", b"_r", b"_g"])?;
    if known[0].is_none() {
        return moved(script, keys.at(1));
    }
    if is_void(script, keys.at(2), &known[3])? {
        return Ok(Reply::array([0_i64]));
    }
    let (now_ms, version) = (script.now_ms(), number(&known[0])?);
    if let Some(calls) = &known[2]
        && let Some(later) = calls::since(calls, id)
    {
        run(script, &[b"HSET", key, b"_r", calls])?;
        let left_ms = int(script, &[b"PTTL", key])?;
        return Ok(Reply::array([1, version - later, left_ms.max(0)]));
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
    let deadline_ms = number(&known[1])?.min(now_ms + idle_ms);
    let calls = calls::with(known[2].as_deref().unwrap_or_default(), id, now_ms)?;
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
    let (next, now) = (Digits::new(version + 1), Digits::new(now_ms));
    let mut changed: Vec<&[u8]> = vec![b"HSET", key, b"_v", next.as_bytes(), b"_r", &calls];
    changed.extend([&b"_t"[..], now.as_bytes()]);
    run(script, &changed)?;
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
    expect(script, 6, 7)?;
    let (keys, args, id) = (script.keys(), script.args(), calls::call_id(script)?);
    let (grace_ms, mark_ms) = (whole_arg(script, 3)?, whole_arg(script, 4)?);
    let least_ms = whole_arg(script, 6)?;
    let [taken, calls] = fields(script, keys.at(4), [b"_v", b"_r"])?;
    if taken.is_some() {
        let calls = calls.unwrap_or_default();
        let Some(later) = calls::since(&calls, id) else {
            return Ok(Reply::array([-1_i64]));
        };
        let version = number(&taken)? - later;
        run(script, &[b"HSET", keys.at(4), b"_r", &calls])?;
        let left_ms = int(script, &[b"PTTL", keys.at(4)])?;
        return Ok(Reply::array([1, version, left_ms.max(0)]));
    }
    if int(script, &[b"EXISTS", keys.at(5)])? == 1 {
        return Ok(Reply::array([-1_i64]));
    }
    let names: [&[u8]; 5] = [b"_v", b"_u", b"_r", b"_g", b"_i"];
    let [version, user, calls, own, issued] = fields(script, keys.at(0), names)?;
    if version.is_none() {
        return moved(script, keys.at(1));
    }
    if is_void(script, keys.at(2), &own)? {
        return Ok(Reply::array([0_i64]));
    }
    let now_ms = script.now_ms();
    let issued_ms = if issued.is_some() { number(&issued)? } else { 0 };
    if issued_ms + least_ms > now_ms {
        return Ok(Reply::array([-2_i64]));
    }
    let version = number(&version)? + 1;
    let left_ms = int(script, &[b"PTTL", keys.at(0)])?.max(1);
    let calls = calls::with(&calls.unwrap_or_default(), id, now_ms)?;
    run(script, &[b"RENAME", keys.at(0), keys.at(4)])?;
    let (digits, until) = (Digits::new(version), Digits::new(now_ms + left_ms));
    let now = Digits::new(now_ms);
    let (digits, now) = (digits.as_bytes(), now.as_bytes());
    run(script, &[b"HSET", keys.at(4), b"_v", digits, b"_r", &calls, b"_i", now])?;
    run(script, &[b"ZREM", keys.at(3), args.at(1)])?;
    enter(script, keys.at(3), args.at(2), &until)?;
    let mark = [format!(">{:015}", now_ms + grace_ms).as_bytes(), args.at(2)].concat();
    let mark_ms = Digits::new(mark_ms.max(grace_ms));
    run(script, &[b"SET", keys.at(1), &mark, b"PX", mark_ms.as_bytes()])?;
    let user = user.unwrap_or_default();
    let event = [&b"rotated "[..], args.at(1), b" ", args.at(2), b" ", &user[..]].concat();
    run(script, &[b"PUBLISH", args.at(5), &event])?;
    Ok(Reply::array([1, version, left_ms]))
}

fn close(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 3, 4)?;
    let (keys, args) = (script.keys(), script.args());
    let was = int(script, &[b"DEL", keys.at(0)])?;
    if was == 0 {
        let mark = get(script, keys.at(1))?.unwrap_or_default();
        if mark.starts_with(b">") {
            let digest = mark.get(16..).unwrap_or_default().to_vec();
            return Ok(Reply::Array(vec![Reply::Int(2), Reply::Owned(digest)]));
        }
    }
    run(script, &[b"ZREM", keys.at(2), args.at(0)])?;
    run(script, &[b"SET", keys.at(1), b"x", b"PX", args.at(1)])?;
    if was == 1 {
        let event = [&b"closed "[..], args.at(0), b" ", args.at(3)].concat();
        run(script, &[b"PUBLISH", args.at(2), &event])?;
    }
    Ok(Reply::array([was]))
}

fn close_all(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 3, 4)?;
    let (keys, args) = (script.keys(), script.args());
    let (id, kept, life_ms) = (args.at(0), args.at(1), args.at(2));
    let last = Digits::new(whole_arg(script, 3)? - 1);
    let (index, doomed, generation) = (keys.at(0), keys.at(1), keys.at(2));
    if !kept.is_empty() {
        expect(script, 5, 4)?;
    }
    let current = get(script, generation)?.unwrap_or_default();
    if current != id {
        let now_ms = script.now_ms();
        let mut is_kept = false;
        if !kept.is_empty() {
            let [own] = fields(script, keys.at(3), [b"_g"])?;
            if own.is_none() {
                let mark = get(script, keys.at(4))?.unwrap_or_default();
                if let Some(digest) = leads_on(script, &mark)? {
                    let digest = Reply::Owned(digest.to_vec());
                    return Ok(Reply::Array(vec![Reply::Int(2), digest]));
                }
            }
            is_kept = own == Some(current);
        }
        run(script, &[b"SET", generation, id, b"PX", life_ms])?;
        run(script, &[b"ZUNIONSTORE", doomed, b"2", index, doomed, b"AGGREGATE", b"MAX"])?;
        run(script, &[b"PEXPIRE", doomed, life_ms])?;
        run(script, &[b"DEL", index])?;
        if is_kept {
            let left_ms = int(script, &[b"PTTL", keys.at(3)])?.max(1);
            let at = Digits::new(now_ms + left_ms);
            run(script, &[b"HSET", keys.at(3), b"_g", id])?;
            run(script, &[b"ZREM", doomed, kept])?;
            enter(script, index, kept, &at)?;
        }
    } else {
        run(script, &[b"PEXPIRE", generation, life_ms])?;
    }
    let left = members(script, &[b"ZRANGE", doomed, b"0", last.as_bytes()])?;
    Ok(Reply::Array(vec![Reply::Int(1), texts(left)]))
}

fn bury(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 1, 4)?;
    let (keys, args) = (script.keys(), script.args());
    let last = Digits::new(whole_arg(script, 3)? - 1);
    if keys.len() < 1 + 2 * (args.len() - 4) {
        return Err(NativeError::Declined);
    }
    let mut count = 0;
    for at in 4..args.len() {
        let (digest, key) = (args.at(at), 2 * (at - 4) + 1);
        if int(script, &[b"DEL", keys.at(key)])? == 1 {
            count += 1;
            let event = [&b"closed "[..], digest, b" ", args.at(2)].concat();
            run(script, &[b"PUBLISH", args.at(1), &event])?;
        }
        run(script, &[b"SET", keys.at(key + 1), b"x", b"PX", args.at(0)])?;
        run(script, &[b"ZREM", keys.at(0), digest])?;
    }
    let left = members(script, &[b"ZRANGE", keys.at(0), b"0", last.as_bytes()])?;
    Ok(Reply::Array(vec![Reply::Int(count), texts(left)]))
}

fn list(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 1, 0)?;
    let keys = script.keys();
    let generation = get(script, keys.at(0))?.unwrap_or_default();
    let mut found = Vec::with_capacity(keys.len() - 1);
    for key in keys.iter().skip(1) {
        let [created, touched, label, own] = fields(script, key, [b"_c", b"_t", b"_l", b"_g"])?;
        if created.is_none() || own.as_ref() != Some(&generation) {
            found.push(Reply::Array(Vec::new()));
            continue;
        }
        let (created, touched) = (number(&created)?, number(&touched)?);
        let left_ms = int(script, &[b"PTTL", key])?;
        let mut entry: Vec<_> = [created, touched, left_ms].map(Reply::Int).into();
        entry.push(label.map_or(Reply::Null, Reply::Owned));
        found.push(Reply::Array(entry));
    }
    Ok(Reply::Array(found))
}

fn lock(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 3, 2)?;
    let (keys, id) = (script.keys(), calls::call_id(script)?);
    let (key, life_ms) = (keys.at(0), whole_arg(script, 1)?);
    let [version, calls, own, lock] = fields(script, key, [b"_v", b"_r", b"_g", b"_k"])?;
    if version.is_none() {
        return moved(script, keys.at(1));
    }
    if is_void(script, keys.at(2), &own)? {
        return Ok(Reply::array([0_i64]));
    }
    let now_ms = script.now_ms();
    let until_ms = match &lock {
        Some(lock) => lock.get(13..).and_then(whole).ok_or(NativeError::Declined)?,
        None => 0,
    };
    let lock = lock.unwrap_or_default();
    if until_ms > now_ms {
        if &lock[..12] != id {
            return Ok(Reply::array([-1, until_ms - now_ms]));
        }
        run(script, &[b"HSET", key, b"_k", &lock])?;
    } else {
        let next = Digits::new(number(&version)? + 1);
        let calls = calls::with(&calls.unwrap_or_default(), id, now_ms)?;
        let lock = [id, b":", Digits::new(now_ms + life_ms).as_bytes()].concat();
        run(script, &[b"HSET", key, b"_v", next.as_bytes(), b"_r", &calls, b"_k", &lock])?;
    }
    let left_ms = int(script, &[b"PTTL", key])?;
    let head = [Reply::Int(1), Reply::Int(now_ms), Reply::Int(left_ms)];
    let fields = Reply::Array(all(script, key)?);
    Ok(Reply::Array(head.into_iter().chain([fields]).collect()))
}

fn unlock(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 2, 1)?;
    let (keys, id) = (script.keys(), calls::call_id(script)?);
    let [lock] = fields(script, keys.at(0), [b"_k"])?;
    let Some(lock) = lock else { return moved(script, keys.at(1)) };
    if lock.get(..12).unwrap_or(&lock) != id {
        return Ok(Reply::array([0_i64]));
    }
    run(script, &[b"HDEL", keys.at(0), b"_k"])?;
    Ok(Reply::array([1_i64]))
}

fn sweep(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 1, 1)?;
    let by_ms = script.now_ms() - 1000;
    let count = expire(script, script.keys().at(0), by_ms, script.args().at(0))?;
    Ok(Reply::Int(count))
}

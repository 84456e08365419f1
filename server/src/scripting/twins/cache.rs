//! The database cache's scripts.
//!
//! A value is `L\1`, fresh until (8 bytes, ms), stored at (8 bytes, ms), version (8 bytes), number
//! of tags (1 byte), the generation of each (8 bytes), body. A fence is the time until which
//! nothing may be stored (8 bytes, ms) and the lowest version (8 bytes).

use super::super::native::{NativeCall, NativeError, NativeResult};
use super::{Twin, expect, get, int, run, unpack, whole, whole_arg};
use larder_protocol::Reply;
use larder_protocol::reply::Digits;

/// The texts and their twins.
pub(super) const TWINS: &[Twin] = &[
    Twin {
        text: include_str!("../../../../client/src/scripts/cache/acquire.lua"),
        digest: "a0a8bf029750e82f9cfad05e9e27b2415286c329",
        function: acquire,
    },
    Twin {
        text: include_str!("../../../../client/src/scripts/cache/fill.lua"),
        digest: "f720b73fd2a97b4f31e2186ab8968172b6dc45fc",
        function: fill,
    },
    Twin {
        text: include_str!("../../../../client/src/scripts/cache/release.lua"),
        digest: "636d506a879b1bc4f64cef166af728197caf428e",
        function: release,
    },
    Twin {
        text: include_str!("../../../../client/src/scripts/cache/invalidate.lua"),
        digest: "d0417b5c436a3a41de8fe8bb9eca4b8cd52aa601",
        function: invalidate,
    },
    Twin {
        text: include_str!("../../../../client/src/scripts/cache/drop_tag.lua"),
        digest: "30378e185cf80d6510c05ad2bbc1d2c2f6dd6237",
        function: drop_tag,
    },
];

/// The smallest value: without tags and body.
const HEADER_BYTES: usize = 27;

fn is_value(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES && bytes.starts_with(b"L\x01")
}

fn acquire(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 3, 3)?;
    let (keys, args) = (script.keys(), script.args());
    let lease_ms = whole_arg(script, 1)?;
    let now_ms = script.now_ms();
    let value = script.call(&[b"GET", keys.at(0)], |reply| match reply.as_bytes() {
        Some(bytes) if is_value(bytes) => reply.clone().into_owned(),
        _ => Reply::Null,
    })?;
    let fresh_until_ms = value.as_bytes().map(|bytes| unpack(&bytes[2..]));
    let is_there = fresh_until_ms.is_some();
    let answer = |state: i64, rest_ms: i64| {
        Ok(Reply::Array(vec![Reply::Int(state), value, Reply::Int(now_ms), Reply::Int(rest_ms)]))
    };
    if args.at(2) == b"0" && fresh_until_ms.is_some_and(|until_ms| until_ms > now_ms as f64) {
        return answer(1, 0);
    }
    let held = get(script, keys.at(1))?;
    match held.as_deref() {
        Some(b"throttled") if is_there => {
            let rest_ms = int(script, &[b"PTTL", keys.at(1)])?;
            return answer(4, rest_ms);
        }
        Some(b"throttled") | None => {}
        Some(_) => {
            let rest_ms = int(script, &[b"PTTL", keys.at(1)])?;
            return answer(3, rest_ms);
        }
    }
    let fence = get(script, keys.at(2))?;
    if fence.is_some_and(|fence| fence.len() == 16 && unpack(&fence) > now_ms as f64) {
        return answer(5, 0);
    }
    run(script, &[b"SET", keys.at(1), args.at(0), b"PX", args.at(1)])?;
    answer(2, lease_ms)
}

fn fill(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 3, 6)?;
    let (keys, args) = (script.keys(), script.args());
    let (fresh_ms, stale_ms) = (whole_arg(script, 1)?, whole_arg(script, 2)?);
    let started_ms = whole_arg(script, 4)?;
    let tags = keys.len().saturating_sub(4);
    if keys.len() == 4 {
        return Err(NativeError::Declined);
    }
    let tag_count = u8::try_from(tags).map_err(|_| NativeError::Declined)?;
    let is_ours =
        script.call(&[b"GET", keys.at(1)], |reply| reply.as_bytes() == Some(args.at(0)))?;
    if !is_ours {
        return Ok(Reply::Int(0));
    }
    let generations = if tags > 0 { Some(Generations::read(script)?) } else { None };
    run(script, &[b"DEL", keys.at(1)])?;
    let now_ms = script.now_ms();
    if let Some(fence) = get(script, keys.at(2))?.filter(|fence| fence.len() == 16) {
        if unpack(&fence) > now_ms as f64 {
            return Ok(Reply::Int(-1));
        }
        if fence[8..] > *args.at(3) {
            return Ok(Reply::Int(-2));
        }
    }
    let body = args.at(5);
    let mut value = Vec::with_capacity(HEADER_BYTES + 8 * tags + body.len());
    value.extend_from_slice(b"L\x01");
    value.extend_from_slice(&(now_ms + fresh_ms).to_be_bytes());
    value.extend_from_slice(&now_ms.to_be_bytes());
    value.extend_from_slice(args.at(3));
    value.push(tag_count);
    if let Some(generations) = generations
        && !generations.append(script, started_ms, &mut value)?
    {
        return Ok(Reply::Int(-3));
    }
    value.extend_from_slice(body);
    let life_ms = Digits::new(fresh_ms + stale_ms);
    run(script, &[b"SET", keys.at(0), &value, b"PX", life_ms.as_bytes()])?;
    Ok(Reply::Int(1))
}

/// A stored generation; what is no plain number is declined, so it is read before anything is written.
fn generation(script: &mut NativeCall<'_>, key: &[u8]) -> Result<Option<i64>, NativeError> {
    let stored = get(script, key)?;
    stored.map(|text| whole(&text).ok_or(NativeError::Declined)).transpose()
}

/// The generations of a value's tags.
struct Generations {
    /// When a tag was last dropped, if that is known.
    dropped_ms: Option<i64>,
    /// Those of the tags that were dropped.
    tags: Vec<Option<i64>>,
}

impl Generations {
    fn read(script: &mut NativeCall<'_>) -> Result<Self, NativeError> {
        let keys = script.keys();
        let dropped_ms = generation(script, keys.at(3))?;
        let tags = keys.iter().skip(4).map(|key| generation(script, key));
        let tags = tags.collect::<Result<_, _>>()?;
        Ok(Self { dropped_ms, tags })
    }

    /// Appends the generation of each tag, and gives whether none was dropped since the load began.
    fn append(
        self,
        script: &mut NativeCall<'_>,
        started_ms: i64,
        value: &mut Vec<u8>,
    ) -> Result<bool, NativeError> {
        let keys = script.keys();
        let mut refused = self.dropped_ms.is_none();
        let dropped_ms = self.dropped_ms.unwrap_or_else(|| script.now_ms());
        let dropped = Digits::new(dropped_ms);
        if refused {
            run(script, &[b"SET", keys.at(3), dropped.as_bytes()])?;
        }
        for (at, generation) in self.tags.into_iter().enumerate() {
            let key = keys.at(4 + at);
            // One that is named twice is there the second time.
            let is_first = keys.iter().skip(3).position(|other| other == key) == Some(at + 1);
            if generation.is_none() && is_first {
                run(script, &[b"SET", key, dropped.as_bytes()])?;
            }
            let generation = generation.unwrap_or(dropped_ms);
            refused |= generation >= started_ms;
            value.extend_from_slice(&generation.to_be_bytes());
        }
        Ok(!refused)
    }
}

fn release(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 1, 2)?;
    let (key, args) = (script.keys().at(0), script.args());
    let is_ours = script.call(&[b"GET", key], |reply| reply.as_bytes() == Some(args.at(0)))?;
    if !is_ours {
        return Ok(Reply::Int(0));
    }
    if args.at(1) == b"0" {
        run(script, &[b"DEL", key])?;
    } else {
        run(script, &[b"SET", key, b"throttled", b"PX", args.at(1)])?;
    }
    Ok(Reply::Int(1))
}

fn invalidate(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 3, 4)?;
    let (keys, args) = (script.keys(), script.args());
    let (hold_ms, stays_ms) = (whole_arg(script, 0)?, whole_arg(script, 2)?);
    let mut there = 0;
    if args.at(3) == b"1" {
        if let Some(mut value) = get(script, keys.at(0))?.filter(|value| is_value(value)) {
            there = 1;
            value[2..10].fill(0);
            run(script, &[b"SET", keys.at(0), &value, b"KEEPTTL"])?;
        }
        run(script, &[b"DEL", keys.at(1)])?;
    } else {
        there = int(script, &[b"EXISTS", keys.at(0)])?;
        run(script, &[b"DEL", keys.at(0), keys.at(1)])?;
    }
    if args.at(2) == b"0" {
        return Ok(Reply::Int(there));
    }
    let mut hold_until_ms = (script.now_ms() + hold_ms) as f64;
    let mut version = args.at(1).to_vec();
    let mut stays_ms = stays_ms;
    if let Some(fence) = get(script, keys.at(2))?.filter(|fence| fence.len() == 16) {
        hold_until_ms = hold_until_ms.max(unpack(&fence));
        if fence[8..] > *version {
            version = fence[8..].to_vec();
        }
        stays_ms = stays_ms.max(int(script, &[b"PTTL", keys.at(2)])?);
    }
    let mut fence = (hold_until_ms as u64).to_be_bytes().to_vec();
    fence.extend_from_slice(&version);
    let stays_ms = Digits::new(stays_ms);
    run(script, &[b"SET", keys.at(2), &fence, b"PX", stays_ms.as_bytes()])?;
    Ok(Reply::Int(there))
}

fn drop_tag(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 2, 0)?;
    let keys = script.keys();
    let (before, last) = (generation(script, keys.at(1))?, generation(script, keys.at(0))?);
    let generation = script.now_ms().max(before.map_or(0, |before| before + 1));
    let text = Digits::new(generation);
    run(script, &[b"SET", keys.at(1), text.as_bytes()])?;
    if last.is_none_or(|last| last < generation) {
        run(script, &[b"SET", keys.at(0), text.as_bytes()])?;
    }
    Ok(Reply::Digits(text))
}

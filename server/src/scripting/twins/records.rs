//! The scripts of the client's store for `tower-sessions`.
//!
//! A record is a hash: `_o` the last calls that changed it, `_e` its deadline, and fields whose
//! names begin with a dot.

use super::super::native::{NativeCall, NativeError, NativeResult};
use super::{Twin, calls, expect, run, text, whole_arg};
use larder_protocol::Reply;

/// The texts and their twins.
pub(super) const TWINS: &[Twin] = &[
    Twin {
        text: text!("steps.lua", "records/create.lua"),
        digest: "e6f92a9abb8744bbc639851608cec7d8569d6719",
        function: create,
    },
    Twin {
        text: text!("steps.lua", "records/save.lua"),
        digest: "23cfbfabc6be1f5df68af4f17110d79ffab4aaba",
        function: save,
    },
];

/// The calls that a record knows; nothing where there is no record.
fn known(script: &mut NativeCall<'_>) -> Result<Option<Vec<u8>>, NativeError> {
    let key = script.keys().at(0);
    script.call(&[b"HGET", key, b"_o"], |reply| reply.as_bytes().map(<[u8]>::to_vec))
}

fn create(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 1, 2)?;
    let (key, args) = (script.keys().at(0), script.args());
    if args.len() % 2 != 0 {
        return Err(NativeError::Declined);
    }
    let (id, deadline) = (calls::call_id(script)?, args.at(1));
    if let Some(calls) = known(script)? {
        if calls::since(&calls, id).is_none() {
            return Ok(Reply::Int(0));
        }
        run(script, &[b"HSET", key, b"_o", &calls])?;
        return Ok(Reply::Int(1));
    }
    let calls = calls::with(b"", id, script.now_ms())?;
    run(script, &[b"HSET", key, b"_o", &calls, b"_e", deadline])?;
    for at in (2..args.len()).step_by(2) {
        run(script, &[b"HSET", key, args.at(at), args.at(at + 1)])?;
    }
    run(script, &[b"PEXPIREAT", key, deadline])?;
    Ok(Reply::Int(1))
}

fn save(script: &mut NativeCall<'_>) -> NativeResult {
    expect(script, 1, 4)?;
    let (key, args) = (script.keys().at(0), script.args());
    let sets = usize::try_from(whole_arg(script, 3)?).map_err(|_| NativeError::Declined)?;
    let sets_end = sets.checked_mul(2).and_then(|count| count.checked_add(4));
    let Some(sets_end) = sets_end.filter(|end| *end <= args.len()) else {
        return Err(NativeError::Declined);
    };
    let (id, deadline) = (calls::call_id(script)?, args.at(1));
    let Some(calls) = known(script)? else { return Ok(Reply::Int(0)) };
    if calls::since(&calls, id).is_some() {
        run(script, &[b"HSET", key, b"_o", &calls])?;
        return Ok(Reply::Int(1));
    }
    let calls = calls::with(&calls, id, script.now_ms())?;
    if args.at(2) == b"1" {
        let names = script.call(&[b"HKEYS", key], |reply| {
            let names = reply.as_slice().unwrap_or_default().iter();
            let names = names.filter_map(|name| name.as_bytes().map(<[u8]>::to_vec));
            names.filter(|name| name.starts_with(b".")).collect::<Vec<_>>()
        })?;
        for name in names {
            run(script, &[b"HDEL", key, &name])?;
        }
    }
    for at in (4..sets_end).step_by(2) {
        run(script, &[b"HSET", key, args.at(at), args.at(at + 1)])?;
    }
    for at in sets_end..args.len() {
        run(script, &[b"HDEL", key, args.at(at)])?;
    }
    run(script, &[b"HSET", key, b"_o", &calls, b"_e", deadline])?;
    run(script, &[b"PEXPIREAT", key, deadline])?;
    Ok(Reply::Int(1))
}

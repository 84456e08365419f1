//! The whole data set on both servers: keys, types, values, deadlines, encodings.

use larder_tests::{Reply, Value, difference, quoted};

use crate::exceptions::encoded_as_in_7_2;
use crate::play::{CLOCKS_MS, Failure, Pair, alike_but_for_times, before_7_2, same_elements};

/// Databases that the commands reach.
const DATABASES: [&[u8]; 2] = [b"1", b"0"];

/// Fails when the data sets differ.
pub(crate) fn compare(pair: &mut Pair<'_>) -> Result<(), Failure> {
    for database in DATABASES {
        pair.both(&[b"SELECT", database])?;
        let [ours, theirs] = pair.both(&[&b"KEYS"[..], b"*"])?;
        if !same_elements(&ours.value, &theirs.value) {
            let what = difference(&ours.value.to_string(), &theirs.value.to_string());
            return Err(format!("    keys of database {database:?}\n{what}").into());
        }
        let bytes = |key| if let Value::Bulk(bytes) = key { Some(bytes) } else { None };
        let mut keys: Vec<Vec<u8>> = theirs.value.items().into_iter().filter_map(bytes).collect();
        keys.sort();
        for key in keys {
            compare_key(pair, &key)?;
        }
    }
    Ok(())
}

fn compare_key(pair: &mut Pair<'_>, key: &[u8]) -> Result<(), Failure> {
    let facts: [&[&[u8]]; 3] =
        [&[b"TYPE", key], &[b"PEXPIRETIME", key], &[b"OBJECT", b"ENCODING", key]];
    let mut facts = pair.batch(&facts)?;
    let fail = |what: &str, [ours, theirs]: &[Reply; 2]| {
        let texts = [ours, theirs].map(|reply| reply.value.to_string());
        let what = format!("    {what} of {}\n{}", quoted(key), difference(&texts[0], &texts[1]));
        Err(Failure::from(what))
    };
    let [encoding, deadline, kind] = [facts.remove(2), facts.remove(1), facts.remove(0)];
    if kind[0] != kind[1] {
        return fail("type", &kind);
    }
    let near = |[ours, theirs]: &[Reply; 2]| {
        let (a, b) = (ours.value.int(), theirs.value.int());
        a == b || (a >= 0 && b >= 0 && a.abs_diff(b) <= CLOCKS_MS.unsigned_abs())
    };
    if !near(&deadline) {
        return fail("deadline", &deadline);
    }
    let kind = kind[0].value.text();
    let encodings = encoding.each_ref().map(|reply| reply.value.to_string());
    // A hash whose fields had deadlines keeps their room in 8, which is no encoding of 7.2's.
    let with_deadlines = || pair.new_peer && encodings[1] == r#""listpackex""#;
    let changed = || {
        with_deadlines()
            || (pair.old_peer && encoded_as_in_7_2(&kind, &encodings[0], &encodings[1]))
    };
    if encodings[0] != encodings[1] && !changed() {
        return fail("encoding", &encoding);
    }
    let reads: &[&[&[u8]]] = match kind.as_str() {
        "string" => &[&[b"GET", key]],
        "list" => &[&[b"LRANGE", key, b"0", b"-1"]],
        "hash" => &[&[b"HGETALL", key]],
        "set" => &[&[b"SMEMBERS", key]],
        "zset" => &[&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]],
        "stream" => &[&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]],
        _ => &[],
    };
    // A listpack has an order that both keep; the members of a set may have got there from a hash
    // table, in its order.
    let ordered = match kind.as_str() {
        "hash" => encodings[0] == r#""listpack""#,
        "set" => encodings[0] == r#""intset""#,
        _ => true,
    };
    for replies in pair.batch(reads)? {
        let [ours, theirs] = &replies;
        let same = match kind.as_str() {
            "stream" if pair.old_peer => {
                alike_but_for_times(&before_7_2(&ours.value), &before_7_2(&theirs.value))
            }
            "stream" => alike_but_for_times(&ours.value, &theirs.value),
            "zset" if pair.old_peer => before_7_2(&ours.value) == before_7_2(&theirs.value),
            _ if ordered => ours.raw == theirs.raw,
            _ => same_elements(&ours.value, &theirs.value),
        };
        if !same {
            return fail("value", &replies);
        }
    }
    Ok(())
}

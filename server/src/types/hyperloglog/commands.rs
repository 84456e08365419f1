//! The HyperLogLog commands.
//!
//! PFCOUNT reads, but keeps the cardinality that it computed in the value's header, which the log and
//! replicas get to know as the PFCOUNT that it was.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::estimate::Histogram;
use super::{
    Encoding, HEADER_BYTES, REGISTERS, add, cardinality, count, dense, empty,
    invalidate_cardinality, make_dense, merge, raise, selftest, set_cardinality, set_dense, sparse,
};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::notify::Classes;
use crate::propagate;
use crate::raw::{EntryRef, NewValue};
use crate::types::string::StringRef;
use larder_protocol::{CommandError, Reply};

/// PFADD key \[element \[element ...\]\]
pub fn pfadd<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (args, key) = (call.args, call.key(1));
    let sparse_max_bytes = call.settings.hll_sparse_max_bytes;
    let raised = edit(call, key, |bytes, is_new| {
        let mut raised = u64::from(is_new);
        for element in args.iter().skip(2) {
            raised += u64::from(add(bytes, element, sparse_max_bytes)?);
        }
        if raised > 0 {
            invalidate_cardinality(bytes);
        }
        Ok(raised)
    })?;
    if raised > 0 {
        call.changed(Classes::STRING, "pfadd", key);
        call.db.changes.dirty += raised - 1;
    }
    Ok(Reply::from(raised > 0))
}

/// PFCOUNT key \[key ...\]
pub fn pfcount<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    if call.args.len() > 2 {
        let (registers, _) = union(call)?;
        let mut histogram = Histogram::default();
        histogram.add_all(&registers);
        return Ok(Reply::Int(histogram.estimate() as i64));
    }
    let key = call.key(1);
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Int(0)) };
    let bytes = stored(entry)?;
    if let Some(known) = cardinality(bytes) {
        return Ok(Reply::Int(known as i64));
    }
    let computed = count(bytes)?;
    if let Some(mut entry) = call.db.find_for_write(key) {
        entry.edit(|bytes| set_cardinality(bytes, computed));
        call.changed(Classes::UNSAID, "", key);
        // Who counted is remembered with the key only now.
        propagate::invalidate(call.node, &mut call.db.changes);
    }
    Ok(Reply::Int(computed as i64))
}

/// PFMERGE destkey \[sourcekey \[sourcekey ...\]\]
pub fn pfmerge<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let sparse_max_bytes = call.settings.hll_sparse_max_bytes;
    let (registers, is_any_dense) = union(call)?;
    edit(call, key, |bytes, _| {
        // The destination's own registers are among them.
        if is_any_dense {
            set_dense(bytes, &registers);
        } else {
            for (index, rank) in registers.iter().enumerate().filter(|(_, rank)| **rank > 0) {
                raise(bytes, index, *rank, sparse_max_bytes)?;
            }
        }
        invalidate_cardinality(bytes);
        Ok(())
    })?;
    call.changed(Classes::STRING, "pfadd", key);
    Ok(Reply::Ok)
}

/// PFDEBUG GETREG | DECODE | ENCODING | TODENSE key
pub fn pfdebug<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (wanted, key) = (call.args.at(1), call.key(2));
    let Some(mut entry) = call.db.find_for_write(key) else {
        return Err(CommandError::PFDEBUG_NO_KEY);
    };
    let bytes = stored(entry.view())?;
    let encoding = Encoding::of(bytes)?;
    match wanted.to_ascii_lowercase().as_slice() {
        b"encoding" if encoding == Encoding::Dense => Ok(Reply::Simple("dense")),
        b"encoding" => Ok(Reply::Simple("sparse")),
        b"decode" if encoding == Encoding::Dense => Err(CommandError::PFDEBUG_NOT_SPARSE),
        b"decode" => {
            let runs: Vec<_> =
                sparse::runs(&bytes[HEADER_BYTES..]).map(sparse::Run::text).collect();
            Ok(Reply::from(runs.join(" ")))
        }
        word @ (b"getreg" | b"todense") => {
            let converts = encoding == Encoding::Sparse;
            if converts {
                let mut outcome = Ok(());
                entry.edit(|bytes| outcome = make_dense(bytes));
                outcome?;
            }
            let reply = if word == b"getreg" {
                let registers = dense::registers(&stored(entry.view())?[HEADER_BYTES..]);
                Reply::array(registers.into_iter().map(i64::from))
            } else {
                Reply::from(converts)
            };
            call.db.changes.dirty += u64::from(converts);
            Ok(reply)
        }
        _ => Err(CommandError::quoting("ERR Unknown PFDEBUG subcommand '", wanted, "'")),
    }
}

/// PFSELFTEST
pub fn pfselftest<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let sparse_max_bytes = call.settings.hll_sparse_max_bytes;
    selftest::run(call.rng(), sparse_max_bytes)?;
    Ok(Reply::Ok)
}

/// The bytes of a stored HyperLogLog.
fn stored(entry: EntryRef<'_>) -> Result<&[u8], CommandError> {
    StringRef::of(entry)?;
    // An integer has none, and is no HyperLogLog.
    let bytes = entry.string_bytes().ok_or(CommandError::NOT_HYPERLOGLOG)?;
    Encoding::of(bytes)?;
    Ok(bytes)
}

/// The registers of all keys together, and whether any of them is dense.
fn union(call: &mut Call<'_>) -> Result<([u8; REGISTERS], bool), CommandError> {
    let (mut registers, mut is_any_dense) = ([0; REGISTERS], false);
    let obeys = call.session.applies;
    for key in call.keys() {
        let Some(entry) = call.db.find(key) else { continue };
        let bytes = stored(entry)?;
        is_any_dense |= Encoding::of(bytes)? == Encoding::Dense;
        merge(&mut registers, bytes, obeys)?;
    }
    Ok((registers, is_any_dense))
}

/// Changes the HyperLogLog under a key; a missing one is made, which `change` is told.
fn edit<T>(
    call: &mut Call<'_>,
    key: Key<'_>,
    change: impl FnOnce(&mut Vec<u8>, bool) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    match call.db.find_for_write(key) {
        Some(mut entry) => {
            stored(entry.view())?;
            let mut outcome = Err(CommandError::CORRUPT_HYPERLOGLOG);
            entry.edit(|bytes| outcome = change(bytes, false));
            outcome
        }
        None => {
            let mut bytes = empty();
            let outcome = change(&mut bytes, true)?;
            call.db.insert(key, NewValue::Raw(bytes), None);
            Ok(outcome)
        }
    }
}

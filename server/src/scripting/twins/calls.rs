//! The calls that a session or a record knows, so that one that is sent again does nothing twice: in
//! a row the ids, each with the second it came in, as `idididididid:0042,`.

use super::super::native::{NativeCall, NativeError};

/// Letters of a call's id.
const ID_CHARS: usize = 12;
/// A call in the row.
const CALL_BYTES: usize = 18;
/// Calls that are kept at most, for how many seconds, and the seconds that are told apart. What seems
/// older than half of those is of a clock that was ahead.
const MOST: usize = 256;
const KEPT_S: i64 = 20;
const SECONDS: i64 = 10_000;

/// The id of this call. One of another length is declined.
pub(super) fn call_id<'n>(script: &NativeCall<'n>) -> Result<&'n [u8], NativeError> {
    let id = script.args().at(0);
    if id.len() == ID_CHARS { Ok(id) } else { Err(NativeError::Declined) }
}

/// How many calls there were after this one, if it is known.
pub(super) fn since(calls: &[u8], id: &[u8]) -> Option<i64> {
    let entry = [id, b":"].concat();
    let at = calls.windows(entry.len()).position(|window| window == entry)?;
    let later_bytes = calls.len() as i64 - at as i64 - CALL_BYTES as i64;
    Some(later_bytes.div_euclid(CALL_BYTES as i64))
}

/// The calls that are kept, and this one. A row that no script wrote is declined.
pub(super) fn with(calls: &[u8], id: &[u8], now_ms: i64) -> Result<Vec<u8>, NativeError> {
    let now_s = now_ms.div_euclid(1000).rem_euclid(SECONDS);
    let (calls, rest) = calls.as_chunks::<CALL_BYTES>();
    if !rest.is_empty() {
        return Err(NativeError::Declined);
    }
    let mut kept = &calls[calls.len().saturating_sub(MOST - 1)..];
    while let Some((first, later)) = kept.split_first() {
        let second = std::str::from_utf8(&first[ID_CHARS + 1..CALL_BYTES - 1]).ok();
        let second = second.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        let second: i64 = second.and_then(|it| it.parse().ok()).ok_or(NativeError::Declined)?;
        let age_s = (now_s - second).rem_euclid(SECONDS);
        if age_s <= KEPT_S || age_s >= SECONDS / 2 {
            break;
        }
        kept = later;
    }
    let mut row = kept.as_flattened().to_vec();
    row.extend_from_slice(id);
    row.extend_from_slice(format!(":{now_s:04},").as_bytes());
    Ok(row)
}

//! What LMPOP, ZMPOP and their blocking forms read alike: several keys, one of two ends, a count.

use crate::dispatch::call::Call;
use larder_protocol::CommandError;
use std::ops::Range;

/// Reads `numkeys key [key ...] end [COUNT count]` from argument `at` on: the keys' places, the end
/// that `end_of` makes of its word, and the count, which is 1 unless it is given.
///
/// # Errors
/// The counts are not above 0, the end is unknown or missing, or something follows.
pub fn several<E>(
    call: &Call<'_>,
    at: usize,
    end_of: impl Fn(&[u8]) -> Result<E, CommandError>,
) -> Result<(Range<usize>, E, usize), CommandError> {
    let args = call.args;
    let mut reader = args.reader(at);
    let keys = reader.int_in_or(1..=i64::MAX, CommandError::NUMKEYS_NOT_POSITIVE) as usize;
    reader.finish()?;
    let end_at = at.saturating_add(1).saturating_add(keys);
    let end = end_of(args.get(end_at).ok_or(CommandError::SYNTAX)?)?;
    let mut count = None;
    let mut options = args.reader(end_at + 1);
    while options.has_next() {
        if count.is_none() && options.remaining() > 1 && options.keyword("count") {
            count = Some(options.int_in_or(1..=i64::MAX, CommandError::LOWER_COUNT_NOT_POSITIVE));
        } else {
            options.fail(CommandError::SYNTAX);
        }
    }
    options.finish()?;
    Ok((at + 1..end_at, end, count.unwrap_or(1) as usize))
}

//! Drawing elements at random: what SRANDMEMBER, HRANDFIELD and ZRANDMEMBER have in common.

use crate::dispatch::call::Call;
use crate::raw::EntryRef;
use crate::types::members::Members;
use larder_protocol::CommandError;
use std::collections::{HashMap, HashSet};

/// Bytes that a reply of one drawn element takes here at least.
const ELEMENT_BYTES: u64 = 64;
/// Up to this share of a collection, different elements are found by drawing again.
const SPARSE: usize = 3;

/// How many elements a command wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Up to so many different ones.
    Different(usize),
    /// Exactly so many, each drawn from all.
    Repeated(usize),
}

impl Wanted {
    /// A count as the commands read it: below zero, elements may come up more than once.
    ///
    /// # Errors
    /// The argument is no integer, or the lowest one.
    pub fn read(call: &Call<'_>, at: usize) -> Result<Self, CommandError> {
        let mut reader = call.args.reader(at);
        let count = reader.int_in(-i64::MAX..=i64::MAX, CommandError::NOT_ABOVE_LOWEST);
        reader.finish()?;
        Ok(match usize::try_from(count) {
            Ok(count) => Self::Different(count),
            Err(_) => Self::Repeated(count.unsigned_abs() as usize),
        })
    }
}

/// Positions below `len` for what is wanted: in no particular order, but for all of them.
///
/// A client that wants more repetitions than its output may hold is cut off, as it would be while it
/// received them.
pub fn positions(call: &mut Call<'_>, len: usize, wanted: Wanted) -> Vec<usize> {
    match wanted {
        Wanted::Different(count) if count >= len => (0..len).collect(),
        Wanted::Different(count) => different(call, len, count),
        Wanted::Repeated(count) => {
            if is_too_much(call, count) {
                call.session.client.kill();
                return Vec::new();
            }
            (0..count).map(|_| call.random_below(len)).collect()
        }
    }
}

/// Members of a table as wanted, unless it is so much of the table that walking over it is cheaper.
pub fn from_table<'m>(
    call: &Call<'_>,
    members: &'m Members,
    wanted: Wanted,
    rng: &mut fastrand::Rng,
) -> Option<Vec<EntryRef<'m>>> {
    match wanted {
        Wanted::Different(count) if count.saturating_mul(SPARSE) <= members.len() => {
            let mut drawn = HashMap::with_capacity(count);
            while drawn.len() < count {
                let entry = members.random(rng)?;
                drawn.insert(entry.key(), entry);
            }
            Some(drawn.into_values().collect())
        }
        Wanted::Different(_) => None,
        Wanted::Repeated(count) if is_too_much(call, count) => None,
        Wanted::Repeated(count) => (0..count).map(|_| members.random(rng)).collect(),
    }
}

/// Whether so many drawn elements are more than the client's output may hold.
fn is_too_much(call: &Call<'_>, count: usize) -> bool {
    let limit_bytes = call.settings.client_output_buffer_limit.normal.hard_bytes;
    let limit_bytes = if limit_bytes == 0 { u64::MAX } else { limit_bytes };
    // Without a limit, what fits into a machine is one.
    count as u64 > limit_bytes.min(1 << 34) / ELEMENT_BYTES
}

fn different(call: &mut Call<'_>, len: usize, count: usize) -> Vec<usize> {
    if count.saturating_mul(SPARSE) <= len {
        let mut drawn = HashSet::with_capacity(count);
        while drawn.len() < count {
            drawn.insert(call.random_below(len));
        }
        return drawn.into_iter().collect();
    }
    let mut all: Vec<usize> = (0..len).collect();
    for place in 0..count {
        let other = place + call.random_below(len - place);
        all.swap(place, other);
    }
    all.truncate(count);
    all
}

//! The commands on single positions: adding, reading, measuring.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

pub use super::search::{
    georadius, georadius_ro, georadiusbymember, georadiusbymember_ro, geosearch, geosearchstore,
};

use super::hash::{Position, WORLD, decode, distance_m, encode, text_of};
use crate::dispatch::call::{Call, CommandResult};
use crate::types::zset::ZsetRef;
use crate::types::zset::commands::{AddOptions, add_all};
use larder_protocol::{ArgReader, CommandError, Reply};

/// The next two arguments as a position.
pub(super) fn read_position(reader: &mut ArgReader<'_>) -> Result<Position, CommandError> {
    let (longitude, latitude) = (reader.double(), reader.double());
    reader.clone().finish()?;
    let at = Position { longitude, latitude };
    if !WORLD.contains(at) {
        let text = format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}");
        return Err(CommandError::custom(text));
    }
    Ok(at)
}

/// How many metres a unit has.
pub(super) fn metres(unit: &[u8]) -> Result<f64, CommandError> {
    match unit.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(CommandError::GEO_UNIT),
    }
}

/// A distance as the commands print it: with four decimals.
pub(super) fn distance_reply(distance: f64) -> Reply<'static> {
    let units = (distance * 10_000.0).round_ties_even() as i64;
    Reply::Owned(format!("{}.{:04}", units / 10_000, units % 10_000).into_bytes())
}

/// A position as the commands print it: longitude, latitude.
pub(super) fn position_reply(at: Position) -> Reply<'static> {
    Reply::Array(vec![Reply::Coordinate(at.longitude), Reply::Coordinate(at.latitude)])
}

/// GEOADD key \[NX | XX\] \[CH\] longitude latitude member \[longitude latitude member ...\]
pub fn geoadd<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let args = call.args;
    let mut options = AddOptions::default();
    let mut reader = args.reader(2);
    loop {
        let option = match () {
            () if reader.keyword("nx") => &mut options.nx,
            () if reader.keyword("xx") => &mut options.xx,
            () if reader.keyword("ch") => &mut options.changed,
            () => break,
        };
        *option = true;
    }
    let options_end = reader.position();
    if reader.remaining() == 0
        || !reader.remaining().is_multiple_of(3)
        || (options.xx && options.nx)
    {
        return Err(CommandError::SYNTAX);
    }
    let (mut members, mut scores) = (Vec::new(), Vec::new());
    while reader.has_next() {
        let score = encode(read_position(&mut reader)?);
        members.push((score as f64, reader.next()));
        scores.push(itoa::Buffer::new().format(score).to_owned());
    }
    let added = add_all(call, &members, options)?;
    if added.changes() > 0 {
        let mut effect: Vec<&[u8]> = vec![b"zadd"];
        effect.extend((1..options_end).map(|at| args.at(at)));
        for ((_, member), score) in members.iter().zip(&scores) {
            effect.extend([score.as_bytes(), member]);
        }
        call.effect(&effect);
    }
    Ok(added.count(options))
}

/// The positions of the members from argument 2 on, as `reply` shows them.
fn each_member<'c>(
    call: &'c mut Call<'_>,
    missing: impl Fn() -> Reply<'static>,
    reply: impl Fn(Position) -> Reply<'static>,
) -> CommandResult<'c> {
    let (key, members) = (call.key(1), call.args.skip(2));
    let zset = call.db.find(key).map(ZsetRef::of).transpose()?;
    let position = |member| zset.and_then(|zset| zset.score(member)).map(decode);
    let replies = members.iter().map(|member| position(member).map_or_else(&missing, &reply));
    Ok(Reply::Array(replies.collect()))
}

/// GEOHASH key \[member ...\]
pub fn geohash<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    each_member(call, || Reply::Null, |at| Reply::Owned(text_of(at)))
}

/// GEOPOS key \[member ...\]
pub fn geopos<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    each_member(call, || Reply::NullArray, position_reply)
}

/// GEODIST key member1 member2 \[M | KM | FT | MI\]
pub fn geodist<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(1), call.args);
    let unit_m = match args.get(4) {
        None => 1.0,
        Some(unit) if args.len() == 5 => metres(unit)?,
        Some(_) => return Err(CommandError::SYNTAX),
    };
    let Some(entry) = call.db.find(key) else { return Ok(Reply::Null) };
    let zset = ZsetRef::of(entry)?;
    let (Some(first), Some(second)) = (zset.score(args.at(2)), zset.score(args.at(3))) else {
        return Ok(Reply::Null);
    };
    Ok(distance_reply(distance_m(decode(first), decode(second)) / unit_m))
}

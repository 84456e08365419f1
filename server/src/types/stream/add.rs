//! XADD and XTRIM: entries come at one end and go at the other.
//!
//! Both are logged with their outcome: XADD with the ID that the entry got, an approximate trim as
//! the exact one that has the same result.
#![allow(clippy::missing_errors_doc, reason = "a handler's errors are those of its command")]

use super::id::parse_part;
use super::{Keep, NodeLimits, Stream, StreamId, Trim, edit};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::notify::Classes;
use crate::raw::NewValue;
use crate::types::object::Object;
use larder_protocol::args::ArgReader;
use larder_protocol::reply::Digits;
use larder_protocol::{Args, CommandError, Reply};

/// Entries that an approximate trim takes at most, unless LIMIT says otherwise: those of this many
/// nodes of the usual size.
const TRIM_NODES: u64 = 100;
/// The same if nodes have no usual size, and the most that it may be.
const TRIM_ENTRIES: u64 = 10_000;
const TRIM_ENTRIES_MAX: u64 = 1_000_000;

/// The ID that XADD asks for.
#[derive(Clone, Copy)]
enum Wanted {
    /// `*`: the time, or what comes after the last ID.
    Any,
    /// `ms-*`: this time, and the next number of it.
    At(u64),
    /// This ID.
    Exactly(StreamId),
}

impl Wanted {
    #[inline]
    fn read(arg: &[u8]) -> Result<Self, CommandError> {
        match arg {
            b"*" => Ok(Self::Any),
            [ms @ .., b'-', b'*'] if !ms.contains(&b'-') => {
                parse_part(ms).map(Self::At).ok_or(CommandError::INVALID_STREAM_ID)
            }
            _ => match StreamId::parse(arg, 0)? {
                StreamId::MIN => Err(CommandError::XADD_ID_ZERO),
                id => Ok(Self::Exactly(id)),
            },
        }
    }

    /// The ID that comes after `last`.
    #[inline]
    fn after(self, last: StreamId, now_ms: i64) -> Result<StreamId, CommandError> {
        let now = StreamId { ms: now_ms as u64, seq: 0 };
        match self {
            Self::Any if now.ms > last.ms => Ok(now),
            Self::Any => last.next().ok_or(CommandError::XADD_EXHAUSTED),
            Self::At(ms) if ms == last.ms => match last.seq.checked_add(1) {
                Some(seq) => Ok(StreamId { ms, seq }),
                None => Err(CommandError::XADD_ID_SMALL),
            },
            Self::At(ms) => Ok(StreamId { ms, seq: 0 }),
            Self::Exactly(id) => Ok(id),
        }
    }
}

/// The options that XADD and XTRIM have in common.
struct Options {
    trim: Option<Trim>,
    must_exist: bool,
    /// The ID, which ends XADD's options, and where it is.
    id: Option<(Wanted, usize)>,
}

impl Options {
    #[inline]
    fn read(call: &Call<'_>, is_add: bool) -> Result<Self, CommandError> {
        // Nearly every XADD has its ID in the first place.
        if is_add && call.args.at(2) == b"*" {
            return Ok(Self { trim: None, must_exist: false, id: Some((Wanted::Any, 2)) });
        }
        Self::read_all(call, is_add)
    }

    fn read_all(call: &Call<'_>, is_add: bool) -> Result<Self, CommandError> {
        let mut options = Self { trim: None, must_exist: false, id: None };
        let mut limit = None;
        let mut reader = call.args.reader(2);
        while reader.has_next() {
            let position = reader.position();
            let has_value = reader.remaining() > 1;
            if is_add && reader.peek() == Some(b"*") {
                options.id = Some((Wanted::Any, position));
                break;
            } else if has_value && reader.keyword("maxlen") {
                let is_approximate = options.begin_trim(&mut reader)?;
                let len = reader.int_in(0..=i64::MAX, CommandError::TRIM_MAXLEN);
                let keep = Keep::Newest(len as u64);
                options.trim = Some(Trim { keep, is_approximate, limit: 0 });
            } else if has_value && reader.keyword("minid") {
                let is_approximate = options.begin_trim(&mut reader)?;
                let keep = Keep::From(StreamId::parse(reader.next(), 0)?);
                options.trim = Some(Trim { keep, is_approximate, limit: 0 });
            } else if has_value && reader.keyword("limit") {
                limit = Some(reader.int_in(0..=i64::MAX, CommandError::TRIM_LIMIT) as u64);
            } else if is_add && reader.keyword("nomkstream") {
                options.must_exist = true;
            } else if is_add {
                options.id = Some((read_id(reader.next())?, position));
                break;
            } else {
                reader.fail(CommandError::SYNTAX);
            }
        }
        reader.finish()?;
        options.set_limit(call, limit, is_add)?;
        Ok(options)
    }

    /// Reads `=` or `~` behind the name of a strategy; tells whether it is approximate.
    fn begin_trim(&self, reader: &mut ArgReader<'_>) -> Result<bool, CommandError> {
        if self.trim.is_some() {
            return Err(CommandError::TRIM_TWICE);
        }
        let is_approximate = reader.remaining() > 1 && reader.keyword("~");
        if !is_approximate && reader.remaining() > 1 {
            reader.keyword("=");
        }
        Ok(is_approximate)
    }

    fn set_limit(
        &mut self,
        call: &Call<'_>,
        limit: Option<u64>,
        is_add: bool,
    ) -> Result<(), CommandError> {
        let Some(trim) = &mut self.trim else {
            return match limit {
                // Redis takes a limit of 0 for none at first.
                Some(1..) => Err(CommandError::LIMIT_WITHOUT_TRIM),
                _ if !is_add => Err(CommandError::XTRIM_NO_STRATEGY),
                Some(_) if !call.session.applies => Err(CommandError::LIMIT_EXACT),
                _ => Ok(()),
            };
        };
        if call.session.applies {
            // A primary that trimmed up to a limit says exactly what is left, and may repeat the limit.
            trim.limit = 0;
            return Ok(());
        }
        trim.limit = match limit {
            Some(_) if !trim.is_approximate => return Err(CommandError::LIMIT_EXACT),
            Some(limit) => limit,
            None if !trim.is_approximate => 0,
            None => match call.settings.stream_node_max_entries.saturating_mul(TRIM_NODES) {
                0 => TRIM_ENTRIES,
                entries => entries.min(TRIM_ENTRIES_MAX),
            },
        };
        Ok(())
    }
}

/// The ID of XADD. That it is not 0-0 is looked at after all arguments were counted.
fn read_id(arg: &[u8]) -> Result<Wanted, CommandError> {
    match Wanted::read(arg) {
        Err(error) if error == CommandError::XADD_ID_ZERO => Ok(Wanted::Exactly(StreamId::MIN)),
        result => result,
    }
}

/// XADD key \[NOMKSTREAM\] \[MAXLEN | MINID \[= | ~\] threshold \[LIMIT count\]\] * | id
/// field value \[field value ...\]
pub fn xadd<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let (key, args) = (call.key(1), call.args);
    let Options { trim, must_exist, id } = Options::read(call, true)?;
    let Some((wanted, at)) = id else { return Err(CommandError::wrong_arity(call.row.name)) };
    let pairs = args.skip(at + 1);
    if pairs.len() < 2 || pairs.len() % 2 == 1 {
        return Err(CommandError::wrong_arity(call.row.name));
    }
    if matches!(wanted, Wanted::Exactly(StreamId::MIN)) {
        return Err(CommandError::XADD_ID_ZERO);
    }
    let (limits, now_ms) = (NodeLimits::of(call.settings), call.now_ms());
    let (id, trimmed, after) = match call.db.find_for_write(key) {
        Some(mut entry) => {
            let last = Stream::of(entry.view())?.marks.last_id;
            if last == StreamId::MAX {
                return Err(CommandError::XADD_EXHAUSTED);
            }
            let id = wanted.after(last, now_ms)?;
            let (trimmed, after) =
                edit(&mut entry, |stream| append(stream, id, pairs, limits, trim))?;
            call.db.signal(key);
            (id, trimmed, after)
        }
        None if must_exist => return Ok(Reply::Null),
        None => {
            let mut stream = Box::<Stream>::default();
            let id = wanted.after(StreamId::MIN, now_ms)?;
            let (trimmed, after) = append(&mut stream, id, pairs, limits, trim)?;
            call.db.insert(key, NewValue::Object(Box::new(Object::Stream(stream))), None);
            (id, trimmed, after)
        }
    };
    call.changed(Classes::STREAM, "xadd", key);
    if trimmed > 0 {
        let db = call.db.db();
        call.db.changes.event(Classes::STREAM, "xtrim", db, key.bytes);
    }
    if call.db.changes.logged {
        let mut effect: Vec<&[u8]> = vec![b"XADD", key.bytes];
        if must_exist {
            effect.push(b"NOMKSTREAM");
        }
        let exact = after.map(Exact::of);
        if let Some(exact) = &exact {
            effect.extend(exact.args());
        }
        let id = id.text();
        effect.push(id.as_bytes());
        effect.extend(pairs.iter());
        call.effect(&effect);
    }
    Ok(id.reply())
}

/// Adds an entry and trims; gives how many entries went, and the exact trim that has this result.
#[inline]
fn append(
    stream: &mut Stream,
    id: StreamId,
    pairs: Args<'_>,
    limits: NodeLimits,
    trim: Option<Trim>,
) -> Result<(u64, Option<Keep>), CommandError> {
    stream.append(id, pairs, limits)?;
    Ok(trim.map_or((0, None), |trim| {
        let (removed, keep) = apply(stream, trim);
        (removed, Some(keep))
    }))
}

fn apply(stream: &mut Stream, trim: Trim) -> (u64, Keep) {
    let removed = stream.trim(trim);
    let keep = match trim.keep {
        keep if !trim.is_approximate => keep,
        Keep::Newest(_) => Keep::Newest(stream.marks.len),
        Keep::From(_) => Keep::From(stream.edge_id()),
    };
    (removed, keep)
}

/// The arguments of an exact trim.
struct Exact(&'static [u8], Reply<'static>);

impl Exact {
    fn of(keep: Keep) -> Self {
        match keep {
            Keep::Newest(len) => {
                Self(b"MAXLEN", Reply::Digits(Digits::new(i64::try_from(len).unwrap_or(i64::MAX))))
            }
            Keep::From(id) => Self(b"MINID", id.reply()),
        }
    }

    fn args(&self) -> [&[u8]; 3] {
        [self.0, b"=", self.1.as_bytes().unwrap_or_default()]
    }
}

/// XTRIM key MAXLEN | MINID \[= | ~\] threshold \[LIMIT count\]
pub fn xtrim<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    let key = call.key(1);
    let Some(trim) = Options::read(call, false)?.trim else {
        return Err(CommandError::XTRIM_NO_STRATEGY);
    };
    let Some(mut entry) = call.db.find_for_write(key) else { return Ok(Reply::Int(0)) };
    Stream::of(entry.view())?;
    let (removed, keep) = edit(&mut entry, |stream| apply(stream, trim));
    if removed > 0 {
        trimmed(call, key, removed, keep);
    }
    Ok(Reply::Int(removed as i64))
}

fn trimmed(call: &mut Call<'_>, key: Key<'_>, removed: u64, keep: Keep) {
    call.changed(Classes::STREAM, "xtrim", key);
    call.db.changes.dirty += removed - 1;
    let exact = Exact::of(keep);
    let [strategy, operator, threshold] = exact.args();
    call.effect(&[b"XTRIM", key.bytes, strategy, operator, threshold]);
}

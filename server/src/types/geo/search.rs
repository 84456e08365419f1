//! Searches by distance: GEOSEARCH, GEORADIUS and their kin.

use super::commands::{distance_reply, metres, position_reply, read_position};
use super::hash::{Position, Shape, decode};
use crate::dispatch::call::{Call, CommandResult};
use crate::keyspace::Key;
use crate::keyspace::notify::Classes;
use crate::types::zset::{ZsetRef, state_members, store};
use larder_protocol::{ArgReader, CommandError, Reply};
use std::cmp::Ordering;

/// Which of the commands it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// GEORADIUS: the position is an argument.
    Position,
    /// GEORADIUSBYMEMBER: a member is.
    Member,
    /// GEOSEARCH and GEOSEARCHSTORE: options say where and what.
    Search,
}

/// A search as its arguments say.
struct Search<'a> {
    center: Option<Position>,
    shape: Option<Shape>,
    /// Metres in the unit of the arguments, in which distances are given.
    unit_m: f64,
    with_distance: bool,
    with_hash: bool,
    with_position: bool,
    /// Whether FROMMEMBER named a member, even of a missing key.
    by_member: bool,
    order: Option<Ordering>,
    count: usize,
    any: bool,
    destination: Option<Key<'a>>,
    stores_distance: bool,
}

/// A member that was found.
struct Found {
    member: Vec<u8>,
    score: f64,
    at: Position,
    distance_m: f64,
}

/// The next two arguments as a radius, with the metres of its unit.
fn read_radius(reader: &mut ArgReader<'_>) -> Result<(Shape, f64), CommandError> {
    let radius = reader.double_or(CommandError::RADIUS_NOT_FLOAT);
    reader.clone().finish()?;
    if radius < 0.0 {
        return Err(CommandError::NEGATIVE_RADIUS);
    }
    let unit_m = metres(reader.next())?;
    Ok((Shape::Circle { radius_m: radius * unit_m }, unit_m))
}

/// The next three arguments as a box, with the metres of its unit.
fn read_box(reader: &mut ArgReader<'_>) -> Result<(Shape, f64), CommandError> {
    let width = reader.double_or(CommandError::WIDTH_NOT_FLOAT);
    let height = reader.double_or(CommandError::HEIGHT_NOT_FLOAT);
    reader.clone().finish()?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::NEGATIVE_BOX);
    }
    let unit_m = metres(reader.next())?;
    Ok((Shape::Rectangle { width_m: width * unit_m, height_m: height * unit_m }, unit_m))
}

fn member_position(
    zset: Option<ZsetRef<'_>>,
    name: &[u8],
) -> Result<Option<Position>, CommandError> {
    let Some(zset) = zset else { return Ok(None) };
    let score = zset.score(name).ok_or(CommandError::NO_SUCH_CENTER)?;
    Ok(Some(decode(score)))
}

impl<'a> Search<'a> {
    /// Reads the arguments behind the source key, which is looked up first.
    fn read(
        call: &mut Call<'a>,
        source: Key<'a>,
        form: Form,
        may_store: bool,
    ) -> Result<Self, CommandError> {
        call.db.find(source).map(ZsetRef::of).transpose()?;
        let zset = call.db.view(source).map(ZsetRef::of).transpose()?;
        let mut search = Self {
            center: None,
            shape: None,
            unit_m: 1.0,
            with_distance: false,
            with_hash: false,
            with_position: false,
            by_member: false,
            order: None,
            count: 0,
            any: false,
            destination: (form == Form::Search && may_store).then(|| call.key(1)),
            stores_distance: false,
        };
        let mut reader = call.args.reader(if search.destination.is_some() { 3 } else { 2 });
        match form {
            Form::Position => {
                search.center = Some(read_position(&mut reader)?);
                search.set_shape(read_radius(&mut reader)?);
            }
            Form::Member => {
                let name = reader.next();
                if zset.is_some() {
                    search.center = member_position(zset, name)?;
                    search.set_shape(read_radius(&mut reader)?);
                } else {
                    // Without a key the radius is not even looked at.
                    let _ = (reader.next(), reader.next());
                }
            }
            Form::Search => {}
        }
        while reader.has_next() {
            let is_known = search.read_flag(&mut reader)
                || search.read_store(call, &mut reader, form, may_store)
                || (form == Form::Search && search.read_where(zset, &mut reader)?);
            if is_known {
                continue;
            }
            if reader.remaining() < 2 || !reader.keyword("count") {
                return Err(CommandError::SYNTAX);
            }
            let count = reader.int();
            reader.clone().finish()?;
            if count <= 0 {
                return Err(CommandError::GEO_COUNT_NOT_POSITIVE);
            }
            search.count = count as usize;
        }
        search.check(call, form)?;
        Ok(search)
    }

    fn set_shape(&mut self, (shape, unit_m): (Shape, f64)) {
        (self.shape, self.unit_m) = (Some(shape), unit_m);
    }

    fn read_flag(&mut self, reader: &mut ArgReader<'_>) -> bool {
        match () {
            () if reader.keyword("withdist") => self.with_distance = true,
            () if reader.keyword("withhash") => self.with_hash = true,
            () if reader.keyword("withcoord") => self.with_position = true,
            () if reader.keyword("any") => self.any = true,
            () if reader.keyword("asc") => self.order = Some(Ordering::Less),
            () if reader.keyword("desc") => self.order = Some(Ordering::Greater),
            () => return false,
        }
        true
    }

    fn read_store(
        &mut self,
        call: &Call<'a>,
        reader: &mut ArgReader<'_>,
        form: Form,
        may_store: bool,
    ) -> bool {
        if !may_store {
            return false;
        }
        if form == Form::Search {
            let is_known = reader.keyword("storedist");
            self.stores_distance |= is_known;
            return is_known;
        }
        if reader.remaining() < 2 {
            return false;
        }
        let is_distance = reader.keyword("storedist");
        if !is_distance && !reader.keyword("store") {
            return false;
        }
        self.stores_distance = is_distance;
        self.destination = Some(call.key(reader.position()));
        reader.next();
        true
    }

    /// Reads where GEOSEARCH looks.
    fn read_where(
        &mut self,
        zset: Option<ZsetRef<'_>>,
        reader: &mut ArgReader<'_>,
    ) -> Result<bool, CommandError> {
        let has_position = self.center.is_some() && !self.by_member;
        let left = reader.remaining();
        if left > 1 && !has_position && reader.keyword("frommember") {
            self.center = member_position(zset, reader.next())?;
            self.by_member = true;
        } else if left > 2 && !self.by_member && reader.keyword("fromlonlat") {
            self.center = Some(read_position(reader)?);
        } else if left > 2
            && !matches!(self.shape, Some(Shape::Rectangle { .. }))
            && reader.keyword("byradius")
        {
            self.set_shape(read_radius(reader)?);
        } else if left > 3
            && !matches!(self.shape, Some(Shape::Circle { .. }))
            && reader.keyword("bybox")
        {
            self.set_shape(read_box(reader)?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn check(&self, call: &Call<'_>, form: Form) -> Result<(), CommandError> {
        if self.destination.is_some()
            && (self.with_distance || self.with_hash || self.with_position)
        {
            let command = match form {
                Form::Search => "GEOSEARCHSTORE",
                Form::Position | Form::Member => "STORE option in GEORADIUS",
            };
            return Err(CommandError::custom(format!(
                "ERR {command} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let name = call.args.at(0);
        if form == Form::Search && self.center.is_none() && !self.by_member {
            let before = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ";
            return Err(CommandError::quoting(before, name, ""));
        }
        if form == Form::Search && self.shape.is_none() {
            let before = "ERR exactly one of BYRADIUS and BYBOX can be specified for ";
            return Err(CommandError::quoting(before, name, ""));
        }
        if self.any && self.count == 0 {
            return Err(CommandError::ANY_NEEDS_COUNT);
        }
        Ok(())
    }

    /// The members that are wanted, in the order in which they are.
    fn run(&self, zset: ZsetRef<'_>) -> Vec<Found> {
        let mut all = Vec::new();
        let (Some(center), Some(shape)) = (self.center, self.shape) else { return all };
        let enough = if self.any { self.count } else { usize::MAX };
        for area in shape.areas(center) {
            if all.len() >= enough {
                break;
            }
            let (from, to) = area.scores();
            let from = zset.partition(|score, _| score < from);
            let ranks = from..zset.partition(|score, _| score < to).max(from);
            zset.each_while(ranks, false, |member, score| {
                let at = decode(score);
                if let Some(distance_m) = shape.distance_m(center, at) {
                    all.push(Found { member: member.bytes().into_owned(), score, at, distance_m });
                }
                all.len() < enough
            });
        }
        // A count without an order means the nearest ones, unless any will do.
        let nearest = (self.count > 0 && !self.any).then_some(Ordering::Less);
        if let Some(order) = self.order.or(nearest) {
            all.sort_by(|found, other| {
                let by_distance = found.distance_m.total_cmp(&other.distance_m);
                if order == Ordering::Less { by_distance } else { by_distance.reverse() }
            });
        }
        if self.count > 0 {
            all.truncate(self.count);
        }
        all
    }

    fn reply(&self, found: Vec<Found>) -> Reply<'static> {
        let has_facts = self.with_distance || self.with_hash || self.with_position;
        let one = |found: Found| {
            let mut facts = vec![Reply::Owned(found.member)];
            if self.with_distance {
                facts.push(distance_reply(found.distance_m / self.unit_m));
            }
            if self.with_hash {
                facts.push(Reply::Int(found.score as i64));
            }
            if self.with_position {
                facts.push(position_reply(found.at));
            }
            if has_facts { Reply::Array(facts) } else { facts.swap_remove(0) }
        };
        Reply::Array(found.into_iter().map(one).collect())
    }
}

fn search<'c>(
    call: &'c mut Call<'_>,
    source: usize,
    form: Form,
    may_store: bool,
) -> CommandResult<'c> {
    let source = call.key(source);
    let search = Search::read(call, source, form, may_store)?;
    let found = match call.db.view(source) {
        Some(entry) => search.run(ZsetRef::of(entry)?),
        None => Vec::new(),
    };
    let Some(destination) = search.destination else { return Ok(search.reply(found)) };
    let len = found.len();
    if len > 0 {
        let score = |found: &Found| {
            if search.stores_distance { found.distance_m / search.unit_m } else { found.score }
        };
        let members = found.into_iter().map(|found| {
            let score = score(&found);
            (found.member, score)
        });
        let members: Vec<(Vec<u8>, f64)> = members.collect();
        let stated = call.db.changes.logged.then(|| members.clone());
        store(call, destination, members);
        let event = if form == Form::Search { "geosearchstore" } else { "georadiusstore" };
        call.changed(Classes::SORTED_SET, event, destination);
        call.db.changes.dirty += len as u64 - 1;
        // Servers do not find the same where scores are no geohashes or any members will do.
        state_members(call, destination, stated.as_deref().unwrap_or_default());
    } else if call.db.remove(destination) {
        call.changed(Classes::GENERIC, "del", destination);
        call.effect(&[b"DEL", destination.bytes]);
    }
    Ok(Reply::from(len))
}

/// GEORADIUS key longitude latitude radius M | KM | FT | MI \[WITHCOORD\] \[WITHDIST\] \[WITHHASH\]
/// \[COUNT count \[ANY\]\] \[ASC | DESC\] \[STORE key | STOREDIST key\]
pub fn georadius<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    search(call, 1, Form::Position, true)
}

/// GEORADIUS_RO: GEORADIUS that does not store.
pub fn georadius_ro<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    search(call, 1, Form::Position, false)
}

/// GEORADIUSBYMEMBER key member radius M | KM | FT | MI \[WITHCOORD\] \[WITHDIST\] \[WITHHASH\]
/// \[COUNT count \[ANY\]\] \[ASC | DESC\] \[STORE key | STOREDIST key\]
pub fn georadiusbymember<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    search(call, 1, Form::Member, true)
}

/// GEORADIUSBYMEMBER_RO: GEORADIUSBYMEMBER that does not store.
pub fn georadiusbymember_ro<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    search(call, 1, Form::Member, false)
}

/// GEOSEARCH key FROMMEMBER member | FROMLONLAT longitude latitude
/// BYRADIUS radius unit | BYBOX width height unit \[ASC | DESC\] \[COUNT count \[ANY\]\]
/// \[WITHCOORD\] \[WITHDIST\] \[WITHHASH\]
pub fn geosearch<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    search(call, 1, Form::Search, false)
}

/// GEOSEARCHSTORE destination source, then as GEOSEARCH, and STOREDIST
pub fn geosearchstore<'c>(call: &'c mut Call<'_>) -> CommandResult<'c> {
    search(call, 2, Form::Search, true)
}

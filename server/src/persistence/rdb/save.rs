//! The parts of a file besides its keys.

use crate::config::Settings;
use crate::keyspace::SHARDS;
use crate::keyspace::access::Access;
use crate::keyspace::shard::{Db, Shard};
use crate::scripting::functions::Libraries;
use crate::types::rdb::{SaveOptions, put_entry};
use larder_protocol::rdb::{VERSION, Writer, crc64, opcode};
use std::io::{self, Write};

/// Bytes that are written at a time, or a little more.
const CHUNK_BYTES: usize = 128 * 1024;

/// What is said in front of a file.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// When the file was made, in seconds since the Unix epoch.
    pub created_s: i64,
    /// What the data set took, in bytes.
    pub used_bytes: u64,
    /// Where the data set stands in a history of effects, if it is part of one.
    pub history: Option<History<'a>>,
    /// Whether increments of an append-only file follow.
    pub is_aof_base: bool,
}

/// A place in a history of effects.
#[derive(Clone, Copy, Debug)]
pub struct History<'a> {
    /// The name of the history, 40 hexadecimal digits.
    pub id: &'a str,
    /// How many bytes of it came before.
    pub offset: u64,
    /// The database that the next effect speaks of, if one was named.
    pub db: Option<usize>,
}

/// Appends the header: what format it is, and facts about the file.
pub fn put_header(out: &mut Writer, facts: &Facts<'_>) {
    let number = |out: &mut Writer, name: &str, value: i64| {
        out.opcode(opcode::AUX);
        out.string(name.as_bytes());
        out.int_string(value);
    };
    out.raw(format!("REDIS{VERSION:04}").as_bytes());
    out.opcode(opcode::AUX);
    out.string(b"redis-ver");
    out.string(crate::observe::info::REDIS_VERSION.as_bytes());
    number(out, "redis-bits", i64::from(usize::BITS));
    number(out, "ctime", facts.created_s);
    number(out, "used-mem", facts.used_bytes as i64);
    if let Some(history) = facts.history {
        number(out, "repl-stream-db", history.db.map_or(-1, |db| db as i64));
        out.opcode(opcode::AUX);
        out.string(b"repl-id");
        out.string(history.id.as_bytes());
        number(out, "repl-offset", history.offset as i64);
    }
    number(out, "aof-base", facts.is_aof_base.into());
}

/// Appends the libraries of functions.
pub fn put_functions(out: &mut Writer, libraries: &Libraries) {
    for library in libraries.iter() {
        out.opcode(opcode::FUNCTION2);
        out.string(&library.text);
    }
}

/// Appends what stands before the keys of a database: how many there are and how many of them have
/// a deadline are hints only.
pub fn put_database(out: &mut Writer, db: usize, keys: u64, volatile: u64) {
    out.opcode(opcode::SELECTDB);
    out.length(db as u64);
    out.opcode(opcode::RESIZEDB);
    out.length(keys);
    out.length(volatile);
}

/// Appends the end and the checksum; `before` is the checksum of all bytes of the file that came
/// before those in `out`, or nothing when the file shall have none.
pub fn put_footer(out: &mut Writer, before: Option<u64>) {
    out.opcode(opcode::EOF);
    let checksum = before.map_or(0, |before| crc64(before, out.as_bytes()));
    out.raw(&checksum.to_le_bytes());
}

/// Writes the data set as it is now, in a file's form; needs all shards, and nothing else happens
/// meanwhile. Gives the number of keys.
///
/// # Errors
/// What the writer says.
pub fn put_all(
    access: &mut Access<'_>,
    (settings, libraries): (&Settings, &Libraries),
    facts: &Facts<'_>,
    to: impl Write,
) -> io::Result<u64> {
    let options = SaveOptions::of(settings, access.now_ms());
    let out = Writer::new(settings.rdbcompression);
    let mut file = Whole { out, to, checksum: 0, keys: 0 };
    put_header(&mut file.out, facts);
    put_functions(&mut file.out, libraries);
    for db in 0..access.keyspace().databases() {
        let mut sum = |of: fn(&Db) -> usize| {
            let one = |index| access.walk(index, |shard| shard.db(db).map_or(0, of));
            (0..SHARDS).map(one).sum::<usize>() as u64
        };
        let (keys, volatile) = (sum(Db::len), sum(Db::volatile));
        if keys > 0 {
            put_database(&mut file.out, db, keys, volatile);
            (0..SHARDS).try_for_each(|index| {
                let mut result = Ok(());
                access.walk(index, |shard| result = file.put_shard(shard, db, options));
                result
            })?;
        }
    }
    let before = settings.rdbchecksum.then_some(file.checksum);
    put_footer(&mut file.out, before);
    file.to.write_all(file.out.as_bytes())?;
    file.to.flush()?;
    Ok(file.keys)
}

/// A file that is being written.
struct Whole<W> {
    out: Writer,
    to: W,
    /// That of all that left `out`.
    checksum: u64,
    keys: u64,
}

impl<W: Write> Whole<W> {
    fn put_shard(&mut self, shard: &Shard, db: usize, options: SaveOptions) -> io::Result<()> {
        let Some(db) = shard.db(db) else { return Ok(()) };
        for entry in db.table().iter() {
            put_entry(&mut self.out, entry, options);
            self.keys += 1;
            if self.out.len() >= CHUNK_BYTES {
                self.checksum = crc64(self.checksum, self.out.as_bytes());
                self.to.write_all(self.out.as_bytes())?;
                self.out.clear();
            }
        }
        Ok(())
    }
}

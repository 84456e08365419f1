//! A file becomes a data set.

use crate::config::Settings;
use crate::keyspace::Keyspace;
use crate::keyspace::dataset::DataSet;
use crate::keyspace::evict::{self, Touch};
use crate::keyspace::expire::is_due;
use crate::raw::Entry;
use crate::types::rdb::{Encodings, module_name, read_value};
use larder_protocol::number::parse_i64;
use larder_protocol::rdb::{Dialect, Error, Reader, opcode};
use std::io::Read;

/// The first version whose files end with a checksum.
const CHECKSUM_VERSION: u16 = 5;
/// Letters of a key that an error shows.
const SHOWN_BYTES: usize = 64;
/// What the DEL of a key takes in the log, besides its name.
const EXPIRED_BYTES: usize = 24;

/// How a file is read.
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    /// The thresholds between forms of values, the policy that says what access fields mean, and
    /// whether checksums are looked at.
    pub settings: &'a Settings,
    /// The time, in milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// Whether keys that are due are left out: only who decides about expiry may do so.
    pub drops_due: bool,
    /// Whether the checksum is looked at, if `rdbchecksum` says so.
    pub checks_sum: bool,
}

/// What a file said besides its keys.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Facts about the file.
    pub aux: Aux,
    /// How many keys were read.
    pub keys: u64,
    /// How many were left out because they were due.
    pub expired: u64,
    /// Their databases and names; none where those alone would fill the backlog, so that nobody who
    /// still has them can go on.
    pub expired_keys: Option<Vec<(usize, Vec<u8>)>>,
    /// The texts of the libraries of functions.
    pub functions: Vec<Vec<u8>>,
    /// How many bytes the file has, its checksum included.
    pub bytes: u64,
    /// Bytes behind the file that were read from the source already.
    pub unread: Vec<u8>,
}

/// Facts about a file, as far as it tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aux {
    /// The version of the server that wrote it.
    pub version: Option<String>,
    /// When it was made, in seconds since the Unix epoch.
    pub created_s: Option<i64>,
    /// What the data set took, in bytes.
    pub used_bytes: Option<u64>,
    /// The history of effects that the data set is part of: 40 hexadecimal digits.
    pub repl_id: Option<String>,
    /// How many bytes of the history came before.
    pub repl_offset: Option<u64>,
    /// The database that the next effect speaks of.
    pub repl_stream_db: Option<usize>,
    /// Whether increments of an append-only file follow.
    pub is_aof_base: bool,
}

/// Reads a file from a source into a data set that will take the place of the keyspace's.
///
/// What is behind the file stays where it is, but for what the answer gives as unread.
///
/// # Errors
/// The source fails or ends, or the file is not right; what was read until then is in the data set,
/// which is worth nothing.
pub fn load(
    mut source: impl Read,
    keyspace: &Keyspace,
    into: &mut DataSet,
    options: LoadOptions<'_>,
) -> Result<Loaded, Error> {
    let touch = Touch::new(options.settings, options.now_ms, || 0);
    let mut loader = Loader {
        reader: Reader::of_source(&mut source),
        keyspace,
        into,
        encodings: Encodings::of(options.settings),
        fresh: touch.fresh(),
        options,
        db: 0,
        next: Attributes::default(),
        loaded: Loaded::default(),
        expired_bytes: 0,
    };
    loader.load()?;
    Ok(loader.loaded)
}

struct Loader<'l> {
    reader: Reader<'l>,
    keyspace: &'l Keyspace,
    into: &'l mut DataSet,
    encodings: Encodings,
    options: LoadOptions<'l>,
    /// The access field of a key of which nothing is known.
    fresh: u32,
    db: usize,
    next: Attributes,
    loaded: Loaded,
    /// What the DEL of all expired keys would take.
    expired_bytes: u64,
}

/// What is said of a key before it comes.
#[derive(Default)]
struct Attributes {
    deadline_ms: Option<i64>,
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

impl Loader<'_> {
    fn load(&mut self) -> Result<(), Error> {
        let version = self.read_signature()?;
        let mut key = Vec::new();
        loop {
            match self.reader.opcode()? {
                opcode::EOF => break,
                kind @ 0..opcode::SLOT_IMPORT => self.read_key(kind, &mut key)?,
                opcode => self.read_part(opcode)?,
            }
        }
        if version >= CHECKSUM_VERSION {
            let actual = self.reader.checksum();
            let stated = self.reader.checksum_bytes()?;
            let checks = self.options.settings.rdbchecksum && self.options.checks_sum;
            if checks && stated != 0 && stated != actual {
                return Err(self.reader.corrupt(format!(
                    "RDB CRC error: the checksum is {stated:016x}, that of the data is {actual:016x}"
                )));
            }
        }
        self.loaded.bytes = self.reader.offset();
        self.loaded.unread = self.reader.unread().to_vec();
        Ok(())
    }

    /// The version of the format.
    fn read_signature(&mut self) -> Result<u16, Error> {
        let signature = self.reader.take(9)?;
        let digits = signature.strip_prefix(b"REDIS").or(signature.strip_prefix(b"VALKEY"));
        let is_valkey = signature.starts_with(b"VALKEY");
        let version = digits.and_then(|digits| {
            let is_number = digits.iter().all(u8::is_ascii_digit);
            let number = digits.iter().fold(0, |sum, digit| 10 * sum + u16::from(digit & 0x0f));
            is_number.then_some(number)
        });
        let Some(version) = version else {
            return Err(self.reader.corrupt("this is no dump file: it begins in another way"));
        };
        match Dialect::of_version(version) {
            Some(dialect) if (dialect == Dialect::Valkey) == is_valkey => {
                self.reader.set_dialect(dialect);
                Ok(version)
            }
            _ => Err(self.reader.refused(format!("version {version} of the format is not known"))),
        }
    }

    fn read_part(&mut self, opcode: u8) -> Result<(), Error> {
        match opcode {
            opcode::EXPIRETIME_MS => {
                self.next.deadline_ms = deadline(self.reader.millis()?);
            }
            opcode::EXPIRETIME => {
                let seconds = self.reader.seconds()?;
                self.next.deadline_ms =
                    if seconds == -1 { None } else { deadline(i64::from(seconds) * 1000) };
            }
            opcode::IDLE => self.next.idle_s = Some(self.reader.length()?),
            opcode::FREQ => self.next.frequency = Some(self.reader.opcode()?),
            opcode::SELECTDB => {
                let (number, databases) = (self.reader.length()?, self.keyspace.databases());
                let db = usize::try_from(number).ok().filter(|db| *db < databases);
                self.db = db.ok_or_else(|| {
                    self.reader.refused(format!(
                        "there is a database {number}, and here are only {databases} databases"
                    ))
                })?;
            }
            // Hints, and as good as claims.
            opcode::RESIZEDB => {
                self.reader.length()?;
                self.reader.length()?;
            }
            opcode::SLOT_INFO => {
                for _ in 0..3 {
                    self.reader.length()?;
                }
            }
            opcode::AUX => self.read_aux()?,
            opcode::FUNCTION2 => {
                let text = self.reader.string()?.into_owned();
                self.loaded.functions.push(text);
            }
            opcode::FUNCTION_PRE_GA => {
                return Err(self.reader.refused("functions in a form that never was released"));
            }
            opcode::MODULE_AUX => self.skip_module()?,
            _ => {
                return Err(self
                    .reader
                    .refused("hash slots that are being imported into a cluster"));
            }
        }
        Ok(())
    }

    fn read_aux(&mut self) -> Result<(), Error> {
        let name = self.reader.string()?.into_owned();
        let value = self.reader.string()?;
        let aux = &mut self.loaded.aux;
        let number = || parse_i64(&value);
        let text = || String::from_utf8_lossy(&value).into_owned();
        match &*name.to_ascii_lowercase() {
            b"redis-ver" => aux.version = Some(text()),
            b"valkey-ver" => aux.version = Some(text()),
            b"ctime" => aux.created_s = number(),
            b"used-mem" => aux.used_bytes = number().and_then(|bytes| bytes.try_into().ok()),
            b"repl-id" if value.len() == 40 => aux.repl_id = Some(text()),
            b"repl-offset" => aux.repl_offset = number().and_then(|offset| offset.try_into().ok()),
            b"repl-stream-db" => aux.repl_stream_db = number().and_then(|db| db.try_into().ok()),
            b"aof-base" => aux.is_aof_base = number() == Some(1),
            // Others may tell what they like.
            _ => {}
        }
        Ok(())
    }

    /// Passes over what a module keeps besides its values.
    fn skip_module(&mut self) -> Result<(), Error> {
        let name = module_name(self.reader.length()?);
        let is_known = self.reader.length()? == opcode::module::UINT;
        self.reader.length()?;
        if !is_known {
            return Err(self.reader.corrupt("a module's part in an unknown form"));
        }
        tracing::warn!(module = name, "The dump file has data of a module, which is left out");
        loop {
            match self.reader.length()? {
                opcode::module::EOF => return Ok(()),
                opcode::module::SINT | opcode::module::UINT => {
                    self.reader.length()?;
                }
                opcode::module::FLOAT => {
                    self.reader.take(size_of::<f32>())?;
                }
                opcode::module::DOUBLE => {
                    self.reader.double()?;
                }
                opcode::module::STRING => {
                    self.reader.text()?;
                }
                _ => return Err(self.reader.corrupt("a module's part of an unknown kind")),
            }
        }
    }

    fn read_key(&mut self, kind: u8, name: &mut Vec<u8>) -> Result<(), Error> {
        self.reader.string_into(name)?;
        let Attributes { deadline_ms, idle_s, frequency } = std::mem::take(&mut self.next);
        let access = match (idle_s, frequency) {
            (None, None) => self.fresh,
            (idle_s, frequency) => self.access(idle_s, frequency),
        };
        let entry = read_value(&mut self.reader, kind, &self.encodings, |value| {
            Entry::new(name, value, deadline_ms, access)
        })?;
        // There were servers that wrote collections without elements.
        let Some(entry) = entry else { return Ok(()) };
        if self.options.drops_due
            && deadline_ms.is_some_and(|deadline_ms| is_due(deadline_ms, self.options.now_ms))
        {
            self.note_expired(name);
            return Ok(());
        }
        let key = self.keyspace.key(name);
        if self.into.insert(self.db, key, entry).is_err() {
            let shown = String::from_utf8_lossy(&name[..name.len().min(SHOWN_BYTES)]);
            let reason = format!("the key '{shown}' is there twice in database {}", self.db);
            return Err(self.reader.corrupt(reason));
        }
        self.loaded.keys += 1;
        Ok(())
    }

    #[cold]
    fn note_expired(&mut self, name: &[u8]) {
        if self.loaded.expired == 0 {
            self.loaded.expired_keys = Some(Vec::new());
        }
        self.loaded.expired += 1;
        self.expired_bytes += (name.len() + EXPIRED_BYTES) as u64;
        if self.expired_bytes > self.options.settings.repl_backlog_size_bytes {
            self.loaded.expired_keys = None;
        } else if let Some(keys) = &mut self.loaded.expired_keys {
            keys.push((self.db, name.to_vec()));
        }
    }

    /// The access field of a key of which something is said.
    #[cold]
    fn access(&self, idle_s: Option<u64>, frequency: Option<u8>) -> u32 {
        let now_ms = self.options.now_ms;
        let known = if self.options.settings.maxmemory_policy.is_lfu() {
            frequency.map(|frequency| evict::access_for_frequency(frequency, now_ms))
        } else {
            idle_s.map(|idle_s| {
                let idle_ms = i64::try_from(idle_s).unwrap_or(i64::MAX).saturating_mul(1000);
                evict::access_for_idle(idle_ms, now_ms)
            })
        };
        known.unwrap_or(self.fresh)
    }
}

/// A deadline as a file tells it: -1 is none, and no time is before the epoch.
fn deadline(time_ms: i64) -> Option<i64> {
    (time_ms != -1).then_some(time_ms.max(0))
}

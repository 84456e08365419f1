//! A store for the `tower-sessions` crate.
//!
//! A record is a hash under the digest of its id, one field for each entry of its data. A save
//! changes the entries that the request changed and no others, so two requests of one session lose
//! nothing unless they change the same entry. It never brings a record back: one that was deleted
//! meanwhile stays deleted, and the save fails if the request had changed anything.
//!
//! What a record held when it was loaded travels in its data under [`BASE`], as a digest of each
//! entry.

#[cfg(all(test, feature = "embedded"))]
mod tests;

use crate::error::Error;
use crate::net::Net;
use crate::routing::Target;
use crate::script::{Script, step};
use crate::value::Value;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{self, SessionStore};

/// The entry of a record's data that says what it held when it was loaded. It is not stored.
pub const BASE: &str = "\u{0}larder-base";

/// Ids are random; one that is taken already is the error of a generator, so few are tried.
const ID_TRIES: u32 = 8;
/// How long a deletion waits for a replica to have it.
const WAIT: Duration = Duration::from_millis(100);
/// The end of the year 9999, the latest date that can be told.
const LATEST_MS: i64 = 253_402_300_799_000;
/// Larger records are refused.
const MOST_BYTES: usize = 64 << 10;

/// Sessions of `tower-sessions`, kept in the nodes of a [`Net`]. Clones are the same store.
///
/// ```no_run
/// use larder_client::adapters::tower_sessions::Store;
/// use larder_client::{Endpoints, Net};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let net = Net::builder().endpoints(Endpoints::single("localhost:6379")?).connect().await?;
/// let layer = tower_sessions::SessionManagerLayer::new(Store::new(&net, "web"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    net: Net,
    name: String,
    pepper: Option<Vec<u8>>,
    target: Target,
    create: Script,
    save: Script,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Store").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl Store {
    /// A store under a name. The same name, the same sessions.
    pub fn new(net: &Net, name: &str) -> Self {
        Self {
            inner: Arc::new(Inner {
                net: net.clone(),
                // A brace would end the part of the key that chooses its slot.
                name: name.replace(['{', '}'], "_"),
                pepper: None,
                target: Target::Primary,
                create: step!("records/create.lua"),
                save: step!("records/save.lua"),
            }),
        }
    }

    /// Digests of ids are made with this secret too, so that who can read the nodes' memory cannot
    /// tell whether an id that he was given is in use. Another pepper, other sessions.
    #[must_use]
    pub fn pepper(self, secret: impl Into<Vec<u8>>) -> Self {
        self.with(|inner| inner.pepper = Some(secret.into()))
    }

    /// Where records are read: at the primary unless it is set. What a replica does not have is
    /// looked for at the primary; what it has may be as old as the target allows.
    #[must_use]
    pub fn target(self, target: Target) -> Self {
        self.with(|inner| inner.target = target)
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let Inner { net, name, pepper, target, create, save } = &*self.inner;
        let mut inner = Inner {
            net: net.clone(),
            name: name.clone(),
            pepper: pepper.clone(),
            target: *target,
            create: create.clone(),
            save: save.clone(),
        };
        change(&mut inner);
        Self { inner: Arc::new(inner) }
    }

    /// What a record is stored under.
    fn key(&self, id: Id) -> Vec<u8> {
        let bytes = id.0.to_be_bytes();
        let digest: [u8; 32] = match &self.inner.pepper {
            Some(pepper) => {
                // An HMAC takes a key of any length; the other arm cannot be reached.
                match Hmac::<Sha256>::new_from_slice(pepper) {
                    Ok(mut hmac) => {
                        hmac.update(&bytes);
                        hmac.finalize().into_bytes().into()
                    }
                    Err(_) => Sha256::digest([pepper, &bytes[..]].concat()).into(),
                }
            }
            None => Sha256::digest(bytes).into(),
        };
        format!("{{{}:r:{}}}", self.inner.name, URL_SAFE_NO_PAD.encode(digest)).into_bytes()
    }

    async fn fields(&self, key: &[u8], target: Target) -> Result<Vec<(Value, Value)>, Error> {
        self.inner.net.read(&[b"HGETALL", key], target).await?.into_pairs()
    }
}

#[async_trait]
impl SessionStore for Store {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        let fields = encode(&record.data)?;
        let call = call_id();
        let deadline = deadline_ms(record).to_string();
        for _ in 0..ID_TRIES {
            let key = self.key(record.id);
            let mut args = vec![call.as_bytes(), deadline.as_bytes()];
            args.extend(fields.iter().flat_map(|(name, value)| [&name[..], &value[..]]));
            let Inner { net, create, .. } = &*self.inner;
            let made = net.run(create, &[&key], &args, Target::Primary).await.map_err(backend)?;
            if made.as_int().map_err(backend)? == 1 {
                record.data.insert(BASE.to_owned(), base(&fields));
                return Ok(());
            }
            record.id = Id::default();
        }
        Err(session_store::Error::Backend("no id is free".to_owned()))
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        let fields = encode(&record.data)?;
        let known = record.data.get(BASE).and_then(Json::as_object);
        let is_known = |name: &[u8], value: &[u8]| {
            let known = known.and_then(|known| known.get(std::str::from_utf8(name).ok()?));
            known.and_then(Json::as_str).is_some_and(|known| known == digest(value))
        };
        let changed: Vec<_> =
            fields.iter().filter(|(name, value)| !is_known(name, value)).collect();
        let is_kept = |name: &str| fields.iter().any(|(kept, _)| kept == name.as_bytes());
        let removed = known.into_iter().flat_map(|known| known.keys());
        let removed: Vec<_> = removed.filter(|name| !is_kept(name)).collect();
        // Without what it held at first, nobody can tell what the request removed.
        let replaces: &[u8] = if known.is_some() { b"0" } else { b"1" };
        let (call, deadline) = (call_id(), deadline_ms(record).to_string());
        let count = changed.len().to_string();
        let mut args = vec![call.as_bytes(), deadline.as_bytes(), replaces, count.as_bytes()];
        args.extend(changed.iter().flat_map(|(name, value)| [&name[..], &value[..]]));
        args.extend(removed.iter().map(|name| name.as_bytes()));
        let key = self.key(record.id);
        let Inner { net, save, .. } = &*self.inner;
        let saved = net.run(save, &[&key], &args, Target::Primary).await.map_err(backend)?;
        let is_modified = known.is_none() || !changed.is_empty() || !removed.is_empty();
        if saved.as_int().map_err(backend)? == 0 && is_modified {
            return Err(session_store::Error::Backend("the session is gone".to_owned()));
        }
        Ok(())
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let key = self.key(*id);
        let mut pairs = self.fields(&key, self.inner.target).await.map_err(backend)?;
        if pairs.is_empty() && self.inner.target != Target::Primary {
            pairs = self.fields(&key, Target::Primary).await.map_err(backend)?;
        }
        decode(*id, pairs)
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        let Inner { net, .. } = &*self.inner;
        net.write(&[b"DEL", &self.key(*id)]).await.map_err(backend)?;
        // The primary has done it; whether it would survive the primary is worth a short wait only.
        match net.wait_replicas(1, WAIT).await {
            Ok(replicas) => tracing::debug!(replicas, "a session was deleted"),
            Err(error) => tracing::debug!(%error, "nobody knows which replicas deleted a session"),
        }
        Ok(())
    }
}

fn backend(error: Error) -> session_store::Error {
    session_store::Error::Backend(error.to_string())
}

/// A name for one call, by which the server knows it when it is sent again: twelve letters.
fn call_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(12).collect()
}

fn deadline_ms(record: &Record) -> i64 {
    let ms = record.expiry_date.unix_timestamp_nanos() / 1_000_000;
    i64::try_from(ms).unwrap_or(LATEST_MS).clamp(0, LATEST_MS)
}

/// Names and values of fields; names begin with a dot.
type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn encode(data: &HashMap<String, Json>) -> session_store::Result<Fields> {
    let mut bytes = 0;
    let field = |(name, value): (&String, &Json)| {
        let value = serde_json::to_vec(value)
            .map_err(|error| session_store::Error::Encode(error.to_string()))?;
        let name = format!(".{name}").into_bytes();
        bytes += name.len() + value.len();
        Ok((name, value))
    };
    let entries = data.iter().filter(|(name, _)| *name != BASE);
    let fields = entries.map(field).collect::<session_store::Result<Fields>>()?;
    if bytes > MOST_BYTES {
        let why = format!("the session would have {bytes} bytes, more than {MOST_BYTES}");
        return Err(session_store::Error::Encode(why));
    }
    Ok(fields)
}

fn digest(value: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(value)[..12])
}

fn base(fields: &Fields) -> Json {
    let entry = |(name, value): &(Vec<u8>, Vec<u8>)| {
        (String::from_utf8_lossy(name).into_owned(), Json::String(digest(value)))
    };
    Json::Object(fields.iter().map(entry).collect())
}

fn decode(id: Id, pairs: Vec<(Value, Value)>) -> session_store::Result<Option<Record>> {
    let wrong = |what: &str| session_store::Error::Decode(format!("{what} cannot be read"));
    let (mut data, mut fields, mut deadline_ms) = (HashMap::new(), Fields::new(), None);
    for (name, value) in pairs {
        let name = name.as_str().ok_or_else(|| wrong("a field's name"))?.to_owned();
        if name == "_e" {
            deadline_ms = Some(value.as_int().map_err(|_| wrong("the deadline"))?);
        } else if let Some(entry) = name.strip_prefix('.') {
            let bytes = value.as_bytes().ok_or_else(|| wrong(entry))?;
            data.insert(entry.to_owned(), serde_json::from_slice(bytes).map_err(|_| wrong(entry))?);
            fields.push((name.into_bytes(), bytes.to_vec()));
        }
    }
    let Some(deadline_ms) = deadline_ms else { return Ok(None) };
    let nanos = i128::from(deadline_ms) * 1_000_000;
    let expiry_date =
        OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| wrong("the deadline"))?;
    data.insert(BASE.to_owned(), base(&fields));
    Ok(Some(Record { id, data, expiry_date }))
}

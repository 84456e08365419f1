//! The steps at the server: keys and arguments of the scripts, and what they give.

use super::data::Fields;
use super::token::{Digest, SessionToken};
use super::{Grace, Inner, Patch, SessionEntry, SessionError, millis};
use crate::error::Error;
use crate::routing::Target;
use crate::value::Value;
use std::time::Duration;

/// What the server adds to the time for which it has to remember a generation: clocks and lag.
const MARGIN_MS: u64 = 3_600_000;

/// A session that began.
pub(super) struct Begun {
    pub(super) now_ms: u64,
    pub(super) version: u64,
}

/// A session as it is stored.
pub(super) struct Found {
    pub(super) digest: Digest,
    pub(super) now_ms: u64,
    pub(super) remaining: Duration,
    pub(super) user: String,
    pub(super) version: u64,
    pub(super) created_ms: u64,
    pub(super) touched_ms: u64,
    pub(super) absolute_ms: u64,
    pub(super) schema: String,
    pub(super) label: String,
    pub(super) fields: Fields,
}

/// A change of the data.
pub(super) struct Change<'p> {
    /// The version that the session must have.
    pub(super) expected: Option<u64>,
    /// Whether fields that are not named go.
    pub(super) replaces: bool,
    pub(super) patch: &'p Patch,
}

/// A name for one call, by which the server knows it when it is sent again.
fn nonce() -> Vec<u8> {
    format!("{:032x}", fastrand::u128(..)).into_bytes()
}

fn number(value: u64) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The numbers that a script gave, its state first.
fn numbers(value: Value) -> Result<Vec<i64>, Error> {
    value.into_array()?.iter().map(Value::as_int).collect()
}

fn at(numbers: &[i64], index: usize) -> Result<u64, Error> {
    let number = numbers.get(index).and_then(|number| u64::try_from(*number).ok());
    number.ok_or(Error::Reply("what the script gives"))
}

impl Inner {
    pub(super) fn digest(&self, token: &SessionToken) -> Digest {
        token.digest(self.options.pepper.as_deref())
    }

    fn key(&self, kind: &str, name: &str) -> Vec<u8> {
        format!("{}:{kind}:{name}", self.name).into_bytes()
    }

    fn events(&self) -> Vec<u8> {
        format!("{}:events", self.name).into_bytes()
    }

    pub(super) async fn create(
        &self,
        digest: &Digest,
        user: &str,
        label: &str,
        schema: &str,
        fields: &Fields,
    ) -> Result<Option<Begun>, SessionError> {
        let keys = [self.key("s", digest.as_str()), self.key("u", user), self.key("g", user)];
        let options = &self.options;
        let (most, evicts) = match options.per_user {
            None => (0, false),
            Some((most, over)) => (most, over == super::builder::Over::EvictOldest),
        };
        let mut args = vec![
            nonce(),
            digest.as_str().into(),
            user.into(),
            number(millis(options.idle)),
            number(millis(options.absolute)),
            number(most),
            number(evicts.into()),
            schema.into(),
            label.into(),
            self.key("s", ""),
            self.key("x", ""),
            self.events(),
            number(millis(options.mark)),
            number(millis(options.absolute) + MARGIN_MS),
        ];
        for (name, value) in fields {
            args.push(name.as_bytes().to_vec());
            args.push(value.clone());
        }
        let given = numbers(self.run(&self.scripts.create, &keys, &args).await?)?;
        match given.first() {
            Some(1) => Ok(Some(Begun { now_ms: at(&given, 1)?, version: at(&given, 2)? })),
            Some(0) => Ok(None),
            Some(-1) => Err(SessionError::TooMany),
            _ => Err(Error::Reply("what the script gives").into()),
        }
    }

    pub(super) async fn load(
        &self,
        digest: &Digest,
        target: Target,
    ) -> Result<Option<Found>, SessionError> {
        let keys = [self.key("s", digest.as_str()), self.key("x", digest.as_str())];
        let args = [digest.as_str().into(), self.key("s", ""), self.key("g", "")];
        let (keys, args) = (slices(&keys), slices(&args));
        let value = self.net.run(&self.scripts.load, &keys, &args, target).await?;
        found(value).map_err(Into::into)
    }

    pub(super) async fn touch(
        &self,
        digest: &Digest,
        user: &str,
    ) -> Result<Duration, SessionError> {
        let keys = [self.key("s", digest.as_str()), self.key("u", user)];
        let args = [digest.as_str().into(), number(millis(self.options.idle))];
        match self.run(&self.scripts.touch, &keys, &args).await?.as_int()? {
            0 => Err(SessionError::Gone),
            left_ms => Ok(Duration::from_millis(u64::try_from(left_ms).unwrap_or(0))),
        }
    }

    pub(super) async fn change(
        &self,
        digest: &Digest,
        user: &str,
        change: Change<'_>,
    ) -> Result<u64, SessionError> {
        let keys = [self.key("s", digest.as_str()), self.key("u", user)];
        let most_bytes = self.options.most_bytes;
        let mut args = vec![
            nonce(),
            digest.as_str().into(),
            number(millis(self.options.idle)),
            change.expected.map(number).unwrap_or_default(),
            number(most_bytes as u64),
            number(change.replaces.into()),
            number(change.patch.set.len() as u64),
        ];
        for (name, value) in &change.patch.set {
            args.push(name.as_bytes().to_vec());
            args.push(value.clone());
        }
        args.extend(change.patch.removed.iter().map(|name| name.as_bytes().to_vec()));
        let given = numbers(self.run(&self.scripts.patch, &keys, &args).await?)?;
        match given.first() {
            Some(1) => Ok(at(&given, 1)?),
            Some(0) => Err(SessionError::Gone),
            Some(-1) => Err(SessionError::Conflict { current: at(&given, 1)? }),
            Some(-2) => Err(SessionError::TooLarge { most_bytes }),
            _ => Err(Error::Reply("what the script gives").into()),
        }
    }

    pub(super) async fn rotate(
        &self,
        old: &Digest,
        new: &Digest,
        user: &str,
        grace: Grace,
    ) -> Result<(u64, Duration), SessionError> {
        let keys = [
            self.key("s", old.as_str()),
            self.key("s", new.as_str()),
            self.key("u", user),
            self.key("x", old.as_str()),
        ];
        let grace_ms = match grace {
            Grace::None => 0,
            Grace::For(duration) => millis(duration),
        };
        let args = [
            nonce(),
            old.as_str().into(),
            new.as_str().into(),
            number(grace_ms),
            number(millis(self.options.mark)),
            self.events(),
        ];
        let given = numbers(self.run(&self.scripts.rotate, &keys, &args).await?)?;
        match given.first() {
            Some(1) => Ok((at(&given, 1)?, Duration::from_millis(at(&given, 2)?))),
            Some(0) => Err(SessionError::Gone),
            _ => Err(Error::Reply("what the script gives").into()),
        }
    }

    pub(super) async fn close(&self, digest: &Digest, user: &str) -> Result<bool, SessionError> {
        let keys =
            [self.key("s", digest.as_str()), self.key("u", user), self.key("x", digest.as_str())];
        let mark = number(millis(self.options.mark));
        let args = [digest.as_str().into(), mark, self.events(), user.into()];
        Ok(self.run(&self.scripts.close, &keys, &args).await?.as_int()? == 1)
    }

    pub(super) async fn close_all(
        &self,
        user: &str,
        keep: Option<&Digest>,
    ) -> Result<u64, SessionError> {
        let keys = [self.key("u", user), self.key("g", user)];
        let args = [
            nonce(),
            keep.map_or("", Digest::as_str).into(),
            self.key("s", ""),
            self.key("x", ""),
            number(millis(self.options.mark)),
            self.events(),
            user.into(),
            number(millis(self.options.absolute) + MARGIN_MS),
        ];
        let count = self.run(&self.scripts.close_all, &keys, &args).await?.as_int()?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(super) async fn list(&self, user: &str) -> Result<Vec<SessionEntry>, SessionError> {
        let keys = [self.key("u", user), self.key("g", user)];
        let args = [self.key("s", "")];
        let value = self.run(&self.scripts.list, &keys, &args).await?;
        value.into_array()?.into_iter().map(entry).collect::<Result<_, _>>().map_err(Into::into)
    }

    /// How many replicas have what was written last, as far as they are waited for.
    pub(super) async fn confirm(&self) -> u64 {
        if self.options.replicas == 0 {
            return 0;
        }
        let waited = self.net.wait_replicas(self.options.replicas, self.options.replicas_timeout);
        waited.await.unwrap_or_else(|error| {
            tracing::debug!(%error, "nobody knows how many replicas have it");
            0
        })
    }

    async fn run(
        &self,
        script: &crate::Script,
        keys: &[Vec<u8>],
        args: &[Vec<u8>],
    ) -> Result<Value, Error> {
        self.net.run(script, &slices(keys), &slices(args), Target::Primary).await
    }
}

fn slices(parts: &[Vec<u8>]) -> Vec<&[u8]> {
    parts.iter().map(Vec::as_slice).collect()
}

/// What `load.lua` gives.
fn found(value: Value) -> Result<Option<Found>, Error> {
    let wrong = || Error::Reply("what the script gives");
    let mut given = value.into_array()?.into_iter();
    if given.next().ok_or_else(wrong)?.as_int()? != 1 {
        return Ok(None);
    }
    let digest = text(given.next().ok_or_else(wrong)?)?;
    let count = |value: Option<Value>| {
        let number = value.ok_or_else(wrong)?.as_int()?;
        u64::try_from(number).map_err(|_| wrong())
    };
    let now_ms = count(given.next())?;
    // A session that is due this very moment may still be there.
    let left_ms = given.next().ok_or_else(wrong)?.as_int()?;
    let Ok(left_ms) = u64::try_from(left_ms) else { return Ok(None) };
    let mut found = Found {
        digest: Digest(digest),
        now_ms,
        remaining: Duration::from_millis(left_ms),
        user: String::new(),
        version: 0,
        created_ms: 0,
        touched_ms: 0,
        absolute_ms: 0,
        schema: String::new(),
        label: String::new(),
        fields: Fields::new(),
    };
    for (name, value) in given.next().ok_or_else(wrong)?.into_pairs()? {
        let name = text(name)?;
        match name.as_str() {
            "_u" => found.user = text(value)?,
            "_v" => found.version = count(Some(value))?,
            "_c" => found.created_ms = count(Some(value))?,
            "_t" => found.touched_ms = count(Some(value))?,
            "_a" => found.absolute_ms = count(Some(value))?,
            "_s" => found.schema = text(value)?,
            "_l" => found.label = text(value)?,
            ours if ours.starts_with('_') => {}
            _ => found.fields.push((name, value.into_bytes()?.unwrap_or_default())),
        }
    }
    Ok(Some(found))
}

/// One of what `list.lua` gives.
fn entry(value: Value) -> Result<SessionEntry, Error> {
    let wrong = || Error::Reply("what the script gives");
    let mut given = value.into_array()?.into_iter();
    let digest = Digest(text(given.next().ok_or_else(wrong)?)?);
    let mut count = || {
        let number = given.next().ok_or_else(wrong)?.as_int()?;
        Ok::<u64, Error>(u64::try_from(number).unwrap_or(0))
    };
    let (created_ms, touched_ms, left_ms) = (count()?, count()?, count()?);
    let label = given.next().map(text).transpose()?.unwrap_or_default();
    let remaining = Duration::from_millis(left_ms);
    Ok(SessionEntry { digest, created_ms, touched_ms, remaining, label })
}

fn text(value: Value) -> Result<String, Error> {
    let bytes = value.into_bytes()?.unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| Error::Reply("text"))
}

//! The steps at the server: keys and arguments of the scripts, and what they give.

use super::data::Fields;
use super::owed::Owed;
use super::token::{Digest, SessionToken, Tag};
use super::{Grace, Inner, Patch, SessionEntry, SessionError, millis};
use crate::Script;
use crate::error::Error;
use crate::journal::{Debtor, Trust};
use crate::routing::Target;
use crate::routing::token::Token;
use crate::value::Value;
use std::time::{Duration, Instant};

/// What the server adds to the time for which it has to remember a generation: clocks and lag.
const MARGIN_MS: u64 = 3_600_000;
/// Digests that a session may have had since a handle of it was read.
const HOPS: u32 = 16;
/// What is wrong with one that has more.
const ENDLESS: &str = "a session that has one digest after another";
/// Tries to name those that have to end for a new session, against others who are faster.
const NAMINGS: u32 = 16;
/// Sessions that one script ends or describes at most.
const BATCH: usize = 500;

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
    /// When it was given its digest.
    pub(super) issued_ms: u64,
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

/// What became of a rotation.
pub(super) enum Rotated {
    Done {
        version: u64,
        remaining: Duration,
    },
    /// The new digest is taken.
    Taken,
    /// It has had its digest for less than it should.
    TooSoon,
}

/// What a script is given: keys and arguments.
type Parts = (Vec<Vec<u8>>, Vec<Vec<u8>>);

/// What a script gave.
struct Given {
    state: i64,
    parts: std::vec::IntoIter<Value>,
    /// The digest that the session had, after all those that led there.
    digest: Digest,
    before: Vec<Digest>,
    token: Option<Token>,
}

impl Given {
    fn of(value: Value) -> Result<Self, Error> {
        let mut parts = value.into_array()?.into_iter();
        let state = parts.next().ok_or(Error::Reply("what the script gives"))?.as_int()?;
        let digest = Digest(String::new());
        Ok(Self { state, parts, digest, before: Vec::new(), token: None })
    }

    fn next(&mut self) -> Result<Value, Error> {
        self.parts.next().ok_or(Error::Reply("what the script gives"))
    }

    fn count(&mut self) -> Result<u64, Error> {
        u64::try_from(self.next()?.as_int()?).map_err(|_| Error::Reply("what the script gives"))
    }

    fn digests(&mut self) -> Result<Vec<Digest>, Error> {
        let digests = self.next()?.into_array()?.into_iter();
        digests.map(|digest| text(digest).map(Digest)).collect()
    }
}

/// A name for one call, by which the server knows it when it is sent again: twelve letters.
pub(super) fn call_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(12).collect()
}

fn number(value: u64) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn wrong<T>() -> Result<T, SessionError> {
    Err(Error::Reply("what the script gives").into())
}

impl Inner {
    pub(super) fn digest(&self, token: &SessionToken) -> Digest {
        token.digest(self.options.pepper.as_deref())
    }

    pub(super) fn tag(&self, user: &str) -> Tag {
        Tag::of(user, self.options.pepper.as_deref())
    }

    fn key(&self, tag: &Tag, kind: &str) -> Vec<u8> {
        format!("{}:{{{tag}}}:{kind}", self.name).into_bytes()
    }

    fn session(&self, tag: &Tag, digest: &Digest) -> Vec<u8> {
        self.key(tag, &format!("s:{digest}"))
    }

    fn mark(&self, tag: &Tag, digest: &Digest) -> Vec<u8> {
        self.key(tag, &format!("x:{digest}"))
    }

    /// The keys of most scripts.
    pub(super) fn keys(&self, tag: &Tag, digest: &Digest) -> Vec<Vec<u8>> {
        let (generation, index) = (self.key(tag, "g"), self.key(tag, "u"));
        vec![self.session(tag, digest), self.mark(tag, digest), generation, index]
    }

    pub(super) fn events(&self) -> Vec<u8> {
        format!("{}:events", self.name).into_bytes()
    }

    /// How long a generation is remembered: longer than any session that began under an older one.
    fn generation_ms(&self) -> Vec<u8> {
        number(millis(self.options.absolute) + MARGIN_MS)
    }

    fn mark_ms(&self) -> Vec<u8> {
        number(millis(self.options.mark))
    }

    /// Begins a session, and gives when; nothing where the digest is taken.
    pub(super) async fn create(
        &self,
        digest: &Digest,
        user: &str,
        label: &str,
        schema: &str,
        fields: &Fields,
    ) -> Result<Option<u64>, SessionError> {
        let (tag, options, call) = (self.tag(user), &self.options, call_id());
        let (most, evicts) = match options.per_user {
            None => (0, false),
            Some((most, over)) => (most, over == super::builder::Over::EvictOldest),
        };
        let mut named: Vec<Digest> = Vec::new();
        for _ in 0..NAMINGS {
            let mut keys = self.keys(&tag, digest);
            let mut args: Vec<Vec<u8>> = vec![
                call.as_str().into(),
                digest.as_str().into(),
                user.into(),
                number(millis(options.idle)),
                number(millis(options.absolute)),
                number(most),
                number(evicts.into()),
                schema.into(),
                label.into(),
                self.events(),
                self.mark_ms(),
                self.generation_ms(),
                number(named.len() as u64),
            ];
            for digest in &named {
                keys.extend([self.session(&tag, digest), self.mark(&tag, digest)]);
                args.push(digest.as_str().into());
            }
            for (name, value) in fields {
                args.push(name.as_bytes().to_vec());
                args.push(value.clone());
            }
            let mut given = Given::of(self.run(&self.scripts.create, &keys, &args).await?)?;
            match given.state {
                1 => return Ok(Some(given.count()?)),
                2 => named = given.digests()?,
                0 => return Ok(None),
                -1 => return Err(SessionError::TooMany),
                _ => return wrong(),
            }
        }
        wrong()
    }

    /// Reads a session where `target` says; what this process closed lately the primary is asked for, and
    /// another primary than it was closed at is told of it first. That holds for each digest that it has
    /// had on the way: the last one may be what was closed.
    pub(super) async fn load(
        &self,
        tag: &Tag,
        digest: &Digest,
        target: Target,
    ) -> Result<Option<Found>, SessionError> {
        let mut digest = digest.clone();
        for _ in 0..HOPS {
            let epoch = self.net.epoch();
            let given = self.load_from(tag, &digest, target).await?;
            if given.state != 1 {
                return Ok(None);
            }
            // Another primary may have answered than the one that was trusted.
            let is_asked = given.digest == digest && self.net.epoch() == epoch;
            if is_asked || self.trust(&given.digest) == Trust::Full {
                return found(given).map_err(Into::into);
            }
            digest = given.digest;
        }
        Err(Error::Reply(ENDLESS).into())
    }

    async fn load_from(
        &self,
        tag: &Tag,
        digest: &Digest,
        target: Target,
    ) -> Result<Given, SessionError> {
        let target = match self.trust(digest) {
            Trust::Full => target,
            Trust::After(_) => Target::Primary,
            Trust::None => {
                if let Some(owed) = self.journal.last(digest) {
                    self.redo(&owed).await?;
                }
                Target::Primary
            }
        };
        let parts = |digest: &Digest| {
            let mut keys = self.keys(tag, digest);
            keys.truncate(3);
            (keys, Vec::new())
        };
        // A primary says whether it still is one.
        let target = (target != Target::Primary).then_some(target);
        Ok(self.step(&self.scripts.load, digest, target, parts).await?)
    }

    fn trust(&self, digest: &Digest) -> Trust {
        self.journal.trust(|| digest.clone(), false, || self.net.epoch())
    }

    pub(super) async fn touch(
        &self,
        digest: &Digest,
        user: &str,
    ) -> Result<Duration, SessionError> {
        let tag = self.tag(user);
        let parts = |digest: &Digest| {
            let args = vec![digest.as_str().into(), number(millis(self.options.idle))];
            (self.keys(&tag, digest), args)
        };
        let mut given =
            self.step(&self.scripts.touch, digest, Some(Target::Primary), parts).await?;
        match given.state {
            1 => Ok(Duration::from_millis(given.count()?)),
            0 => Err(SessionError::Gone),
            _ => wrong(),
        }
    }

    /// Locks a session for whoever has this id, and reads it.
    pub(super) async fn lock(
        &self,
        digest: &Digest,
        user: &str,
        id: &str,
        life: Duration,
    ) -> Result<Found, SessionError> {
        let tag = self.tag(user);
        let parts = |digest: &Digest| {
            let mut keys = self.keys(&tag, digest);
            keys.truncate(3);
            (keys, vec![id.into(), number(millis(life))])
        };
        let mut given = self.step(&self.scripts.lock, digest, Some(Target::Primary), parts).await?;
        match given.state {
            1 => found(given)?.ok_or(SessionError::Gone),
            0 => Err(SessionError::Gone),
            -1 => Err(SessionError::Busy { remaining: Duration::from_millis(given.count()?) }),
            _ => wrong(),
        }
    }

    /// Gives a lock back, if it is still there.
    pub(super) async fn unlock(
        &self,
        digest: &Digest,
        user: &str,
        id: &str,
    ) -> Result<(), SessionError> {
        let tag = self.tag(user);
        let parts = |digest: &Digest| {
            (vec![self.session(&tag, digest), self.mark(&tag, digest)], vec![id.into()])
        };
        self.step(&self.scripts.unlock, digest, Some(Target::Primary), parts).await?;
        Ok(())
    }

    pub(super) async fn change(
        &self,
        digest: &Digest,
        user: &str,
        change: Change<'_>,
    ) -> Result<u64, SessionError> {
        let (tag, call) = (self.tag(user), call_id());
        let most_bytes = self.options.most_bytes;
        let parts = |digest: &Digest| {
            let mut args: Vec<Vec<u8>> = vec![
                call.as_str().into(),
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
            (self.keys(&tag, digest), args)
        };
        let mut given =
            self.step(&self.scripts.patch, digest, Some(Target::Primary), parts).await?;
        match given.state {
            1 => Ok(given.count()?),
            0 => Err(SessionError::Gone),
            -1 => Err(SessionError::Conflict { current: given.count()? }),
            -2 => Err(SessionError::TooLarge { most_bytes }),
            _ => wrong(),
        }
    }

    /// Gives a session another digest, if it has had its own for so long.
    pub(super) async fn rotate(
        &self,
        old: &Digest,
        new: &Digest,
        user: &str,
        grace: Grace,
        least: Duration,
    ) -> Result<Rotated, SessionError> {
        let (epoch, call) = (self.net.epoch(), call_id());
        let rotation = |old: &Digest| Owed::Rotate {
            user: user.into(),
            old: old.clone(),
            new: new.clone(),
            call: call.as_str().into(),
            grace_ms: self.grace_ms(grace),
        };
        let parts = |digest: &Digest| {
            let (keys, mut args) = self.rotation(user, digest, new, &call, self.grace_ms(grace));
            args.push(number(millis(least)));
            (keys, args)
        };
        let mut given = self.step(&self.scripts.rotate, old, None, parts).await?;
        match given.state {
            1 => {
                let version = given.count()?;
                let remaining = Duration::from_millis(given.count()?);
                self.remember(vec![rotation(&given.digest)], given.token, epoch).await?;
                Ok(Rotated::Done { version, remaining })
            }
            0 => Err(SessionError::Gone),
            -1 => Ok(Rotated::Taken),
            -2 => Ok(Rotated::TooSoon),
            _ => wrong(),
        }
    }

    fn grace_ms(&self, grace: Grace) -> u64 {
        match grace {
            Grace::None => 0,
            Grace::For(duration) => millis(duration.min(self.options.absolute)),
        }
    }

    fn rotation(&self, user: &str, old: &Digest, new: &Digest, call: &str, grace_ms: u64) -> Parts {
        let tag = self.tag(user);
        let mut keys = self.keys(&tag, old);
        keys.extend([self.session(&tag, new), self.mark(&tag, new)]);
        let args = vec![
            call.into(),
            old.as_str().into(),
            new.as_str().into(),
            number(grace_ms),
            self.mark_ms(),
            self.events(),
        ];
        (keys, args)
    }

    fn closing(&self, user: &str, digest: &Digest) -> Parts {
        let tag = self.tag(user);
        let keys = vec![self.session(&tag, digest), self.mark(&tag, digest), self.key(&tag, "u")];
        (keys, vec![digest.as_str().into(), self.mark_ms(), self.events(), user.into()])
    }

    /// Ends a session under whatever digest it has by now.
    pub(super) async fn close(&self, digest: &Digest, user: &str) -> Result<bool, SessionError> {
        let epoch = self.net.epoch();
        let parts = |digest: &Digest| self.closing(user, digest);
        let given = self.step(&self.scripts.close, digest, None, parts).await?;
        let closed = |digest: Digest| Owed::Close { user: user.into(), digest };
        // Where a rotation is lost the session has the digest from before.
        let closed = given.before.into_iter().chain([given.digest]).map(closed).collect();
        self.remember(closed, given.token, epoch).await?;
        Ok(given.state == 1)
    }

    pub(super) async fn close_all(
        &self,
        user: &str,
        keep: Option<&Digest>,
    ) -> Result<u64, SessionError> {
        let (epoch, call, tag) = (self.net.epoch(), call_id(), self.tag(user));
        let batch = number(BATCH as u64);
        let parts = |digest: &Digest| {
            let mut keys = vec![self.key(&tag, "u"), self.key(&tag, "d"), self.key(&tag, "g")];
            if !digest.as_str().is_empty() {
                keys.extend([self.session(&tag, digest), self.mark(&tag, digest)]);
            }
            let args = vec![
                call.as_str().into(),
                digest.as_str().into(),
                self.generation_ms(),
                batch.clone(),
            ];
            (keys, args)
        };
        let keep = keep.cloned().unwrap_or_else(|| Digest(String::new()));
        let mut given = self.step(&self.scripts.close_all, &keep, None, parts).await?;
        let (mut count, mut doomed) = (0, given.digests()?);
        while !doomed.is_empty() {
            let mut keys = vec![self.key(&tag, "d")];
            let mut args = vec![self.mark_ms(), self.events(), user.into(), batch.clone()];
            for digest in &doomed {
                keys.extend([self.session(&tag, digest), self.mark(&tag, digest)]);
                args.push(digest.as_str().into());
            }
            let mut buried = Given::of(self.run(&self.scripts.bury, &keys, &args).await?)?;
            count += u64::try_from(buried.state).unwrap_or(0);
            let closed = |digest| Owed::Close { user: user.into(), digest };
            self.remember(doomed.into_iter().map(closed).collect(), given.token, epoch).await?;
            doomed = buried.digests()?;
        }
        Ok(count)
    }

    pub(super) async fn list(&self, user: &str) -> Result<Vec<SessionEntry>, SessionError> {
        let tag = self.tag(user);
        let index = self.key(&tag, "u");
        let digests = self.net.read(&[b"ZREVRANGE", &index, b"0", b"-1"], Target::Primary).await?;
        let digests = digests.into_array()?.into_iter().map(|digest| text(digest).map(Digest));
        let digests = digests.collect::<Result<Vec<_>, _>>()?;
        let mut entries = Vec::new();
        for batch in digests.chunks(BATCH) {
            let mut keys = vec![self.key(&tag, "g")];
            keys.extend(batch.iter().map(|digest| self.session(&tag, digest)));
            let described = self.run(&self.scripts.list, &keys, &[]).await?.into_array()?;
            for (digest, value) in batch.iter().zip(described) {
                entries.extend(entry(digest, value)?);
            }
        }
        Ok(entries)
    }

    /// Remembers what was done, in case that a failover undoes it. If there was one meanwhile, it is
    /// done again at once.
    async fn remember(
        &self,
        done: Vec<Owed>,
        token: Option<Token>,
        epoch: u64,
    ) -> Result<(), SessionError> {
        for owed in &done {
            self.journal.made(owed.clone(), token, Instant::now());
        }
        if self.net.epoch() != epoch {
            for owed in &done {
                self.make(owed).await?;
            }
        }
        Ok(())
    }

    /// Does again what a failover may have undone, and nothing beyond that.
    pub(super) async fn redo(&self, owed: &Owed) -> Result<Option<Token>, Error> {
        match owed {
            Owed::Close { user, digest } => {
                let (keys, args) = self.closing(user, digest);
                let scripts = &self.scripts;
                Ok(self.net.run_marked(&scripts.close, &slices(&keys), &slices(&args)).await?.1)
            }
            Owed::Rotate { user, old, new, call, grace_ms } => {
                let (keys, mut args) = self.rotation(user, old, new, call, *grace_ms);
                args.push(number(0));
                let rotate = &self.scripts.rotate;
                let (value, token) =
                    self.net.run_marked(rotate, &slices(&keys), &slices(&args)).await?;
                if Given::of(value)?.state != -1 {
                    return Ok(token);
                }
                // The new one was closed before it could be there again.
                let (keys, args) = self.closing(user, old);
                let close = &self.scripts.close;
                Ok(self.net.run_marked(close, &slices(&keys), &slices(&args)).await?.1)
            }
        }
    }

    /// Runs a script at the digest that a session has by now, where `target` says; without one at the
    /// primary, which then says where the effects are in its history.
    async fn step(
        &self,
        script: &Script,
        digest: &Digest,
        target: Option<Target>,
        parts: impl Fn(&Digest) -> Parts,
    ) -> Result<Given, Error> {
        let (mut digest, mut before) = (digest.clone(), Vec::new());
        for _ in 0..HOPS {
            let (keys, args) = parts(&digest);
            let (keys, args) = (slices(&keys), slices(&args));
            let (value, token) = match target {
                Some(target) => (self.net.run(script, &keys, &args, target).await?, None),
                None => self.net.run_marked(script, &keys, &args).await?,
            };
            let mut given = Given::of(value)?;
            if given.state != 2 {
                return Ok(Given { digest, before, token, ..given });
            }
            let next = Digest(text(given.next()?)?);
            before.push(std::mem::replace(&mut digest, next));
        }
        Err(Error::Reply(ENDLESS))
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
        script: &Script,
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
fn found(mut given: Given) -> Result<Option<Found>, Error> {
    let now_ms = given.count()?;
    // A session that is due this very moment may still be there.
    let Ok(left_ms) = u64::try_from(given.next()?.as_int()?) else { return Ok(None) };
    let pairs = given.next()?.into_pairs()?;
    let mut found = Found {
        digest: given.digest,
        now_ms,
        remaining: Duration::from_millis(left_ms),
        user: String::new(),
        version: 0,
        created_ms: 0,
        touched_ms: 0,
        absolute_ms: 0,
        issued_ms: 0,
        schema: String::new(),
        label: String::new(),
        fields: Fields::new(),
    };
    let count = |value: Value| {
        u64::try_from(value.as_int()?).map_err(|_| Error::Reply("a number in a session"))
    };
    for (name, value) in pairs {
        let name = text(name)?;
        match name.as_str() {
            "_u" => found.user = text(value)?,
            "_v" => found.version = count(value)?,
            "_c" => found.created_ms = count(value)?,
            "_t" => found.touched_ms = count(value)?,
            "_a" => found.absolute_ms = count(value)?,
            "_i" => found.issued_ms = count(value)?,
            "_s" => found.schema = text(value)?,
            "_l" => found.label = text(value)?,
            ours if ours.starts_with('_') => {}
            _ => found.fields.push((name, value.into_bytes()?.unwrap_or_default())),
        }
    }
    // Until it is rotated it has the one it began with.
    found.issued_ms = found.issued_ms.max(found.created_ms);
    Ok(Some(found))
}

/// One of what `list.lua` gives; nothing where the session is gone.
fn entry(digest: &Digest, value: Value) -> Result<Option<SessionEntry>, Error> {
    let wrong = || Error::Reply("what the script gives");
    let mut given = value.into_array()?.into_iter().peekable();
    if given.peek().is_none() {
        return Ok(None);
    }
    let mut count = || {
        let number = given.next().ok_or_else(wrong)?.as_int()?;
        Ok::<u64, Error>(u64::try_from(number).unwrap_or(0))
    };
    let (created_ms, touched_ms, left_ms) = (count()?, count()?, count()?);
    let label = given.next().map(text).transpose()?.unwrap_or_default();
    let (digest, remaining) = (digest.clone(), Duration::from_millis(left_ms));
    let is_current = false;
    Ok(Some(SessionEntry { digest, created_ms, touched_ms, remaining, label, is_current }))
}

fn text(value: Value) -> Result<String, Error> {
    let bytes = value.into_bytes()?.unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| Error::Reply("text"))
}

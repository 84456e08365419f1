//! What a loader is given, and what it gives.

use super::ttl::Ttl;
use crate::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What a loader is told.
#[derive(Debug)]
pub struct LoadContext<K, V> {
    pub(super) key: K,
    pub(super) stale: Option<Arc<V>>,
}

impl<K, V> LoadContext<K, V> {
    /// The key to load.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The value that was stored before, where it is still there: for loaders that can find out
    /// whether it is still right, and then give [`Loaded::not_modified`].
    pub fn stale(&self) -> Option<&Arc<V>> {
        self.stale.as_ref()
    }
}

/// What a loader found. `Some(value)` and `None` are turned into one.
#[derive(Debug)]
#[must_use]
pub struct Loaded<V> {
    pub(super) what: What<V>,
    pub(super) ttl: Option<Ttl>,
    pub(super) tags: Vec<String>,
    pub(super) version: u64,
    pub(super) is_kept: bool,
}

#[derive(Debug)]
pub(super) enum What<V> {
    Value(Arc<V>),
    Nothing,
    NotModified,
}

impl<V> Loaded<V> {
    /// A value.
    pub fn new(value: V) -> Self {
        Self::of(What::Value(Arc::new(value)))
    }

    /// There is no value, which is remembered too.
    pub fn nothing() -> Self {
        Self::of(What::Nothing)
    }

    /// The value that was stored before is still right. Without one it counts as a failure.
    pub fn not_modified() -> Self {
        Self::of(What::NotModified)
    }

    fn of(what: What<V>) -> Self {
        Self { what, ttl: None, tags: Vec::new(), version: 0, is_kept: true }
    }

    /// How long it is fresh, instead of the cache's own time.
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// Tags, each of which can be dropped with all its values. A value with more than 32, or with one
    /// of more than 1,024 bytes, is given and not stored.
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// The version that the database gives it: a log position, a time of change. It only grows.
    pub fn version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// Gives the value to whoever asked and stores it nowhere.
    pub fn unstored(mut self) -> Self {
        self.is_kept = false;
        self
    }
}

impl<V> From<Option<V>> for Loaded<V> {
    fn from(value: Option<V>) -> Self {
        value.map_or_else(Self::nothing, Self::new)
    }
}

/// A load under way, whatever the type of its loader.
pub(super) type Loading<V> = Pin<Box<dyn Future<Output = Result<Loaded<V>, Error>> + Send>>;

/// A loader with its key, whatever its type.
pub(super) type Job<V> = Box<dyn FnOnce(Option<Arc<V>>) -> Loading<V> + Send>;

/// A loader with its key. It is boxed when it is needed, which a hit in own memory saves.
pub(super) fn job<K, V, L, F, T, E>(
    key: K,
    loader: L,
) -> impl FnOnce(Option<Arc<V>>) -> Loading<V> + Send + 'static
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    L: FnOnce(LoadContext<K, V>) -> F + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<Loaded<V>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |stale| {
        let loading = loader(LoadContext { key, stale });
        Box::pin(async move {
            match loading.await {
                Ok(loaded) => Ok(loaded.into()),
                Err(error) => Err(failed(error)),
            }
        })
    }
}

/// A loader's error. One of ours stays what it is, so that caches can load from caches.
pub(super) fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error: Box<dyn std::error::Error + Send + Sync> = error.into();
    match error.downcast::<Error>() {
        Ok(ours) => *ours,
        Err(theirs) => Error::Loader(theirs.into()),
    }
}

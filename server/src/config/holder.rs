//! The settings that a running node shares.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::error::ConfigError;
use super::get_set::{Caller, set_many};
use super::rewrite::{self, RewriteError};
use super::settings::Settings;

/// The one place where a node's settings live.
///
/// Readers take a snapshot by [`load`](Self::load) and may keep it: it never changes. A thread
/// that reads settings at each request compares [`generation`](Self::generation), one atomic read,
/// and loads again when it moved.
///
/// Invariant: a new generation is visible only after its settings are.
#[derive(Debug)]
pub struct Config {
    current: RwLock<Arc<Settings>>,
    generation: AtomicU64,
    /// Held while a change is made, from reading the old settings to storing the new ones.
    writer: Mutex<()>,
    file: Option<PathBuf>,
}

impl Config {
    /// Starts with these settings, and no file for CONFIG REWRITE.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::with_file(settings, None)
    }

    /// Starts with these settings, which CONFIG REWRITE stores in `file`.
    #[must_use]
    pub fn with_file(settings: Settings, file: Option<PathBuf>) -> Self {
        Self {
            current: RwLock::new(Arc::new(settings)),
            generation: AtomicU64::new(0),
            writer: Mutex::new(()),
            file,
        }
    }

    /// The settings now.
    #[must_use]
    pub fn load(&self) -> Arc<Settings> {
        Arc::clone(&self.current.read())
    }

    /// A number that grows with each change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The configuration file, when the node was started with one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Changes settings; for the node itself, whose values need no check.
    pub fn update<R>(&self, change: impl FnOnce(&mut Settings) -> R) -> R {
        let _writer = self.writer.lock();
        let mut settings = Settings::clone(&self.load());
        let result = change(&mut settings);
        self.store(settings);
        result
    }

    /// CONFIG SET: all pairs or none.
    ///
    /// `apply` does what a change needs beside being stored, such as opening another port; it is
    /// given the old and the new settings before anybody else sees these. When it refuses, nothing
    /// has changed. It must not change settings itself.
    ///
    /// # Errors
    /// As [`set_many`], and what `apply` refuses.
    pub fn set<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: &[(N, V)],
        caller: Caller,
        apply: impl FnOnce(&Settings, &Settings) -> Result<(), ConfigError>,
    ) -> Result<Arc<Settings>, ConfigError> {
        let _writer = self.writer.lock();
        let old = self.load();
        let new = set_many(&old, pairs, caller)?;
        apply(&old, &new)?;
        Ok(self.store(new))
    }

    /// CONFIG REWRITE: writes the settings into the file they came from.
    ///
    /// `lines` are those of directives that somebody else keeps: the values of `user`, one each.
    /// Lines of directives that are not named there and that CONFIG does not know stay.
    ///
    /// # Errors
    /// There is no file, or it cannot be read or replaced. The old file is whole then.
    pub fn rewrite(&self, lines: &[(&str, Vec<String>)]) -> Result<(), RewriteError> {
        let file = self.file().ok_or(RewriteError::NoFile)?;
        rewrite::rewrite(file, &self.load(), lines, false)
    }

    /// As [`rewrite`](Self::rewrite), and with a line for each directive that has its default.
    ///
    /// # Errors
    /// As for `rewrite`.
    pub fn rewrite_all(&self, lines: &[(&str, Vec<String>)]) -> Result<(), RewriteError> {
        let file = self.file().ok_or(RewriteError::NoFile)?;
        rewrite::rewrite(file, &self.load(), lines, true)
    }

    /// Needs `writer`.
    fn store(&self, settings: Settings) -> Arc<Settings> {
        let settings = Arc::new(settings);
        *self.current.write() = Arc::clone(&settings);
        self.generation.fetch_add(1, Ordering::Release);
        settings
    }
}

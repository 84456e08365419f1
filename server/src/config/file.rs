//! Configuration files: redis.conf as Redis 7.2 reads it.
//!
//! One directive a line, `#` starts a comment line, words and quotes as in `grammar.rs`. Later
//! lines win; `save`, `user`, `rename-command` and `loadmodule` add up; `include` reads another
//! file at that place. The first line that is wrong ends the reading, with its place, its text
//! and the reason.
//!
//! Invariant: reading ends, and takes bounded memory, whatever the files say.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::grammar::split_words;
use super::settings::{Settings, lookup};
use super::special::operating_system_text;
use super::suggest;
use crate::glob::glob_match;

/// Bytes of one file. Real ones have some 100 KB; this is for a path that names a disk image.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Bytes of one line. ACL rules with thousands of patterns fit.
const MAX_LINE_BYTES: usize = 1 << 20;

/// How deep files may include each other.
const MAX_DEPTH: usize = 16;

/// Files that may be read in all: two files that include each other twice are 2^16 at that depth.
const MAX_FILES: usize = 1024;

/// Characters of a line that an error shows.
const SHOWN_CHARACTERS: usize = 500;

/// Directives of older versions that say nothing any more, and are accepted in silence.
const OBSOLETE: [&str; 3] =
    ["list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"];

/// Why a configuration could not be read. The text is what the server prints before it gives up.
#[derive(Debug)]
pub struct LoadError {
    place: Option<Place>,
    reason: String,
}

/// Where a line stands.
#[derive(Debug)]
struct Place {
    source: Source,
    line: usize,
    text: String,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Stdin,
    CommandLine,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = env!("CARGO_PKG_VERSION");
        writeln!(f, "\n*** FATAL CONFIG FILE ERROR (Larder {version}) ***")?;
        if let Some(Place { source, line, text }) = &self.place {
            match source {
                Source::File(path) => writeln!(
                    f,
                    "Reading the configuration file, at line {line} of {}",
                    path.display()
                )?,
                Source::Stdin => writeln!(f, "Reading the standard input, at line {line}")?,
                Source::CommandLine => writeln!(f, "Reading the command line, at option {line}")?,
            }
            writeln!(f, ">>> '{text}'")?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for LoadError {}

/// Reads files and lines, one after another, into settings.
///
/// ```no_run
/// # use larder_server::config::Loader;
/// let mut loader = Loader::default();
/// loader.file("/etc/larder.conf".as_ref())?;
/// let loaded = loader.finish();
/// # Ok::<(), larder_server::config::LoadError>(())
/// ```
#[derive(Debug, Default)]
pub struct Loader {
    settings: Settings,
    /// Directives that stood in a line so far, by their main names.
    seen: HashSet<&'static str>,
    depth: usize,
    files: usize,
}

/// What a [`Loader`] has read.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Directives that were set to something else than their default, and have no effect here.
    pub without_effect: Vec<&'static str>,
}

impl Loader {
    /// Goes on from these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The file, or one that it includes, cannot be read, or a line of it is wrong.
    pub fn file(&mut self, path: &Path) -> Result<(), LoadError> {
        let content = self.open(path).map_err(|reason| LoadError { place: None, reason })?;
        self.lines(&Source::File(path.to_owned()), &content)
    }

    /// Reads what stands on the standard input.
    ///
    /// # Errors
    /// It cannot be read, or a line of it is wrong.
    pub fn stdin(&mut self, stdin: &mut dyn Read) -> Result<(), LoadError> {
        let content = read_bounded(stdin).map_err(|error| LoadError {
            place: None,
            reason: format!("can't read the standard input: {}", operating_system_text(&error)),
        })?;
        self.lines(&Source::Stdin, &content)
    }

    /// Reads the options of a command line, each as the line that it stands for.
    ///
    /// # Errors
    /// One of them is wrong.
    pub fn command_line(&mut self, options: &[Vec<u8>]) -> Result<(), LoadError> {
        for (index, option) in options.iter().enumerate() {
            self.line_at(&Source::CommandLine, index + 1, option)?;
        }
        Ok(())
    }

    /// What was read.
    #[must_use]
    pub fn finish(self) -> Loaded {
        let defaults = Settings::default();
        let mut without_effect: Vec<&'static str> = self
            .seen
            .into_iter()
            .filter_map(lookup)
            .filter(|row| {
                row.flags.no_effect && (row.text)(&self.settings) != (row.text)(&defaults)
            })
            .map(|row| row.name)
            .collect();
        without_effect.sort_unstable();
        Loaded { settings: self.settings, without_effect }
    }

    fn open(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(format!("more than {MAX_FILES} configuration files"));
        }
        File::open(path).and_then(|mut file| read_bounded(&mut file)).map_err(|error| {
            let reason = operating_system_text(&error);
            format!("Fatal error, can't open config file '{}': {reason}", path.display())
        })
    }

    fn lines(&mut self, source: &Source, content: &[u8]) -> Result<(), LoadError> {
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            self.line_at(source, index + 1, line)?;
        }
        Ok(())
    }

    fn line_at(&mut self, source: &Source, number: usize, line: &[u8]) -> Result<(), LoadError> {
        let line = line.trim_ascii();
        self.line(line).map_err(|refusal| match refusal {
            Refusal::Included(error) => error,
            Refusal::Line(reason) => LoadError {
                place: Some(Place { source: source.clone(), line: number, text: shown(line) }),
                reason,
            },
        })
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if line.starts_with(b"#") {
            return Ok(());
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(Refusal::line(format!("line of more than {MAX_LINE_BYTES} bytes")));
        }
        let words = split_words(line)
            .map_err(|_| Refusal::line("Unbalanced quotes in configuration line"))?;
        let Some((name, values)) = words.split_first() else { return Ok(()) };
        let name = String::from_utf8_lossy(name);
        let Some(directive) = lookup(&name) else { return unknown(&name, values) };
        if directive.name == "include" {
            let [path] = values else { return Err(Refusal::line(BAD_DIRECTIVE)) };
            self.include(path)?;
        }
        let repeated = !self.seen.insert(directive.name);
        directive
            .assign_words(&mut self.settings, values, repeated)
            .map_err(|reason| Refusal::line(reason.into_owned()))
    }

    /// A path without `*`, `?`, `[` must exist; a pattern may match nothing, as an empty conf.d.
    fn include(&mut self, path: &[u8]) -> Result<(), Refusal> {
        if self.depth >= MAX_DEPTH {
            return Err(Refusal::line(format!("include goes more than {MAX_DEPTH} files deep")));
        }
        let path =
            std::str::from_utf8(path).map_err(|_| Refusal::line("argument must be valid UTF-8"))?;
        let path = self.settings.path(path);
        self.depth += 1;
        for path in expand(&path) {
            let content = self.open(&path).map_err(Refusal::Line)?;
            self.lines(&Source::File(path), &content).map_err(Refusal::Included)?;
        }
        self.depth -= 1;
        Ok(())
    }
}

/// Why a line is refused.
enum Refusal {
    /// It is wrong itself.
    Line(String),
    /// It includes a file that is, and the error says where.
    Included(LoadError),
}

impl Refusal {
    fn line(reason: impl Into<String>) -> Self {
        Self::Line(reason.into())
    }
}

const BAD_DIRECTIVE: &str = "Bad directive or wrong number of arguments";

fn unknown(name: &str, values: &[Vec<u8>]) -> Result<(), Refusal> {
    if values.len() == 1 && OBSOLETE.iter().any(|old| old.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    if name.eq_ignore_ascii_case("sentinel") {
        return Err(Refusal::line("sentinel directive while not in sentinel mode"));
    }
    // "--port=6380" is no directive here, as it is none in Redis, but easily meant.
    let meant = name.split_once('=').map_or(name, |(name, _)| name);
    Err(Refusal::line(match suggest::nearest(meant) {
        Some(known) => format!("{BAD_DIRECTIVE} (did you mean '{known}'?)"),
        None => BAD_DIRECTIVE.to_owned(),
    }))
}

fn shown(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    match line.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line.into_owned(),
    }
}

/// All of a reader, unless it is longer than a configuration can be.
pub(crate) fn read_bounded(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        let text = format!("more than {MAX_FILE_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(content)
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The files that a path stands for: itself, or those that match, in order of their names.
fn expand(path: &Path) -> Vec<PathBuf> {
    if !path.to_str().is_some_and(is_pattern) {
        return vec![path.to_owned()];
    }
    let mut found = vec![PathBuf::new()];
    for component in path.components() {
        let pattern = match component {
            Component::Normal(name) => name.to_str().filter(|name| is_pattern(name)),
            _ => None,
        };
        found = match pattern {
            Some(pattern) => found.iter().flat_map(|folder| entries(folder, pattern)).collect(),
            None => found.iter().map(|folder| folder.join(component)).collect(),
        };
        // More cannot be read anyway: `open` refuses.
        found.truncate(MAX_FILES + 1);
    }
    found.retain(|path| path.exists());
    found
}

/// The entries of a folder that match. Those with a leading dot must be asked for, as in a shell.
fn entries(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(listed) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| pattern.starts_with('.') || !name.starts_with('.'))
        .filter(|name| glob_match(pattern.as_bytes(), name.as_bytes(), false))
        .collect();
    names.sort_unstable();
    names.into_iter().map(|name| folder.join(name)).collect()
}

//! The manifest: which files make up the append-only file, and in which order.
//!
//! Redis 7's text, byte for byte: a line a file, `file NAME seq NUMBER type b|h|i`. There is at most
//! one base, a state of the data set; the increments tell what changed since, in order; history is
//! what a rewrite replaced and nobody removed yet. A new manifest is written beside the old one,
//! synced, and takes its place at once: there is a whole one at any time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use larder_protocol::inline;

/// Longest line, its end included, as in Redis.
const LINE_BYTES: usize = 1024;

/// One file of the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name within the folder.
    pub name: String,
    /// Its number among its kind.
    pub seq: i64,
}

/// The set of files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// A state of the data set.
    pub base: Option<Part>,
    /// What is of no use any more.
    pub history: Vec<Part>,
    /// What changed since, oldest first.
    pub increments: Vec<Part>,
    /// The highest numbers in use.
    base_seq: i64,
    increment_seq: i64,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("can't read the AOF manifest: {0}")]
    Io(#[from] io::Error),
    /// A line is wrong.
    #[error("{reason} (line {line}: '{text}')")]
    Line {
        /// Which one, from 1 on.
        line: usize,
        /// What it says.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no line at all.
    #[error("Found an empty AOF manifest")]
    Empty,
}

/// The names of the files of one node's set.
#[derive(Clone, Debug)]
pub struct Names {
    /// The folder.
    pub folder: PathBuf,
    /// What all names begin with: `appendfilename`.
    pub stem: String,
}

impl Names {
    /// Where a file of the set lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the manifest lies.
    pub fn manifest(&self) -> PathBuf {
        self.path(&format!("{}.manifest", self.stem))
    }

    fn new_manifest(&self) -> PathBuf {
        self.path(&format!("temp-{}.manifest", self.stem))
    }

    /// The increment that is written while the first base is made.
    pub fn first_increment(&self) -> PathBuf {
        self.path(&format!("temp-{}.incr", self.stem))
    }

    /// A base that is being made.
    pub fn new_base(&self) -> PathBuf {
        self.path(&format!("temp-{}.base", self.stem))
    }

    /// Makes the folder where it is missing, and makes that last.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_folder(&self) -> io::Result<()> {
        match fs::create_dir(&self.folder) {
            Ok(()) => sync_folder(self.folder.parent()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && self.folder.is_dir() => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Makes names that were given in a folder last.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_folder(folder: Option<&Path>) -> io::Result<()> {
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

impl Manifest {
    /// The manifest of a set; an empty one where there is none.
    ///
    /// # Errors
    /// There is one that cannot be read or understood.
    pub fn read(names: &Names) -> Result<Self, ManifestError> {
        match fs::read(names.manifest()) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a manifest's text.
    ///
    /// # Errors
    /// In the words of Redis, with the line.
    pub fn parse(text: &[u8]) -> Result<Self, ManifestError> {
        if text.is_empty() {
            return Err(ManifestError::Empty);
        }
        let mut manifest = Self::default();
        for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if line.starts_with(b"#") {
                continue;
            }
            manifest.add(line).map_err(|reason| ManifestError::Line {
                line: index + 1,
                text: String::from_utf8_lossy(line.trim_ascii()).chars().take(200).collect(),
                reason,
            })?;
        }
        Ok(manifest)
    }

    fn add(&mut self, line: &[u8]) -> Result<(), &'static str> {
        const INVALID: &str = "Invalid AOF manifest file format";
        if line.len() > LINE_BYTES || !line.ends_with(b"\n") {
            return Err("The AOF manifest file contains too long line");
        }
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        inline::split(line.trim_ascii(), &mut bytes, |start, end| spans.push(start..end))
            .map_err(|_| INVALID)?;
        if spans.len() < 6 || spans.len() % 2 == 1 {
            return Err(INVALID);
        }
        let (mut name, mut seq, mut kind) = (None, 0, 0);
        // What else a later version may say is left aside.
        for pair in spans.chunks_exact(2) {
            let (key, value) = (&bytes[pair[0].clone()], &bytes[pair[1].clone()]);
            if key.eq_ignore_ascii_case(b"file") {
                let value = String::from_utf8(value.to_vec()).map_err(|_| INVALID)?;
                if value.contains(['/', '\\']) || value == "." || value == ".." {
                    return Err("File can't be a path, just a filename");
                }
                name = Some(value);
            } else if key.eq_ignore_ascii_case(b"seq") {
                let digits = std::str::from_utf8(value).map_err(|_| INVALID)?;
                seq = digits.parse().map_err(|_| INVALID)?;
            } else if key.eq_ignore_ascii_case(b"type") {
                kind = value.first().copied().unwrap_or_default();
            }
        }
        let Some(name) = name.filter(|name| !name.is_empty() && seq != 0 && kind != 0) else {
            return Err(INVALID);
        };
        // The next one has to be one more.
        if seq == i64::MAX {
            return Err(INVALID);
        }
        let part = Part { name, seq };
        match kind {
            b'b' if self.base.is_some() => return Err("Found duplicate base file information"),
            b'b' => (self.base_seq, self.base) = (seq, Some(part)),
            b'h' => self.history.push(part),
            b'i' if seq <= self.increment_seq => {
                return Err("Found a non-monotonic sequence number");
            }
            b'i' => {
                self.increment_seq = seq;
                self.increments.push(part);
            }
            _ => return Err("Unknown AOF file type"),
        }
        Ok(())
    }

    /// The text: base, history, increments.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let kinds = [
            ('b', self.base.as_slice()),
            ('h', self.history.as_slice()),
            ('i', self.increments.as_slice()),
        ];
        for (kind, parts) in kinds {
            for Part { name, seq } in parts {
                text.push_str(&format!("file {} seq {seq} type {kind}\n", quoted(name)));
            }
        }
        text
    }

    /// Puts this manifest in the place of the one on the disk.
    ///
    /// # Errors
    /// It cannot be written, or not made to last; the old one holds then.
    pub fn store(&self, names: &Names) -> io::Result<()> {
        let path = names.new_manifest();
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&path, names.manifest())?;
        sync_folder(Some(&names.folder))
    }

    /// Whether it names no data.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The files to be loaded, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.base.iter().chain(&self.increments)
    }

    /// Adds an increment; gives its name.
    pub fn add_increment(&mut self, names: &Names) -> String {
        self.increment_seq += 1;
        let name = format!("{}.{}.incr.aof", names.stem, self.increment_seq);
        self.increments.push(Part { name: name.clone(), seq: self.increment_seq });
        name
    }

    /// Adds a base, in the format that `ending` names, in place of the old one; gives its name.
    pub fn add_base(&mut self, names: &Names, ending: &str) -> String {
        self.history.splice(0..0, self.base.take());
        self.base_seq += 1;
        let name = format!("{}.{}.base.{ending}", names.stem, self.base_seq);
        self.base = Some(Part { name: name.clone(), seq: self.base_seq });
        name
    }

    /// Takes a file of the time before there were manifests for the base.
    pub fn adopt_base(&mut self, name: &str) {
        self.base_seq = 1;
        self.base = Some(Part { name: name.to_owned(), seq: 1 });
    }

    /// Makes history of all increments but the `kept` newest ones, which the base does not hold.
    pub fn retire_increments(&mut self, kept: usize) {
        let retired = self.increments.len().saturating_sub(kept);
        for part in self.increments.drain(..retired).rev() {
            self.history.insert(0, part);
        }
    }
}

/// A name as Redis quotes it where it has to.
fn quoted(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\' && byte != b'"';
    if name.bytes().all(is_plain) {
        return name.to_owned();
    }
    let mut text = String::from("\"");
    for byte in name.bytes() {
        match byte {
            b'\\' | b'"' => text.extend(['\\', byte as char]),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x07 => text.push_str("\\a"),
            0x08 => text.push_str("\\b"),
            b' '..=b'~' => text.push(byte as char),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { folder: PathBuf::from("x"), stem: "a.aof".to_owned() }
    }

    fn reason(text: &str) -> String {
        match Manifest::parse(text.as_bytes()) {
            Err(ManifestError::Line { reason, line, .. }) => format!("{line} {reason}"),
            Err(error) => error.to_string(),
            Ok(manifest) => panic!("{text:?} is taken for {manifest:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "file a.2.base.rdb seq 2 type b\n\
                    file a.1.incr.aof seq 1 type h\n\
                    file \"a b\\\"\\xc3\\xa9.incr\" seq 4 type i\n\
                    file a.5.incr.aof seq 5 type i\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.text(), text);
        assert_eq!(manifest.increments[0].name, "a b\"é.incr");
        let loose = "# a comment\nTYPE i more ignored FILE \"x\" seq 7 \n";
        let manifest = Manifest::parse(loose.as_bytes()).unwrap();
        assert_eq!(manifest.text(), "file x seq 7 type i\n");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(reason(""), "Found an empty AOF manifest");
        for (text, expected) in [
            ("\n", "1 Invalid AOF manifest file format"),
            ("file x seq 1\n", "1 Invalid AOF manifest file format"),
            ("file x seq 1 type\n", "1 Invalid AOF manifest file format"),
            ("file x seq 0 type i\n", "1 Invalid AOF manifest file format"),
            ("file x seq x type i\n", "1 Invalid AOF manifest file format"),
            ("file x seq 9223372036854775807 type i\n", "1 Invalid AOF manifest file format"),
            ("file \"x seq 1 type i\n", "1 Invalid AOF manifest file format"),
            ("file x seq 1 type \"\"\n", "1 Invalid AOF manifest file format"),
            ("file \"\" seq 1 type i\n", "1 Invalid AOF manifest file format"),
            ("file x seq 1 type i", "1 The AOF manifest file contains too long line"),
            ("file /x seq 1 type i\n", "1 File can't be a path, just a filename"),
            ("file .. seq 1 type i\n", "1 File can't be a path, just a filename"),
            ("file x seq 1 type z\n", "1 Unknown AOF file type"),
            ("#\nfile x seq -1 type i\n", "2 Found a non-monotonic sequence number"),
            (
                "file x seq 2 type i\nfile y seq 2 type i\n",
                "2 Found a non-monotonic sequence number",
            ),
            (
                "file x seq 1 type b\nfile y seq 2 type b\n",
                "2 Found duplicate base file information",
            ),
        ] {
            assert_eq!(reason(text), expected, "{text:?}");
        }
        let long = format!("file {} seq 1 type i\n", "x".repeat(LINE_BYTES));
        assert_eq!(reason(&long), "1 The AOF manifest file contains too long line");
    }

    #[test]
    fn no_text_makes_it_panic() {
        let good = b"file a.2.base.rdb seq 2 type b\nfile \"b\\x00\" seq 1 type i\n";
        for at in 0..good.len() {
            for byte in [0, b' ', b'"', b'\\', b'\n', b'9', 0xff] {
                let mut bad = good.to_vec();
                bad[at] = byte;
                if let Ok(manifest) = Manifest::parse(&bad) {
                    assert_eq!(Manifest::parse(manifest.text().as_bytes()).unwrap(), manifest);
                }
            }
        }
    }

    #[test]
    fn a_rewrite_makes_history_of_what_it_replaces() {
        let mut manifest = Manifest::default();
        assert_eq!(manifest.add_base(&names(), "rdb"), "a.aof.1.base.rdb");
        assert_eq!(manifest.add_increment(&names()), "a.aof.1.incr.aof");
        assert_eq!(manifest.add_increment(&names()), "a.aof.2.incr.aof");
        assert_eq!(manifest.add_increment(&names()), "a.aof.3.incr.aof");
        manifest.add_base(&names(), "rdb");
        manifest.retire_increments(1);
        assert_eq!(
            manifest.text(),
            "file a.aof.2.base.rdb seq 2 type b\n\
             file a.aof.1.incr.aof seq 1 type h\n\
             file a.aof.2.incr.aof seq 2 type h\n\
             file a.aof.1.base.rdb seq 1 type h\n\
             file a.aof.3.incr.aof seq 3 type i\n"
        );
    }
}

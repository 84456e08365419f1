//! A script's text, its digest, and what its first line says about it.

use crate::commands::row::Flags;
use larder_protocol::{CommandError, inline};
use sha1::{Digest as _, Sha1};
use std::sync::atomic::{AtomicBool, Ordering};

/// The SHA-1 of a script's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest([u8; 20]);

impl Digest {
    /// The digest of a text.
    pub fn of(text: &[u8]) -> Self {
        Self(Sha1::digest(text).into())
    }

    /// Reads 40 hexadecimal digits.
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; 40] = text.try_into().ok()?;
        let mut digest = [0; 20];
        let mut wrong = 0;
        for (byte, digits) in digest.iter_mut().zip(text.chunks_exact(2)) {
            let (high, low) = (HEX[usize::from(digits[0])], HEX[usize::from(digits[1])]);
            wrong |= high | low;
            *byte = high << 4 | low;
        }
        (wrong < 16).then_some(Self(digest))
    }

    /// Its 40 digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Values of hexadecimal digits; 255 for what is none.
const HEX: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789abcdef"[digit] as usize] = digit as u8;
        values[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// What a script or function may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags(u8);

impl ScriptFlags {
    /// It writes nothing.
    pub const NO_WRITES: Self = Self(1);
    /// It may run above `maxmemory`.
    pub const ALLOW_OOM: Self = Self(2);
    /// It may run on a replica without a primary.
    pub const ALLOW_STALE: Self = Self(4);
    /// It may not run on a cluster.
    pub const NO_CLUSTER: Self = Self(8);
    /// It may use keys of several slots.
    pub const ALLOW_CROSS_SLOT: Self = Self(16);
    /// It says nothing about itself: each command is judged when it is called.
    pub const UNSTATED: Self = Self(32);

    /// The flags that can be stated, with their words, in Redis's order.
    pub const NAMES: [(Self, &'static str); 5] = [
        (Self::NO_WRITES, "no-writes"),
        (Self::ALLOW_OOM, "allow-oom"),
        (Self::ALLOW_STALE, "allow-stale"),
        (Self::NO_CLUSTER, "no-cluster"),
        (Self::ALLOW_CROSS_SLOT, "allow-cross-slot-keys"),
    ];

    /// Whether all of `other` are set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The flags of a command that runs such a script, instead of its own.
    pub fn of_call(self, own: Flags) -> Flags {
        if self.has(Self::UNSTATED) {
            return own;
        }
        let stated = Flags::STALE.and(Flags::DENYOOM).and(Flags::WRITE).and(Flags::MAY_REPLICATE);
        let mut flags = own.without(stated);
        if !self.has(Self::NO_WRITES) {
            flags = flags.and(Flags::WRITE);
            if !self.has(Self::ALLOW_OOM) {
                flags = flags.and(Flags::DENYOOM);
            }
        }
        if self.has(Self::ALLOW_STALE) { flags.and(Flags::STALE) } else { flags }
    }
}

/// A script that EVALSHA finds.
pub struct Script {
    /// Its text.
    pub text: Vec<u8>,
    /// What it says about itself.
    pub flags: ScriptFlags,
    /// Its digest in hexadecimal.
    pub name: String,
    /// Where the code begins: after the first line if that is about the script.
    code_start: usize,
    /// Whether it was seen to use keys that it was not given.
    roams: AtomicBool,
}

impl Script {
    /// Reads the first line of a script.
    ///
    /// # Errors
    /// It begins like one about the script and is none.
    pub fn new(text: &[u8], digest: &Digest) -> Result<Self, CommandError> {
        let (flags, code_start) = read_first_line(text)?;
        Ok(Self {
            text: text.to_vec(),
            flags,
            name: digest.hex(),
            code_start,
            roams: AtomicBool::new(false),
        })
    }

    /// The code; the end of the first line stays, so that lines keep their numbers.
    pub fn code(&self) -> &[u8] {
        &self.text[self.code_start..]
    }

    /// Whether it is best given all shards from the start.
    pub fn roams(&self) -> bool {
        self.roams.load(Ordering::Relaxed)
    }

    /// Notes that it uses keys that it is not given.
    pub fn note_roaming(&self) {
        self.roams.store(true, Ordering::Relaxed);
    }

    /// Bytes that it takes while it is kept.
    pub fn kept_bytes(&self) -> usize {
        size_of::<Self>() + self.text.capacity() + self.name.capacity()
    }
}

/// The flags that a script states, and where its code begins.
///
/// # Errors
/// It begins like one that states some, and makes no sense.
pub(super) fn read_first_line(text: &[u8]) -> Result<(ScriptFlags, usize), CommandError> {
    if !text.starts_with(b"#!") {
        return Ok((ScriptFlags::UNSTATED, 0));
    }
    let Some(end) = text.iter().position(|&byte| byte == b'\n') else {
        return Err(CommandError::from_static("ERR Invalid script shebang"));
    };
    let words = words(&text[..end]);
    let Some((engine, options)) = words.split_first() else {
        return Err(CommandError::from_static("ERR Invalid engine in script shebang"));
    };
    if engine != b"#!lua" {
        let before = "ERR Unexpected engine in script shebang: ";
        return Err(CommandError::quoting(before, engine, ""));
    }
    let mut flags = ScriptFlags::default();
    for option in options {
        let Some(names) = option.strip_prefix(b"flags=") else {
            return Err(CommandError::quoting("ERR Unknown lua shebang option: ", option, ""));
        };
        // Nothing after the sign is no flag at all.
        for name in names.split(|&byte| byte == b',').filter(|_| !names.is_empty()) {
            let known = ScriptFlags::NAMES.iter().find(|(_, known)| known.as_bytes() == name);
            let Some((flag, _)) = known else {
                let before = "ERR Unexpected flag in script shebang: ";
                return Err(CommandError::quoting(before, name, ""));
            };
            flags = flags.and(*flag);
        }
    }
    Ok((flags, end))
}

/// The words of a line; none where its quotes do not match.
pub fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    match inline::split(line, &mut bytes, |start, end| ends.push((start, end))) {
        Ok(()) => ends.into_iter().map(|(start, end)| bytes[start..end].to_vec()).collect(),
        Err(inline::Unbalanced) => Vec::new(),
    }
}

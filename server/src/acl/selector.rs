//! A selector: which commands may be used with which keys and channels.
//!
//! A user has one that his own rules make, the root, and one for each `(...)`; a command is allowed
//! if one of them allows all of it. What commands a selector allows is a bit for each command, by its
//! id, and beside the bits the rules that made them, so that ACL LIST shows what was meant: "all
//! reading commands", not the hundred commands that these are today.
//!
//! Invariant: applying the rules to a fresh selector gives the same bits.

use super::error::RuleError;
use crate::commands::keys::KeyAccess;
use crate::commands::row::{Categories, Channels, Flags, Row};
use crate::commands::{self, Command};
use crate::glob::glob_match;
use larder_protocol::Args;
use smallvec::SmallVec;
use std::collections::HashMap;

/// What a command was denied for; of several selectors' reasons the highest is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The command itself.
    Command,
    /// A key it names.
    Key,
    /// A channel it names.
    Channel,
}

/// A denial: the reason, and the argument that it is about (0 for the command).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What is not allowed.
    pub reason: Reason,
    /// Where the key or the channel stands among the arguments.
    pub at: usize,
}

/// A key that a command names, and what the command does with it.
pub type NamedKey = (usize, KeyAccess);

/// Keys that may be used, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    access: KeyAccess,
    pattern: Box<[u8]>,
}

/// See the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    all_keys: bool,
    all_channels: bool,
    commands: AllowedCommands,
    patterns: Vec<KeyPattern>,
    channels: Vec<Box<[u8]>>,
}

impl Selector {
    /// One that allows nothing, but for all channels where `acl-pubsub-default` says so.
    pub fn new(all_channels: bool) -> Self {
        Self {
            all_keys: false,
            all_channels,
            commands: AllowedCommands::none(),
            patterns: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// Whether it allows everything.
    pub fn allows_all(&self) -> bool {
        self.all_keys && self.all_channels && self.commands.every
    }

    /// Whether it allows all channels.
    pub fn allows_all_channels(&self) -> bool {
        self.all_channels
    }

    /// The channel patterns.
    pub fn channels(&self) -> &[Box<[u8]>] {
        &self.channels
    }

    /// Applies one rule.
    ///
    /// # Errors
    /// The rule is refused; then nothing has changed.
    pub fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        // Words end at a NUL, patterns must not hold one.
        let word = up_to_nul(rule);
        let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
        if is("allkeys") || is("~*") {
            self.all_keys = true;
            self.patterns.clear();
        } else if is("resetkeys") {
            self.all_keys = false;
            self.patterns.clear();
        } else if is("allchannels") || is("&*") {
            self.all_channels = true;
            self.channels.clear();
        } else if is("resetchannels") {
            self.all_channels = false;
            self.channels.clear();
        } else if is("allcommands") || is("+@all") {
            self.commands = AllowedCommands::all();
        } else if is("nocommands") || is("-@all") {
            self.commands = AllowedCommands::none();
        } else {
            match (rule.first(), word.get(1..)) {
                (Some(b'~' | b'%'), _) => self.add_key_pattern(rule)?,
                (Some(b'&'), _) => self.add_channel(&rule[1..])?,
                (Some(b'+'), Some([b'@', category @ ..])) => {
                    self.commands.change_category(category, true)?;
                }
                (Some(b'-'), Some([b'@', category @ ..])) => {
                    self.commands.change_category(category, false)?;
                }
                (Some(b'+'), Some(name)) => self.commands.allow(name)?,
                (Some(b'-'), Some(name)) => self.commands.deny(name)?,
                _ => return Err(RuleError::Syntax),
            }
        }
        Ok(())
    }

    /// `~pattern`, `%R~pattern`, `%W~pattern`, `%RW~pattern`.
    fn add_key_pattern(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::AfterAllKeys);
        }
        let (access, pattern) = match rule {
            [b'~', pattern @ ..] => (KeyAccess::BOTH, pattern),
            _ => access_and_pattern(&rule[1..]).ok_or(RuleError::Syntax)?,
        };
        if has_blank(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.patterns.iter_mut().find(|known| *known.pattern == *pattern) {
            Some(known) => known.access = known.access.and(access),
            None => self.patterns.push(KeyPattern { access, pattern: pattern.into() }),
        }
        Ok(())
    }

    fn add_channel(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::AfterAllChannels);
        }
        if has_blank(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| **known == *pattern) {
            self.channels.push(pattern.into());
        }
        Ok(())
    }

    /// Whether it allows a call; `keys` are those that the call names.
    ///
    /// # Errors
    /// The first thing that it does not allow.
    pub fn check(
        &self,
        command: &Command,
        args: Args<'_>,
        keys: &[NamedKey],
    ) -> Result<(), Denied> {
        if !self.commands.allows(command, args) {
            return Err(Denied { reason: Reason::Command, at: 0 });
        }
        if let Some((at, _)) =
            keys.iter().find(|(at, access)| !self.allows_key(args.at(*at), *access))
        {
            return Err(Denied { reason: Reason::Key, at: *at });
        }
        if self.all_channels {
            return Ok(());
        }
        match channels_of(command.row, args).find(|at| !self.allows_channel_of(command, args, *at))
        {
            Some(at) => Err(Denied { reason: Reason::Channel, at }),
            None => Ok(()),
        }
    }

    fn allows_channel_of(&self, command: &Command, args: Args<'_>, at: usize) -> bool {
        let is_pattern = command.row.channels == Some(Channels::SubscribePatterns);
        allows_channel(self.channels.iter().map(|channel| &**channel), args.at(at), is_pattern)
    }

    fn allows_key(&self, key: &[u8], access: KeyAccess) -> bool {
        let fits =
            |known: &KeyPattern| known.access.has(access) && glob_match(&known.pattern, key, false);
        self.all_keys || self.patterns.iter().any(fits)
    }

    /// Whether it allows to read any key: what only a pattern of SORT names can be any key.
    pub fn allows_reading_all_keys(&self) -> bool {
        let is_all =
            |known: &KeyPattern| known.access.has(KeyAccess::READ) && *known.pattern == *b"*";
        self.all_keys || self.patterns.iter().any(is_all)
    }

    /// The rules about commands, from `+@all` or `-@all` on.
    pub fn describe_commands(&self) -> String {
        self.commands.describe()
    }

    /// The rules about keys, separated by blanks.
    pub fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let patterns = self.patterns.iter().map(|known| {
            let prefix = match known.access {
                KeyAccess::READ => &b"%R~"[..],
                KeyAccess::WRITE => b"%W~",
                _ => b"~",
            };
            [prefix, &known.pattern].concat()
        });
        patterns.collect::<Vec<_>>().join(&b' ')
    }

    /// The rules about channels, separated by blanks.
    pub fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        let patterns = self.channels.iter().map(|pattern| [b"&", &**pattern].concat());
        patterns.collect::<Vec<_>>().join(&b' ')
    }

    /// All rules, as ACL LIST and files have them.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts = vec![self.describe_keys()];
        if !self.all_channels {
            parts.push(b"resetchannels".to_vec());
        }
        parts.push(self.describe_channels());
        parts.push(self.describe_commands().into_bytes());
        parts.retain(|part| !part.is_empty());
        parts.join(&b' ')
    }
}

/// Whether one of the patterns allows a channel. A pattern to subscribe to must be there as it is: as a
/// text it may match a pattern that allows less.
pub fn allows_channel<'a>(
    mut patterns: impl Iterator<Item = &'a [u8]>,
    channel: &[u8],
    is_pattern: bool,
) -> bool {
    patterns.any(|allowed| match is_pattern {
        true => allowed == channel,
        false => glob_match(allowed, channel, false),
    })
}

/// The keys that a call names, with what it does to each.
///
/// They are those that the locks are planned by, and a handler can reach no other, but for the keys
/// that SORT's patterns name.
pub fn named_keys(row: &Row, args: Args<'_>) -> SmallVec<[NamedKey; 4]> {
    let mut keys = SmallVec::new();
    row.each_key_of_spec(args, |at, spec| {
        if let Some(access) = KeyAccess::of(row, spec, args) {
            keys.push((at, access));
        }
    });
    keys
}

/// Where the channels of a call stand.
fn channels_of(row: &Row, args: Args<'_>) -> std::ops::Range<usize> {
    match row.channels {
        None => 0..0,
        Some(Channels::Publish) => 1..2.min(args.len()),
        Some(Channels::Subscribe | Channels::SubscribePatterns) => 1..args.len(),
    }
}

/// What follows `%`: letters of the access, `~`, the pattern.
fn access_and_pattern(rule: &[u8]) -> Option<(KeyAccess, &[u8])> {
    let mut access = KeyAccess::NONE;
    for (index, byte) in rule.iter().enumerate() {
        let letter = match byte.to_ascii_uppercase() {
            b'R' => KeyAccess::READ,
            b'W' => KeyAccess::WRITE,
            b'~' if access != KeyAccess::NONE => return Some((access, &rule[index + 1..])),
            _ => return None,
        };
        if access.has(letter) {
            return None;
        }
        access = access.and(letter);
    }
    // Without a `~` it would be a pattern without access, or without text.
    None
}

/// Whether a name or a pattern has something in it that would break it apart in a file.
pub fn has_blank(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | 0))
}

/// What a C string would be.
pub fn up_to_nul(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Which commands are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AllowedCommands {
    /// Whether it began with all commands.
    from_all: bool,
    /// Whether none was taken away since.
    every: bool,
    /// One bit a command, by its id.
    bits: Box<[u64]>,
    /// Commands that are allowed with these first arguments only.
    first_args: HashMap<usize, Vec<String>>,
    /// What changed since the beginning, each with whether it allows.
    rules: Vec<(bool, String)>,
}

impl AllowedCommands {
    fn none() -> Self {
        Self::begin(false)
    }

    fn all() -> Self {
        Self::begin(true)
    }

    fn begin(all: bool) -> Self {
        let words = commands::all().len().div_ceil(64);
        Self {
            from_all: all,
            every: all,
            bits: vec![if all { u64::MAX } else { 0 }; words].into(),
            first_args: HashMap::new(),
            rules: Vec::new(),
        }
    }

    fn allows(&self, command: &Command, args: Args<'_>) -> bool {
        if self.every || command.row.flags.has(Flags::NO_AUTH) {
            return true;
        }
        if self.bits.get(command.id / 64).is_some_and(|word| word >> (command.id % 64) & 1 == 1) {
            return true;
        }
        let Some(first) = args.get(1) else { return false };
        // Redis compares C strings.
        let first = up_to_nul(first);
        let allowed = self.first_args.get(&command.id);
        allowed.is_some_and(|all| all.iter().any(|arg| first.eq_ignore_ascii_case(arg.as_bytes())))
    }

    /// `+command`, `+container|subcommand`, `+command|first-argument`.
    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let Some(split) = name.iter().rposition(|byte| *byte == b'|') else {
            let command = commands::find_full_name(name).ok_or(RuleError::Unknown)?;
            self.change(command, true);
            self.remember(command.full_name.to_owned(), true);
            return Ok(());
        };
        let (container, argument) = (&name[..split], &name[split + 1..]);
        let command = commands::find_full_name(container).ok_or(RuleError::Unknown)?;
        if command.container.is_some() {
            return Err(RuleError::ArgumentOfSubcommand);
        }
        if argument.is_empty() {
            return Err(RuleError::Syntax);
        }
        if command.row.subcommands.is_empty() {
            let argument = String::from_utf8_lossy(argument);
            tracing::warn!(
                command = command.full_name,
                %argument,
                "allowing a first argument of a command is deprecated"
            );
            let known = self.first_args.entry(command.id).or_default();
            if !known.iter().any(|one| one.eq_ignore_ascii_case(&argument)) {
                known.push(argument.into_owned());
            }
        } else {
            self.change(commands::find_full_name(name).ok_or(RuleError::Unknown)?, true);
        }
        self.remember(String::from_utf8_lossy(name).to_ascii_lowercase(), true);
        Ok(())
    }

    /// `-command`, `-container|subcommand`.
    fn deny(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let command = commands::find_full_name(name).ok_or(RuleError::Unknown)?;
        self.change(command, false);
        self.remember(command.full_name.to_owned(), false);
        Ok(())
    }

    fn change_category(&mut self, name: &[u8], allow: bool) -> Result<(), RuleError> {
        let category = Categories::named(name).ok_or(RuleError::Unknown)?;
        for command in commands::all() {
            if command.row.categories().has(category) {
                self.change(command, allow);
            }
        }
        self.remember(format!("@{}", String::from_utf8_lossy(name).to_ascii_lowercase()), allow);
        Ok(())
    }

    /// Allows or denies a command with all its subcommands.
    fn change(&mut self, command: &Command, allow: bool) {
        self.every &= allow;
        self.first_args.remove(&command.id);
        for id in command.subcommands().map(|sub| sub.id).chain([command.id]) {
            if let Some(word) = self.bits.get_mut(id / 64) {
                let bit = 1 << (id % 64);
                if allow { *word |= bit } else { *word &= !bit }
            }
        }
    }

    /// Notes a rule at the end; what it makes void goes: the same rule, and those about a container's
    /// subcommands.
    fn remember(&mut self, rule: String, allow: bool) {
        self.rules.retain(|(_, known)| {
            let rest = known.strip_prefix(rule.as_str());
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        });
        self.rules.push((allow, rule));
    }

    fn describe(&self) -> String {
        let mut text = if self.from_all { "+@all" } else { "-@all" }.to_owned();
        for (allow, rule) in &self.rules {
            text.push_str(if *allow { " +" } else { " -" });
            text.push_str(rule);
        }
        text
    }
}

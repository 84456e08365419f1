//! One row holds every fact about a command.
//!
//! Lookup, arity errors, ACL categories, the lock plan, COMMAND, COMMAND DOCS, replication and the
//! README's list all read the row; nothing about a command is written down twice. Rows are built by
//! `const` calls, and [`check`] turns a contradiction inside a table into a compile error.

pub use super::arg::{Arg, ArgKind};

use crate::dispatch::call::{Call, CommandResult};
use crate::node::shared::Shared;
use larder_protocol::Args;

/// Runs a command. It sees its arguments, the keys it named, and the session; it knows neither
/// locks, sockets, the clock nor the log.
pub type Handler = for<'c, 'a> fn(&'c mut Call<'a>) -> CommandResult<'c>;

/// Gives the flags of one call: those of its row, as its arguments change them.
pub type FlagsOf = fn(&Shared, Args<'_>, Flags) -> Flags;

/// Command flags, named and reported as Redis does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl Flags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            /// Each flag with the word that COMMAND reports, in Redis's order.
            pub const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, $text)),*];
        }
    };
}

flags! {
    /// Changes the data set.
    WRITE = 0, "write";
    /// Reads the data set.
    READONLY = 1, "readonly";
    /// Refused when memory is above `maxmemory`.
    DENYOOM = 2, "denyoom";
    /// Operator command.
    ADMIN = 3, "admin";
    /// Publish/subscribe command.
    PUBSUB = 4, "pubsub";
    /// Not callable from scripts.
    NOSCRIPT = 5, "noscript";
    /// May block the client.
    BLOCKING = 6, "blocking";
    /// Allowed while the data set loads.
    LOADING = 7, "loading";
    /// Allowed on a replica with stale data.
    STALE = 8, "stale";
    /// Not shown by MONITOR.
    SKIP_MONITOR = 9, "skip_monitor";
    /// Not kept in the slow log.
    SKIP_SLOWLOG = 10, "skip_slowlog";
    /// Accepted for an importing slot.
    ASKING = 11, "asking";
    /// Constant or logarithmic time.
    FAST = 12, "fast";
    /// Allowed before authentication.
    NO_AUTH = 13, "no_auth";
    /// May replicate although it is no write.
    MAY_REPLICATE = 14, "";
    /// Has key specs but may be called without keys.
    NO_MANDATORY_KEYS = 15, "no_mandatory_keys";
    /// Guarded by `enable-debug-command` or `enable-module-command`.
    PROTECTED = 16, "";
    /// Not allowed during an asynchronous load.
    NO_ASYNC_LOADING = 17, "no_async_loading";
    /// Not allowed inside a transaction.
    NO_MULTI = 18, "no_multi";
    /// Keys cannot be told by first, last and step alone.
    MOVABLEKEYS = 19, "movablekeys";
    /// Allowed while a script runs too long.
    ALLOW_BUSY = 20, "allow_busy";
    /// For the server's own use; only COMMAND DOCS shows it.
    SYSCMD = 21, "";
    /// Runs at once within MULTI, where other commands are queued.
    AT_ONCE = 22, "";
    /// Runs what was queued since MULTI.
    EXEC = 23, "";
    /// Ends MULTI without running anything.
    ENDS_MULTI = 24, "";
    /// Not there on a node that is no member of a replication group.
    IN_GROUP = 25, "";
}

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Both sets.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// This set without the other.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// ACL categories as a bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Categories(u32);

macro_rules! categories {
    ($($name:ident = $bit:literal, $text:literal;)*) => {
        impl Categories {
            $(#[doc = concat!("The category `@", $text, "`.")] pub const $name: Self = Self(1 << $bit);)*
            /// Each category with its name, in Redis's order.
            pub const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, $text)),*];
        }
    };
}

categories! {
    KEYSPACE = 0, "keyspace";
    READ = 1, "read";
    WRITE = 2, "write";
    SET = 3, "set";
    SORTEDSET = 4, "sortedset";
    LIST = 5, "list";
    HASH = 6, "hash";
    STRING = 7, "string";
    BITMAP = 8, "bitmap";
    HYPERLOGLOG = 9, "hyperloglog";
    GEO = 10, "geo";
    STREAM = 11, "stream";
    PUBSUB = 12, "pubsub";
    ADMIN = 13, "admin";
    FAST = 14, "fast";
    SLOW = 15, "slow";
    BLOCKING = 16, "blocking";
    DANGEROUS = 17, "dangerous";
    CONNECTION = 18, "connection";
    TRANSACTION = 19, "transaction";
    SCRIPTING = 20, "scripting";
}

impl Categories {
    /// No category.
    pub const NONE: Self = Self(0);
    /// The category of this name, in any case and without its `@`.
    pub fn named(name: &[u8]) -> Option<Self> {
        let is = |known: &&(Self, &str)| known.1.as_bytes().eq_ignore_ascii_case(name);
        Self::NAMES.iter().find(is).map(|(category, _)| *category)
    }
    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
    /// Both sets.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The family a command belongs to, as COMMAND DOCS and COMMAND LIST FILTERBY name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The variants are the words of the reply.
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Pubsub,
    Transactions,
    Connection,
    Server,
    Scripting,
    Hyperloglog,
    Cluster,
    Sentinel,
    Geo,
    Stream,
    Bitmap,
}

impl Group {
    /// The word in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Hash => "hash",
            Self::Pubsub => "pubsub",
            Self::Transactions => "transactions",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Scripting => "scripting",
            Self::Hyperloglog => "hyperloglog",
            Self::Cluster => "cluster",
            Self::Sentinel => "sentinel",
            Self::Geo => "geo",
            Self::Stream => "stream",
            Self::Bitmap => "bitmap",
        }
    }
}

/// Where a key spec begins to look.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// At this argument; the command's name is argument 0.
    Index(usize),
    /// After this word, searched from argument `from` on (from the end when negative).
    Keyword {
        /// The word, in upper case.
        word: &'static str,
        /// Where the search begins.
        from: isize,
    },
    /// In a place that Redis calls unknown: at the argument that this finds, if it finds one.
    Unknown(fn(Args<'_>) -> Option<usize>),
}

/// How a key spec goes on from where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Keys up to `last` (relative to the begin; from the end of the arguments when negative).
    Range {
        /// Last key.
        last: isize,
        /// Distance between keys.
        step: usize,
        /// With `last` = -1: use only the first 1/limit of the arguments.
        limit: usize,
    },
    /// A count at `count`, keys from `first`, both relative to the begin.
    KeyNum {
        /// Where the count stands.
        count: usize,
        /// Where the first key stands.
        first: usize,
        /// Distance between keys.
        step: usize,
    },
}

/// One way in which a command names keys.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Where it begins.
    pub begin: Begin,
    /// How it goes on.
    pub find: Find,
    /// Redis's key-spec flags in its order and case, for example `RO`, `access`.
    pub flags: &'static [&'static str],
    /// A remark shown by COMMAND.
    pub notes: Option<&'static str>,
}

impl KeySpec {
    /// The single key at argument `index`.
    pub const fn at(index: usize, flags: &'static [&'static str]) -> Self {
        Self::range(index, 0, 1, flags)
    }
    /// Keys from argument `index` to `last`, relative to it or from the end.
    pub const fn range(
        index: usize,
        last: isize,
        step: usize,
        flags: &'static [&'static str],
    ) -> Self {
        let find = Find::Range { last, step, limit: 0 };
        Self { begin: Begin::Index(index), find, flags, notes: None }
    }
    /// A single key in a place that Redis calls unknown.
    pub const fn unknown(
        find: fn(Args<'_>) -> Option<usize>,
        flags: &'static [&'static str],
        notes: &'static str,
    ) -> Self {
        Self { begin: Begin::Unknown(find), ..Self::at(0, flags) }.note(notes)
    }
    /// Names of shard channels from argument `index` to `last`.
    pub const fn channels(index: usize, last: isize) -> Self {
        Self::range(index, last, 1, &["not_key"])
    }
    /// Whether it names keys: shard channels only lie in a slot as keys do.
    #[inline]
    pub fn names_keys(&self) -> bool {
        !matches!(self.flags, ["not_key"])
    }
    /// Adds a remark.
    pub const fn note(mut self, notes: &'static str) -> Self {
        self.notes = Some(notes);
        self
    }
}

/// How a command names channels of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Its first argument is one to publish to.
    Publish,
    /// All its arguments are some to subscribe to.
    Subscribe,
    /// All its arguments are patterns to subscribe to.
    SubscribePatterns,
}

/// What a write command leaves in the effect log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: the command changes no data.
    None,
    /// The command as it came, when it changed something.
    Verbatim,
    /// What the handler said through [`Call::effect`], when it changed something.
    Rewritten,
}

/// Every fact about a command.
#[derive(Clone, Copy)]
pub struct Row {
    /// Lower-case name; for a subcommand its own word only.
    pub name: &'static str,
    /// Number of arguments with the name (and container); at least that many when negative.
    pub arity: i32,
    /// Runs it; `None` for a container that cannot be called alone.
    pub handler: Option<Handler>,
    /// Flags.
    pub flags: Flags,
    /// What makes the flags of a call others than those: a script says what it may do.
    pub flags_of: Option<FlagsOf>,
    /// ACL categories besides those that follow from the flags.
    pub explicit_categories: Categories,
    /// How it names keys.
    pub keys: &'static [KeySpec],
    /// Whether a call also uses keys that no argument names, so that it needs all shards.
    pub unnamed_keys: Option<fn(Args<'_>) -> bool>,
    /// Whether it looks at shards beyond those of the keys it names: one at a time when it runs alone;
    /// within a transaction or a script they are all held.
    pub roams: bool,
    /// How it names channels, where a user needs a right to them.
    pub channels: Option<Channels>,
    /// Its family.
    pub group: Group,
    /// The version of Redis that brought it.
    pub since: &'static str,
    /// Its cost.
    pub complexity: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Its arguments.
    pub args: &'static [Arg],
    /// Changes over the versions: version and what changed.
    pub history: &'static [(&'static str, &'static str)],
    /// Since when it is deprecated and what replaces it.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Hints for proxies, as COMMAND reports them.
    pub tips: &'static [&'static str],
    /// What it leaves in the effect log.
    pub effect: Effect,
    /// Its subcommands.
    pub subcommands: &'static [Row],
}

impl Row {
    /// A command with its name, arity and handler; a read-free, write-free command until flags say more.
    pub const fn new(name: &'static str, arity: i32, handler: Handler) -> Self {
        Self { handler: Some(handler), ..Self::container(name, arity, &[]) }
    }

    /// A command that only its subcommands run.
    pub const fn container(name: &'static str, arity: i32, subcommands: &'static [Row]) -> Self {
        Self {
            name,
            arity,
            handler: None,
            flags: Flags::NONE,
            flags_of: None,
            explicit_categories: Categories::NONE,
            keys: &[],
            unnamed_keys: None,
            roams: false,
            channels: None,
            group: Group::Generic,
            since: "1.0.0",
            complexity: "",
            summary: "",
            args: &[],
            history: &[],
            deprecated: None,
            tips: &[],
            effect: Effect::None,
            subcommands,
        }
    }

    /// Adds subcommands to a command that also runs alone.
    pub const fn subcommands(mut self, subcommands: &'static [Row]) -> Self {
        self.subcommands = subcommands;
        self
    }
    /// Adds a flag.
    pub const fn flag(mut self, flag: Flags) -> Self {
        self.flags = self.flags.and(flag);
        self
    }
    /// Asks the arguments of a call what its flags are.
    pub const fn flags_by(mut self, flags_of: FlagsOf) -> Self {
        self.flags_of = Some(flags_of);
        self
    }
    /// The flags of one call.
    pub fn flags_of(&self, node: &Shared, args: Args<'_>) -> Flags {
        self.flags_of.map_or(self.flags, |flags_of| flags_of(node, args, self.flags))
    }
    /// A read command.
    pub const fn reads(self) -> Self {
        self.flag(Flags::READONLY)
    }
    /// A read command that may keep what it computed, and is its own effect when it does.
    pub const fn reads_and_may_write(mut self) -> Self {
        self.effect = Effect::Verbatim;
        self.flag(Flags::READONLY).flag(Flags::MAY_REPLICATE)
    }
    /// A write command whose call is its own effect.
    pub const fn writes(mut self) -> Self {
        self.effect = Effect::Verbatim;
        self.flag(Flags::WRITE)
    }
    /// A write command whose handler states the effect.
    pub const fn writes_rewritten(mut self) -> Self {
        self.effect = Effect::Rewritten;
        self.flag(Flags::WRITE)
    }
    /// Refused above `maxmemory`.
    pub const fn deny_oom(self) -> Self {
        self.flag(Flags::DENYOOM)
    }
    /// Constant or logarithmic time.
    pub const fn fast(self) -> Self {
        self.flag(Flags::FAST)
    }
    /// Adds explicit ACL categories.
    pub const fn category(mut self, categories: Categories) -> Self {
        self.explicit_categories = self.explicit_categories.and(categories);
        self
    }
    /// How it names keys.
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.keys = keys;
        self
    }
    /// Which calls also use keys that no argument names.
    pub const fn unnamed_keys(mut self, uses: fn(Args<'_>) -> bool) -> Self {
        self.unnamed_keys = Some(uses);
        self
    }
    /// It looks at shards beyond those of the keys it names.
    pub const fn roams(mut self) -> Self {
        self.roams = true;
        self
    }
    /// How it names channels.
    pub const fn channels(mut self, channels: Channels) -> Self {
        self.channels = Some(channels);
        self
    }
    /// Family, version, cost and summary.
    pub const fn docs(
        mut self,
        group: Group,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        self.group = group;
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self
    }
    /// Its arguments.
    pub const fn args(mut self, args: &'static [Arg]) -> Self {
        self.args = args;
        self
    }
    /// Changes over the versions.
    pub const fn history(mut self, history: &'static [(&'static str, &'static str)]) -> Self {
        self.history = history;
        self
    }
    /// Deprecated since a version, replaced by something.
    pub const fn deprecated(mut self, since: &'static str, by: &'static str) -> Self {
        self.deprecated = Some((since, by));
        self
    }
    /// Hints for proxies.
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// All ACL categories: the explicit ones and those that follow from the flags.
    pub const fn categories(&self) -> Categories {
        let mut all = self.explicit_categories;
        let flags = self.flags;
        if flags.has(Flags::WRITE) {
            all = all.and(Categories::WRITE);
        }
        if flags.has(Flags::READONLY) && !all.has(Categories::SCRIPTING) {
            all = all.and(Categories::READ);
        }
        if flags.has(Flags::ADMIN) {
            all = all.and(Categories::ADMIN).and(Categories::DANGEROUS);
        }
        if flags.has(Flags::PUBSUB) {
            all = all.and(Categories::PUBSUB);
        }
        if flags.has(Flags::BLOCKING) {
            all = all.and(Categories::BLOCKING);
        }
        all.and(if flags.has(Flags::FAST) { Categories::FAST } else { Categories::SLOW })
    }

    /// Whether `count` arguments satisfy the arity.
    #[inline]
    pub const fn accepts(&self, count: usize) -> bool {
        if self.arity >= 0 {
            count == self.arity as usize
        } else {
            count >= self.arity.unsigned_abs() as usize
        }
    }

    /// Shows `visit` the index of each key among `args`.
    ///
    /// A count that does not fit the arguments names no keys: the handler reports it.
    #[inline]
    pub fn each_key(&self, args: Args<'_>, mut visit: impl FnMut(usize)) {
        self.each_key_of_spec(args, |at, _| visit(at));
    }

    /// As [`each_key`](Self::each_key), with the spec that names the key.
    #[inline]
    pub fn each_key_of_spec(&self, args: Args<'_>, mut visit: impl FnMut(usize, &'static KeySpec)) {
        for spec in self.keys.iter().filter(|spec| spec.names_keys()) {
            let begin = match spec.begin {
                Begin::Index(index) => index,
                Begin::Keyword { word, from } => match find_keyword(args, word, from) {
                    Some(index) if matches!(spec.find, Find::Range { last: 0, .. }) => {
                        // An option that names a key may be given again; the last one counts.
                        let again = |at: &usize| args.at(*at).eq_ignore_ascii_case(word.as_bytes());
                        (index..args.len() - 1).filter(again).for_each(|at| visit(at + 1, spec));
                        continue;
                    }
                    Some(index) => index + 1,
                    None => continue,
                },
                Begin::Unknown(find) => match find(args) {
                    Some(index) => index,
                    None => continue,
                },
            };
            let (first, last, step) = match spec.find {
                Find::Range { last, step, limit } => {
                    let end = args.len() as isize;
                    let last = match (last, limit) {
                        (0.., _) => begin as isize + last,
                        (-1, 2..) => begin as isize + (end - begin as isize) / limit as isize - 1,
                        _ => end + last,
                    };
                    (begin, last, step)
                }
                Find::KeyNum { count, first, step } => {
                    let named = args
                        .get(begin + count)
                        .and_then(larder_protocol::number::parse_i64)
                        .unwrap_or(0);
                    let first = begin + first;
                    let room = args.len().saturating_sub(first).div_ceil(step.max(1)) as i64;
                    if named < 1 || named > room {
                        continue;
                    }
                    (first, (first + (named as usize - 1) * step) as isize, step)
                }
            };
            let mut at = first;
            while (at as isize) <= last && at < args.len() {
                visit(at, spec);
                at += step.max(1);
            }
        }
    }
}

fn find_keyword(args: Args<'_>, word: &str, from: isize) -> Option<usize> {
    let matches = |index: &usize| {
        args.get(*index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    if from >= 0 {
        (from as usize..args.len()).find(matches)
    } else {
        let start = args.len().checked_sub(from.unsigned_abs())?;
        (1..=start).rev().find(matches)
    }
}

/// Fails the build when a row contradicts itself.
pub const fn check(rows: &[Row]) {
    let mut index = 0;
    while index < rows.len() {
        let row = &rows[index];
        assert!(!row.name.is_empty(), "a command has a name");
        assert!(row.arity != 0, "an arity counts the name");
        assert!(row.handler.is_some() || !row.subcommands.is_empty(), "a command runs or contains");
        assert!(
            !(row.flags.has(Flags::WRITE) && row.flags.has(Flags::READONLY)),
            "a command writes or reads"
        );
        assert!(
            row.flags.has(Flags::WRITE)
                || row.flags.has(Flags::MAY_REPLICATE)
                || matches!(row.effect, Effect::None),
            "only what may write has an effect"
        );
        assert!(
            !row.flags.has(Flags::WRITE) || !matches!(row.effect, Effect::None),
            "a write has an effect"
        );
        assert!(!row.summary.is_empty(), "a command has a summary");
        check(row.subcommands);
        index += 1;
    }
}

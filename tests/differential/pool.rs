//! The words that commands are filled with: few, so that commands meet, and the awkward ones among them.

use larder_tests::Rng;

use crate::rows::Kind;

/// Keys by the type that lies under them: commands mostly name keys of their own group's type.
pub(crate) const KEYS: &[(&str, &[&str])] = &[
    ("string", &["s1", "s2", "s3"]),
    ("counter", &["i1", "i2", "f1"]),
    ("bitmap", &["b1", "b2", "b3"]),
    ("hyperloglog", &["p1", "p2", "p3"]),
    ("list", &["l1", "l2", "l3"]),
    ("hash", &["h1", "h2", "h3"]),
    ("set", &["t1", "t2", "t3"]),
    ("sorted-set", &["z1", "z2", "z3"]),
    ("geo", &["g1", "g2"]),
    ("stream", &["x1", "x2"]),
    ("none", &["m1", "", "k\r\n*"]),
];

/// The smallest number but one is left out: as a count it sends Redis into an endless loop.
const I64: [&str; 4] =
    ["9223372036854775807", "-9223372036854775808", "9223372036854775806", "4294967296"];

/// No whole numbers, at least not for everybody.
const NO_NUMBERS: [&str; 12] = [
    "",
    "x",
    "1.5",
    " 1",
    "1 ",
    "+1",
    "-0",
    "01",
    "9223372036854775808",
    "-9223372036854775809",
    "1e2",
    "0x10",
];

const FLOATS: [&str; 24] = [
    "0",
    "-0",
    "0.1",
    "-0.0",
    "1.5",
    "3.0e3",
    "5.0",
    "1e15",
    "1e17",
    "123456789012345678",
    "1.5e-5",
    "0.30000000000000004",
    "1e308",
    "-1e308",
    "1e-320",
    "inf",
    "-inf",
    "+inf",
    "Infinity",
    "nan",
    "1e400",
    " 1",
    "",
    "x",
];

const PATTERNS: [&str; 12] =
    ["*", "?*", "s*", "[a-c]*", "[^a]*", "h?", "*1", "\\*", "[", "", "a**b", "w\\"];

/// A class of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Value,
    Member,
    Int,
    Count,
    Index,
    BitOffset,
    Bit,
    Float,
    Coordinate,
    Radius,
    /// Where a range of ranks, scores or members ends, of scores, of members.
    Border,
    ScoreBorder,
    MemberBorder,
    Score,
    Pattern,
    Seconds,
    Millis,
    UnixSeconds,
    UnixMillis,
    Timeout,
    Wait,
    Idle,
    Cursor,
    Database,
    BitType,
    FieldOffset,
    StreamId,
    NewStreamId,
    ReadStreamId,
    StreamBorder,
    StreamSize,
    Group,
    Consumer,
    TypeName,
    Protocol,
}

/// Which class an argument is of: by its name, and where names are worn, by its group and command.
const CLASSES: &[(&str, &str, Class)] = &[
    ("", "seconds", Class::Seconds),
    ("", "milliseconds", Class::Millis),
    ("", "ttl", Class::Millis),
    ("", "unix-time-seconds", Class::UnixSeconds),
    ("", "unix-time-milliseconds", Class::UnixMillis),
    ("", "timeout", Class::Timeout),
    ("stream", "milliseconds", Class::Wait),
    ("stream", "min-idle-time", Class::Idle),
    ("stream", "ms", Class::Idle),
    ("", "cursor", Class::Cursor),
    ("", "db", Class::Database),
    ("", "destination-db", Class::Database),
    ("", "index1", Class::Database),
    ("", "index2", Class::Database),
    ("connection", "index", Class::Database),
    ("connection", "protover", Class::Protocol),
    ("", "count", Class::Count),
    ("", "limit", Class::Count),
    ("", "num-matches", Class::Count),
    ("", "len", Class::Count),
    ("", "min-match-len", Class::Count),
    ("", "numreplicas", Class::Count),
    ("", "numlocal", Class::Count),
    ("", "index", Class::Index),
    ("", "rank", Class::Index),
    ("", "start", Class::Index),
    ("", "stop", Class::Index),
    ("", "end", Class::Index),
    ("", "offset", Class::Count),
    ("bitmap", "offset", Class::BitOffset),
    ("bitmap", "bit", Class::Bit),
    ("setbit", "value", Class::Bit),
    ("bitfield", "offset", Class::FieldOffset),
    ("bitfield_ro", "offset", Class::FieldOffset),
    ("", "encoding", Class::BitType),
    ("", "longitude", Class::Coordinate),
    ("", "latitude", Class::Coordinate),
    ("", "radius", Class::Radius),
    ("", "width", Class::Radius),
    ("", "height", Class::Radius),
    ("sorted-set", "score", Class::Score),
    ("sorted-set", "min", Class::ScoreBorder),
    ("sorted-set", "max", Class::ScoreBorder),
    ("zlexcount", "min", Class::MemberBorder),
    ("zlexcount", "max", Class::MemberBorder),
    ("zrangebylex", "min", Class::MemberBorder),
    ("zrangebylex", "max", Class::MemberBorder),
    ("zrevrangebylex", "min", Class::MemberBorder),
    ("zrevrangebylex", "max", Class::MemberBorder),
    ("zremrangebylex", "min", Class::MemberBorder),
    ("zremrangebylex", "max", Class::MemberBorder),
    ("zrangestore", "max", Class::Border),
    ("zrange", "start", Class::Border),
    ("zrange", "stop", Class::Border),
    ("zrangestore", "min", Class::Border),
    ("", "member", Class::Member),
    ("", "member1", Class::Member),
    ("", "member2", Class::Member),
    ("", "field", Class::Member),
    ("", "element", Class::Member),
    ("", "pivot", Class::Member),
    ("", "type", Class::TypeName),
    ("stream", "id", Class::StreamId),
    ("stream", "last-id", Class::StreamId),
    ("stream", "lastid", Class::StreamId),
    ("stream", "max-deleted-id", Class::StreamId),
    ("xadd", "id", Class::NewStreamId),
    ("xreadgroup", "id", Class::ReadStreamId),
    ("stream", "start", Class::StreamBorder),
    ("stream", "end", Class::StreamBorder),
    ("stream", "threshold", Class::StreamSize),
    ("stream", "group", Class::Group),
    ("stream", "consumer", Class::Consumer),
];

fn class(command: &str, group: &str, name: &str, kind: Kind) -> Class {
    let named = [command, group, ""].into_iter().find_map(|scope| {
        CLASSES.iter().find(|(s, n, _)| *s == scope && *n == name).map(|(_, _, class)| *class)
    });
    named.unwrap_or(match kind {
        Kind::Integer => Class::Int,
        Kind::Double => Class::Float,
        Kind::UnixTime => Class::UnixSeconds,
        Kind::Pattern => Class::Pattern,
        _ => Class::Value,
    })
}

/// Where words come from.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) rng: Rng,
    /// Grows with every stream id that was made up, so that XADD mostly gets a new one.
    last_id: usize,
}

impl Pool {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), last_id: 0 }
    }

    /// Whether something that happens `percent` times in a hundred happens.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.rng.below(100) < percent
    }

    fn one_of(&mut self, words: &[&str]) -> Vec<u8> {
        self.rng.pick(words).as_bytes().to_vec()
    }

    /// A key: mostly of the type that `group` works on.
    pub(crate) fn key(&mut self, command: &str, group: &str) -> Vec<u8> {
        if (command.starts_with("incr") || command.starts_with("decr")) && self.chance(70) {
            return self.one_of(&["i1", "i2", "f1"]);
        }
        let own = KEYS.iter().find(|(name, _)| *name == group && group != "none");
        match own {
            Some((_, keys)) if self.chance(88) => self.one_of(keys),
            _ => {
                let (_, keys) = *self.rng.pick(KEYS);
                self.one_of(keys)
            }
        }
    }

    /// A word for an argument of this name and kind.
    pub(crate) fn word(&mut self, command: &str, group: &str, name: &str, kind: Kind) -> Vec<u8> {
        let class = class(command, group, name, kind);
        let is_time = matches!(
            class,
            Class::Seconds
                | Class::Millis
                | Class::UnixSeconds
                | Class::UnixMillis
                | Class::Timeout
                | Class::Wait
        );
        if !is_time && self.chance(2) { self.any() } else { self.of(class) }
    }

    /// A word that has no place in particular.
    pub(crate) fn any(&mut self) -> Vec<u8> {
        match self.rng.below(5) {
            0 => self.key("", ""),
            1 => self.of(Class::Int),
            2 => self.of(Class::Float),
            3 => self.one_of(&[
                "LIMIT",
                "COUNT",
                "WITHSCORES",
                "NX",
                "XX",
                "GET",
                "REV",
                "STORE",
                "#",
            ]),
            _ => self.value(),
        }
    }

    fn of(&mut self, class: Class) -> Vec<u8> {
        match class {
            Class::Value => self.value(),
            Class::Member => self.member(),
            Class::Int | Class::Index | Class::Count | Class::BitOffset => self.number(class),
            Class::Bit => {
                self.one_of(&["0", "1", "1", "0", "1", "0", "1", "0", "1", "0", "2", "-1", "x"])
            }
            Class::FieldOffset if self.chance(30) => [b"#".to_vec(), self.small(-1, 100)].concat(),
            Class::FieldOffset => self.number(Class::BitOffset),
            Class::Float => self.float(),
            Class::Score => match self.rng.below(3) {
                0 => self.float(),
                _ => self.small(-3, 10),
            },
            Class::Coordinate => match self.rng.below(30) {
                0 => self.float(),
                1 => {
                    self.one_of(&["180", "-180", "85.05112878", "-85.05112878", "86", "181", "90"])
                }
                _ => format!("{}.{}", self.rng.below(20), self.rng.below(100_000)).into_bytes(),
            },
            Class::Radius => self.one_of(&[
                "0", "1", "10", "100", "500", "1000", "5000", "10000", "100000", "1e7", "0.5",
                "-1", "nan", "inf", "x",
            ]),
            Class::ScoreBorder if self.chance(80) => match self.rng.below(6) {
                0 => self.one_of(&["-inf", "+inf", "inf", "(inf", "(-inf"]),
                1 => [b"(".to_vec(), self.small(-3, 10)].concat(),
                2 => self.float(),
                _ => self.small(-3, 10),
            },
            Class::MemberBorder if self.chance(90) => match self.rng.below(4) {
                0 => self.one_of(&["-", "+", "-", "+", "[", "("]),
                _ => [self.one_of(&["[", "("]), self.member()].concat(),
            },
            Class::Border | Class::ScoreBorder | Class::MemberBorder => self.border(),
            Class::Pattern if self.chance(30) => {
                self.one_of(&["nosort", "#", "s*", "h*->a", "i*", "*->b", "h1->*", "h1"])
            }
            Class::Pattern => self.one_of(&PATTERNS),
            Class::TypeName => self.one_of(&[
                "string", "list", "set", "zset", "hash", "stream", "STRING", "nosuch", "",
            ]),
            Class::Cursor => self.one_of(&["0", "0", "0", "0", "0", "1", "12", "-1", "x", "+0"]),
            Class::Database => self.one_of(&["0", "0", "0", "1", "1", "1", "16", "-1", "x"]),
            Class::Protocol => self.one_of(&["2", "3", "2", "3", "1", "4", "x"]),
            Class::BitType => self.one_of(&[
                "u1", "u2", "u4", "u8", "i8", "i5", "u16", "i16", "u31", "i32", "i63", "u63",
                "i64", "u64", "i65", "u0", "8", "", "U8",
            ]),
            Class::Group => self.one_of(&["g1", "g1", "g1", "g1", "g1", "g2", "g2", "nosuch"]),
            Class::Consumer => self.one_of(&["c1", "c1", "c2", "c3", ""]),
            Class::StreamId => self.stream_id(),
            Class::NewStreamId if self.chance(75) => self.new_stream_id(),
            Class::ReadStreamId if self.chance(60) => b">".to_vec(),
            Class::StreamBorder if self.chance(40) => self.one_of(&["-", "+", "(0-1", "0"]),
            Class::StreamSize if self.chance(60) => self.small(0, 10),
            Class::NewStreamId | Class::ReadStreamId | Class::StreamBorder | Class::StreamSize => {
                self.stream_id()
            }
            _ => self.time(class),
        }
    }

    /// Deadlines are far away or past, and no two are alike, so that no reply depends on the
    /// millisecond in which one of the servers read its command. Waits are short.
    fn time(&mut self, class: Class) -> Vec<u8> {
        match class {
            Class::Timeout => {
                return self.one_of(&[
                    "0.001", "0.002", "1e-3", "0.001", "0.0015", "0.001", "0.003", "0.001",
                    "0.001", "0.001", "0.001", "-1", "nan", "inf", "1e300", "x", "", "-0.5",
                ]);
            }
            Class::Wait => {
                return self.one_of(&["1", "2", "1", "1", "2", "1", "1", "-1", "x", "1.5", ""]);
            }
            Class::Idle => {
                return self.one_of(&["0", "0", "0", "100000000", "-1", "x", "", I64[0]]);
            }
            _ => {}
        }
        if self.chance(20) {
            return self.one_of(&["0", "-1", "1.5", "x", "", I64[0], I64[1], "9223372036854000"]);
        }
        let far = 1_000_000 + self.rng.below(1 << 20) * 1_000;
        let number = match class {
            Class::Seconds => far,
            Class::Millis => far * 1_000,
            _ if self.chance(15) => 1_000 + far,
            Class::UnixSeconds => 30_000_000_000 + far,
            _ => 30_000_000_000_000 + far * 1_000,
        };
        number.to_string().into_bytes()
    }

    fn small(&mut self, from: i64, count: usize) -> Vec<u8> {
        (from + self.rng.below(count) as i64).to_string().into_bytes()
    }

    /// Never between 100 000 and 2^32: as an offset such a number makes a string of many megabytes.
    fn number(&mut self, class: Class) -> Vec<u8> {
        match (self.rng.below(20), class) {
            (0, _) => self.one_of(&NO_NUMBERS),
            (1, Class::Count) => self.one_of(&[I64[0], I64[1], "4294967296"]),
            (1..3, Class::Int | Class::Index) | (1, Class::BitOffset) => self.one_of(&I64),
            (3, Class::Int | Class::Index) => self.one_of(&["100", "1000", "-100", "-1000"]),
            (2..5, Class::BitOffset) => self.one_of(&["1000", "1023", "4095", "9999"]),
            (2..4, Class::Count) => self.small(-5, 6),
            (_, Class::Count) => self.small(0, 8),
            (_, Class::BitOffset) => self.small(0, 100),
            (_, Class::Index) => self.small(-12, 25),
            _ => self.small(-20, 41),
        }
    }

    fn float(&mut self) -> Vec<u8> {
        match self.rng.below(3) {
            0 => self.one_of(&FLOATS),
            1 => self.small(-20, 41),
            _ => {
                let whole = self.rng.below(2001) as i64 - 1000;
                format!("{whole}.{}", self.rng.below(10_000)).into_bytes()
            }
        }
    }

    /// Where a range of a sorted set begins or ends: a rank, a score, or a member.
    fn border(&mut self) -> Vec<u8> {
        match self.rng.below(12) {
            0..5 => self.small(-3, 10),
            5 => [b"(".to_vec(), self.small(-3, 10)].concat(),
            6 => self.one_of(&["-inf", "+inf", "inf", "(inf", "(-inf", "(", "[", "nan", ""]),
            7 => self.one_of(&["-", "+"]),
            8 => self.float(),
            9 => self.one_of(&I64),
            _ => [self.one_of(&["[", "("]), self.member()].concat(),
        }
    }

    fn new_stream_id(&mut self) -> Vec<u8> {
        self.last_id += 1 + self.rng.below(3);
        let low = if self.chance(50) { self.last_id % 3 } else { 0 };
        format!("{}-{low}", self.last_id / 3).into_bytes()
    }

    /// An id that is there, or was, or may come.
    fn stream_id(&mut self) -> Vec<u8> {
        let high = self.last_id / 3;
        match self.rng.below(20) {
            0..8 => format!("{}-{}", self.rng.below(high + 1), self.rng.below(3)).into_bytes(),
            8..12 => self.rng.below(high + 1).to_string().into_bytes(),
            12 => high.to_string().into_bytes(),
            13 => format!("{high}-*").into_bytes(),
            14 => format!("({}-1", self.rng.below(high + 1)).into_bytes(),
            15 => self.one_of(&["18446744073709551615", "1-", "-1", "x", "0-0", ""]),
            16 => self.one_of(&["$", ">", "-", "+"]),
            _ => self.one_of(&["0", "0-0", "0-1", "1-1"]),
        }
    }

    /// An element of a collection: few different ones, of every length that an encoding knows.
    fn member(&mut self) -> Vec<u8> {
        match self.rng.below(10) {
            0..6 => self.one_of(&["a", "b", "c", "d", "e", "f", "g", "h"]),
            6..8 => self.small(-2, 12),
            _ => self.value(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.below(12) {
            0..3 => self.one_of(&["hello", "abcabc", "foo", "a", ""]),
            3 => self.small(-1000, 2001),
            4 => self.one_of(&I64),
            5 => self.one_of(&NO_NUMBERS),
            6 => self.float(),
            7 => {
                let len = *self.rng.pick(&[1, 2, 5, 10, 44, 45, 64, 65, 200]);
                self.rng.bytes(len)
            }
            8 => vec![b'x'; *self.rng.pick(&[8, 9, 43, 44, 45, 63, 64, 65, 127, 128, 300])],
            9 => self.one_of(&["\0", "\r\n", "\u{e9}", "255", "32768", "-129", "65536"]),
            _ => format!("word{}", self.rng.below(5)).into_bytes(),
        }
    }
}

//! Directives of several words, and texts with rules of their own.

use std::path::{Path, PathBuf};

use super::kinds::{
    INT_MAX, Int, Kind, Line, Reason, loose_integer, memory, memory_in_units, not_one_of, one,
};
use super::values::{
    MemoryOrPercent, NotifyFlags, OomScoreAdjValues, OutputBufferLimit, OutputBufferLimits,
    PrimaryAddress, RenamedCommand, SavePoint, ShutdownOptions,
};

/// `maxmemory-clients`: bytes or percent.
pub(crate) struct MemoryOrShare;

impl Kind<MemoryOrPercent> for MemoryOrShare {
    fn parse(
        &self,
        words: &[&str],
        _: &MemoryOrPercent,
        _: bool,
    ) -> Result<MemoryOrPercent, Reason> {
        let word = one(words)?;
        if let Some(bytes) = memory(word).filter(|bytes| i64::try_from(*bytes).is_ok()) {
            return Ok(MemoryOrPercent::Bytes(bytes));
        }
        let digits = word.strip_suffix('%').filter(|digits| {
            let leading_zero = digits.len() > 1 && digits.starts_with('0');
            !leading_zero && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
        match digits.and_then(|digits| digits.parse::<i64>().ok()) {
            // No percent is no limit.
            Some(0) => Ok(MemoryOrPercent::Bytes(0)),
            Some(percent) => u8::try_from(percent)
                .ok()
                .filter(|percent| *percent <= 100)
                .map(MemoryOrPercent::Percent)
                .ok_or(Reason::Borrowed("percentage argument must be less or equal to 100")),
            None => Err("argument must be a memory or percent value".into()),
        }
    }

    fn text(&self, value: &MemoryOrPercent) -> String {
        match value {
            MemoryOrPercent::Bytes(bytes) => bytes.to_string(),
            MemoryOrPercent::Percent(percent) => format!("{percent}%"),
        }
    }

    fn lines(&self, name: &str, value: &MemoryOrPercent, default: &MemoryOrPercent) -> Vec<Line> {
        let shown = match value {
            MemoryOrPercent::Bytes(bytes) => memory_in_units((*bytes).into()),
            MemoryOrPercent::Percent(percent) => format!("{percent}%"),
        };
        vec![Line { text: format!("{name} {shown}"), force: value != default }]
    }

    fn syntax(&self) -> String {
        "bytes or n%".to_owned()
    }
}

/// `save`: pairs of seconds and changes. In a file, each further line adds to it.
pub(crate) struct SavePoints;

impl Kind<Vec<SavePoint>> for SavePoints {
    fn parse(
        &self,
        words: &[&str],
        old: &Vec<SavePoint>,
        repeated: bool,
    ) -> Result<Vec<SavePoint>, Reason> {
        const INVALID: Reason = Reason::Borrowed("Invalid save parameters");
        if words == [""] {
            return Ok(Vec::new());
        }
        let mut points = if repeated { old.clone() } else { Vec::new() };
        for pair in words.chunks(2) {
            let [seconds, changes] = pair else { return Err(INVALID) };
            let number = |word: &str| {
                loose_integer(word, 10).and_then(|value| u64::try_from(value).ok()).ok_or(INVALID)
            };
            let (seconds, changes) = (number(seconds)?, number(changes)?);
            if seconds == 0 {
                return Err(INVALID);
            }
            points.push(SavePoint { seconds, changes });
        }
        Ok(points)
    }

    fn text(&self, value: &Vec<SavePoint>) -> String {
        let pairs: Vec<String> =
            value.iter().map(|point| format!("{} {}", point.seconds, point.changes)).collect();
        pairs.join(" ")
    }

    fn lines(&self, name: &str, value: &Vec<SavePoint>, _: &Vec<SavePoint>) -> Vec<Line> {
        let line = |value: String| Line { text: format!("{name} {value}"), force: true };
        if value.is_empty() {
            return vec![line("\"\"".to_owned())];
        }
        value.iter().map(|point| line(format!("{} {}", point.seconds, point.changes))).collect()
    }

    fn syntax(&self) -> String {
        "seconds changes ...".to_owned()
    }
}

/// `client-output-buffer-limit`: class, hard, soft, seconds, once or more.
pub(crate) struct ClassLimits;

impl Kind<OutputBufferLimits> for ClassLimits {
    fn parse(
        &self,
        words: &[&str],
        old: &OutputBufferLimits,
        _: bool,
    ) -> Result<OutputBufferLimits, Reason> {
        let mut limits = *old;
        for group in words.chunks(4) {
            let [class, hard, soft, seconds] = group else {
                return Err("Wrong number of arguments in buffer limit configuration.".into());
            };
            let class = match class.to_ascii_lowercase().as_str() {
                "normal" => &mut limits.normal,
                "slave" | "replica" => &mut limits.replica,
                "pubsub" => &mut limits.pubsub,
                _ => {
                    let text = "Invalid client class specified in buffer limit configuration.";
                    return Err(text.into());
                }
            };
            let seconds = loose_integer(seconds, 10).and_then(|value| u64::try_from(value).ok());
            let (Some(hard_bytes), Some(soft_bytes), Some(soft_s)) =
                (memory(hard), memory(soft), seconds)
            else {
                let text = "Error in hard, soft or soft_seconds setting in buffer limit \
                            configuration.";
                return Err(text.into());
            };
            *class = OutputBufferLimit { hard_bytes, soft_bytes, soft_s };
        }
        Ok(limits)
    }

    fn text(&self, value: &OutputBufferLimits) -> String {
        let class = |name: &str, limit: &OutputBufferLimit| {
            format!("{name} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_s)
        };
        // CONFIG GET keeps the old word for replicas.
        [
            class("normal", &value.normal),
            class("slave", &value.replica),
            class("pubsub", &value.pubsub),
        ]
        .join(" ")
    }

    fn lines(
        &self,
        name: &str,
        value: &OutputBufferLimits,
        default: &OutputBufferLimits,
    ) -> Vec<Line> {
        let line = |class: &str, limit: &OutputBufferLimit, default: &OutputBufferLimit| Line {
            text: format!(
                "{name} {class} {} {} {}",
                memory_in_units(limit.hard_bytes.into()),
                memory_in_units(limit.soft_bytes.into()),
                limit.soft_s
            ),
            force: limit != default,
        };
        vec![
            line("normal", &value.normal, &default.normal),
            line("replica", &value.replica, &default.replica),
            line("pubsub", &value.pubsub, &default.pubsub),
        ]
    }

    fn syntax(&self) -> String {
        "normal|replica|pubsub hard-bytes soft-bytes soft-seconds ...".to_owned()
    }
}

/// `oom-score-adj-values`: three numbers.
pub(crate) struct OomValues;

impl Kind<OomScoreAdjValues> for OomValues {
    fn parse(
        &self,
        words: &[&str],
        _: &OomScoreAdjValues,
        _: bool,
    ) -> Result<OomScoreAdjValues, Reason> {
        let [primary, replica, background] = words else {
            return Err("wrong number of arguments".into());
        };
        let value = |word: &str| {
            loose_integer(word, 10)
                .and_then(|value| i32::try_from(value).ok())
                .filter(|value| (-2000..=2000).contains(value))
                .ok_or(Reason::Borrowed(
                    "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
                ))
        };
        Ok(OomScoreAdjValues {
            primary: value(primary)?,
            replica: value(replica)?,
            background: value(background)?,
        })
    }

    fn text(&self, value: &OomScoreAdjValues) -> String {
        format!("{} {} {}", value.primary, value.replica, value.background)
    }

    fn syntax(&self) -> String {
        "primary replica background".to_owned()
    }
}

/// `notify-keyspace-events`: letters.
pub(crate) struct EventLetters;

impl Kind<NotifyFlags> for EventLetters {
    fn parse(&self, words: &[&str], _: &NotifyFlags, _: bool) -> Result<NotifyFlags, Reason> {
        NotifyFlags::from_letters(one(words)?)
            .ok_or(Reason::Borrowed("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."))
    }

    fn text(&self, value: &NotifyFlags) -> String {
        value.letters()
    }

    fn lines(&self, name: &str, value: &NotifyFlags, default: &NotifyFlags) -> Vec<Line> {
        let text = format!("{name} \"{}\"", value.letters());
        vec![Line { text, force: value != default }]
    }

    fn syntax(&self) -> String {
        "letters of Ag$lshzxeKEtmdn".to_owned()
    }
}

/// `bind`: addresses.
pub(crate) struct Addresses;

impl Addresses {
    /// As in Redis; each address is a socket of its own.
    const MAX: usize = 16;
}

impl Kind<Vec<String>> for Addresses {
    fn parse(&self, words: &[&str], _: &Vec<String>, _: bool) -> Result<Vec<String>, Reason> {
        if words.len() > Self::MAX {
            return Err("Too many bind addresses specified.".into());
        }
        if words == [""] {
            return Ok(Vec::new());
        }
        Ok(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn text(&self, value: &Vec<String>) -> String {
        value.join(" ")
    }

    fn lines(&self, name: &str, value: &Vec<String>, default: &Vec<String>) -> Vec<Line> {
        if value == default {
            return vec![];
        }
        let value = if value.is_empty() { "\"\"".to_owned() } else { value.join(" ") };
        vec![Line { text: format!("{name} {value}"), force: true }]
    }

    fn syntax(&self) -> String {
        "address ...".to_owned()
    }
}

/// `replicaof`: host and port, or `no one`.
pub(crate) struct Primary;

impl Kind<Option<PrimaryAddress>> for Primary {
    fn parse(
        &self,
        words: &[&str],
        _: &Option<PrimaryAddress>,
        _: bool,
    ) -> Result<Option<PrimaryAddress>, Reason> {
        // CONFIG GET shows this for none, so it is read as well.
        if words.is_empty() {
            return Ok(None);
        }
        let [host, port] = words else { return Err("wrong number of arguments".into()) };
        if host.eq_ignore_ascii_case("no") && port.eq_ignore_ascii_case("one") {
            return Ok(None);
        }
        let port = loose_integer(port, 10)
            .and_then(|port| u16::try_from(port).ok())
            .ok_or(Reason::Borrowed("Invalid master port"))?;
        Ok(Some(PrimaryAddress { host: (*host).to_owned(), port }))
    }

    fn text(&self, value: &Option<PrimaryAddress>) -> String {
        value
            .as_ref()
            .map(|primary| format!("{} {}", primary.host, primary.port))
            .unwrap_or_default()
    }

    fn lines(
        &self,
        name: &str,
        value: &Option<PrimaryAddress>,
        _: &Option<PrimaryAddress>,
    ) -> Vec<Line> {
        let Some(primary) = value else { return vec![] };
        vec![Line { text: format!("{name} {} {}", primary.host, primary.port), force: true }]
    }

    fn syntax(&self) -> String {
        "host port | no one".to_owned()
    }
}

/// `latency-tracking-info-percentiles`: numbers from 0 to 100.
pub(crate) struct Percentiles;

impl Percentiles {
    /// Each adds a field to every command's line of INFO; Redis knows no bound.
    const MAX: usize = 100;
}

impl Kind<Vec<f64>> for Percentiles {
    fn parse(&self, words: &[&str], _: &Vec<f64>, _: bool) -> Result<Vec<f64>, Reason> {
        const INVALID: Reason =
            Reason::Borrowed("Invalid latency-tracking-info-percentiles parameters");
        if words == [""] {
            return Ok(Vec::new());
        }
        if words.len() > Self::MAX {
            return Err(INVALID);
        }
        let percentile = |word: &&str| {
            let value: f64 = word.parse().map_err(|_| INVALID)?;
            if (0.0..=100.0).contains(&value) {
                Ok(value)
            } else if value.is_nan() {
                Err(INVALID)
            } else {
                let text = "latency-tracking-info-percentiles parameters should sit between \
                            [0.0,100.0]";
                Err(text.into())
            }
        };
        words.iter().map(percentile).collect()
    }

    fn text(&self, value: &Vec<f64>) -> String {
        let shown: Vec<String> = value.iter().map(|value| short_decimal(*value)).collect();
        shown.join(" ")
    }

    fn lines(&self, name: &str, value: &Vec<f64>, _: &Vec<f64>) -> Vec<Line> {
        let shown = if value.is_empty() { "\"\"".to_owned() } else { self.text(value) };
        vec![Line { text: format!("{name} {shown}"), force: true }]
    }

    fn syntax(&self) -> String {
        "percentile ...".to_owned()
    }
}

/// Six decimals without the zeros at their end.
fn short_decimal(value: f64) -> String {
    let shown = format!("{value:.6}");
    shown.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `shutdown-on-sigterm`, `shutdown-on-sigint`: words that SHUTDOWN takes.
pub(crate) struct ShutdownWords;

impl Kind<ShutdownOptions> for ShutdownWords {
    fn parse(
        &self,
        words: &[&str],
        _: &ShutdownOptions,
        _: bool,
    ) -> Result<ShutdownOptions, Reason> {
        let mut options = ShutdownOptions::default();
        let refused = || not_one_of(["default", "save", "nosave", "now", "force"]);
        if words.is_empty() {
            return Err(refused());
        }
        for word in words {
            match word.to_ascii_lowercase().as_str() {
                "default" => {}
                "save" => options.save = true,
                "nosave" => options.nosave = true,
                "now" => options.now = true,
                "force" => options.force = true,
                _ => return Err(refused()),
            }
        }
        if options.save && options.nosave {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
        }
        Ok(options)
    }

    fn text(&self, value: &ShutdownOptions) -> String {
        let words: Vec<&str> = [
            (value.save, "save"),
            (value.nosave, "nosave"),
            (value.now, "now"),
            (value.force, "force"),
        ]
        .into_iter()
        .filter_map(|(set, word)| set.then_some(word))
        .collect();
        if words.is_empty() { "default".to_owned() } else { words.join(" ") }
    }

    fn syntax(&self) -> String {
        "default|save|nosave|now|force ...".to_owned()
    }
}

/// `dir`: a directory that exists. A relative one starts at the value so far.
pub(crate) struct Directory;

impl Kind<PathBuf> for Directory {
    fn parse(&self, words: &[&str], old: &PathBuf, _: bool) -> Result<PathBuf, Reason> {
        let word = one(words)?;
        let refused = |error: std::io::Error| Reason::Owned(operating_system_text(&error));
        if word.is_empty() {
            return Err("No such file or directory".into());
        }
        let path = old.join(word).canonicalize().map_err(refused)?;
        // Opening it shows that it is a directory, and one that we may enter.
        std::fs::read_dir(&path).map_err(refused)?;
        Ok(path)
    }

    fn text(&self, value: &PathBuf) -> String {
        absolute(value).to_string_lossy().into_owned()
    }

    fn lines(&self, name: &str, value: &PathBuf, _: &PathBuf) -> Vec<Line> {
        let quoted = super::grammar::quote(absolute(value).as_os_str().as_encoded_bytes());
        vec![Line { text: format!("{name} {quoted}"), force: true }]
    }

    fn syntax(&self) -> String {
        "directory".to_owned()
    }
}

/// The path from the root; as it is when the current directory is gone.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// The text of an error as C's `strerror` gives it, without Rust's "(os error 2)".
pub(crate) fn operating_system_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

/// `rename-command`: a command and its new name, once a line.
pub(crate) struct Renames;

impl Kind<Vec<RenamedCommand>> for Renames {
    fn parse(
        &self,
        words: &[&str],
        old: &Vec<RenamedCommand>,
        _: bool,
    ) -> Result<Vec<RenamedCommand>, Reason> {
        let [from, to] = words else {
            return Err("Bad directive or wrong number of arguments".into());
        };
        let mut renames = old.clone();
        renames.push(RenamedCommand { from: (*from).to_owned(), to: (*to).to_owned() });
        Ok(renames)
    }

    fn text(&self, value: &Vec<RenamedCommand>) -> String {
        let shown: Vec<String> =
            value.iter().map(|rename| format!("{} {:?}", rename.from, rename.to)).collect();
        shown.join(" ")
    }

    fn syntax(&self) -> String {
        "command new-name".to_owned()
    }
}

/// `user`, `loadmodule`, `include`: the words of each line, kept for whoever acts on them.
pub(crate) struct EachLine;

impl Kind<Vec<Vec<String>>> for EachLine {
    fn parse(
        &self,
        words: &[&str],
        old: &Vec<Vec<String>>,
        _: bool,
    ) -> Result<Vec<Vec<String>>, Reason> {
        if words.is_empty() {
            return Err("Bad directive or wrong number of arguments".into());
        }
        let mut lines = old.clone();
        lines.push(words.iter().map(|word| (*word).to_owned()).collect());
        Ok(lines)
    }

    fn text(&self, value: &Vec<Vec<String>>) -> String {
        let shown: Vec<String> = value.iter().map(|words| words.join(" ")).collect();
        shown.join("\n")
    }

    fn syntax(&self) -> String {
        "words".to_owned()
    }
}

/// `user`: the words of each line, if they are a user's rules.
pub(crate) struct UserLines;

impl Kind<Vec<Vec<String>>> for UserLines {
    fn parse(
        &self,
        words: &[&str],
        old: &Vec<Vec<String>>,
        repeated: bool,
    ) -> Result<Vec<Vec<String>>, Reason> {
        crate::acl::file::check_line(words, old)?;
        EachLine.parse(words, old, repeated)
    }

    fn text(&self, value: &Vec<Vec<String>>) -> String {
        EachLine.text(value)
    }

    fn syntax(&self) -> String {
        "name rules".to_owned()
    }
}

/// `dbfilename`: a name, not a path.
pub(crate) fn dump_file_name(name: &str) -> Result<(), &'static str> {
    if is_base_name(name) { Ok(()) } else { Err("dbfilename can't be a path, just a filename") }
}

/// `appendfilename`: a name, not a path.
pub(crate) fn append_file_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("appendfilename can't be empty")
    } else if !is_base_name(name) {
        Err("appendfilename can't be a path, just a filename")
    } else {
        Ok(())
    }
}

/// `appenddirname`: a name, not a path.
pub(crate) fn append_directory_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("appenddirname can't be empty")
    } else if !is_base_name(name) {
        Err("appenddirname can't be a path, just a dirname")
    } else {
        Ok(())
    }
}

fn is_base_name(name: &str) -> bool {
    !name.contains(['/', '\\'])
}

/// `cluster-announce-hostname`.
pub(crate) fn announced_hostname(name: &str) -> Result<(), &'static str> {
    if name.len() >= 256 {
        return Err("Hostnames must be less than 256 characters");
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if name.bytes().all(legal) {
        Ok(())
    } else {
        Err("Hostnames may only contain alphanumeric characters, hyphens or dots")
    }
}

/// `cluster-announce-human-nodename`: none of the characters that mean something in nodes.conf.
pub(crate) fn announced_node_name(name: &str) -> Result<(), &'static str> {
    let legal = |byte: u8| !b"!#$%&()*+:;<>?@[]^{|}~".contains(&byte);
    if name.bytes().all(legal) {
        Ok(())
    } else {
        Err("Announced human node name contained invalid character")
    }
}

/// `proc-title-template`: known variables in braces, and something left to show.
pub(crate) fn title_template(template: &str) -> Result<(), &'static str> {
    const INVALID: &str = "template format is invalid or contains unknown variables";
    const VARIABLES: [&str; 7] =
        ["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];
    // What the template shows at least. Some variables may be empty, these never are.
    let mut shown = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        shown.push_str(before);
        if let Some(after) = after.strip_prefix('{') {
            shown.push('{');
            rest = after;
            continue;
        }
        let (variable, after) = after.split_once('}').ok_or(INVALID)?;
        if !VARIABLES.contains(&variable) {
            return Err(INVALID);
        }
        if matches!(variable, "listen-addr" | "port" | "tls-port") {
            shown.push('0');
        }
        rest = after;
    }
    shown.push_str(rest);
    if shown.trim_matches(' ').is_empty() { Err(INVALID) } else { Ok(()) }
}

/// `activedefrag`: there is no allocator here that could.
pub(crate) struct NoDefrag;

impl Kind<bool> for NoDefrag {
    fn parse(&self, words: &[&str], old: &bool, repeated: bool) -> Result<bool, Reason> {
        match super::kinds::YesNo.parse(words, old, repeated)? {
            false => Ok(false),
            true => {
                let text = "Active defragmentation cannot be enabled: this server's allocator \
                            does not support it";
                Err(text.into())
            }
        }
    }

    fn text(&self, value: &bool) -> String {
        super::kinds::YesNo.text(value)
    }

    fn syntax(&self) -> String {
        "no".to_owned()
    }
}

/// `hz`: any number that is not negative, taken to the nearest that makes sense.
pub(crate) struct Hertz;

impl Kind<u32> for Hertz {
    fn parse(&self, words: &[&str], old: &u32, repeated: bool) -> Result<u32, Reason> {
        let hz: u32 = Int(0..=INT_MAX).parse(words, old, repeated)?;
        Ok(hz.clamp(1, 500))
    }

    fn text(&self, value: &u32) -> String {
        value.to_string()
    }

    fn syntax(&self) -> String {
        "1..500".to_owned()
    }
}

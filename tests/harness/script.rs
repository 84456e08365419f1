//! Scripts: the same commands on two servers, replies compared byte by byte.
//!
//! ```text
//! # a comment
//! SET a 1                   the replies of both have to be the same bytes
//! CLIENT NO-TOUCH ON        a line that starts with = states the reply instead, in the notation
//! = +OK                     of Value; the peer runs the command too, its reply does not count
//! OBJECT HELP
//! =* [*OBJECT*              =* is a glob with * only; =2 and =3 state it for one protocol
//! @unordered KEYS *         elements in any order
//! @near 5 TTL a             integers (or whole numbers in strings) may differ by 5
//! @kind TIME                only the kind of reply
//! @code GET                 only the first word of an error
//! @skip INFO                whatever comes
//! @7 SCAN -1                compared only where the peer is a Redis 7, because 8 answers otherwise
//! @b GET a                  on a second connection (@c a third)
//! @b @send BLPOP a 0        sent only; goes on when the client is blocked or answered
//! @b @read                  the reply to what was sent, which has to come by itself
//! @sleep 20                 milliseconds
//! ```
//! A connection that the server closed answers `closed` and is opened anew by its next command.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use crate::connection::{Conn, Reply};
use crate::process::{Redis, Server};
use crate::rule::{Rule, clip};
use crate::value::Value;
use crate::words::{encode, words};

/// Which part of an exchange a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Whole,
    Send,
    Read,
}

/// One command of a script.
#[derive(Clone, Debug)]
struct Step {
    line: String,
    number: usize,
    on: char,
    part: Part,
    rule: Rule,
    sleep: Option<Duration>,
    /// Whether a Redis newer than 7 answers otherwise.
    only_7: bool,
    stated: Vec<Stated>,
}

/// A reply that the script states.
#[derive(Clone, Debug)]
struct Stated {
    protocol: Option<u8>,
    glob: bool,
    notation: String,
}

impl Step {
    fn parse(line: &str, number: usize) -> Self {
        let mut step = Self {
            line: String::new(),
            number,
            on: 'a',
            part: Part::Whole,
            rule: Rule::Bytes,
            sleep: None,
            only_7: false,
            stated: Vec::new(),
        };
        let mut rest = line;
        while let Some(modifier) = rest.strip_prefix('@') {
            let (name, tail) = modifier.split_once(' ').unwrap_or((modifier, ""));
            rest = tail.trim_start();
            let mut number = || -> i64 {
                let (digits, tail) = rest.split_once(' ').unwrap_or((rest, ""));
                rest = tail.trim_start();
                digits.parse().unwrap_or_else(|_| panic!("a number after @{name}: {line}"))
            };
            match name {
                "unordered" => step.rule = Rule::Unordered,
                "near" => step.rule = Rule::Near(number()),
                "kind" => step.rule = Rule::Kind,
                "code" => step.rule = Rule::Code,
                "send" => step.part = Part::Send,
                "read" => step.part = Part::Read,
                "skip" => step.rule = Rule::Skip,
                "7" => step.only_7 = true,
                "sleep" => step.sleep = Some(Duration::from_millis(number().unsigned_abs())),
                "a" | "b" | "c" => step.on = name.chars().next().unwrap_or('a'),
                _ => panic!("unknown modifier @{name}: {line}"),
            }
        }
        step.line = rest.to_owned();
        step
    }

    fn state(&mut self, text: &str) {
        let (mut protocol, mut glob, mut rest) = (None, false, text);
        while let Some(flag) = rest.chars().next() {
            match flag {
                '2' => protocol = Some(2),
                '3' => protocol = Some(3),
                '*' => glob = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        self.stated.push(Stated { protocol, glob, notation: rest.trim().to_owned() });
    }

    /// What is wrong with Larder's reply, if anything.
    fn judge(&self, protocol: u8, ours: &Reply, theirs: &Reply) -> Option<String> {
        let mut stated = self.stated.iter().filter(|s| s.protocol.is_none_or(|p| p == protocol));
        if let Some(stated) = stated.next() {
            let got = ours.value.to_string();
            let fits =
                if stated.glob { glob(&stated.notation, &got) } else { stated.notation == got };
            return (!fits).then(|| format!("    stated: {}\n    larder: {got}", stated.notation));
        }
        self.rule.judge(ours, theirs)
    }
}

/// Whether `text` fits `pattern`, in which only `*` is special.
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn parse(script: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, line) in script.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.strip_prefix('=') {
            Some(notation) => {
                steps.last_mut().expect("a command before the first =").state(notation);
            }
            None => steps.push(Step::parse(line, index + 1)),
        }
    }
    steps
}

/// One server with the connections a script has opened on it.
struct Side<'a> {
    server: &'a Server,
    protocol: u8,
    open: HashMap<char, Conn>,
}

impl<'a> Side<'a> {
    fn new(server: &'a Server, protocol: u8) -> Self {
        Self { server, protocol, open: HashMap::new() }
    }

    fn run(&mut self, step: &Step) -> Result<Reply, String> {
        if let Some(pause) = step.sleep {
            thread::sleep(pause);
        }
        let said = |why| format!("{}: {why}", step.line);
        match step.part {
            Part::Read => self.call(step.on, None),
            _ if step.line.is_empty() => Ok(Reply { raw: Vec::new(), value: Value::Closed }),
            Part::Whole => self.call(step.on, Some(&words(&step.line))).map_err(said),
            Part::Send => {
                self.send(step.on, &words(&step.line));
                Ok(Reply { raw: Vec::new(), value: Value::Closed })
            }
        }
    }

    fn conn(&mut self, on: char) -> &mut Conn {
        let (server, protocol) = (self.server, self.protocol);
        self.open.entry(on).or_insert_with(|| {
            let mut conn = server.connect();
            if protocol == 3 {
                // Where a password stands in the way, the script logs in, and stays in RESP2 if it
                // does not say HELLO itself.
                conn.run("HELLO 3");
            }
            conn
        })
    }

    /// Sends a command, and waits until its client is blocked or has an answer.
    fn send(&mut self, on: char, args: &[Vec<u8>]) {
        let server = self.server;
        let blocked = || server.info("blocked_clients");
        let before = blocked();
        let conn = self.conn(on);
        conn.send(&encode(args));
        while blocked() == before && conn.silent_for(Duration::from_millis(1)) {}
    }

    fn call(&mut self, on: char, args: Option<&[Vec<u8>]>) -> Result<Reply, String> {
        let conn = self.conn(on);
        // A write to a closed connection fails like a read of one: the reply is "closed".
        let sent = args.map_or(Ok(()), |args| conn.try_send(&encode(args)));
        let reply = match (sent, conn.try_reply()) {
            (_, Ok(reply)) => reply,
            (Err(_), Err(_)) => Reply { raw: Vec::new(), value: Value::Closed },
            (Ok(()), Err(error)) => return Err(error.to_string()),
        };
        if reply.value == Value::Closed {
            self.open.remove(&on);
        }
        Ok(reply)
    }
}

/// Runs a script on a fresh Larder and a fresh Redis, in RESP2 and in RESP3.
///
/// # Panics
/// When a reply differs; the message lists the differences.
#[track_caller]
pub fn compare(script: &str) {
    compare_with(&[], script);
}

/// The same, both servers started with these directives.
///
/// # Panics
/// When a reply differs.
#[track_caller]
pub fn compare_with(args: &[&str], script: &str) {
    for protocol in [2, 3] {
        compare_on(&Server::with(args), &Redis::with(args), protocol, script);
    }
}

/// The same on servers that run already, in one protocol.
///
/// # Panics
/// When a reply differs.
#[track_caller]
pub fn compare_on(larder: &Server, redis: &Server, protocol: u8, script: &str) {
    let (mut ours, mut theirs) = (Side::new(larder, protocol), Side::new(redis, protocol));
    let mut wrong = Vec::new();
    let steps = parse(script);
    let newer = steps.iter().any(|step| step.only_7) && redis.major() > 7;
    for mut step in steps {
        if newer && step.only_7 {
            step.rule = Rule::Skip;
        }
        let found = match (ours.run(&step), theirs.run(&step)) {
            (Ok(ours), Ok(theirs)) => step.judge(protocol, &ours, &theirs),
            (Err(why), _) => Some(format!("    larder: {why}")),
            (_, Err(why)) => Some(format!("    redis: {why}")),
        };
        if let Some(found) = found {
            wrong.push(format!("  line {}: {}\n{found}", step.number, clip(&step.line, 0)));
        }
    }
    // Later differences mostly follow from the first ones.
    let shown = wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} replies differ in RESP{protocol}:\n{shown}", wrong.len());
}

/// Sends raw bytes, then a mark, and returns everything the server answered up to the mark or to the
/// end of the connection. The mark travels with the bytes, so `input` has to leave the parser
/// between two requests, or end the connection.
#[track_caller]
pub fn transcript(server: &Server, input: &[u8], chunk: usize) -> String {
    let mark = b"the end of the transcript";
    let mut bytes = input.to_vec();
    bytes.extend_from_slice(&encode(&[b"ECHO", &mark[..]]));
    let mut conn = server.connect();
    for part in bytes.chunks(chunk.max(1)) {
        if conn.try_send(part).is_err() {
            break;
        }
    }
    let mut answer = conn.read_until(&[&mark[..], b"\r\n"].concat());
    let tail = format!("${}\r\n{}\r\n", mark.len(), String::from_utf8_lossy(mark));
    match answer.strip_suffix(tail.as_bytes()) {
        Some(before) => answer.truncate(before.len()),
        None => answer.extend_from_slice(b"<closed>"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Rule, glob, parse};

    #[test]
    fn scripts_read_as_documented() {
        let steps = parse("# c\nSET a 1\n= +OK\n=*3 {*}\n@near 5 @b TTL a\n@sleep 20\n");
        assert_eq!(steps.len(), 3);
        assert_eq!(steps[0].stated.len(), 2);
        assert_eq!(steps[0].stated[1].protocol, Some(3));
        assert!(steps[0].stated[1].glob);
        assert_eq!((steps[1].rule.clone(), steps[1].on), (Rule::Near(5), 'b'));
        assert_eq!(steps[1].line, "TTL a");
        assert!(steps[2].line.is_empty() && steps[2].sleep.is_some());
    }

    #[test]
    fn globs_match_whole_texts() {
        assert!(glob("a*c*", "abcd") && glob("*", "") && glob("ab", "ab"));
        assert!(!glob("a*c", "abcd") && !glob("ab", "abc"));
    }
}

//! One blocking connection, one command at a time: questions beside the load (INFO, DBSIZE,
//! CONFIG SET) and bulk loading by whole batches.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::scanner::{Outcome, Scanner};
use crate::{Error, Result};

/// A healthy server answers within microseconds; a rehash or an eviction storm takes
/// seconds at worst.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most bytes a single answer may have; INFO has a few kilobytes.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// A blocking connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    scanner: Scanner,
    buffer: Box<[u8]>,
}

impl Connection {
    /// Connects over loopback.
    ///
    /// # Errors
    /// When the server does not listen.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let context = || format!("connect to {address}");
        let stream = TcpStream::connect(address).map_err(Error::io(context()))?;
        stream.set_nodelay(true).map_err(Error::io(context()))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(Error::io(context()))?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(Error::io(context()))?;
        Ok(Self { stream, scanner: Scanner::new(), buffer: vec![0; 64 * 1024].into() })
    }

    /// Sends one command and returns the text of its reply: a simple string, a number or a
    /// bulk string.
    ///
    /// # Errors
    /// [`Error::Reply`] for an error reply, a null or an aggregate; [`Error::Io`] when the
    /// connection breaks.
    pub fn ask(&mut self, args: &[&str]) -> Result<String> {
        let command = args.join(" ");
        let mut request = format!("*{}\r\n", args.len());
        for arg in args {
            request.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
        }
        self.stream.write_all(request.as_bytes()).map_err(Error::io(command.clone()))?;
        let mut answer: Vec<u8> = Vec::new();
        loop {
            if let Some(text) = whole_answer(&answer, &command)? {
                return Ok(text);
            }
            if answer.len() > ANSWER_LIMIT {
                return Err(Error::Protocol(format!("{command}: endless reply")));
            }
            let read = self.stream.read(&mut self.buffer).map_err(Error::io(command.clone()))?;
            if read == 0 {
                return Err(Error::Stalled(format!("{command}: connection closed")));
            }
            answer.extend_from_slice(&self.buffer[..read]);
        }
    }

    /// Like [`Connection::ask`], for replies that are a number.
    ///
    /// # Errors
    /// As [`Connection::ask`], and when the reply is no number.
    pub fn ask_number(&mut self, args: &[&str]) -> Result<u64> {
        let text = self.ask(args)?;
        text.parse().map_err(|_| Error::Reply { command: args.join(" "), reply: text })
    }

    /// One field of `INFO <section>`.
    ///
    /// # Errors
    /// As [`Connection::ask`], and when the field is absent.
    pub fn info(&mut self, section: &str, field: &str) -> Result<String> {
        let text = self.ask(&["INFO", section])?;
        info_field(&text, field).map(str::to_owned).ok_or_else(|| Error::Reply {
            command: format!("INFO {section}"),
            reply: format!("no {field}"),
        })
    }

    /// `used_memory` as the server accounts for it.
    ///
    /// # Errors
    /// As [`Connection::info`].
    pub fn used_memory(&mut self) -> Result<u64> {
        let text = self.info("memory", "used_memory")?;
        text.parse().map_err(|_| Error::Reply { command: "INFO memory".into(), reply: text })
    }

    /// Sends encoded requests and waits for `replies` replies, reporting each.
    ///
    /// The batch must be small enough that its replies fit the socket buffers, as nothing is
    /// read before all is written.
    ///
    /// # Errors
    /// [`Error::Io`] when the connection breaks, [`Error::Protocol`] for garbage.
    pub fn exchange(
        &mut self,
        requests: &[u8],
        replies: usize,
        mut on_reply: impl FnMut(Outcome),
    ) -> Result<()> {
        self.stream.write_all(requests).map_err(Error::io("send a batch"))?;
        let mut seen = 0;
        while seen < replies {
            let read = self.stream.read(&mut self.buffer).map_err(Error::io("await a batch"))?;
            if read == 0 {
                return Err(Error::Stalled("connection closed within a batch".into()));
            }
            self.scanner.feed(&self.buffer[..read], |outcome| {
                seen += 1;
                on_reply(outcome);
            })?;
        }
        Ok(())
    }

    /// Like [`Connection::exchange`], where any error reply is a failure of `what`.
    ///
    /// # Errors
    /// As [`Connection::exchange`], and [`Error::Reply`] upon an error reply.
    pub fn load(&mut self, requests: &[u8], replies: usize, what: &str) -> Result<()> {
        self.exchange(requests, replies, |_| {})?;
        match self.scanner.first_error() {
            Some(reply) => Err(Error::Reply { command: what.into(), reply: reply.into() }),
            None => Ok(()),
        }
    }

    /// The bare socket, for loads with a loop of their own.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// Finds `field:value` in an INFO text.
pub fn info_field<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::trim)
}

/// The text of the reply in `bytes`, or none while it is incomplete.
fn whole_answer(bytes: &[u8], command: &str) -> Result<Option<String>> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let line = String::from_utf8_lossy(&bytes[1..end.max(1)]).into_owned();
    let refused = |reply: &str| Error::Reply { command: command.into(), reply: reply.into() };
    match bytes[0] {
        b'+' | b':' => Ok(Some(line)),
        b'-' => Err(refused(&line)),
        b'$' => {
            let length: usize = line.parse().map_err(|_| refused("null"))?;
            let body = &bytes[end + 2..];
            // The body, and the line end behind it.
            let complete = length.checked_add(2).is_some_and(|all| body.len() >= all);
            Ok(complete.then(|| String::from_utf8_lossy(&body[..length]).into_owned()))
        }
        _ => Err(refused("an aggregate, where a scalar was expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        assert_eq!(whole_answer(b"$3\r\nab", "x").unwrap(), None);
        assert_eq!(whole_answer(b"$3\r\nabc\r\n", "x").unwrap().as_deref(), Some("abc"));
        assert_eq!(whole_answer(b":17\r\n", "x").unwrap().as_deref(), Some("17"));
        assert!(whole_answer(b"-ERR\r\n", "x").is_err());
        assert!(whole_answer(b"$-1\r\n", "x").is_err());
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "# Memory\r\nused_memory_rss:2\r\nused_memory:1\r\n";
        assert_eq!(info_field(text, "used_memory"), Some("1"));
        assert_eq!(info_field(text, "used"), None);
    }
}

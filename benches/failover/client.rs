//! A blocking connection for writers and watchers: one command at a time, every wait bounded, nothing
//! hidden. Unlike the harness's it reads aggregates, and gives a dead server up within a second.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use larder_benches::{Error, Result};

/// Longest that a connection may take to be made.
const CONNECT: Duration = Duration::from_millis(500);

/// Elements that a reply may have in all, and bytes of one of them.
const LONGEST_REPLY: usize = 100_000;
const LONGEST_TEXT: usize = 16 * 1024 * 1024;

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects; an answer that takes longer than `patience` is an error.
    ///
    /// # Errors
    /// When nobody accepts.
    pub(crate) fn open(address: SocketAddr, patience: Duration) -> Result<Self> {
        let context = || format!("connect to {address}");
        let stream = TcpStream::connect_timeout(&address, CONNECT).map_err(Error::io(context()))?;
        stream.set_nodelay(true).map_err(Error::io(context()))?;
        stream.set_read_timeout(Some(patience)).map_err(Error::io(context()))?;
        stream.set_write_timeout(Some(patience)).map_err(Error::io(context()))?;
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Sends a command and gives its reply as it comes, an aggregate as `*<length>` and then its
    /// elements; a null is empty.
    ///
    /// # Errors
    /// [`Error::Reply`] for an error reply; anything else means that the connection is of no more use.
    pub(crate) fn ask<A: AsRef<str>>(&mut self, args: &[A]) -> Result<Vec<String>> {
        let mut request = format!("*{}\r\n", args.len());
        for arg in args {
            let arg = arg.as_ref();
            request.push_str(&format!("${}\r\n{arg}\r\n", arg.len()));
        }
        let command = args.first().map_or("", AsRef::as_ref);
        self.reader
            .get_mut()
            .write_all(request.as_bytes())
            .map_err(Error::io(command.to_owned()))?;
        let mut texts = Vec::new();
        let mut awaited = 1;
        while awaited > 0 {
            awaited -= 1;
            if texts.len() > LONGEST_REPLY {
                return Err(Error::Protocol(format!("{command}: endless reply")));
            }
            let line = self.line(command)?;
            let (kind, rest) = line.split_at_checked(1).unwrap_or_default();
            let length = || rest.parse::<i64>().map_err(|_| Error::Protocol(line.clone()));
            match kind {
                "+" | ":" => texts.push(rest.to_owned()),
                "-" => {
                    return Err(Error::Reply { command: command.into(), reply: rest.into() });
                }
                "$" => texts.push(self.text(length()?, command)?),
                "*" => {
                    let length = usize::try_from(length()?).unwrap_or(0);
                    texts.push(format!("*{length}"));
                    awaited += length;
                }
                _ => return Err(Error::Protocol(format!("{command}: {line}"))),
            }
        }
        Ok(texts)
    }

    fn line(&mut self, command: &str) -> Result<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).map_err(Error::io(command.to_owned()))?;
        if read == 0 {
            return Err(Error::Stalled(format!("{command}: connection closed")));
        }
        Ok(line.trim_end().to_owned())
    }

    fn text(&mut self, length: i64, command: &str) -> Result<String> {
        let Ok(length) = usize::try_from(length) else { return Ok(String::new()) };
        if length > LONGEST_TEXT {
            return Err(Error::Protocol(format!("{command}: a text of {length} bytes")));
        }
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes).map_err(Error::io(command.to_owned()))?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Asks one question over a connection of its own.
///
/// # Errors
/// As for [`Client`].
pub(crate) fn ask_once(address: SocketAddr, args: &[&str]) -> Result<Vec<String>> {
    Client::open(address, Duration::from_secs(5))?.ask(args)
}

/// One field of INFO.
///
/// # Errors
/// As for [`Client`], and when there is no such field.
pub(crate) fn info(address: SocketAddr, section: &str, field: &str) -> Result<String> {
    let texts = ask_once(address, &["INFO", section])?;
    let text = texts.first().map_or("", String::as_str);
    larder_benches::connection::info_field(text, field)
        .map(str::to_owned)
        .ok_or_else(|| Error::Reply { command: "INFO".into(), reply: format!("no {field}") })
}

/// What stands behind a name in a map, or in a list of pairs.
pub(crate) fn after<'a>(texts: &'a [String], name: &str) -> Option<&'a str> {
    let at = texts.iter().position(|text| text == name)?;
    texts.get(at + 1).map(String::as_str)
}

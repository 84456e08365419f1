//! A blocking client that hides nothing: what is sent and what comes back are bytes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::value::Value;
use crate::words::{encode, words};

/// How long a reply may take before the server counts as hung. Generous on purpose: it detects a
/// server that stopped, never one that is slow on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A reply as it came and as it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The bytes.
    pub raw: Vec<u8>,
    /// Their meaning.
    pub value: Value,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// One connection to a server.
#[derive(Debug)]
pub struct Conn {
    stream: Stream,
    buffer: Vec<u8>,
}

impl Conn {
    /// Connects over TCP.
    ///
    /// # Errors
    /// When the server does not accept.
    pub fn tcp(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Self::over(Stream::Tcp(stream))
    }

    /// Connects over a Unix socket.
    ///
    /// # Errors
    /// When the server does not accept.
    pub fn unix(path: &Path) -> io::Result<Self> {
        Self::over(Stream::Unix(UnixStream::connect(path)?))
    }

    /// Speaks TLS over a connected socket, after the handshake.
    ///
    /// # Errors
    /// When the socket refuses.
    pub(crate) fn tls(stream: StreamOwned<ClientConnection, TcpStream>) -> io::Result<Self> {
        Self::over(Stream::Tls(Box::new(stream)))
    }

    fn over(stream: Stream) -> io::Result<Self> {
        let mut conn = Self { stream, buffer: Vec::new() };
        conn.set_patience(PATIENCE)?;
        Ok(conn)
    }

    /// Sets how long one read or write may stall.
    ///
    /// # Errors
    /// When the socket refuses.
    pub fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        let set = |s: &TcpStream| {
            s.set_read_timeout(Some(patience)).and(s.set_write_timeout(Some(patience)))
        };
        match &self.stream {
            Stream::Tcp(s) => set(s),
            Stream::Tls(s) => set(&s.sock),
            Stream::Unix(s) => {
                s.set_read_timeout(Some(patience)).and(s.set_write_timeout(Some(patience)))
            }
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the server hung up, or did not read for long.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(s) => s.write_all(bytes),
            Stream::Tls(s) => s.write_all(bytes).and_then(|()| s.flush()),
            Stream::Unix(s) => s.write_all(bytes),
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the server hung up.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.try_send(bytes) {
            panic!("sending {} bytes: {error}", bytes.len());
        }
    }

    /// Reads one whole reply; [`Value::Closed`] when the server hung up.
    ///
    /// # Errors
    /// When nothing comes for long, or no reply reads like what came.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        loop {
            match Value::parse(&self.buffer) {
                Ok(Some((value, used))) => {
                    let raw = self.buffer.drain(..used).collect();
                    return Ok(Reply { raw, value });
                }
                Ok(None) => {}
                Err(malformed) => return Err(io::Error::other(format!("{malformed:?}"))),
            }
            if self.fill()? == 0 {
                return Ok(Reply { raw: Vec::new(), value: Value::Closed });
            }
        }
    }

    /// Reads one whole reply.
    ///
    /// # Panics
    /// When nothing comes for long, or no reply reads like what came.
    #[track_caller]
    pub fn reply(&mut self) -> Value {
        match self.try_reply() {
            Ok(reply) => reply.value,
            Err(error) => panic!("waiting for a reply: {error}"),
        }
    }

    /// Sends a command given as arguments and reads its reply.
    #[track_caller]
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        self.send(&encode(args));
        self.reply()
    }

    /// Sends a command given as a line and reads its reply.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> Value {
        self.call(&words(line))
    }

    /// Runs a line and compares the reply's notation.
    ///
    /// # Panics
    /// When the reply is another one.
    #[track_caller]
    pub fn expect(&mut self, line: &str, notation: &str) {
        let got = self.run(line).to_string();
        assert_eq!(got, notation, "reply to {line}");
    }

    /// The bytes that answer a line.
    ///
    /// # Panics
    /// When no whole reply comes.
    #[track_caller]
    pub fn raw(&mut self, line: &str) -> String {
        self.send(&encode(&words(line)));
        match self.try_reply() {
            Ok(reply) => String::from_utf8_lossy(&reply.raw).into_owned(),
            Err(error) => panic!("{line}: {error}"),
        }
    }

    /// Runs lines one after the other and forgets their replies; an error reply fails the test.
    ///
    /// # Panics
    /// On an error reply.
    #[track_caller]
    pub fn prepare(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let reply = self.run(line);
            assert!(!reply.is_error("") && reply != Value::Closed, "{line} gave {reply}");
        }
    }

    /// Reads and drops what comes until the server hangs up.
    ///
    /// # Panics
    /// When it keeps the connection open for long.
    #[track_caller]
    pub fn wait_closed(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(0) => return std::mem::take(&mut self.buffer),
                Ok(_) => {}
                Err(error) => panic!("the server should have closed the connection: {error}"),
            }
        }
    }

    /// Whether nothing comes for `span`: neither bytes nor the end.
    ///
    /// # Panics
    /// When the socket refuses the timeout.
    #[track_caller]
    pub fn silent_for(&mut self, span: Duration) -> bool {
        self.set_patience(span).expect("a timeout is legal");
        let silent = self.buffer.is_empty() && self.fill().is_err();
        self.set_patience(PATIENCE).expect("a timeout is legal");
        silent
    }

    /// Says that nothing more will be sent, and keeps reading.
    pub fn finish_sending(&mut self) {
        // A server that already hung up has nothing left to be told.
        let _ = match &self.stream {
            Stream::Tcp(s) => s.shutdown(Shutdown::Write),
            Stream::Tls(s) => s.sock.shutdown(Shutdown::Write),
            Stream::Unix(s) => s.shutdown(Shutdown::Write),
        };
    }

    /// The client's own address, as the server's CLIENT LIST shows it.
    ///
    /// # Panics
    /// On a Unix socket, which has none.
    pub fn local_addr(&self) -> SocketAddr {
        match &self.stream {
            Stream::Tcp(s) => s.local_addr().expect("a connected socket has an address"),
            Stream::Tls(s) => s.sock.local_addr().expect("a connected socket has an address"),
            Stream::Unix(_) => panic!("a Unix socket has no address"),
        }
    }

    /// Reads what is there. 0 at the end; a reset counts as the end, because a server that closes
    /// with unread input behind it resets.
    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 64 * 1024];
        let read = match &mut self.stream {
            Stream::Tcp(s) => s.read(&mut chunk),
            Stream::Tls(s) => s.read(&mut chunk),
            Stream::Unix(s) => s.read(&mut chunk),
        };
        match read {
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.fill(),
            Err(error) => Err(error),
        }
    }

    /// Takes the bytes up to the first `mark`, with it.
    ///
    /// # Panics
    /// When the server hangs up before, or nothing comes for long.
    #[track_caller]
    pub fn take_until(&mut self, mark: &[u8]) -> Vec<u8> {
        let mut from = 0;
        loop {
            let found = self.buffer[from..].windows(mark.len()).position(|bytes| bytes == mark);
            if let Some(at) = found {
                return self.buffer.drain(..from + at + mark.len()).collect();
            }
            from = self.buffer.len().saturating_sub(mark.len());
            self.fill_or_panic(mark);
        }
    }

    /// Takes so many bytes.
    ///
    /// # Panics
    /// When the server hangs up before, or nothing comes for long.
    #[track_caller]
    pub fn take(&mut self, len: usize) -> Vec<u8> {
        while self.buffer.len() < len {
            self.fill_or_panic(b"");
        }
        self.buffer.drain(..len).collect()
    }

    #[track_caller]
    fn fill_or_panic(&mut self, mark: &[u8]) {
        let mark = String::from_utf8_lossy(mark);
        match self.fill() {
            Ok(0) => panic!("the server hung up before {mark:?}"),
            Ok(_) => {}
            Err(error) => panic!("waiting for {mark:?}: {error}"),
        }
    }

    /// Reads until the bytes end with `mark`, or the server hangs up; returns all of them.
    ///
    /// # Panics
    /// When neither happens for long.
    #[track_caller]
    pub fn read_until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if self.buffer.ends_with(mark) {
                return std::mem::take(&mut self.buffer);
            }
            match self.fill() {
                Ok(0) => return std::mem::take(&mut self.buffer),
                Ok(_) => {}
                Err(error) => panic!(
                    "waiting for {:?} after {:?}: {error}",
                    String::from_utf8_lossy(mark),
                    String::from_utf8_lossy(&self.buffer)
                ),
            }
        }
    }
}

//! The floor: a server that does nothing but receive and send, to show how much of another's CPU
//! time is the kernel's and could not be spared by anyone who answers over TCP.
//!
//! It understands no request: each `*` is one, as no key or value of the workloads has any, and
//! what a connection begins with says whether all of them are answered as GET or as SET. It stands
//! beside the others in `node` by `LARDER_BENCH_PEERS=floor=target/release/floor`, for the GET and
//! SET workloads only.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// As large as Larder's own.
const READ_BUFFER: usize = 64 * 1024;

/// Replies prepared to be sent at once.
const REPLIES: usize = 4096;

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    /// Known once something has come.
    replies: Option<Replies>,
}

/// Many times the same reply.
#[derive(Clone, Copy)]
struct Replies {
    bytes: &'static [u8],
    reply_bytes: usize,
}

impl Replies {
    fn of(reply: &str) -> Self {
        Self { bytes: reply.repeat(REPLIES).leak().as_bytes(), reply_bytes: reply.len() }
    }
}

struct Floor {
    poll: Poll,
    listener: TcpListener,
    connections: HashMap<Token, Connection>,
    get: Replies,
    set: Replies,
}

impl Floor {
    fn listen(port: u16) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let get = Replies::of(&format!("$64\r\n{}\r\n", "v".repeat(64)));
        Ok(Self { poll, listener, connections: HashMap::new(), get, set: Replies::of("+OK\r\n") })
    }

    fn run(&mut self) -> io::Result<Infallible> {
        let mut events = Events::with_capacity(1024);
        let mut input = vec![0; READ_BUFFER];
        loop {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    token => {
                        let Some(connection) = self.connections.get_mut(&token) else { continue };
                        // Who goes away is no matter of ours.
                        if connection.serve(&mut input, self.get, self.set).is_err() {
                            self.connections.remove(&token);
                        }
                    }
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let (mut stream, _) = match self.listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                accepted => accepted?,
            };
            stream.set_nodelay(true)?;
            let token = (0..).map(Token).find(|token| !self.connections.contains_key(token));
            let token = token.ok_or(io::ErrorKind::OutOfMemory)?;
            self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
            self.connections.insert(token, Connection { stream, replies: None });
        }
    }
}

impl Connection {
    /// Reads once and writes once, as a server that has nothing to do in between.
    fn serve(&mut self, input: &mut [u8], get: Replies, set: Replies) -> io::Result<()> {
        loop {
            let received = match self.stream.read(input) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                received => received?,
            };
            let bytes = &input[..received];
            let replies = match bytes.starts_with(b"*3") {
                true => *self.replies.get_or_insert(set),
                false => *self.replies.get_or_insert(get),
            };
            let mut left = bytes.iter().filter(|byte| **byte == b'*').count();
            while left > 0 {
                let count = left.min(REPLIES);
                self.stream.write_all(&replies.bytes[..count * replies.reply_bytes])?;
                left -= count;
            }
            // The next event tells of what comes from here on.
            if received < input.len() {
                return Ok(());
            }
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--port").skip(1);
    let Some(port) = arguments.next().and_then(|port| port.parse().ok()) else {
        eprintln!("usage: floor --port <port>; other arguments are taken and have no effect");
        return ExitCode::FAILURE;
    };
    match Floor::listen(port).and_then(|mut floor| floor.run()) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

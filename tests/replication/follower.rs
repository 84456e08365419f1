//! A replica by hand: it shows each byte that a primary sends.

use larder_tests::{Conn, Server};

/// A connection that became a replica's link.
pub(crate) struct Follower {
    pub(crate) conn: Conn,
    pub(crate) replid: String,
    /// Bytes of the history that it has.
    pub(crate) offset: u64,
}

impl Follower {
    /// One that has the data set and takes the stream from here on.
    pub(crate) fn new(server: &Server) -> Self {
        let mut conn = server.connect();
        conn.expect("REPLCONF listening-port 7777 capa eof capa psync2", "+OK");
        conn.send(b"PSYNC ? -1\r\n");
        let mut follower = Self::greeted(conn);
        follower.take_data();
        follower.acknowledge();
        follower
    }

    /// One that was told to begin anew, and was sent nothing of the data set yet.
    pub(crate) fn greeted(mut conn: Conn) -> Self {
        let line = line(&mut conn);
        let words: Vec<&str> = line.split(' ').collect();
        let ["+FULLRESYNC", replid, offset] = words[..] else { panic!("{line}") };
        assert_eq!(replid.len(), 40, "{line}");
        let (replid, offset) = (replid.to_owned(), offset.parse().expect("an offset"));
        Self { conn, replid, offset }
    }

    /// Takes a data set whose end is marked; gives its bytes.
    pub(crate) fn take_data(&mut self) -> Vec<u8> {
        let head = line(&mut self.conn);
        let mark = head.strip_prefix("$EOF:").unwrap_or_else(|| panic!("{head}"));
        assert_eq!(mark.len(), 40, "{head}");
        let mut data = self.conn.take_until(mark.as_bytes());
        data.truncate(data.len() - mark.len());
        assert!(data.starts_with(b"REDIS"), "{:?}", String::from_utf8_lossy(&data));
        data
    }

    pub(crate) fn acknowledge(&mut self) {
        let offset = self.offset;
        self.conn.send(format!("REPLCONF ACK {offset}\r\n").as_bytes());
    }

    /// Says that it has all that the primary has by now.
    pub(crate) fn acknowledge_all(&mut self) {
        // The primary knows better what that is.
        self.conn.send(format!("REPLCONF ACK {}\r\n", i64::MAX).as_bytes());
    }

    /// The next command of the stream, without PING and SELECT.
    pub(crate) fn next(&mut self) -> String {
        loop {
            let reply = self.conn.try_reply().expect("a command");
            self.offset += reply.raw.len() as u64;
            let words: Vec<String> = reply.value.items().iter().map(|word| word.text()).collect();
            let line = words.join(" ");
            assert!(!line.is_empty(), "the stream holds commands: {}", reply.value);
            if line != "PING" && !line.starts_with("SELECT ") {
                return line;
            }
        }
    }
}

/// The next line; empty ones say that the primary is still at it.
pub(crate) fn line(conn: &mut Conn) -> String {
    loop {
        let bytes = conn.take_until(b"\n");
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        if !line.is_empty() {
            return line;
        }
    }
}

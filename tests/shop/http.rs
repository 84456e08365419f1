//! A visitor without a browser: HTTP/1.1 and cookies, one request a connection.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take: a failover and more.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let is_it = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().filter(is_it).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or_default()
    }
}

/// Sends one request.
pub(crate) fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    // A server may keep the connection: then the length says where the answer ends.
    let mut chunk = [0; 16 << 10];
    loop {
        if let Some(answer) = parse(&bytes, false) {
            return Ok(answer);
        }
        let count = stream.read(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..count]);
        if count == 0 {
            let text = || String::from_utf8_lossy(&bytes).into_owned();
            return parse(&bytes, true).ok_or_else(|| std::io::Error::other(text()));
        }
    }
}

fn parse(bytes: &[u8], is_whole: bool) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    let headers: Vec<(String, String)> = lines.filter_map(header).collect();
    let body = &bytes[end + 4..];
    let is_length = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("content-length");
    let length = headers.iter().find(is_length).and_then(|(_, length)| length.parse().ok());
    let is_there = length.map_or(is_whole, |length: usize| body.len() >= length);
    let body = String::from_utf8_lossy(body).into_owned();
    is_there.then_some(Answer { status, headers, body })
}

/// A visitor with his cookies. Clones are other windows, which know what was known until then.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    shop: SocketAddr,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Visitor {
    pub(crate) fn of(shop: SocketAddr) -> Self {
        Self { shop, cookies: BTreeMap::new() }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.visit("GET", path, "")
    }

    /// Sends a form of the page that was seen last, with its token.
    pub(crate) fn post(&mut self, path: &str, fields: &str) -> Answer {
        let token = self.cookies.get("__Host-form").cloned().unwrap_or_default();
        self.visit("POST", path, &format!("token={token}&{fields}"))
    }

    pub(crate) fn visit(&mut self, method: &str, path: &str, form: &str) -> Answer {
        let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        let mut headers = vec![("Cookie", cookies.as_str())];
        if method == "POST" {
            headers.push(("Content-Type", "application/x-www-form-urlencoded"));
        }
        let answer = send(self.shop, method, path, &headers, form).expect("the shop answers");
        for line in answer.headers("set-cookie") {
            assert!(line.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{line}");
            let (name, value) =
                line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair");
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

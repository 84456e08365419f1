//! Requests encoded once, before the clock runs. What changes from send to send (the number
//! in a key) is written over twelve digits in place, as redis-benchmark does it.

use rand::Rng;
use rand::rngs::SmallRng;

/// Stands in an argument for a twelve-digit key number. With the prefix `key:` it makes the
/// 16-byte keys all workloads use.
pub const NUMBER: &str = "############";

const DIGITS: usize = NUMBER.len();

/// One command in its wire form, with the places where key numbers go.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
}

impl Request {
    /// Encodes a command. Each [`NUMBER`] in an argument becomes a place for a key number,
    /// zero to begin with.
    pub fn new(args: &[&str]) -> Self {
        let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
        let mut numbers = Vec::new();
        for arg in args {
            bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            if let Some(at) = arg.find(NUMBER) {
                numbers.push(bytes.len() + at);
            }
            bytes.extend_from_slice(arg.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        for at in &numbers {
            bytes[*at..*at + DIGITS].fill(b'0');
        }
        Self { bytes, numbers }
    }

    /// Appends the command with `number` in every place.
    pub fn append_numbered(&self, number: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        for at in &self.numbers {
            write_digits(number, &mut out[start + at..start + at + DIGITS]);
        }
    }
}

/// A pipeline of requests: what one client sends before it waits for the replies.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
    requests: usize,
}

impl Batch {
    /// `pipeline` commands, taken in turn from `requests`.
    pub fn new(requests: &[Request], pipeline: usize) -> Self {
        let mut batch = Self { bytes: Vec::new(), numbers: Vec::new(), requests: pipeline };
        for request in requests.iter().cycle().take(pipeline) {
            let start = batch.bytes.len();
            batch.numbers.extend(request.numbers.iter().map(|at| start + at));
            batch.bytes.extend_from_slice(&request.bytes);
        }
        batch
    }

    /// The wire form.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Number of commands, and so of replies to wait for.
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// Draws new key numbers below `keyspace`.
    pub fn draw(&mut self, rng: &mut SmallRng, keyspace: u64) {
        for at in &self.numbers {
            let number = rng.random_range(0..keyspace);
            write_digits(number, &mut self.bytes[*at..*at + DIGITS]);
        }
    }
}

/// Decimal with leading zeros; numbers beyond the width lose their leading digits.
fn write_digits(mut number: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_land_in_the_key() {
        let set = Request::new(&["SET", &format!("key:{NUMBER}"), "v"]);
        let mut out = Vec::new();
        set.append_numbered(1234, &mut out);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000001234\r\n$1\r\nv\r\n");
    }

    #[test]
    fn a_batch_takes_its_requests_in_turn() {
        let batch = Batch::new(&[Request::new(&["A"]), Request::new(&["B"])], 3);
        assert_eq!(batch.bytes(), b"*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n*1\r\n$1\r\nA\r\n");
        assert_eq!(batch.requests(), 3);
    }
}

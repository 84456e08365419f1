//! The wire: what counts as a request, how it may be cut, and what is answered to what is none.
//!
//! Raw bytes go to Larder and to Redis, and the raw answers have to be equal, cut into pieces of any
//! size. The replies' own form is checked by a second, independent decoder.

mod forms;

use larder_tests::{Redis, Rng, Server, encode, transcript};

/// Inputs that leave the parser between two requests, or end the connection.
fn inputs() -> Vec<Vec<u8>> {
    let texts: Vec<String> = [
        // Arrays.
        "*1\r\n$4\r\nPING\r\n",
        "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n",
        "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
        "*2\r\n$4\r\nECHO\r\n$4\r\n\r\n\r\n\r\n",
        "*0\r\n*1\r\n$4\r\nPING\r\n",
        "*-1\r\n*1\r\n$4\r\nPING\r\n",
        "*-2\r\n*1\r\n$4\r\nPING\r\n",
        "*-9223372036854775808\r\n*1\r\n$4\r\nPING\r\n",
        "*0\r\n*0\r\n*-1\r\n\r\n\r\nPING\r\n",
        // Counts and lengths that are none.
        "*\r\n",
        "*abc\r\n",
        "*1x\r\n",
        "* 1\r\n",
        "*1 \r\n",
        "*+1\r\n",
        "*01\r\n",
        "*-0\r\n",
        "*1.0\r\n",
        "*9223372036854775807\r\n",
        "*9223372036854775808\r\n",
        "*99999999999999999999999\r\n",
        "*2147483648\r\n",
        "*4294967297\r\n",
        "*1\r\n$\r\n",
        "*1\r\n$abc\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$-2\r\n",
        "*1\r\n$+4\r\nPING\r\n",
        "*1\r\n$04\r\nPING\r\n",
        "*1\r\n$-0\r\n",
        "*1\r\n$4 \r\nPING\r\n",
        "*1\r\n$ 4\r\nPING\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n$9223372036854775807\r\n",
        "*1\r\n$9223372036854775808\r\n",
        "*1\r\n$-9223372036854775808\r\n",
        // What stands where a bulk should.
        "*1\r\nPING\r\n",
        "*1\r\n:4\r\n",
        "*1\r\n+PING\r\n",
        "*1\r\n*1\r\n$4\r\nPING\r\n",
        "*1\r\n%1\r\n",
        "*2\r\n$3\r\nGET\r\n*1\r\n",
        "*1\r\n\r\n",
        // After an error nothing of the rest is run.
        "*x\r\nPING\r\n",
        "PING\r\n*x\r\nPING\r\n",
        "*1\r\n$4\r\nPING\r\n*1\r\n$x\r\n*1\r\n$4\r\nPING\r\n",
        // Inline.
        "PING\r\n",
        "PING\n",
        "\r\n\r\nPING\r\n",
        "\n\nPING\n",
        "   \r\nPING\r\n",
        "  PING  \r\n",
        "ECHO hello\r\n",
        "ECHO   \"two words\"  \r\n",
        "ECHO 'two words'\r\n",
        "ECHO \"\\x41\\n\\t\\\"\\\\\"\r\n",
        "ECHO 'it\\'s \\n'\r\n",
        "ECHO a\"b\r\n",
        "ECHO \"a\"b\r\n",
        "ECHO \"open\r\n",
        "ECHO 'open\r\n",
        "ECHO 'a'b\r\n",
        "PING \"\"\r\n",
        "\"PING\"\r\n",
        "ECHO \"\\xZZ\"\r\n",
        "ECHO \"\\x4\"\r\n",
        "ECHO a\tb\r\n",
        "ECHO\ta\r\n",
        "BOGUS a b\r\n",
        "$4\r\nPING\r\n",
        "+PING\r\n",
        ":1\r\n",
        "-ERR\r\n",
        "%1\r\n",
        "PING\r\r\n",
        "SET a 1\r\nGET a\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\n*1\r\n$4\r\nPING\r\n",
        // Bulks whose end is not CRLF: Redis skips two bytes unseen.
        "*2\r\n$4\r\nECHO\r\n$1\r\naxx",
        // Cross-protocol attempts.
        "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /\r\nhost: x\r\n",
        "POST x\r\nPING\r\n",
    ]
    .map(str::to_owned)
    .into();
    let mut inputs: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
    inputs.push(encode(&[b"ECHO", &b"\x00\xff\r\n*1\r\n$4\r\n"[..]]));
    inputs.push(encode(&["ECHO", &"x".repeat(40_000)]));
    inputs.push(format!("ECHO {}\r\n", "y".repeat(60_000)).into_bytes());
    inputs
}

#[test]
fn raw_bytes_are_answered_as_redis_answers() {
    let (larder, redis) = (Server::start(), Redis::start());
    for input in inputs() {
        let theirs = transcript(&redis, &input, usize::MAX);
        let shown = String::from_utf8_lossy(&input[..input.len().min(80)]).into_owned();
        assert_eq!(transcript(&larder, &input, usize::MAX), theirs, "answer to {shown:?}");
    }
}

#[test]
fn cutting_the_bytes_changes_nothing() {
    let (larder, redis) = (Server::start(), Redis::start());
    for input in inputs() {
        let theirs = transcript(&redis, &input, usize::MAX);
        // A closed connection may drop the error on its way when more is sent, so those go whole.
        if theirs.contains("<closed>") || input.len() > 10_000 {
            continue;
        }
        for chunk in [1, 2, 3, 5, 7] {
            let shown = String::from_utf8_lossy(&input).into_owned();
            assert_eq!(
                transcript(&larder, &input, chunk),
                theirs,
                "{shown:?} in pieces of {chunk}"
            );
        }
    }
}

#[test]
fn random_pipelines_in_random_pieces() {
    let (larder, redis) = (Server::start(), Redis::start());
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let mut input = Vec::new();
        for _ in 0..rng.below(60) {
            let value = {
                let len = rng.below(200);
                rng.bytes(len)
            };
            match rng.below(6) {
                0 => input.extend_from_slice(b"\r\n"),
                1 => input.extend_from_slice(b"PING\r\n"),
                2 => input.extend_from_slice(b"*0\r\n"),
                3 => input.extend(encode(&[b"GET", &b"k"[..]])),
                4 => input.extend(encode(&[b"SET", &b"k"[..], &value])),
                _ => input.extend(encode(&[b"ECHO", &value[..]])),
            }
        }
        let theirs = transcript(&redis, &input, usize::MAX);
        assert_eq!(transcript(&larder, &input, 1 + rng.below(40)), theirs, "seed {seed}");
    }
}

#[test]
fn random_bytes_never_harm_the_server() {
    let larder = Server::start();
    let mut witness = larder.connect();
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut input = Vec::new();
        for _ in 0..rng.below(30) {
            let pieces: [&[u8]; 10] =
                [b"*", b"$", b"\r\n", b"1", b"3", b"-", b"GET", b"\0", b"\"", b"99999999"];
            input.extend_from_slice(pieces[rng.below(pieces.len())]);
        }
        let len = rng.below(20);
        input.extend(rng.bytes(len));
        let mut conn = larder.connect();
        // The server may hang up in the middle; that is its right.
        let _ = conn.try_send(&input);
        conn.finish_sending();
        conn.wait_closed();
        assert_eq!(witness.run("PING").to_string(), "+PONG", "seed {seed}");
    }
}

#[test]
fn limits_of_lengths_follow_the_configuration() {
    let larder = Server::with(&["--proto-max-bulk-len", "1mb"]);
    let redis = Redis::with(&["--proto-max-bulk-len", "1mb"]);
    for input in ["*1\r\n$1048577\r\n", "*2\r\n$4\r\nECHO\r\n$2000000\r\n"] {
        let theirs = transcript(&redis, input.as_bytes(), usize::MAX);
        assert_eq!(theirs, "-ERR Protocol error: invalid bulk length\r\n<closed>");
        assert_eq!(transcript(&larder, input.as_bytes(), usize::MAX), theirs);
    }
    let exact = encode(&["ECHO", &"x".repeat(1 << 20)]);
    assert_eq!(transcript(&larder, &exact, 1 << 16), transcript(&redis, &exact, 1 << 16));
}

#[test]
fn many_arguments_are_legal() {
    let (larder, redis) = (Server::start(), Redis::start());
    for count in [1024, 1025, 100_000] {
        let mut args = vec!["DEL".to_owned()];
        args.extend((0..count).map(|i| format!("k{i}")));
        let input = encode(&args);
        let theirs = transcript(&redis, &input, 1 << 16);
        assert_eq!(theirs, ":0\r\n");
        assert_eq!(transcript(&larder, &input, 1 << 16), theirs);
    }
}

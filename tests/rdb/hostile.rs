//! Payloads that lie: none is stored, none costs memory, none ends the node.

use crate::populate::{bytes, names, populate, populate_fields};
use larder_tests::{Server, Value};

const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// The checksum of dump files, bit by bit.
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 }
        })
    })
}

/// A payload with its version and checksum.
pub(crate) fn payload(content: &[u8]) -> Vec<u8> {
    versioned(content, 10)
}

/// The same in a version of the format.
pub(crate) fn versioned(content: &[u8], version: u8) -> Vec<u8> {
    let mut payload = [content, &[version, 0]].concat();
    payload.extend_from_slice(&crc64(&payload).to_le_bytes());
    payload
}

#[test]
fn lengths_that_lie_cost_nothing() {
    let server = Server::start();
    let mut conn = server.connect();
    let before = server.resident();
    let (huge, most) = (b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff", b"\x80\xff\xff\xff\xff");
    for kind in 0..=30_u8 {
        for len in
            [&huge[..], &most[..], b"\x81\xff\xff\xff\xff\xff\xff\xff\xff", b"\x80\x20\x00\x00\x00"]
        {
            for behind in [&b""[..], b"\x01a\x01b", b"\x02", b"\x02\x80\x20\x00\x00\x00x", b"\xc3"]
            {
                let content = [&[kind], len, behind].concat();
                let reply = conn.call(&[b"RESTORE", &b"k"[..], b"0", &payload(&content)]);
                assert!(reply.is_error("ERR Bad data format"), "{content:?}: {reply}");
            }
        }
        // A compressed string that says to become 1 GB.
        let content = [&[kind][..], b"\xc3\x04\x80\x40\x00\x00\x00\x01ab\xe0"].concat();
        let reply = conn.call(&[b"RESTORE", &b"k"[..], b"0", &payload(&content)]);
        assert!(reply.is_error("ERR Bad data format"), "{content:?}: {reply}");
    }
    let after = server.resident();
    assert!(after < before + 40 * 1024 * 1024, "{before} bytes became {after}");
    conn.expect("EXISTS k", ":0");
}

#[test]
fn payloads_are_cut_anywhere() {
    let server = Server::start();
    populate(&server);
    populate_fields(&server);
    let mut conn = server.connect();
    for key in names(&mut conn) {
        let whole = bytes(conn.call(&[b"DUMP", &key[..]]));
        let content = &whole[..whole.len() - 10];
        for len in (0..content.len()).filter(|len| *len < 100 || len % 61 == 0) {
            let reply = conn.call(&[b"RESTORE", &b"k"[..], b"0", &payload(&content[..len])]);
            assert!(reply.is_error("ERR Bad data format"), "{key:?} of {len} bytes: {reply}");
        }
        let longer = [content, b"x"].concat();
        let reply = conn.call(&[b"RESTORE", &b"k"[..], b"0", &payload(&longer)]);
        assert!(reply.is_error("ERR Bad data format"), "{key:?}: {reply}");
    }
}

/// What looks into a value of any type, and changes it.
const USES: &str = "DEBUG DIGEST-VALUE k;DUMP k;OBJECT ENCODING k;MEMORY USAGE k;GET k;APPEND k x;\
    LRANGE k 0 -1;LINSERT k BEFORE a b;LREM k 0 a;RPUSH k x;LPOP k;LSET k 0 y;LTRIM k 1 -2;\
    SMEMBERS k;SADD k 1 zz;SREM k 3;SPOP k;SSCAN k 0;HGETALL k;HSET k f v 3 4;HDEL k f 1;HSCAN k 0;\
    HPEXPIRE k 100 FIELDS 1 1;HPERSIST k FIELDS 1 0;ZRANGE k 0 -1 WITHSCORES;ZADD k 3 c 4 x;\
    ZREM k a;ZPOPMIN k;ZRANK k c;ZRANGEBYSCORE k -inf +inf;XRANGE k - +;XADD k * f v;XDEL k 5-1;\
    XINFO STREAM k FULL;XREADGROUP GROUP all one STREAMS k >;XACK k all 7-0;XTRIM k MAXLEN 1;\
    XAUTOCLAIM k all two 0 0;XGROUP DELCONSUMER k all one;PFCOUNT k;COPY k l REPLACE;DEL k";

#[test]
fn changed_bytes_are_refused_or_make_a_sound_value() {
    let server = Server::start();
    populate(&server);
    populate_fields(&server);
    let mut conn = server.connect();
    let mut random = larder_tests::Rng::new(11);
    let (mut stored, mut refused) = (0, 0);
    for key in names(&mut conn) {
        let whole = bytes(conn.call(&[b"DUMP", &key[..]]));
        for _ in 0..25 {
            let mut content = whole[..whole.len() - 10].to_vec();
            for _ in 0..=random.below(2) {
                let at = random.below(content.len());
                content[at] = random.below(256) as u8;
            }
            let reply = conn.call(&[b"RESTORE", &b"k"[..], b"0", &payload(&content), b"REPLACE"]);
            match reply {
                Value::Simple(_) => stored += 1,
                Value::Error(_) => refused += 1,
                other => panic!("RESTORE gave {other}"),
            }
            for line in USES.split(';') {
                let reply = conn.run(line);
                assert!(reply != Value::Closed, "{line} after {content:?} of {key:?}");
            }
        }
    }
    assert!(stored > 50 && refused > 50, "{stored} were stored and {refused} refused");
}

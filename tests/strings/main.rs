//! The string commands, to the letter of Redis: every option, edge and error, in both protocols.
//!
//! Each test is a script that runs beside a real Redis. What random commands find beyond these is in
//! the last test, together with the generic and expiry commands, because strings are the values they
//! work on.

mod numbers;
mod ranges;
mod set;

use larder_tests::{Server, compare};

#[test]
fn get_getdel_getset() {
    compare(
        r#"
        GET missing
        SET a 1
        GET a
        GET
        GET a b
        GETDEL missing
        GETDEL a
        EXISTS a
        GETDEL
        GETSET a first
        GETSET a second
        GET a
        EXPIRE a 100
        GETSET a third
        TTL a
        GETSET a
        GETSET
        SET "" "the empty key"
        GET ""
        SET bin "\x00\xff\r\n\x00"
        GET bin
        STRLEN bin
        "#,
    );
}

#[test]
fn getex_sets_and_removes_the_deadline() {
    compare(
        r#"
        GETEX missing
        GETEX missing EX 100
        EXISTS missing
        SET a 1
        GETEX a
        TTL a
        GETEX a EX 100
        @near 1 TTL a
        GETEX a PERSIST
        TTL a
        GETEX a PX 100000
        @near 1000 PTTL a
        GETEX a EXAT 33177117420
        EXPIRETIME a
        GETEX a PXAT 33177117420123
        PEXPIRETIME a
        GETEX a ex 10 EX 20
        GETEX a EX 10 PERSIST
        GETEX a PERSIST EX 10
        GETEX a PERSIST PERSIST
        GETEX a KEEPTTL
        GETEX a NX
        GETEX a GET
        GETEX a EX
        GETEX a EX 0
        GETEX a EX -1
        GETEX a PX 0
        GETEX a EXAT 0
        GETEX a EXAT -5
        GETEX a EX nan
        GETEX a EX 1.5
        GETEX a EX 9223372036854775807
        GETEX a PX 9223372036854775807
        GETEX a EX 9223372036854775
        GETEX a PXAT 9223372036854775807
        PEXPIRETIME a
        GETEX a EXAT 9223372036854775
        GETEX a EXAT 1
        EXISTS a
        SET a 1
        GETEX a PXAT 1
        EXISTS a
        GETEX missing EX nan
        GETEX missing EX 0
        GETEX missing bogus
        GETEX
        "#,
    );
}

#[test]
fn setnx_setex_psetex() {
    compare(
        r#"
        SETNX a 1
        SETNX a 2
        GET a
        SETNX a
        SETNX
        EXPIRE a 100
        SETNX a 3
        @near 1 TTL a
        SETEX b 100 v
        @near 1 TTL b
        PSETEX b 100000 w
        @near 1000 PTTL b
        GET b
        SETEX b 0 v
        SETEX b -1 v
        PSETEX b 0 v
        PSETEX b -1 v
        SETEX b x v
        SETEX b 1.0 v
        SETEX b 9223372036854775807 v
        SETEX b -9223372036854775808 v
        SETEX b 9223372036854775 v
        PSETEX b 9223372036854775807 v
        GET b
        SETEX b 10
        SETEX b 10 v extra
        PSETEX b
        SET b plain
        TTL b
        "#,
    );
}

#[test]
fn mget_mset_msetnx() {
    compare(
        r#"
        MSET a 1 b 2 c 3
        MGET a b c missing a
        MGET missing
        MGET
        MSET a
        MSET a 1 b
        MSET
        MSET a x a y a z
        GET a
        EXPIRE a 100
        MSET a 1
        TTL a
        MSETNX a 1 new 2
        EXISTS new
        MSETNX new 1 newer 2
        MGET new newer
        MSETNX dup 1 dup 2
        GET dup
        MSETNX x
        MSETNX x 1 y
        MSETNX
        "#,
    );
}

#[test]
fn append_and_strlen() {
    compare(
        r#"
        APPEND a ""
        EXISTS a
        STRLEN a
        APPEND a hello
        APPEND a " world"
        GET a
        STRLEN a
        STRLEN missing
        SET n 12
        OBJECT ENCODING n
        APPEND n 34
        GET n
        OBJECT ENCODING n
        INCR n
        EXPIRE a 100
        APPEND a !
        @near 1 TTL a
        APPEND bin "\x00\x01"
        GET bin
        APPEND a
        APPEND
        APPEND a b c
        STRLEN
        STRLEN a b
        "#,
    );
}

#[test]
fn encodings_follow_length_and_history() {
    let long = "y".repeat(45);
    let embedded = "y".repeat(44);
    compare(&format!(
        r#"
        SET a 123
        @7 OBJECT ENCODING a
        SET a -9223372036854775808
        @7 OBJECT ENCODING a
        SET a 9223372036854775807
        @7 OBJECT ENCODING a
        SET a 9223372036854775808
        @7 OBJECT ENCODING a
        SET a 01
        @7 OBJECT ENCODING a
        SET a +1
        @7 OBJECT ENCODING a
        SET a " 1"
        @7 OBJECT ENCODING a
        SET a -0
        @7 OBJECT ENCODING a
        SET a ""
        @7 OBJECT ENCODING a
        SET a {embedded}
        @7 OBJECT ENCODING a
        SET a {long}
        @7 OBJECT ENCODING a
        SET a short
        APPEND a er
        @7 OBJECT ENCODING a
        SET a short
        SETRANGE a 0 S
        @7 OBJECT ENCODING a
        GETRANGE a 0 -1
        @7 OBJECT ENCODING a
        SET n 10
        INCRBYFLOAT n 0.5
        @7 OBJECT ENCODING n
        INCRBYFLOAT n 0.5
        @7 OBJECT ENCODING n
        INCR n
        @7 OBJECT ENCODING n
        COPY n m
        @7 OBJECT ENCODING m
        GETSET m 5
        @7 OBJECT ENCODING m
        MSET p 1 q word
        @7 OBJECT ENCODING p
        @7 OBJECT ENCODING q
        SETNX r 77
        @7 OBJECT ENCODING r
        SETEX s 100 78
        @7 OBJECT ENCODING s
        "#
    ));
}

#[test]
fn lcs_in_all_its_forms() {
    compare(
        r#"
        MSET a ohmytext b mynewtext empty "" n 12345 m 13579
        LCS a b
        LCS b a
        LCS a b LEN
        LCS a b len
        LCS a b IDX
        LCS a b IDX MINMATCHLEN 4
        LCS a b IDX WITHMATCHLEN
        LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN
        LCS a b WITHMATCHLEN MINMATCHLEN 4 IDX
        LCS a b MINMATCHLEN 4
        LCS a b WITHMATCHLEN
        LCS a b IDX MINMATCHLEN -5
        LCS a b IDX MINMATCHLEN 0
        LCS a b IDX MINMATCHLEN 9223372036854775807
        LCS a b IDX MINMATCHLEN
        LCS a b IDX MINMATCHLEN x
        LCS a b LEN IDX
        LCS a b IDX LEN
        LCS a b LEN LEN
        LCS a b BOGUS
        LCS a
        LCS
        LCS a a
        LCS a a IDX WITHMATCHLEN
        LCS a missing
        LCS a missing LEN
        LCS a missing IDX
        LCS missing nothing
        LCS empty a IDX
        LCS empty empty
        LCS n m
        LCS n m IDX WITHMATCHLEN
        SET x "\x00ab\x00"
        SET y "\x00b\x00"
        LCS x y
        SUBSTR a 0 2
        "#,
    );
}

#[test]
fn lcs_refuses_a_table_beyond_memory() {
    // Two strings of 100 KB would need a table of 40 GB.
    compare(
        r#"
        SETRANGE a 99999 x
        SETRANGE b 99999 x
        LCS a b
        =* -ERR Insufficient memory*
        LCS a b LEN
        =* -ERR Insufficient memory*
        PING
        "#,
    );
}

#[test]
fn a_large_value_survives_the_way_in_and_out() {
    let server = Server::start();
    let mut conn = server.connect();
    for size in [16 * 1024, 64 * 1024, 1 << 20, 8 << 20] {
        let value: Vec<u8> = (0..size).map(|i: usize| (i * 31 % 251) as u8).collect();
        conn.call(&[b"SET", &b"big"[..], &value]);
        assert_eq!(conn.run("STRLEN big").int(), size as i64);
        assert!(conn.run("GET big") == larder_tests::Value::Bulk(value), "{size} bytes changed");
    }
}

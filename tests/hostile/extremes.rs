//! The ends of 64 bits, and what is no number, in every argument that takes one.

use larder_tests::{Server, compare};

/// What every numeric argument is given.
const NUMBERS: [&str; 14] = [
    "-9223372036854775808",
    "-9223372036854775807",
    "-4294967296",
    "-2147483648",
    "-1",
    "0",
    "100000",
    "2147483647",
    "2147483648",
    "4294967296",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
];

/// Commands that answer like Redis to every number. SETRANGE is left to the next test, for some of
/// these offsets are legal and take half a gigabyte.
const COMPARED: [&str; 32] = [
    "INCRBY n #",
    "DECRBY n #",
    "INCRBYFLOAT n #",
    "GETRANGE s # -1",
    "GETRANGE s 0 #",
    "GETRANGE s # #",
    "SUBSTR s # #",
    "SETRANGE s # \"\"",
    "SETRANGE none # \"\"",
    "SET t v EX #",
    "SET t v PX #",
    "SET t v EXAT #",
    "SET t v PXAT #",
    "SETEX t # v",
    "PSETEX t # v",
    "GETEX s EX #",
    "GETEX s PXAT #",
    "EXPIRE s #",
    "PEXPIRE s #",
    "EXPIREAT s #",
    "PEXPIREAT s #",
    "EXPIRE none #",
    "LCS s s IDX MINMATCHLEN #",
    "SELECT #",
    "MOVE none #",
    "COPY s u DB #",
    "SWAPDB 0 #",
    "OBJECT FREQ #",
    "CLIENT KILL ID #",
    "CLIENT UNBLOCK #",
    "SLOWLOG GET #",
    "HELLO #",
];

#[test]
fn every_numeric_argument_takes_every_extreme() {
    // What was slow is the machine's matter.
    let mut script = String::from("CONFIG SET slowlog-log-slower-than -1\n");
    for command in COMPARED {
        for number in NUMBERS {
            // HELLO 2 and 3 are no extremes; SWAPDB would move the keys away.
            script.push_str("SELECT 0\nFLUSHALL\nSET n 5\nSET s \"some text\"\n");
            script.push_str(&command.replace('#', number));
            script.push_str("\nSELECT 0\nGET n\nEXISTS s t u none\n");
        }
    }
    compare(&script);
}

#[test]
fn numbers_where_only_survival_counts() {
    let server = Server::start();
    let mut conn = server.connect();
    conn.prepare("SET s text\nSET n 1");
    for command in [
        "SCAN #",
        "SCAN 0 COUNT #",
        "MEMORY USAGE s SAMPLES #",
        "CLIENT LIST ID #",
        "LOLWUT #",
        "LOLWUT VERSION #",
        "LOLWUT VERSION 5 # # #",
        "CONFIG SET maxmemory-samples #",
        "CONFIG SET slowlog-max-len #",
        "CONFIG SET hz #",
        "CONFIG SET timeout #",
        "CONFIG SET latency-monitor-threshold #",
        "CONFIG SET lfu-log-factor #",
        "CONFIG SET proto-max-bulk-len #",
        "CONFIG SET client-query-buffer-limit #",
        "DEBUG STRINGMATCH-LEN 10 #",
        "LATENCY HISTORY #",
        "OBJECT HELP",
    ] {
        for number in NUMBERS {
            conn.run(&command.replace('#', number));
            conn.prepare(
                "CONFIG SET timeout 0 proto-max-bulk-len 512mb client-query-buffer-limit 1gb",
            );
            conn.expect("PING", "+PONG");
        }
    }
}

//! Bad arguments and bad replicas.

use larder_tests::{Server, compare, eventually};

use crate::follower::Follower;

#[test]
fn arguments_are_refused_as_in_redis() {
    compare(
        "
        REPLCONF
        REPLCONF listening-port
        REPLCONF listening-port x
        REPLCONF listening-port 99999999999999999999
        REPLCONF listening-port -1
        REPLCONF listening-port 7000 capa eof capa nothing-known capa psync2
        REPLCONF ip-address 127.0.0.1
        REPLCONF rdb-only 2
        REPLCONF rdb-only x
        REPLCONF rdb-only 0
        REPLCONF what ever
        REPLCONF what
        PSYNC
        PSYNC ?
        PSYNC ? x
        PSYNC ? 99999999999999999999
        SYNC now
        WAIT
        WAIT x 0
        WAIT 0 x
        WAIT 0 -1
        WAIT 0 0
        WAIT -1 0
        WAIT -9223372036854775808 0
        WAIT 0 99999999999999999999
        MULTI
        WAIT 3 0
        PSYNC ? -1
        EXEC
        MULTI
        WAIT 3 0
        EXEC
        ROLE
        ROLE x
        EVAL \"return redis.call('PSYNC', '?', '-1')\" 0
        EVAL \"return redis.call('REPLCONF', 'capa', 'eof')\" 0
        ",
    );
}

#[test]
fn an_address_is_no_longer_than_an_address() {
    let primary = Server::start();
    let mut conn = primary.connect();
    let address = "a".repeat(256);
    let reply = conn.call(&["REPLCONF", "ip-address", &address]);
    assert!(reply.is_error("ERR REPLCONF ip-address"), "{reply}");
    assert!(!conn.call(&["REPLCONF", "ip-address", "a\r\nrole:master,"]).is_error(""));
    conn.expect("REPLCONF capa eof", "+OK");
    conn.send(b"PSYNC ? -1\r\n");
    let mut follower = Follower::greeted(conn);
    follower.take_data();
    follower.acknowledge();
    let line = primary.info("slave0");
    assert!(line.starts_with("ip=a__role"), "{line}");
}

#[test]
fn a_replica_that_asks_for_replies_is_none() {
    let primary = Server::start();
    for command in ["PING", "GET key", "SET key value", "REPLCONF capa eof", "NOSUCH", "QUIT"] {
        let mut follower = Follower::new(&primary);
        follower.conn.send(format!("{command}\r\n").as_bytes());
        follower.conn.wait_closed();
        eventually("it is forgotten", || primary.info("connected_slaves") == "0");
    }
    assert_eq!(primary.connect().run("EXISTS key").int(), 0);
}

#[test]
fn what_a_replica_asked_for_is_told_in_the_log() {
    let primary = Server::start();
    for (line, told) in [("GET a", "get"), ("SLOWLOG GET", "slowlog|get"), ("NONE", "none")] {
        let mut follower = Follower::new(&primary);
        follower.conn.send(format!("{line}\r\n").as_bytes());
        follower.conn.wait_closed();
        let text = format!("Replica generated a reply to command '{told}', disconnecting it: ");
        assert!(primary.log().contains(&text), "{}", primary.log());
    }
    let log = primary.log();
    let critical: Vec<&str> = log.lines().filter(|line| line.contains("CRITICAL")).collect();
    assert_eq!(critical.len(), 1, "{log}");
    assert!(
        critical[0]
            .contains("can't interact with the keyspace' after processing the command 'get'")
    );
    primary.connect().expect("PSYNC ? x", "-ERR value is not an integer or out of range");
    assert!(primary.log().contains("asks for synchronization but with a wrong offset"));
}

#[test]
fn acknowledgements_are_taken_with_care() {
    let primary = Server::start();
    let mut follower = Follower::new(&primary);
    let mut conn = primary.connect();
    conn.prepare("SET key value");
    for offset in ["x", "-1", "99999999999999999999", ""] {
        let len = offset.len();
        let command = format!("*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n${len}\r\n{offset}\r\n");
        follower.conn.send(command.as_bytes());
    }
    follower.conn.send(b"REPLCONF ACK\r\n".repeat(0).as_slice());
    conn.expect("WAIT 1 50", ":0");
    // It says that it has more than there is, so it has all there is.
    follower.conn.send(b"REPLCONF ACK 9223372036854775807\r\n");
    conn.expect("WAIT 1 30000", ":1");
    conn.prepare("SET key other");
    conn.expect("WAIT 1 50", ":0");
    follower.conn.send(&vec![b'x'; 100_000]);
    follower.conn.wait_closed();
    eventually("it is forgotten", || primary.info("connected_slaves") == "0");
}

//! Subscribers that do not read, publishers that do not stop, and the order they must agree on.

use std::thread;
use std::time::Duration;

use larder_tests::{Server, encode, eventually};

#[test]
fn a_subscriber_that_never_reads_is_cut() {
    let limit = ["--client-output-buffer-limit", "pubsub 8mb 0 0"];
    let server = Server::with(&limit);
    let before = server.resident();
    let mut slow = server.connect();
    slow.run("SUBSCRIBE flood");
    let mut publisher = server.connect();
    let message = encode(&["PUBLISH", "flood", &"x".repeat(10_000)]);
    let burst = message.repeat(100);
    let mut highest = 0;
    for _ in 0..50 {
        publisher.send(&burst);
        let receivers: Vec<String> = (0..100).map(|_| publisher.reply().to_string()).collect();
        highest = highest.max(server.resident().saturating_sub(before));
        if receivers.iter().any(|receivers| receivers == ":0") {
            break;
        }
    }
    assert_eq!(publisher.run("PUBLISH flood x").to_string(), ":0");
    assert_eq!(server.info("client_output_buffer_limit_disconnections"), "1");
    assert!(highest < 64 << 20, "a limit of 8 MB let memory grow by {highest}");
    eventually("its connection is closed", || server.info("connected_clients") == "2");
}

#[test]
fn the_soft_limit_gives_time() {
    let server = Server::with(&["--client-output-buffer-limit", "pubsub 0 1mb 1"]);
    let mut slow = server.connect();
    slow.run("SUBSCRIBE flood");
    let mut publisher = server.connect();
    let message = encode(&["PUBLISH", "flood", &"x".repeat(100_000)]);
    for _ in 0..200 {
        publisher.send(&message);
        assert_eq!(publisher.reply().to_string(), ":1");
    }
    let list = publisher.run("CLIENT LIST TYPE pubsub").text();
    let field = |name: &str| -> u64 {
        let value = list.split(name).nth(1).and_then(|rest| rest.split(' ').next());
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    assert!(field(" omem=") > 1 << 20 && field(" tot-mem=") > field(" omem="), "{list}");
    eventually("it is cut", || server.info("connected_clients") == "2");
}

#[test]
fn a_slow_subscriber_gets_all_that_is_within_the_limit() {
    let server = Server::start();
    let mut slow = server.connect();
    slow.run("SUBSCRIBE flood");
    let mut publisher = server.connect();
    for number in 0..3000 {
        publisher.send(&encode(&["PUBLISH", "flood", &format!("{number}:{}", "x".repeat(2000))]));
        publisher.reply();
    }
    for number in 0..3000 {
        let message = slow.reply().items()[2].text();
        assert_eq!(message.split(':').next(), Some(&*number.to_string()));
    }
}

#[test]
fn no_message_overtakes_a_reply() {
    let server = Server::start();
    let mut subscriber = server.connect3();
    let mut publisher = server.connect();
    let again = [
        encode(&["UNSUBSCRIBE", "one"]),
        encode(&["PING"]),
        encode(&["SUBSCRIBE", "one"]),
        encode(&["PING"]),
    ];
    let (again, publish) = (again.concat(), encode(&["PUBLISH", "one", "x"]));
    subscriber.run("SUBSCRIBE one");
    let mut messages = 0;
    for _ in 0..500 {
        subscriber.send(&again);
        publisher.send(&publish);
        let expected = usize::from(publisher.reply().to_string() == ":1");
        // Published when both are at rest, so one message comes in any case.
        publisher.send(&publish);
        let seen: Vec<String> = (0..5 + expected).map(|_| subscriber.reply().to_string()).collect();
        let place = |what: &str| seen.iter().position(|reply| reply.contains(what));
        let (left, came) = (place("unsubscribe"), place("\"subscribe"));
        assert!(left < came, "{seen:?}");
        let between = &seen[left.unwrap_or(0)..came.unwrap_or(0)];
        assert!(!between.iter().any(|reply| reply.contains("message")), "{seen:?}");
        messages += seen.iter().filter(|reply| reply.contains("message")).count();
        assert_eq!(publisher.reply().to_string(), ":1");
    }
    assert!(messages >= 500);
}

#[test]
fn more_subscribers_than_are_written_to_at_once_all_get_the_message() {
    let server = Server::start();
    let mut subscribers: Vec<_> = (0..600).map(|_| server.connect()).collect();
    for subscriber in &mut subscribers {
        subscriber.run("SUBSCRIBE wide");
    }
    let mut publisher = server.connect();
    publisher
        .send(&[encode(&["PUBLISH", "wide", "a"]), encode(&["PUBLISH", "wide", "b"])].concat());
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.reply().items()[2].text(), "a");
        assert_eq!(subscriber.reply().items()[2].text(), "b");
    }
    assert_eq!(publisher.reply().to_string(), ":600");
}

#[test]
fn all_see_the_messages_of_a_channel_in_one_order() {
    let server = Server::with(&["--threads", "2"]);
    let mut subscribers: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for subscriber in &mut subscribers {
        subscriber.run("SUBSCRIBE shared");
    }
    let publish = |name: u32| {
        let mut conn = server.connect();
        move || {
            let burst: Vec<u8> = (0..2000)
                .flat_map(|number| encode(&["PUBLISH", "shared", &format!("{name}-{number}")]))
                .collect();
            conn.send(&burst);
            (0..2000).for_each(|_| assert_eq!(conn.reply().to_string(), ":4"));
        }
    };
    let publishers: Vec<_> = (0..3).map(|name| thread::spawn(publish(name))).collect();
    let mut seen = Vec::new();
    for subscriber in &mut subscribers {
        let messages: Vec<String> =
            (0..6000).map(|_| subscriber.reply().items()[2].text()).collect();
        seen.push(messages);
    }
    publishers.into_iter().for_each(|publisher| publisher.join().expect("it publishes"));
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "one order for all");
    for name in 0..3 {
        let prefix = format!("{name}-");
        let own: Vec<_> = seen[0].iter().filter_map(|text| text.strip_prefix(&prefix)).collect();
        assert!(own.iter().enumerate().all(|(at, number)| *number == at.to_string()));
    }
}

#[test]
fn subscribers_are_killed_while_messages_fly() {
    let server = Server::with(&["--threads", "2"]);
    let mut admin = server.connect();
    let publish = {
        let mut conn = server.connect();
        move || {
            let burst = encode(&["PUBLISH", "busy", "x"]).repeat(50);
            for _ in 0..100 {
                conn.send(&burst);
                (0..50).for_each(|_| drop(conn.reply()));
            }
        }
    };
    let publisher = thread::spawn(publish);
    for _ in 0..20 {
        let subscribers: Vec<_> = (0..20)
            .map(|_| {
                let mut conn = server.connect();
                conn.run("SUBSCRIBE busy");
                conn
            })
            .collect();
        thread::sleep(Duration::from_millis(5));
        assert_eq!(admin.run("CLIENT KILL TYPE pubsub").to_string(), ":20");
        for mut subscriber in subscribers {
            subscriber.wait_closed();
        }
    }
    publisher.join().expect("it publishes");
    admin.expect("PUBLISH busy x", ":0");
    eventually("all are gone", || server.info("connected_clients") == "2");
}

//! The tracking table has limits, whoever reads however much.

use larder_tests::{Server, Value, encode};

#[test]
fn the_table_keeps_its_limit_and_tells_what_it_forgets() {
    let server = Server::with(&["--tracking-table-max-keys", "100"]);
    let mut reader = server.connect3();
    reader.run("CLIENT TRACKING ON");
    let reads: Vec<u8> = (0..150).flat_map(|key| encode(&["GET", &format!("k{key}")])).collect();
    reader.send(&reads);
    let told = (0..200).filter(|_| reader.reply().to_string().starts_with('>')).count();
    assert_eq!(told, 50, "each read beyond the limit takes one out");
    assert_eq!(server.info("tracking_total_keys"), "100");
    assert_eq!(server.info("tracking_total_items"), "100");
}

#[test]
fn a_million_tracked_keys_are_bounded() {
    let server = Server::with(&["--tracking-table-max-keys", "50000"]);
    let before = server.resident();
    let mut reader = server.connect();
    reader.run("CLIENT TRACKING ON");
    for burst in 0..100 {
        let reads: Vec<u8> = (0..10_000)
            .flat_map(|key| encode(&["GET", &format!("a-key-of-some-length:{burst}:{key}")]))
            .collect();
        reader.send(&reads);
        (0..10_000).for_each(|_| drop(reader.reply()));
    }
    assert_eq!(server.info("tracking_total_keys"), "50000");
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "50,000 keys of 30 bytes took {grown}");
}

#[test]
fn long_names_do_not_fill_the_memory() {
    let server = Server::with(&["--tracking-table-max-keys", "1000"]);
    let before = server.resident();
    let mut reader = server.connect();
    reader.run("CLIENT TRACKING ON");
    for number in 0..200 {
        reader.send(&encode(&["GET", &format!("{number}{}", "x".repeat(1 << 20))]));
        reader.reply();
    }
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "names of 200 MB took {grown}");
}

#[test]
fn a_tracker_that_never_reads_is_cut() {
    let server = Server::with(&["--client-output-buffer-limit", "normal 4mb 0 0"]);
    let (mut slow, mut writer) = (server.connect3(), server.connect());
    slow.run("CLIENT TRACKING ON BCAST");
    let key = "x".repeat(10_000);
    let burst = encode(&["SET", &key, "1"]).repeat(100);
    larder_tests::eventually("it is cut", || {
        writer.send(&burst);
        (0..100).for_each(|_| drop(writer.reply()));
        server.info("tracking_clients") == "0"
    });
    assert_eq!(server.info("client_output_buffer_limit_disconnections"), "1");
}

#[test]
fn prefixes_are_memory_of_their_client() {
    let server = Server::with(&["--maxmemory-clients", "1mb"]);
    let mut conn = server.connect();
    let used = || server.info("used_memory").parse::<i64>().expect("a number");
    let before = used();
    let mut tracker = server.connect3();
    let mut cut_at = None;
    for number in 0..20_000 {
        let words = format!("CLIENT TRACKING ON BCAST PREFIX a{number:05} PREFIX b{number:05}");
        tracker.send(&encode(&larder_tests::words(&words)));
        if tracker.reply() == Value::Closed {
            cut_at = Some(number);
            break;
        }
        if number == 1000 {
            assert!(used() - before > 2000 * 100, "2,000 prefixes took {}", used() - before);
        }
    }
    let cut_at = cut_at.expect("it has a megabyte");
    assert!((2000..10_000).contains(&cut_at), "{cut_at}");
    assert_eq!(server.info("tracking_total_prefixes"), "0");
    assert_eq!(server.info("evicted_clients"), "1");
    assert!(used() - before < 10_000, "what is left of it: {}", used() - before);
    // A mode that ends gives them back as well.
    conn.expect("CLIENT TRACKING ON BCAST PREFIX abc", "+OK");
    conn.expect("CLIENT TRACKING OFF", "+OK");
    assert!(used() - before < 10_000, "{}", used() - before);
}

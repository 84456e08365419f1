//! The tracking table has limits, whoever reads however much.

use larder_tests::{Server, encode};

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

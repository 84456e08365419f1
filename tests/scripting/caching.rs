//! SCRIPT: which scripts EVALSHA finds.

use larder_tests::{Server, compare};

#[test]
fn load_exists_flush() {
    compare(
        r##"
        SCRIPT LOAD "return 'loaded'"
        EVALSHA b534286061d4b9e4026607613b95c06c06015ae8 0
        EVALSHA B534286061D4B9E4026607613B95C06C06015AE8 0
        EVALSHA_RO b534286061d4b9e4026607613b95c06c06015ae8 0
        SCRIPT EXISTS b534286061d4b9e4026607613b95c06c06015ae8 x B534286061D4B9E4026607613B95C06C06015AE8
        SCRIPT FLUSH
        SCRIPT EXISTS b534286061d4b9e4026607613b95c06c06015ae8
        EVALSHA b534286061d4b9e4026607613b95c06c06015ae8 0
        EVAL "return 1+1" 0
        SCRIPT EXISTS a27e7e8a43702b7046d4f6a7ccf5b60cef6b9bd9 a27e7e8a43702b7046d4f6a7ccf5b60cef6b9bda
        SCRIPT LOAD "return x x"
        SCRIPT LOAD "#!lua flags=nonsense\nreturn 1"
        SCRIPT FLUSH SYNC
        SCRIPT FLUSH ASYNC
        SCRIPT FLUSH NOW
        SCRIPT FLUSH SYNC SYNC
        SCRIPT KILL
        SCRIPT DEBUG NO
        SCRIPT DEBUG MAYBE
        SCRIPT DEBUG YES
        =* -ERR *
        SCRIPT NONSENSE
        SCRIPT
        SCRIPT HELP
        =* [*EXISTS*
        "##,
    );
}

#[test]
fn a_flush_reaches_every_thread() {
    let server = Server::with(&["--threads", "2"]);
    let mut conns: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let digest = conns[0].run("SCRIPT LOAD \"return 7\"").to_string();
    let digest = digest.trim_matches('"').to_owned();
    for conn in &mut conns {
        assert_eq!(conn.run(&format!("EVALSHA {digest} 0")).to_string(), ":7");
    }
    conns[3].run("SCRIPT FLUSH");
    for conn in &mut conns {
        assert!(conn.run(&format!("EVALSHA {digest} 0")).is_error("NOSCRIPT"));
    }
    assert_eq!(server.info("number_of_cached_scripts"), "0");
}

/// Each is kept, but what is compiled fills no state: there is room to run in.
#[test]
fn there_may_be_any_number_of_scripts() {
    let server = Server::with(&["--script-memory-limit", "1mb", "--threads", "1"]);
    let mut conn = server.connect();
    for number in 0..4000 {
        let script = format!("local key = KEYS[1] return {number}");
        let reply = conn.call(&[b"EVAL", script.as_bytes(), b"0"]).to_string();
        assert_eq!(reply, format!(":{number}"));
    }
    assert_eq!(server.info("number_of_cached_scripts"), "4000");
    let digest = conn.call(&["SCRIPT", "LOAD", "local key = KEYS[1] return 0"]).text();
    conn.expect(&format!("EVALSHA {digest} 0"), ":0");
}

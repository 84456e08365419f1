//! COMMAND and its subcommands. That the facts in the rows are Redis's own is the table's test.

use larder_tests::{Redis, Server, Value, compare};

#[test]
fn getkeys() {
    compare(
        r#"
        COMMAND GETKEYS GET a
        COMMAND GETKEYS SET a 1 EX 10
        COMMAND GETKEYS MSET a 1 b 2 c 3
        COMMAND GETKEYS MSETNX a 1 b 2
        COMMAND GETKEYS DEL a b c
        COMMAND GETKEYS COPY a b REPLACE
        COMMAND GETKEYS RENAME a b
        COMMAND GETKEYS LCS a b IDX
        COMMAND GETKEYS OBJECT ENCODING a
        COMMAND GETKEYS MEMORY USAGE a
        COMMAND GETKEYS object freq a
        COMMAND GETKEYS MOVE a 1
        COMMAND GETKEYS PING
        = -ERR The command has no key arguments
        COMMAND GETKEYS CONFIG GET x
        COMMAND GETKEYS GET
        = -ERR Invalid number of arguments specified for command
        COMMAND GETKEYS GET a b
        COMMAND GETKEYS BOGUS a
        COMMAND GETKEYS OBJECT BOGUS a
        COMMAND GETKEYS
        COMMAND GETKEYSANDFLAGS SET a 1
        COMMAND GETKEYSANDFLAGS SET a 1 GET
        COMMAND GETKEYSANDFLAGS GETEX a
        COMMAND GETKEYSANDFLAGS MSET a 1 b 2
        COMMAND GETKEYSANDFLAGS COPY a b
        COMMAND GETKEYSANDFLAGS RENAME a b
        COMMAND GETKEYSANDFLAGS DEL a b
        COMMAND GETKEYSANDFLAGS PING
        = -ERR The command has no key arguments
        COMMAND GETKEYSANDFLAGS BOGUS
        = -ERR Invalid command specified
        COMMAND GETKEYSANDFLAGS
        "#,
    );
}

#[test]
fn grammar() {
    compare(
        r#"
        COMMAND BOGUS
        COMMAND COUNT x
        @kind COMMAND COUNT
        COMMAND INFO bogus
        COMMAND INFO bogus "a b"
        COMMAND INFO get
        COMMAND INFO GET strlen bogus ttl
        COMMAND INFO config|get
        COMMAND INFO config|bogus
        COMMAND INFO get|bogus
        COMMAND DOCS bogus
        COMMAND LIST x
        COMMAND LIST FILTERBY
        COMMAND LIST FILTERBY BOGUS x
        COMMAND LIST FILTERBY MODULE nothing
        COMMAND LIST FILTERBY ACLCAT bogus
        COMMAND LIST FILTERBY PATTERN xyz*
        @unordered COMMAND LIST FILTERBY PATTERN ge[te][xt]
        @unordered COMMAND LIST FILTERBY PATTERN client|no-e*
        @unordered COMMAND LIST filterby pattern GETR*
        COMMAND HELP x
        "#,
    );
}

#[test]
fn count_list_and_info_agree() {
    let server = Server::start();
    let mut conn = server.connect();
    let names: Vec<String> = conn.run("COMMAND LIST").items().iter().map(Value::text).collect();
    let top: Vec<&String> = names.iter().filter(|name| !name.contains('|')).collect();
    assert_eq!(conn.run("COMMAND COUNT").int() as usize, top.len());
    let all = conn.run("COMMAND").items();
    assert_eq!(all.len(), top.len());
    assert_eq!(conn.run("COMMAND INFO").items().len(), top.len());
    for entry in &all {
        let parts = entry.items();
        assert_eq!(parts.len(), 10, "{entry}");
        assert!(names.contains(&parts[0].text()), "{entry}");
        for sub in parts[9].items() {
            assert!(names.contains(&sub.items()[0].text()), "{sub}");
        }
    }
    assert_eq!(server.connect3().run("COMMAND").items().len(), top.len());
}

#[test]
fn docs_describe_every_command() {
    let server = Server::start();
    let mut conn = server.connect3();
    let docs = conn.run("COMMAND DOCS");
    assert_eq!(docs.kind(), '%');
    assert_eq!(docs.items().len() as i64, conn.run("COMMAND COUNT").int() * 2);
    for pair in docs.items().chunks(2) {
        let (name, doc) = (pair[0].text(), &pair[1]);
        assert_eq!(doc.kind(), '%', "{name}");
        for field in ["summary", "since", "group"] {
            let text = doc.field(field).map(|value| value.text()).unwrap_or_default();
            assert!(!text.is_empty(), "{name} lacks {field}");
        }
    }
    let set = conn.run("COMMAND DOCS set").field("set").expect("SET has a document");
    let names: Vec<String> = set
        .field("arguments")
        .expect("SET takes arguments")
        .items()
        .iter()
        .map(|argument| argument.field("name").expect("a name").text())
        .collect();
    assert_eq!(names, ["key", "value", "condition", "get", "expiration"]);
}

/// What the slow log shows of a command is not a matter of its name.
#[test]
fn passwords_of_renamed_commands_stay_out_of_the_slow_log() {
    let renames = ["config", "auth", "hello", "acl"];
    let mut args: Vec<String> = vec!["--slowlog-log-slower-than".into(), "0".into()];
    for name in renames {
        args.extend(["--rename-command".into(), name.into(), format!("my{name}")]);
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let server = Server::with(&args);
    let mut conn = server.connect();
    conn.expect("MYCONFIG SET requirepass secret masterauth secret", "+OK");
    conn.expect("MYAUTH secret", "+OK");
    conn.expect("MYAUTH default secret", "+OK");
    conn.expect("MYACL SETUSER kim on >secret", "+OK");
    conn.run("MYHELLO 3 AUTH default secret");
    let log = conn.run("SLOWLOG GET").to_string();
    assert!(log.contains("(redacted)") && !log.contains("secret"), "{log}");
    let unknown = "-ERR unknown subcommand 'nosuch'. Try MYACL HELP.";
    conn.expect("MYACL nosuch", unknown);
}

#[test]
fn renamed_commands_keep_their_names_and_are_found_by_the_new_ones() {
    let conf = "rename-command get fetch\nrename-command flushall \"\"\n";
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("renames.conf");
    std::fs::write(&file, conf).expect("a file");
    let path = file.display().to_string();
    let [ours, theirs] = [Server::with(&[&path]), Redis::with(&[&path])];
    for line in [
        "COMMAND INFO fetch",
        "COMMAND INFO get flushall",
        "COMMAND GETKEYS fetch key",
        "COMMAND GETKEYS get key",
        "COMMAND LIST FILTERBY PATTERN get",
        "COMMAND LIST FILTERBY PATTERN flushall",
        "COMMAND LIST FILTERBY PATTERN fetch",
    ] {
        let [here, there] = [&ours, &theirs].map(|server| server.connect().run(line).to_string());
        assert_eq!(here, there, "{line}");
    }
}

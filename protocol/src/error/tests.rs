//! Error texts: their form, those that are built, and that none ends its line.

use super::*;

#[test]
fn table_is_clean() {
    let all = [TABLE, replication::TABLE, scripting::TABLE, streams::TABLE].concat();
    for (name, text) in all {
        assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{name} is one plain line");
        assert!(!text.contains("  "), "{name} has a double blank");
        let code = CommandError::from_static(text).code().to_owned();
        assert!(code.bytes().all(|b| b.is_ascii_uppercase()), "{name} has the code {code}");
        // Redis tells of a save that failed by the code alone.
        let is_alone = text == code;
        assert!(is_alone || text.starts_with(&format!("{code} ")), "{name} begins with its code");
    }
}

#[test]
fn built_texts() {
    let none: [&[u8]; 0] = [];
    let table = [
        (CommandError::wrong_arity("get"), "ERR wrong number of arguments for 'get' command"),
        (CommandError::invalid_expire("set"), "ERR invalid expire time in 'set' command"),
        (
            CommandError::unknown_command(b"foo", none),
            "ERR unknown command 'foo', with args beginning with: ",
        ),
        (
            CommandError::unknown_command(b"foo", [&b"a"[..], b"b c"]),
            "ERR unknown command 'foo', with args beginning with: 'a' 'b c' ",
        ),
        (
            CommandError::unknown_subcommand(b"foo", "client"),
            "ERR unknown subcommand 'foo'. Try CLIENT HELP.",
        ),
        (
            CommandError::exec_abort_because(&CommandError::OOM),
            "EXECABORT Transaction discarded because of: OOM command not allowed when used \
             memory > 'maxmemory'.",
        ),
        (ProtocolError::ExpectedBulk(b'x').into(), "ERR Protocol error: expected '$', got 'x'"),
    ];
    for (error, text) in table {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn an_unknown_command_is_repeated_in_part() {
    let name = [b'x'; 200];
    let args = [[b'y'; 100]; 9];
    let error = CommandError::unknown_command(&name, args.iter().map(|a| &a[..]));
    let expected = format!(
        "ERR unknown command '{}', with args beginning with: '{}' '{}' ",
        "x".repeat(128),
        "y".repeat(100),
        "y".repeat(25)
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn no_text_ends_its_line() {
    let hostile = b"a\r\n+OK\0b";
    let lossy = String::from_utf8_lossy(hostile);
    for error in [
        CommandError::custom(format!("ERR {lossy}")),
        CommandError::wrong_arity(&lossy),
        CommandError::unknown_command(hostile, [&hostile[..], hostile]),
        CommandError::unknown_subcommand(hostile, &lossy),
        CommandError::subcommand_syntax(hostile, &lossy),
        CommandError::invalid_expire(&lossy),
        CommandError::subscriber_mode(&lossy),
        CommandError::no_permission(hostile),
        CommandError::quoting("ERR ", hostile, ""),
        ProtocolError::ExpectedBulk(b'\r').into(),
        ProtocolError::ExpectedBulk(b'\n').into(),
        ProtocolError::ExpectedBulk(0).into(),
    ] {
        assert!(!error.as_bytes().iter().any(|byte| breaks_line(*byte)), "{error:?}");
    }
    assert_eq!(CommandError::custom("ERR a\r\nb\0c").to_string(), "ERR a  b c");
}

#[test]
fn codes() {
    assert_eq!(CommandError::WRONG_TYPE.code(), "WRONGTYPE");
    assert_eq!(CommandError::SYNTAX.message(), b"syntax error");
    assert_eq!(CommandError::custom("alone").code(), "ERR");
    assert_eq!(CommandError::custom(format!("{} x", "A".repeat(32))).code(), "ERR");
}

#[test]
fn bytes_of_a_peer_come_back_as_they_were() {
    let error = CommandError::unknown_command(b"\xff\xfe", [&b"\x80"[..]]);
    let expected = b"ERR unknown command '\xff\xfe', with args beginning with: '\x80' ";
    assert_eq!(error.as_bytes(), expected);
    assert_eq!(CommandError::custom(*b"\xff x").code(), "ERR");
    assert_eq!(CommandError::quoting("ERR <", b"\xff\0x", ">").as_bytes(), b"ERR <\xff>");
}

//! The command line.
#![cfg(feature = "binary")]

use std::ffi::OsString;

use crate::config::{CliError, Launch, Start, parse_with_stdin};

fn parse(arguments: &[&str], stdin: &str) -> Result<Start, CliError> {
    let arguments = ["larder-server"].iter().chain(arguments).map(OsString::from);
    parse_with_stdin(arguments, &mut stdin.as_bytes())
}

fn launch(arguments: &[&str]) -> Launch {
    match parse(arguments, "maxclients 77\nport 7777\n") {
        Ok(Start::Run(launch)) => *launch,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

fn refused(arguments: &[&str]) -> String {
    parse(arguments, "").map(|_| ()).expect_err("a wrong command line").to_string()
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), content).expect("a file");
    file
}

#[test]
fn nothing_is_the_default() {
    let launch = launch(&[]);
    assert_eq!(launch.loaded.settings, crate::config::Settings::default());
    assert_eq!(launch.config_file, None);
}

#[test]
fn options_take_the_values_up_to_the_next() {
    let settings = launch(&[
        "--port",
        "6380",
        "--bind",
        "127.0.0.1",
        "::1",
        "--MaxMemory",
        "1gb",
        "--save",
        "",
        "--requirepass",
        "--x",
    ])
    .loaded
    .settings;
    assert_eq!((settings.port, settings.maxmemory_bytes), (6380, 1 << 30));
    assert_eq!(settings.bind, ["127.0.0.1", "::1"]);
    assert_eq!(settings.save, []);
    assert_eq!(settings.requirepass, "--x", "the first value may look like a name");
}

#[test]
fn name_and_values_may_be_one_argument() {
    let settings = launch(&["--port 6380", "--save 1 2", "--maxclients 5"]).loaded.settings;
    assert_eq!((settings.port, settings.save.len(), settings.maxclients), (6380, 1, 5));
    let settings = launch(&["--bind", "127.0.0.1 ::1", "--port", "1"]).loaded.settings;
    assert_eq!((settings.bind.len(), settings.port), (2, 1));
}

#[test]
fn an_option_without_its_value() {
    assert_eq!(launch(&["--save", "--port", "1"]).loaded.settings.save, []);
    assert_eq!(launch(&["--port", "1", "--save"]).loaded.settings.save, []);
    assert!(refused(&["--port"]).ends_with("wrong number of arguments"));
    let text = refused(&["--port", "--loglevel", "verbose"]);
    assert!(text.contains(">>> 'port \"--loglevel\" \"verbose\"'\nwrong number"), "{text}");
}

#[test]
fn file_then_stdin_then_options() {
    let file = file("port 1\nmaxclients 1\ntimeout 1\n");
    let path = file.path().to_str().expect("a legal path");
    let read = launch(&[path, "--port", "2", "-"]);
    let settings = read.loaded.settings;
    assert_eq!((settings.port, settings.maxclients, settings.timeout_s), (2, 77, 1));
    assert_eq!(read.config_file.as_deref(), Some(file.path()));
    assert_eq!(launch(&["-"]).loaded.settings.port, 7777);
    assert_eq!(launch(&["-", "--port", "3"]).loaded.settings.port, 3);
    let text = refused(&[path, "-", "--port", "3"]);
    assert!(text.contains(">>> '\"-\"'"), "in the middle it is a value: {text}");
    assert!(refused(&["/nosuch/file"]).contains("can't open config file '/nosuch/file'"));
}

#[test]
fn save_points_of_file_and_options_add_up_as_in_redis() {
    let file = file("save 1 1\n");
    let path = file.path().to_str().expect("a legal path");
    assert_eq!(launch(&[path, "--save", "2", "2"]).loaded.settings.save.len(), 2);
}

#[test]
fn errors_show_the_option() {
    let text = refused(&["--port", "1", "--maxmemoryy", "1gb"]);
    assert!(
        text.ends_with(
            "Reading the command line, at option 2\n>>> 'maxmemoryy \"1gb\"'\nBad directive or \
             wrong number of arguments (did you mean 'maxmemory'?)"
        ),
        "{text}"
    );
    assert!(refused(&["--port=6380"]).ends_with("(did you mean 'port'?)"));
    assert!(refused(&["-x"]).contains("Bad directive"));
}

#[test]
fn help_and_version() {
    for arguments in [["-v"], ["--version"]] {
        let Ok(Start::Print(text)) = parse(&arguments, "") else { panic!("{arguments:?}") };
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!("Larder server v={version} redis_version=7.2.4 malloc=mimalloc ");
        assert!(text.starts_with(&expected) && text.ends_with("bits=64\n"), "{text}");
    }
    for arguments in [["-h"], ["--help"]] {
        let Ok(Start::Print(text)) = parse(&arguments, "") else { panic!("{arguments:?}") };
        assert!(text.contains("larder-server [FILE | -]"), "{text}");
        assert_eq!(text.contains("maxmemory-samples"), arguments == ["--help"], "{text}");
    }
    assert!(refused(&["--port", "1", "--help"]).contains("'help'"), "in the first place only");
}

#[test]
fn what_is_not_here_says_so() {
    for arguments in [
        &["--sentinel"][..],
        &["x.conf", "--sentinel"],
        &["--test-memory", "9"],
        &["--check-system"],
    ] {
        let text = refused(arguments);
        assert!(text.contains("is not part of Larder"), "{text}");
    }
}

fn group(arguments: &[&str]) -> crate::config::GroupLaunch {
    match parse(&[&["group"], arguments].concat(), "") {
        Ok(Start::Group(launch)) => *launch,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

#[test]
fn a_whole_group() {
    let plain = group(&[]);
    assert_eq!((plain.name.as_str(), plain.zones.len(), plain.replicas), ("larder", 3, 2));
    assert_eq!((plain.port, plain.reader_port, plain.keeps_data), (6379, 6380, false));
    let told = group(&[
        "--zones",
        "x,y",
        "--replicas",
        "4",
        "--name",
        "My-Group",
        "--port",
        "7000",
        "--reader-port",
        "7009",
        "--write-acks",
        "quorum",
        "--dir",
        "/tmp",
    ]);
    assert_eq!(
        (told.zones.as_slice(), told.replicas),
        (["x", "y"].map(str::to_owned).as_slice(), 4)
    );
    assert_eq!((told.name.as_str(), told.port, told.reader_port), ("my-group", 7000, 7009));
    assert_eq!(told.loaded.settings.write_acks, crate::config::WriteAcks::Quorum);
    assert!(told.keeps_data);
    assert_eq!(group(&["--zones", "a"]).replicas, 1);
    for (arguments, part) in [
        (&["group", "--zones"][..], "--zones needs a value"),
        (&["group", "--zones", "a,a"], "names a zone twice"),
        (&["group", "--zones", "a,"], "a zone's name"),
        (&["group", "--replicas", "6"], "from 0 to 5"),
        (&["group", "--name", "a--b"], "two hyphens"),
        (&["group", "--port", "0"], "from 1 to 65535"),
        (&["group", "--port", "7", "--reader-port", "7"], "another one"),
        (&["group", "start"], "start is no option"),
        (&["group", "--what", "1"], "Bad directive"),
    ] {
        let text = refused(arguments);
        assert!(text.contains(part), "{arguments:?}: {text}");
    }
    let Ok(Start::Print(help)) = parse(&["group", "--zones", "a", "--help"], "") else {
        panic!("help is printed");
    };
    assert!(help.contains("larder-server group --zones a,b,c"));
}

#[test]
fn short_options_of_a_member() {
    let settings = launch(&[
        "--group",
        "s",
        "--node-id",
        "s-001",
        "--peers",
        "s-001=a@h:1",
        "s-002=b@h:2",
        "--witness",
        "--port",
        "1",
    ])
    .loaded
    .settings;
    assert_eq!((settings.group.as_str(), settings.node_id.as_str()), ("s", "s-001"));
    assert_eq!((settings.group_peers.len(), settings.group_witness, settings.port), (2, true, 1));
}

//! Configuration files.

use std::fs;
use std::path::Path;

use crate::config::{Loaded, Loader, RenamedCommand, Settings};

fn load(content: &str) -> Result<Loaded, String> {
    let directory = tempfile::tempdir().expect("a directory");
    load_in(directory.path(), content)
}

fn load_in(directory: &Path, content: &str) -> Result<Loaded, String> {
    let file = directory.join("larder.conf");
    fs::write(&file, content).expect("a file");
    let mut loader = Loader::default();
    loader.file(&file).map_err(|error| error.to_string())?;
    Ok(loader.finish())
}

fn settings(content: &str) -> Settings {
    load(content).unwrap_or_else(|error| panic!("{error}")).settings
}

#[test]
fn lines_comments_and_quotes() {
    let read = settings(
        "# a comment\r\n\r\n  port 7000\r\nPORT 7001\nrequirepass \"a b\\x21\"\n\
         proc-title-template '{port} a'\nmaxmemory 100mb",
    );
    assert_eq!((read.port, read.requirepass.as_str()), (7001, "a b!"));
    assert_eq!((read.proc_title_template.as_str(), read.maxmemory_bytes), ("{port} a", 100 << 20));
}

#[test]
fn lines_that_add_up() {
    let read = settings("save 1 2\nsave 3 4 5 6\nrename-command GET G\nrename-command SET \"\"");
    let points: Vec<_> = read.save.iter().map(|point| (point.seconds, point.changes)).collect();
    assert_eq!(points, [(1, 2), (3, 4), (5, 6)], "the first line replaces the defaults");
    let renamed = |from: &str, to: &str| RenamedCommand { from: from.into(), to: to.into() };
    assert_eq!(read.rename_command, [renamed("GET", "G"), renamed("SET", "")]);
    assert_eq!(settings("save 1 2\nsave \"\"\n").save, []);
    let users = settings("user alice on +@all ~*\nuser bob off").user;
    assert_eq!(users, [vec!["alice", "on", "+@all", "~*"], vec!["bob", "off"]]);
}

#[test]
fn several_words_may_stand_in_one() {
    assert_eq!(settings("bind \"127.0.0.1 ::1\"").bind, ["127.0.0.1", "::1"]);
    assert_eq!(settings("bind 127.0.0.1 ::1").bind, ["127.0.0.1", "::1"]);
    assert_eq!(settings("bind \"\"").bind, [""; 0]);
}

#[test]
fn errors_name_their_place() {
    for (content, line, text, reason) in [
        (
            "port 1\nmaxmemori 1\n",
            2,
            "maxmemori 1",
            "Bad directive or wrong number of arguments (did you mean 'maxmemory'?)",
        ),
        ("zzz 1", 1, "zzz 1", "Bad directive or wrong number of arguments"),
        ("port", 1, "port", "wrong number of arguments"),
        ("port 1 2", 1, "port 1 2", "wrong number of arguments"),
        ("  port 70000 ", 1, "port 70000", "argument must be between 0 and 65535 inclusive"),
        ("port \"1", 1, "port \"1", "Unbalanced quotes in configuration line"),
        ("sentinel x", 1, "sentinel x", "sentinel directive while not in sentinel mode"),
        ("include a b", 1, "include a b", "Bad directive or wrong number of arguments"),
        ("rename-command a", 1, "rename-command a", "Bad directive or wrong number of arguments"),
        ("user", 1, "user", "Bad directive or wrong number of arguments"),
        (
            "max-new-connections-per-cycle 1",
            1,
            "max-new-connections-per-cycle 1",
            "Bad directive or wrong number of arguments",
        ),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let error = load_in(directory.path(), content).map(|_| ()).expect_err(content);
        let file = directory.path().join("larder.conf");
        let expected = format!(
            "\n*** FATAL CONFIG FILE ERROR (Larder {}) ***\nReading the configuration file, at \
             line {line} of {}\n>>> '{text}'\n{reason}",
            env!("CARGO_PKG_VERSION"),
            file.display()
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn directives_of_the_past_are_passed_over() {
    settings("list-max-ziplist-entries 1\nlua-replicate-commands yes\n");
    assert!(load("lua-replicate-commands").is_err());
}

#[test]
fn files_include_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("conf.d")).expect("a directory");
    fs::write(path("conf.d/10.conf"), "port 10\nmaxclients 10").expect("a file");
    fs::write(path("conf.d/20.conf"), "port 20").expect("a file");
    fs::write(path("conf.d/.hidden.conf"), "port 99").expect("a file");
    fs::write(path("conf.d/note.txt"), "nonsense").expect("a file");
    let here = directory.path().display();
    let read = load_in(
        directory.path(),
        &format!("port 1\ninclude {here}/conf.d/*.conf\ntimeout 5\ninclude {here}/no*/*.conf"),
    )
    .expect("legal files");
    let read = read.settings;
    assert_eq!((read.port, read.maxclients, read.timeout_s), (20, 10, 5));

    let missing = load_in(directory.path(), &format!("\ninclude {here}/nosuch.conf")).map(|_| ());
    let text = missing.expect_err("a missing file");
    assert!(text.contains("at line 2"), "{text}");
    assert!(text.ends_with("nosuch.conf': No such file or directory"), "{text}");

    fs::write(path("conf.d/30.conf"), "\n\nnosuch 1").expect("a file");
    let wrong = load_in(directory.path(), &format!("include {here}/conf.d/*.conf")).map(|_| ());
    let text = wrong.expect_err("a wrong line");
    assert!(text.contains(&format!("at line 3 of {here}/conf.d/30.conf")), "{text}");
}

#[test]
fn reading_ends() {
    let directory = tempfile::tempdir().expect("a directory");
    let itself = format!("include {}/larder.conf\n", directory.path().display());
    let text = load_in(directory.path(), &itself).map(|_| ()).expect_err("it includes itself");
    assert!(text.contains("include goes more than 16 files deep"), "{text}");
    let pattern = format!("include {}/larder.con?\n", directory.path().display());
    assert!(load_in(directory.path(), &pattern).is_err(), "it includes itself by a pattern");
    let long = format!("requirepass {}", "a".repeat(2 << 20));
    let text = load(&long).map(|_| ()).expect_err("a long line");
    assert!(text.contains("line of more than") && text.len() < 1000, "{text}");
    let mut endless = std::io::repeat(b'\n');
    let text = Loader::default().stdin(&mut endless).expect_err("an endless file").to_string();
    assert!(text.contains("more than 16777216 bytes"), "{text}");
}

#[test]
fn what_has_no_effect_is_told() {
    let read = load("io-threads 4\nport 1\nrdbcompression yes\nio-threads 4\n");
    assert_eq!(read.expect("legal lines").without_effect, ["io-threads"]);
}

#[test]
fn texts_are_utf8() {
    let mut loader = Loader::default();
    let refused = loader.command_line(&[b"requirepass \xff".to_vec()]).map(|_| ());
    let text = refused.expect_err("no UTF-8").to_string();
    assert!(text.ends_with("argument must be valid UTF-8"), "{text}");
}

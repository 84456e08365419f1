//! Users in files: `user` lines, the ACL file, CONFIG REWRITE.

use std::fs;
use std::path::Path;
use std::process::Command;

use larder_tests::{Server, program};

/// A folder with an ACL file of these lines.
fn folder(lines: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("users.acl"), lines).expect("it can be written");
    folder
}

fn with_file(folder: &Path) -> Server {
    let path = folder.join("users.acl").display().to_string();
    Server::with(&["--aclfile", &path])
}

/// What a server says that does not start.
fn refusal(args: &[&str]) -> String {
    let output = Command::new(program()).args(args).output().expect("it runs");
    assert!(!output.status.success(), "{args:?} started");
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn the_file_is_loaded_saved_and_loaded_again() {
    let folder = folder(
        "user alice on allcommands allkeys &* >alice\n\n  user bob on -@all +@set +acl ~set* &* >bob\r\nuser default off\n",
    );
    let server = with_file(folder.path());
    let (mut admin, mut bob) = (server.connect(), server.connect());
    admin.expect("PING", "-NOAUTH Authentication required.");
    admin.expect("AUTH alice alice", "+OK");
    bob.expect("AUTH bob bob", "+OK");
    assert_eq!(admin.run("ACL USERS").to_string(), "[\"alice\", \"bob\", \"default\"]");
    admin.expect("ACL SETUSER doug on nopass +get ~d* (+set %W~e)", "+OK");
    admin.expect("ACL SAVE", "+OK");
    let saved = fs::read_to_string(folder.path().join("users.acl")).expect("the file is there");
    let lines: Vec<&str> = saved.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[2], "user default off sanitize-payload resetchannels -@all");
    assert_eq!(
        lines[3],
        "user doug on nopass sanitize-payload ~d* resetchannels -@all +get (%W~e resetchannels -@all +set)"
    );
    admin.expect("ACL DELUSER doug", ":1");
    // All who are loaded are new, so connections end: the caller's after its reply.
    admin.expect("ACL LOAD", "+OK");
    admin.wait_closed();
    bob.wait_closed();
    let mut admin = server.connect();
    admin.expect("AUTH alice alice", "+OK");
    assert_eq!(admin.run("ACL USERS").items().len(), 4);
    assert_eq!(
        fs::read_dir(folder.path()).expect("a folder").count(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn a_wrong_file_changes_nothing() {
    let folder = folder("user default on nopass ~* &* +@all\n");
    let server = with_file(folder.path());
    let mut conn = server.connect();
    conn.expect("ACL SETUSER mine on nopass", "+OK");
    let path = folder.path().join("users.acl");
    let name = path.display().to_string();
    let end =
        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    for (content, errors) in [
        ("user a on\nuser a off\n", "WARNING: Duplicate user 'a' found on line 2. "),
        ("# comment\n", "{file}:1 should start with user keyword followed by the username. "),
        ("\nuser\n", "{file}:2 should start with user keyword followed by the username. "),
        ("user a\tb on\n", "'{file}:1: username 'a\tb' contains invalid characters. "),
        (
            "user a +nosuch +none\n",
            "{file}:1: Error in applying operation '+nosuch': Unknown command or category name in ACL. {file}:1: Error in applying operation '+none': Unknown command or category name in ACL. ",
        ),
        (
            "user a bogus other\nuser b #12\n",
            "{file}:1: Syntax error. {file}:2: The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters. ",
        ),
        ("user a (+get\n", "{file}:1: Unmatched parenthesis in selector definition."),
        ("user a (+get bogus)\n", "{file}:1: Syntax error. "),
        ("user a %\n", "{file}:1: Syntax error. "),
    ] {
        fs::write(&path, content).expect("it can be written");
        let wanted = format!("-ERR {}{end}", errors.replace("{file}", &name));
        assert_eq!(conn.run("ACL LOAD").to_string(), wanted, "{content}");
        assert_eq!(conn.run("ACL USERS").to_string(), "[\"default\", \"mine\"]");
    }
    fs::remove_file(&path).expect("it was there");
    conn.expect(
        "ACL LOAD",
        &format!("-ERR Error loading ACLs, opening file '{name}': No such file or directory"),
    );
    conn.expect("ACL SAVE", "+OK");
    assert!(path.exists());
}

#[test]
fn without_a_file() {
    let server = Server::start();
    let none = "-ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.";
    for line in ["ACL LOAD", "ACL SAVE"] {
        server.connect().expect(line, none);
    }
}

#[test]
fn a_server_does_not_start_with_wrong_users() {
    let folder = folder("user default on nopass\nuser a +bogus\n");
    let path = folder.path().join("users.acl").display().to_string();
    let said = refusal(&["--aclfile", &path]);
    assert!(said.contains("users.acl:2: Error in applying operation '+bogus'"), "{said}");
    let said = refusal(&["--aclfile", &path, "--user", "b", "on"]);
    assert!(said.contains("aclfile"), "{said}");
    let said = refusal(&["--aclfile", "/nosuch/users.acl"]);
    assert!(said.contains("opening file '/nosuch/users.acl': No such file or directory"), "{said}");

    let config = folder.path().join("larder.conf");
    for (line, reason) in [
        (
            "user a on +bogus",
            "Error in user declaration '+bogus': Unknown command or category name in ACL",
        ),
        ("user a on (+get", "Error in user declaration '(+get': Unmatched parenthesis"),
        ("user a on %", "Error in user declaration '%': Syntax error"),
        (
            "user a on\nuser a on",
            "Error in user declaration 'a': Duplicate user found. A user can only be defined once in config files",
        ),
    ] {
        fs::write(&config, format!("port 0\n{line}\n")).expect("it can be written");
        let said = refusal(&[&config.display().to_string()]);
        assert!(said.contains(reason) && said.contains("at line "), "{line}: {said}");
    }
}

#[test]
fn users_of_the_configuration_are_rewritten_into_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = folder.path().join("larder.conf");
    fs::write(
        &config,
        "user alice on +acl >alice (+get\nuser default on nopass ~* +@all -flushdb &*\n",
    )
    .expect("it can be written");
    let path = config.display().to_string();
    let said = refusal(&[&path]);
    assert!(said.contains("Unmatched"), "{said}");
    fs::write(
        &config,
        "user alice on +acl >alice (+get ~a)\nuser default on nopass ~* +@all -flushdb &*\n",
    )
    .expect("it can be written");
    let server = Server::with(&[&path]);
    let mut conn = server.connect();
    conn.expect("FLUSHDB", "-NOPERM User default has no permissions to run the 'flushdb' command");
    conn.expect("ACL SETUSER bob on nopass ~b", "+OK");
    let users = conn.run("ACL LIST").items();
    conn.expect("CONFIG REWRITE", "+OK");
    let written = fs::read_to_string(&config).expect("the file is there");
    let lines: Vec<&str> = written.lines().filter(|line| line.starts_with("user ")).collect();
    assert_eq!(lines, users.iter().map(|user| user.text()).collect::<Vec<_>>());
    assert_eq!(lines.len(), 3);
    let again = Server::with(&[&path]);
    assert_eq!(again.connect().run("ACL LIST").items(), users);
}

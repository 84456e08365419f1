//! CONFIG GET and CONFIG SET. The texts were compared with Redis 7.0.15 and 8.2.

use crate::config::{Caller, Settings, is_sensitive, matching, set_many};

fn set(pairs: &[(&str, &str)]) -> Result<Settings, String> {
    set_many(&Settings::default(), pairs, Caller::default()).map_err(|error| error.to_string())
}

fn shown(settings: &Settings, name: &str) -> String {
    match matching(settings, &[name]).as_slice() {
        [(_, value)] => value.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

fn names(patterns: &[&str]) -> Vec<String> {
    matching(&Settings::default(), patterns).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn get_by_name_and_by_pattern() {
    assert_eq!(names(&["maxmemory"]), ["maxmemory"]);
    assert_eq!(names(&["MaxMemory"]), ["MaxMemory"], "a name comes back as it was asked for");
    assert_eq!(names(&["MAXMEMORY-S*", "maxmemory-samples"]), ["maxmemory-samples"]);
    assert_eq!(
        names(&["hash-max-*-entries"]),
        ["hash-max-listpack-entries", "hash-max-ziplist-entries"]
    );
    assert_eq!(names(&["slaveof"]), ["slaveof"]);
    assert!(names(&["nosuch", "nosuch*", "user", "include"]).is_empty());
    assert_eq!(names(&["watchdog-period"]), ["watchdog-period"]);
    assert!(names(&["watchdog*"]).is_empty(), "hidden ones do not answer to patterns");
    assert!(matching(&Settings::default(), &[b"\xff".as_slice()]).is_empty());
}

#[test]
fn values_are_shown_as_redis_shows_them() {
    let defaults = Settings::default();
    assert_eq!(shown(&defaults, "save"), "3600 1 300 100 60 10000");
    assert_eq!(shown(&defaults, "bind"), "* -::*");
    assert_eq!(shown(&defaults, "latency-tracking-info-percentiles"), "50 99 99.9");
    assert_eq!(
        shown(&defaults, "client-output-buffer-limit"),
        "normal 1073741824 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    );
    assert_eq!(shown(&defaults, "unixsocketperm"), "0");
    assert!(std::path::Path::new(&shown(&defaults, "dir")).is_absolute());
}

#[test]
fn values_that_are_taken() {
    for (name, value, expected) in [
        ("maxmemory", "1mb", "1048576"),
        ("maxmemory-policy", "ALLKEYS-lru", "allkeys-lru"),
        ("maxmemory-clients", "5%", "5%"),
        ("maxmemory-clients", "0%", "0"),
        ("appendonly", "YES", "yes"),
        ("hz", "100000", "500"),
        ("hz", "0", "1"),
        ("save", "", ""),
        ("save", "10 20 30 40", "10 20 30 40"),
        ("notify-keyspace-events", "KEA", "AKE"),
        ("shutdown-on-sigterm", "force now", "now force"),
        ("shutdown-on-sigterm", "default", "default"),
        ("latency-tracking-info-percentiles", "1.5 100", "1.5 100"),
        ("oom-score-adj-values", "1 2 3", "1 2 3"),
        ("oom-score-adj", "relative", "yes"),
        ("proc-title-template", "a{{b", "a{{b"),
        ("bind", "", ""),
        (
            "client-output-buffer-limit",
            "replica 1mb 2kb 3 PUBSUB 4 5 6",
            "normal 1073741824 0 0 slave 1048576 2048 3 pubsub 4 5 6",
        ),
    ] {
        let settings = set(&[(name, value)]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(shown(&settings, name), expected, "{name} {value}");
    }
}

#[test]
fn a_small_backlog_becomes_the_least_one() {
    let small = set(&[("repl-backlog-size", "1")]).expect("legal");
    assert_eq!(shown(&small, "repl-backlog-size"), "16384");
    let more = set(&[("repl-backlog-size", "16385")]).expect("legal");
    assert_eq!(shown(&more, "repl-backlog-size"), "16385");
    // A file may ask for less, and keeps it.
    let written = Settings { repl_backlog_size_bytes: 1, ..Settings::default() };
    let other = set_many(&written, &[("timeout", "1")], Caller::default()).expect("legal");
    assert_eq!(shown(&other, "repl-backlog-size"), "1");
}

#[test]
fn values_that_are_refused() {
    for (name, value, reason) in [
        ("maxmemory", "abc", "argument must be a memory value"),
        ("maxmemory-clients", "x", "argument must be a memory or percent value"),
        ("maxmemory-clients", "101%", "percentage argument must be less or equal to 100"),
        ("timeout", "x", "argument couldn't be parsed into an integer"),
        ("timeout", "007", "argument couldn't be parsed into an integer"),
        ("timeout", "-1", "argument must be between 0 and 2147483647 inclusive"),
        ("port", "65536", "argument must be between 0 and 65535 inclusive"),
        ("appendonly", "maybe", "argument must be 'yes' or 'no'"),
        (
            "loglevel",
            "x",
            "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
        ),
        ("save", "1", "Invalid save parameters"),
        ("save", "0 1", "Invalid save parameters"),
        ("notify-keyspace-events", "Q", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        (
            "shutdown-on-sigint",
            "save nosave",
            "shutdown options SAVE and NOSAVE can't be used simultaneously",
        ),
        (
            "client-output-buffer-limit",
            "master 1 2 3",
            "Invalid client class specified in buffer limit configuration.",
        ),
        (
            "latency-tracking-info-percentiles",
            "101",
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        ("oom-score-adj-values", "1 2", "wrong number of arguments"),
        (
            "proc-title-template",
            "{nosuch}",
            "template format is invalid or contains unknown variables",
        ),
        ("databases", "5", "can't set immutable config"),
        ("dir", "/", "can't set protected config"),
        ("dbfilename", "x", "can't set protected config"),
    ] {
        let expected =
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}");
        assert_eq!(set(&[(name, value)]).map(|_| ()), Err(expected));
    }
}

#[test]
fn all_pairs_or_none() {
    let unknown = "ERR Unknown option or number of arguments for CONFIG SET - 'Nosuch'";
    assert_eq!(set(&[("maxmemory", "1"), ("Nosuch", "1")]).map(|_| ()), Err(unknown.to_owned()));
    let duplicate = "ERR CONFIG SET failed (possibly related to argument 'MaxMemory') - \
                     duplicate parameter";
    assert_eq!(
        set(&[("maxmemory", "1"), ("MaxMemory", "2")]).map(|_| ()),
        Err(duplicate.to_owned())
    );
    let immutable = set(&[("databases", "1"), ("nosuch", "1")]).map(|_| ());
    assert!(immutable.is_err_and(|text| text.contains("immutable")), "the first refusal counts");
    let both = set(&[("maxmemory", "1"), ("maxclients", "7")]).expect("two legal pairs");
    assert_eq!((both.maxmemory_bytes, both.maxclients), (1, 7));
    let alias = set(&[("hash-max-listpack-entries", "1"), ("hash-max-ziplist-entries", "2")]);
    assert_eq!(alias.expect("a name and its alias").hash_max_listpack_entries, 2);
    assert!(set(&[("include", "x")]).is_err());
}

#[test]
fn protected_and_loading() {
    let here = Caller { local: true, loading: false };
    let mut settings = Settings::default();
    settings.set_directive("enable-protected-configs", "local").expect("a legal value");
    assert!(set_many(&settings, &[("dbfilename", "x")], Caller::default()).is_err());
    let set = set_many(&settings, &[("dbfilename", "x")], here).expect("asked from here");
    assert_eq!(set.dbfilename, "x");
    assert!(set_many(&settings, &[("dbfilename", "a/b")], here).is_err(), "no path");
    let loading = Caller { loading: true, ..here };
    let refused = set_many(&settings, &[("appendonly", "yes")], loading).map(|_| ());
    let expected = "LOADING Redis is loading the dataset in memory";
    assert_eq!(refused.expect_err("while loading").to_string(), expected);
}

#[test]
fn a_directory_must_exist() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::default();
    settings.set_directive("enable-protected-configs", "yes").expect("a legal value");
    let path = directory.path().to_str().expect("a legal path").to_owned();
    let set = |value: &str| set_many(&settings, &[("dir", value)], Caller::default());
    let changed = set(&path).expect("it exists");
    assert_eq!(changed.path("dump.rdb").parent(), directory.path().canonicalize().ok().as_deref());
    let refused = set(&format!("{path}/nosuch")).map(|_| ()).expect_err("it does not");
    assert!(refused.to_string().ends_with(" - No such file or directory"), "{refused}");
    std::fs::write(directory.path().join("file"), "").expect("a file");
    let refused = set(&format!("{path}/file")).map(|_| ()).expect_err("a file");
    assert!(refused.to_string().ends_with(" - Not a directory"), "{refused}");
}

#[test]
fn secrets_are_known_as_such() {
    assert!(is_sensitive(b"RequirePass") && is_sensitive(b"masterauth"));
    assert!(!is_sensitive(b"maxmemory") && !is_sensitive(b"\xff"));
}

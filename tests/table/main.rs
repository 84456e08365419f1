//! The command table: its facts are Redis's facts, every row has a test, and the README lists it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use larder_tests::{Redis, Server, Value};

/// The lines of the README between which the list stands.
const BEGIN: &str = "<!-- commands: begin -->";
const END: &str = "<!-- commands: end -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace above").to_path_buf()
}

/// Every command and subcommand with what COMMAND says of it.
fn table(server: &Server) -> BTreeMap<String, Value> {
    let mut rows = BTreeMap::new();
    for entry in server.connect().run("COMMAND").items() {
        let parts = entry.items();
        for sub in parts[9].items() {
            rows.insert(sub.items()[0].text(), sub);
        }
        rows.insert(parts[0].text(), entry);
    }
    rows
}

/// The facts of one row, without the order that flags come in, without subcommands, and without the
/// notes at key specifications, which are prose.
fn facts(entry: &Value) -> Vec<String> {
    let parts = entry.items();
    let names =
        ["name", "arity", "flags", "first key", "last key", "step", "categories", "tips", "keys"];
    names
        .iter()
        .zip(&parts)
        .map(|(name, part)| match part {
            Value::Array(items) | Value::Set(items) => {
                let set: BTreeSet<String> = items.iter().map(without_notes).collect();
                format!("{name}: {set:?}")
            }
            other => format!("{name}: {other}"),
        })
        .collect()
}

fn without_notes(value: &Value) -> String {
    let Value::Array(items) = value else { return value.to_string() };
    let notes = items.iter().position(|item| item.to_string() == r#""notes""#);
    match notes {
        Some(at) => Value::Array([&items[..at], &items[at + 2..]].concat()).to_string(),
        None => value.to_string(),
    }
}

/// Facts that 7.2 changed. An older peer still says what was so before.
const CHANGED_IN_7_2: [(&str, &str); 23] = [
    ("acl|deluser", ON_ALL_NODES),
    ("acl|save", ON_ALL_NODES),
    ("acl|setuser", ON_ALL_NODES),
    ("blmove", r#"flags: {"+blocking", "+denyoom", "+write"}"#),
    ("blpop", r#"flags: {"+blocking", "+write"}"#),
    ("brpop", r#"flags: {"+blocking", "+write"}"#),
    ("brpoplpush", r#"flags: {"+blocking", "+denyoom", "+write"}"#),
    ("bzpopmax", r#"flags: {"+blocking", "+fast", "+write"}"#),
    ("bzpopmin", r#"flags: {"+blocking", "+fast", "+write"}"#),
    ("client|setname", ON_ALL_NODES),
    ("cluster|shards", r#"flags: {"+loading", "+stale"}"#),
    ("cluster|slots", r#"flags: {"+loading", "+stale"}"#),
    ("command|getkeys", "arity: :-3"),
    ("command|getkeysandflags", "arity: :-3"),
    ("config|resetstat", ON_ALL_NODES),
    ("config|rewrite", ON_ALL_NODES),
    ("latency|reset", r#"tips: {"\"request_policy:all_nodes\"", "\"response_policy:agg_sum\""}"#),
    ("msetnx", "tips: {}"),
    (
        "randomkey",
        r#"tips: {"\"nondeterministic_output\"", "\"request_policy:all_shards\"", "\"response_policy:special\""}"#,
    ),
    (
        "scan",
        r#"tips: {"\"nondeterministic_output\"", "\"request_policy:special\"", "\"response_policy:special\""}"#,
    ),
    ("wait", "flags: {}"),
    ("zrank", "arity: :-3"),
    ("zrevrank", "arity: :-3"),
];

const ON_ALL_NODES: &str =
    r#"tips: {"\"request_policy:all_nodes\"", "\"response_policy:all_succeeded\""}"#;

#[test]
fn facts_are_redis_facts() {
    let (ours, theirs) = (table(&Server::start()), table(&Redis::start()));
    let mut wrong = Vec::new();
    for (name, entry) in &ours {
        let Some(peer) = theirs.get(name) else { continue };
        for (mine, redis) in facts(entry).into_iter().zip(facts(peer)) {
            if mine != redis && !CHANGED_IN_7_2.contains(&(name.as_str(), mine.as_str())) {
                wrong.push(format!("{name}\n    larder {mine}\n    redis  {redis}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} facts differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn rows_that_redis_lacks_are_on_purpose() {
    let (ours, theirs) = (table(&Server::start()), table(&Redis::start()));
    // Of Redis 7.2, which the installed one may be older than.
    let newer = ["client|no-touch", "client|setinfo", "waitaof", "cluster|myshardid"];
    // Deadlines of fields, as Redis 8 has them.
    let fields = "hexpire hexpireat hexpiretime hgetdel hgetex hpersist hpexpire hpexpireat \
        hpexpiretime hpttl hsetex httl";
    // Those of a replication group, and what else only a Sentinel has.
    let of_groups = |name: &str| {
        ["group", "sentinel"].iter().any(|family| name.split('|').next() == Some(family))
    };
    let own: Vec<&String> = ours
        .keys()
        .filter(|name| !theirs.contains_key(*name) && !newer.contains(&name.as_str()))
        .filter(|name| !of_groups(name))
        .filter(|name| !fields.split_whitespace().any(|field| field == *name))
        .collect();
    assert!(own.is_empty(), "neither 7.0 nor 7.2 nor 8.2 has {own:?}");
}

#[test]
fn what_is_promised_is_there() {
    let ours = table(&Server::start());
    let promised = "auth hello ping echo select reset quit client|caching client|getname \
        client|getredir client|help client|id client|info client|kill client|list client|no-evict \
        client|no-touch client|pause client|reply client|setinfo client|setname client|unblock \
        client|unpause \
        del unlink exists type touch keys scan randomkey rename renamenx copy move swapdb flushdb \
        flushall dbsize expire pexpire expireat pexpireat ttl pttl expiretime pexpiretime persist \
        object|encoding object|freq object|idletime object|refcount object|help \
        append decr decrby get getdel getex getrange getset incr incrby incrbyfloat lcs mget mset \
        msetnx psetex set setex setnx setrange strlen substr \
        info config|get config|set config|resetstat config|rewrite config|help command \
        command|count command|docs command|getkeys command|getkeysandflags command|info command|list \
        command|help time memory|usage memory|stats memory|doctor memory|purge memory|help \
        memory|malloc-stats latency|doctor latency|graph latency|help latency|histogram \
        latency|history latency|latest latency|reset slowlog|get slowlog|len slowlog|reset \
        slowlog|help lolwut debug shutdown";
    // CLIENT CACHING belongs to tracking, which is not part of this server yet.
    let missing: Vec<&str> = promised
        .split_whitespace()
        .filter(|name| *name != "client|caching" && !ours.contains_key(*name))
        .collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}

#[test]
fn names_are_legal_and_unique() {
    let server = Server::start();
    let names: Vec<String> =
        server.connect().run("COMMAND LIST").items().iter().map(Value::text).collect();
    let unique: BTreeSet<&String> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    for name in names {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-|_".contains(c);
        assert!(name.chars().all(legal) && name.matches('|').count() <= 1, "{name}");
    }
}

/// Every test source without its comments, words separated by single spaces. Scripts write commands in
/// capitals, which Rust's own words are not.
fn sources() -> String {
    let mut text = String::new();
    let folders = fs::read_dir(root().join("tests")).expect("the tests are here");
    for folder in folders.flatten().filter(|entry| entry.path().is_dir()) {
        // This theme and the harness name commands without testing them.
        if ["table", "tidy", "harness"].iter().any(|name| folder.file_name() == *name) {
            continue;
        }
        for file in fs::read_dir(folder.path()).expect("a folder").flatten() {
            let source = fs::read_to_string(file.path()).unwrap_or_default();
            let words: Vec<&str> = source
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .flat_map(|line| {
                    line.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)))
                })
                .filter(|word| !word.is_empty())
                .collect();
            text.push(' ');
            text.push_str(&words.join(" "));
        }
    }
    text.push(' ');
    text
}

#[test]
fn every_row_has_a_test() {
    let sources = sources();
    let untested: Vec<String> = table(&Server::start())
        .into_keys()
        .filter(|name| !sources.contains(&format!(" {} ", name.to_uppercase().replace('|', " "))))
        .collect();
    assert!(
        untested.is_empty(),
        "no test under tests/ calls {untested:?}; add a line to a script of its theme"
    );
}

/// The list as the README has to show it: one line a group, names in order.
fn readme_list(server: &Server) -> String {
    let mut conn = server.connect3();
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in conn.run("COMMAND DOCS").items().chunks(2) {
        let group = pair[1].field("group").expect("every command has a group").text();
        let names = groups.entry(group).or_default();
        match pair[1].field("subcommands") {
            Some(subs) => {
                names.extend(subs.items().chunks(2).map(|sub| sub[0].text().replace('|', " ")));
            }
            None => names.push(pair[0].text()),
        }
    }
    let mut out = String::new();
    for (group, mut names) in groups {
        names.sort();
        let names: Vec<String> = names.iter().map(|n| format!("`{}`", n.to_uppercase())).collect();
        out.push_str(&format!("* {group}: {}\n", names.join(" ")));
    }
    out
}

#[test]
fn the_readme_lists_the_table() {
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).expect("a README.md at the top");
    let list = readme_list(&Server::start());
    let parts =
        readme.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?)));
    let Some((head, (shown, tail))) = parts else {
        panic!("the README has no command list: put {BEGIN} and {END} where it belongs");
    };
    if shown.trim() == list.trim() {
        return;
    }
    if std::env::var_os("LARDER_UPDATE_README").is_some() {
        fs::write(&path, format!("{head}{BEGIN}\n{list}{END}{tail}")).expect("it can be written");
        return;
    }
    panic!(
        "the README's command list is not the table's; LARDER_UPDATE_README=1 cargo test -p \
         larder-tests --test table writes it:\n{list}"
    );
}

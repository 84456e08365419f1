//! Every command and every category: what the rows say is what Redis says, and what is allowed.

use std::collections::{BTreeMap, BTreeSet};

use larder_tests::{Redis, Server};

/// Names of commands and subcommands by category.
fn by_category(server: &Server) -> BTreeMap<String, BTreeSet<String>> {
    let mut conn = server.connect();
    let categories = conn.run("ACL CAT").items();
    let names = |category: &String| conn.run(&format!("ACL CAT {category}")).items();
    let mut names = names;
    categories
        .iter()
        .map(larder_tests::Value::text)
        .map(|category| {
            let listed = names(&category).iter().map(larder_tests::Value::text).collect();
            (category, listed)
        })
        .collect()
}

/// Commands with the number of arguments that satisfies their arity.
fn calls(server: &Server) -> BTreeMap<String, String> {
    let mut calls = BTreeMap::new();
    for entry in server.connect().run("COMMAND").items() {
        let parts = entry.items();
        for row in std::iter::once(&entry).chain(&parts[9].items()) {
            let row = row.items();
            let name = row[0].text();
            let words = row[1]
                .to_string()
                .trim_start_matches([':', '-'])
                .parse::<usize>()
                .expect("an arity");
            let mut call = name.replace('|', " ");
            for _ in call.split(' ').count()..words {
                call.push_str(" 1");
            }
            calls.insert(name, call);
        }
    }
    calls
}

#[test]
fn categories_are_redis_categories() {
    let (ours, theirs) = (by_category(&Server::start()), by_category(&Redis::start()));
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    let all = |of: &BTreeMap<String, BTreeSet<String>>| -> BTreeSet<String> {
        of.values().flatten().cloned().collect()
    };
    let shared: BTreeSet<String> = all(&ours).intersection(&all(&theirs)).cloned().collect();
    assert!(shared.len() > 200, "{}", shared.len());
    for (category, names) in &ours {
        let mine: Vec<&String> = names.intersection(&shared).collect();
        let redis: Vec<&String> = theirs[category].intersection(&shared).collect();
        assert_eq!(mine, redis, "{category}");
    }
}

#[test]
fn every_command_follows_every_category() {
    let server = Server::start();
    let redis = Redis::start();
    let (categories, calls) = (by_category(&server), calls(&server));
    let (mut ours, mut theirs) = (server.connect(), redis.connect());
    let known: BTreeSet<String> = by_category(&redis).into_values().flatten().collect();
    for (category, named) in &categories {
        for rules in [format!("-@all +@{category}"), format!("+@all -@{category}")] {
            let line = format!("ACL SETUSER probe reset ~* &* {rules}");
            ours.expect(&line, "+OK");
            theirs.expect(&line, "+OK");
            for (name, call) in &calls {
                let line = format!("ACL DRYRUN probe {call}");
                let reply = ours.run(&line).to_string();
                let container = name.split('|').next().unwrap_or_default().to_owned();
                // A container takes its subcommands along.
                let is_in = named.contains(name) || named.contains(&container);
                let allowed = is_in == rules.starts_with("-@all") || is_free(name);
                if reply.starts_with("-ERR wrong number") || reply.contains("not found") {
                    continue;
                }
                assert_eq!(reply == "+OK", allowed, "{rules}: {line}: {reply}");
                if known.contains(name) {
                    let redis = theirs.run(&line).to_string();
                    if redis.starts_with("-ERR wrong number") {
                        // An arity that changed with 7.2.
                        continue;
                    }
                    assert_eq!(redis == "+OK", allowed, "{rules}: {line}: {redis}");
                }
            }
        }
    }
}

/// Commands that nobody needs a right for.
fn is_free(name: &str) -> bool {
    ["auth", "hello", "quit", "reset"].contains(&name)
}

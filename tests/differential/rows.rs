//! The commands as a server describes them itself, by COMMAND and COMMAND DOCS.

use std::collections::BTreeMap;

use larder_tests::{Server, Value};

/// What kind of word an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Key,
    Integer,
    Double,
    UnixTime,
    Pattern,
    Text,
    /// Its token alone.
    Word,
    OneOf,
    Block,
}

/// One argument.
#[derive(Clone, Debug)]
pub(crate) struct Arg {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) token: Option<String>,
    pub(crate) optional: bool,
    pub(crate) multiple: bool,
    pub(crate) multiple_token: bool,
    pub(crate) args: Vec<Arg>,
}

/// One command or subcommand.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Lower case, `config|get`.
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) flags: Vec<String>,
    pub(crate) tips: Vec<String>,
    pub(crate) args: Vec<Arg>,
}

impl Row {
    pub(crate) fn has_tip(&self, tip: &str) -> bool {
        self.tips.iter().any(|t| t == tip)
    }

    /// Whether it takes a time, so that a wrong word in the wrong place could make it wait for ever,
    /// or set a deadline that comes within the round.
    pub(crate) fn takes_time(&self) -> bool {
        self.flags.iter().any(|flag| flag == "blocking") || self.args.iter().any(Arg::is_time)
    }
}

impl Arg {
    fn is_time(&self) -> bool {
        ["timeout", "ttl", "seconds", "milliseconds"].contains(&self.name.as_str())
            || self.kind == Kind::UnixTime
            || self.args.iter().any(Self::is_time)
    }
}

/// Every row of a server by its name, without containers.
pub(crate) fn rows(server: &Server) -> BTreeMap<String, Row> {
    let mut conn = server.connect3();
    let mut facts = BTreeMap::new();
    for entry in conn.run("COMMAND").items() {
        let parts = entry.items();
        for sub in parts[9].items() {
            let parts = sub.items();
            facts.insert(parts[0].text(), (texts(&parts[2]), texts(&parts[7])));
        }
        facts.insert(parts[0].text(), (texts(&parts[2]), texts(&parts[7])));
    }
    let mut rows = BTreeMap::new();
    for pair in conn.run("COMMAND DOCS").items().chunks(2) {
        match pair[1].field("subcommands") {
            Some(subs) => {
                for sub in subs.items().chunks(2) {
                    add(&sub[0].text(), &sub[1], &facts, &mut rows);
                }
            }
            None => add(&pair[0].text(), &pair[1], &facts, &mut rows),
        }
    }
    rows
}

type Facts = BTreeMap<String, (Vec<String>, Vec<String>)>;

fn add(name: &str, docs: &Value, facts: &Facts, rows: &mut BTreeMap<String, Row>) {
    let Some((flags, tips)) = facts.get(name).cloned() else { return };
    let group = docs.field("group").map_or_else(String::new, |group| group.text());
    let args = arguments(docs);
    rows.insert(name.to_owned(), Row { name: name.to_owned(), group, flags, tips, args });
}

fn texts(value: &Value) -> Vec<String> {
    value.items().iter().map(Value::text).collect()
}

fn arguments(docs: &Value) -> Vec<Arg> {
    let Some(list) = docs.field("arguments") else { return Vec::new() };
    list.items().iter().map(argument).collect()
}

fn argument(docs: &Value) -> Arg {
    let text = |field| docs.field(field).map(|value| value.text());
    let flags = docs.field("flags").map_or_else(Vec::new, |flags| texts(&flags));
    let has = |flag: &str| flags.iter().any(|f| f == flag);
    let kind = match text("type").as_deref() {
        Some("key") => Kind::Key,
        Some("integer") => Kind::Integer,
        Some("double") => Kind::Double,
        Some("unix-time") => Kind::UnixTime,
        Some("pattern") => Kind::Pattern,
        Some("pure-token") => Kind::Word,
        Some("oneof") => Kind::OneOf,
        Some("block") => Kind::Block,
        _ => Kind::Text,
    };
    Arg {
        // Newer tables write the same names in capitals.
        name: text("name").unwrap_or_default().to_lowercase(),
        kind,
        token: text("token"),
        optional: has("optional"),
        multiple: has("multiple"),
        multiple_token: has("multiple_token"),
        args: arguments(docs),
    }
}

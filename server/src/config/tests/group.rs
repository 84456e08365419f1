//! Names and members of a group.

use crate::config::{GroupPeer, HostPort, Settings, group_name, read_group_file};

fn peer(text: &str) -> Result<GroupPeer, String> {
    text.parse().map_err(|reason: std::borrow::Cow<'static, str>| reason.into_owned())
}

fn at(host: &str, port: u16) -> HostPort {
    HostPort { host: host.to_owned(), port }
}

#[test]
fn names_are_those_that_elasticache_takes() {
    for name in ["a", "sessions", "My-Group-1", &"x".repeat(40)] {
        assert_eq!(group_name(name), Ok(()), "{name}");
    }
    for name in ["", "1st", "-a", "a-", "a--b", "a_b", "a b", "ä", &"x".repeat(41)] {
        assert!(group_name(name).is_err(), "{name}");
    }
    let mut settings = Settings::default();
    settings.set_directive("group", "My-Group").expect("a good name");
    assert_eq!(settings.group, "my-group", "it is kept in lower case");
    assert!(settings.set_directive("node-id", "x--y").is_err());
}

#[test]
fn members_with_and_without_their_second_address() {
    let expected = GroupPeer {
        id: "s-001".to_owned(),
        zone: "eu-1a".to_owned(),
        client: Some(at("10.0.0.1", 6379)),
        group: at("10.0.0.1", 16379),
    };
    assert_eq!(peer("S-001=eu-1a@10.0.0.1:6379"), Ok(expected.clone()));
    assert_eq!(peer("s-001=eu-1a@10.0.0.1:6379/10.0.0.1:16379"), Ok(expected));
    let six = peer("n=z@[::1]:1/[::2]:2").expect("IPv6");
    assert_eq!((six.client.as_ref(), &six.group), (Some(&at("::1", 1)), &at("::2", 2)));
    assert_eq!(six.to_string(), "n=z@[::1]:1/[::2]:2");
    let witness = peer("w=z@/host:7").expect("a witness");
    assert_eq!((witness.client, witness.group), (None, at("host", 7)));
}

#[test]
fn what_is_no_member() {
    for text in [
        "",
        "n",
        "n=z",
        "n=@h:1",
        "=z@h:1",
        "n=z@",
        "n=z@/",
        "n=z@h",
        "n=z@h:0",
        "n=z@h:99999",
        "n=z@h:1/",
        "n=z@:1",
        "n=z@::1:1",
        "n=z@h:60000",
        "n=z z@h:1",
        "n=z@h h:1",
        "n n=z@h:1",
    ] {
        assert!(peer(text).is_err(), "{text:?}: {:?}", peer(text));
    }
    let mut settings = Settings::default();
    let twice = settings.set_directive("group-peers", "a=z@h:1 a=z@h:2");
    assert!(twice.is_err_and(|error| error.to_string().contains("two members are named 'a'")));
    let many: Vec<String> = (0..33).map(|n| format!("n{n}=z@h:1")).collect();
    assert!(settings.set_directive("group-peers", &many.join(" ")).is_err());
}

#[test]
fn members_come_from_words_commas_lines_and_files() {
    let mut settings = Settings::default();
    settings.set_directive("group-peers", "a=z@h:1,b=z@h:2 c=z@h:3").expect("three members");
    assert_eq!(settings.group_peers.len(), 3);
    let file = "# the members\na=z@h:1  # the first\n\nb=z@h:2 w=z@/h:3\n";
    let peers = read_group_file(file).expect("a good file");
    let ids: Vec<&str> = peers.iter().map(|peer| peer.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "w"]);
    assert!(read_group_file("a=z@h:1\nb\n").is_err());
}

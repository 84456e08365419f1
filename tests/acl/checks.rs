//! What is denied, in which words, and what the log and the counters say about it.

use larder_tests::{Server, encode, eventually};

use crate::recorded::recorded;

#[test]
fn logins() {
    recorded(
        "logins",
        &[],
        r#"
        ACL SETUSER a >one
        @b AUTH a one
        ACL SETUSER a on +acl|whoami
        @b AUTH a two
        @b AUTH a one
        @b ACL WHOAMI
        @b PING
        @b AUTH nobody one
        @b ACL WHOAMI
        ACL SETUSER a >two <one
        @b ACL WHOAMI
        @c AUTH a one
        @c AUTH a two
        ACL SETUSER a nopass
        @c AUTH a anything
        ACL SETUSER a off
        @c ACL WHOAMI
        @b AUTH a two
        @b ACL WHOAMI
        @b RESET
        @b ACL WHOAMI
        AUTH default x
        AUTH x
        ACL SETUSER default >pw
        AUTH x
        AUTH pw
        CONFIG GET requirepass
        @b ACL WHOAMI
        RESET
        ACL WHOAMI
        HELLO 3
        @kind HELLO 3 AUTH default pw
        ACL WHOAMI
        @kind HELLO 2 AUTH a x AUTH default pw SETNAME one SETNAME two
        CLIENT GETNAME
        HELLO 2 AUTH default wrong SETNAME three
        CLIENT GETNAME
        "#,
    );
}

#[test]
fn requirepass_is_the_default_users_password() {
    recorded(
        "requirepass_is_the_default_users_password",
        &[],
        r#"
        CONFIG SET requirepass one
        ACL GETUSER default
        CONFIG SET requirepass one
        ACL SETUSER default >two
        CONFIG SET requirepass one
        ACL GETUSER default
        CONFIG SET requirepass three
        ACL GETUSER default
        CONFIG SET requirepass ""
        ACL GETUSER default
        ACL SETUSER default off
        ACL SETUSER a on nopass +@all ~* &*
        PING
        @b PING
        @b HELLO 3
        @b AUTH default x
        @b AUTH a x
        @b ACL WHOAMI
        @b ACL SETUSER default on
        @c PING
        "#,
    );
}

#[test]
fn commands_keys_and_arguments() {
    recorded(
        "commands_keys_and_arguments",
        &[],
        r#"
        ACL SETUSER a on nopass
        AUTH a x
        PING
        GET k
        NOSUCHCOMMAND
        GET
        AUTH default x
        ACL SETUSER a +get +mget +set +getset +acl|whoami +select|1 +config|get ~k* %R~r %W~w
        AUTH a x
        GET k
        GET x
        GET r
        GET w
        SET r 1
        SET w 1
        SET w 1 GET
        GETSET w 1
        GETSET k 1
        MGET k k1 x r
        SELECT 0
        SELECT 1
        SELECT
        SELECT 1 2
        CONFIG GET nosuch
        CONFIG SET maxmemory 0
        CONFIG
        CONFIG BOGUS
        ACL WHOAMI
        ACL LIST
        ACL
        AUTH default x
        INFO nosuch
        "#,
    );
}

#[test]
fn what_a_dry_run_says() {
    recorded(
        "what_a_dry_run_says",
        &[],
        r#"
        ACL SETUSER a on nopass +@all ~k* %R~r* %W~w* &c*
        ACL SETUSER b on nopass "(+get ~g*)" "(+set ~s*)" "(+mget ~m*)"
        ACL SETUSER all on nopass +@all ~* &*
        ACL DRYRUN nobody get k
        ACL DRYRUN a nosuch k
        ACL DRYRUN a get
        ACL DRYRUN a get k k
        ACL DRYRUN a config bogus
        ACL DRYRUN a config
        ACL DRYRUN a config get
        ACL DRYRUN a config get x
        ACL DRYRUN a GET k1
        ACL DRYRUN a get "no\r\nway"
        ACL DRYRUN "no\r\nbody" get x
        ACL DRYRUN a "no\r\nsuch" x
        ACL DRYRUN all config set x y
        ACL DRYRUN a set r 1
        ACL DRYRUN a set w 1
        ACL DRYRUN a set w 1 get
        ACL DRYRUN a set k 1 get
        ACL DRYRUN a copy r w
        ACL DRYRUN a copy w r
        ACL DRYRUN a rename r w
        ACL DRYRUN a rename k w
        ACL DRYRUN a bitfield r get u8 0
        ACL DRYRUN a bitfield r get u8 0 set u8 0 1
        ACL DRYRUN a bitfield r overflow wrap get u8 0
        ACL DRYRUN a bitfield r bogus
        ACL DRYRUN a bitfield w set u8 0 1
        ACL DRYRUN a bitfield_ro r get u8 0
        ACL DRYRUN a sort r
        ACL DRYRUN a sort r store w
        ACL DRYRUN a sort r store x
        ACL DRYRUN a sort r store x store w
        ACL DRYRUN a sort w
        ACL DRYRUN a sort_ro r
        ACL DRYRUN a zunionstore w 2 r1 r2
        ACL DRYRUN a zunionstore w 2 r1 x
        ACL DRYRUN a zunion 2 r1 x
        ACL DRYRUN a georadius r 0 0 1 m store w
        ACL DRYRUN a georadius r 0 0 1 m storedist x
        ACL DRYRUN a georadius_ro x 0 0 1 m
        ACL DRYRUN a xread count 1 streams r x 0 0
        ACL DRYRUN a xreadgroup group g c streams r 0
        ACL DRYRUN a xreadgroup group g c streams k 0
        ACL DRYRUN a lmpop 2 k x left
        ACL DRYRUN a exists x
        ACL DRYRUN a exists r w k
        ACL DRYRUN a del r
        ACL DRYRUN a del w
        ACL DRYRUN a mset k 1 w 2 r 3
        ACL DRYRUN a lmove k w left left
        ACL DRYRUN a pfcount r
        ACL DRYRUN a pfmerge w r
        ACL DRYRUN a object encoding x
        ACL DRYRUN a memory usage x
        ACL DRYRUN a object help
        ACL DRYRUN b get g
        ACL DRYRUN b get s
        ACL DRYRUN b set g 1
        ACL DRYRUN b mget m1 g1
        ACL DRYRUN b del g
        ACL DRYRUN b ping
        "#,
    );
}

#[test]
fn sort_reads_what_its_patterns_name() {
    recorded(
        "sort_reads_what_its_patterns_name",
        &[],
        r#"
        RPUSH mylist 2 1
        MSET w_1 b w_2 a
        ACL SETUSER part on nopass +@all %R~mylist*
        ACL SETUSER read on nopass +@all %R~* %W~out
        ACL SETUSER two on nopass "(+sort ~mylist)" "(+@all -sort ~*)"
        AUTH part x
        SORT mylist
        SORT mylist BY w_*
        SORT mylist BY constant
        SORT mylist GET w_*
        SORT mylist GET #
        SORT_RO mylist BY w_* GET w_*
        SORT mylist LIMIT x 1 BY w_*
        SORT mylist BY w_* LIMIT x 1
        SORT mylist STORE out
        AUTH read x
        SORT mylist BY w_* GET w_* ALPHA
        SORT_RO mylist BY w_* GET # ALPHA
        SORT mylist BY w_* ALPHA STORE out
        AUTH two x
        SORT mylist
        SORT mylist GET w_*
        "#,
    );
}

#[test]
fn the_log() {
    recorded(
        "the_log",
        &[],
        r#"
        ACL SETUSER a on >pw +acl +get +config|get ~k
        AUTH a bad
        AUTH a bad
        AUTH nobody bad
        AUTH a pw
        GET x
        GET x
        GET y
        SET k 1
        SET k 1
        CONFIG SET x y
        GET x
        AUTH default ""
        @kind ACL LOG
        @kind ACL LOG 1
        ACL LOG 0
        ACL LOG -1
        ACL LOG x
        @kind ACL LOG 9223372036854775807
        CONFIG SET acllog-max-len 2
        @kind ACL LOG
        AUTH nobody2 bad
        @kind ACL LOG
        CONFIG SET acllog-max-len 0
        AUTH nobody3 bad
        ACL LOG
        ACL LOG RESET
        ACL LOG
        "#,
    );
}

#[test]
fn entries_of_the_log_and_counters() {
    let server = Server::start();
    let (mut admin, mut user) = (server.connect(), server.connect3());
    admin.expect("ACL SETUSER a on nopass +get +client|setname ~k", "+OK");
    user.expect("AUTH nobody x", "-WRONGPASS invalid username-password pair or user is disabled.");
    user.expect("AUTH a x", "+OK");
    user.expect("CLIENT SETNAME kim", "+OK");
    user.expect("SET k 1", "-NOPERM User a has no permissions to run the 'set' command");
    user.expect("GET \"x\\r\\n\"", "-NOPERM No permissions to access a key");
    user.expect("GET \"x\\r\\n\"", "-NOPERM No permissions to access a key");
    let entries = server.connect3().run("ACL LOG").items();
    let shown =
        |index: usize, field: &str| entries[index].field(field).expect("a field").to_string();
    assert_eq!(entries.len(), 3);
    let fields = ["count", "reason", "context", "object", "username", "entry-id"];
    let wanted = [
        [":2", "\"key\"", "\"toplevel\"", "\"x\\r\\n\"", "\"a\"", ":2"],
        [":1", "\"command\"", "\"toplevel\"", "\"set\"", "\"a\"", ":1"],
        [":1", "\"auth\"", "\"toplevel\"", "\"AUTH\"", "\"nobody\"", ":0"],
    ];
    for (index, wanted) in wanted.iter().enumerate() {
        assert_eq!(fields.map(|field| shown(index, field)), wanted.map(str::to_owned));
    }
    let client = shown(0, "client-info");
    assert!(client.contains(" name=kim ") && client.contains(" cmd=get user=a "), "{client}");
    assert!(client.contains("id=") && !client.contains('\n'), "{client}");
    assert!(entries[0].field("age-seconds").is_some_and(|age| age.kind() == ','));
    for (field, count) in [("auth", "1"), ("cmd", "1"), ("key", "2"), ("channel", "0")] {
        assert_eq!(server.info(&format!("acl_access_denied_{field}")), count, "{field}");
    }
}

#[test]
fn rights_end_while_a_client_is_connected() {
    let server = Server::start();
    let (mut admin, mut user) = (server.connect(), server.connect());
    admin.expect("ACL SETUSER a on nopass +@all ~* &*", "+OK");
    user.expect("AUTH a x", "+OK");
    user.expect("SET k 1", "+OK");
    admin.expect("ACL SETUSER a -set", "+OK");
    user.expect("SET k 1", "-NOPERM User a has no permissions to run the 'set' command");
    user.expect("GET k", "\"1\"");
    admin.expect("ACL SETUSER a resetkeys", "+OK");
    user.expect("GET k", "-NOPERM No permissions to access a key");
    assert!(admin.run("CLIENT LIST").text().contains(" user=a "));
    // Somebody of the same name is somebody else.
    admin.expect("ACL DELUSER a", ":1");
    admin.expect("ACL SETUSER a on nopass +@all ~*", "+OK");
    user.wait_closed();
    assert!(!admin.run("CLIENT LIST").text().contains(" user=a "));
}

#[test]
fn who_deletes_himself_gets_his_reply() {
    recorded(
        "who_deletes_himself_gets_his_reply",
        &[],
        r#"
        ACL SETUSER a on nopass +@all
        AUTH a x
        ACL DELUSER a
        PING
        ACL SETUSER a on nopass +@all
        @b AUTH a x
        CLIENT KILL USER nobody
        CLIENT KILL USER a
        @b PING
        AUTH a x
        CLIENT KILL USER a
        CLIENT KILL USER a SKIPME NO
        PING
        ACL WHOAMI
        "#,
    );
}

#[test]
fn who_waits_is_asked_again_before_he_is_served() {
    let server = Server::start();
    let (mut admin, mut user) = (server.connect(), server.connect());
    admin.expect("ACL SETUSER a on nopass +blpop +lpop ~q", "+OK");
    user.expect("AUTH a x", "+OK");
    user.send(b"BLPOP q 0\r\n");
    eventually("the client waits", || server.info("blocked_clients") == "1");
    admin.expect("ACL SETUSER a resetkeys", "+OK");
    admin.expect("LPUSH q 1", ":1");
    assert_eq!(user.reply().to_string(), "-NOPERM No permissions to access a key");
    admin.expect("LLEN q", ":1");
    assert_eq!(server.info("acl_access_denied_key"), "1");

    // And one who is deleted meanwhile is gone.
    admin.expect("ACL SETUSER a ~q", "+OK");
    user.send(b"BLPOP other 0\r\n");
    assert_eq!(user.reply().to_string(), "-NOPERM No permissions to access a key");
    admin.expect("DEL q", ":1");
    user.send(b"BLPOP q 0\r\n");
    eventually("the client waits", || server.info("blocked_clients") == "1");
    admin.expect("ACL DELUSER a", ":1");
    admin.expect("LPUSH q 1", ":1");
    admin.expect("LLEN q", ":1");
    eventually("the client is gone", || server.info("blocked_clients") == "0");
}

#[test]
fn renamed_commands_keep_their_rights() {
    let server =
        Server::with(&["--rename-command", "GET", "fetch", "--rename-command", "FLUSHALL", ""]);
    let (mut admin, mut user) = (server.connect(), server.connect());
    admin.expect("ACL SETUSER a on nopass +get -flushall ~k", "+OK");
    admin.expect(
        "ACL SETUSER b +fetch",
        "-ERR Error in ACL SETUSER modifier '+fetch': Unknown command or category name in ACL",
    );
    user.expect("AUTH a x", "+OK");
    user.expect("FETCH k", "nil");
    assert!(user.run("GET k").to_string().starts_with("-ERR unknown command"));
    admin.expect("ACL DRYRUN a fetch k", "+OK");
    admin.expect("ACL DRYRUN a get k", "-ERR Command 'get' not found");
    admin.expect("ACL SETUSER a -get", "+OK");
    user.expect("FETCH k", "-NOPERM User a has no permissions to run the 'get' command");
}

#[test]
fn made_up_passwords() {
    recorded(
        "made_up_passwords",
        &[],
        r#"
        @kind ACL GENPASS
        @kind ACL GENPASS 5
        ACL GENPASS 0
        ACL GENPASS -1
        ACL GENPASS 4097
        ACL GENPASS x
        ACL GENPASS 9223372036854775808
        "#,
    );
    let server = Server::start();
    let mut conn = server.connect();
    for (bits, digits) in [("", 64), ("1", 1), ("4", 1), ("5", 2), ("4096", 1024)] {
        let line = format!("ACL GENPASS {bits}");
        let (one, other) = (conn.run(line.trim()).text(), conn.run(line.trim()).text());
        assert_eq!(one.len(), digits, "{bits}");
        assert!(one.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()));
        assert!(digits < 64 || one != other, "{bits}");
    }
}

#[test]
fn help_names_every_subcommand() {
    let server = Server::start();
    let lines: Vec<String> =
        server.connect().run("ACL HELP").items().iter().map(|line| line.to_string()).collect();
    let wanted = "+ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    assert_eq!(lines[0], wanted);
    let words = "CAT DELUSER DRYRUN GETUSER GENPASS LIST LOAD LOG SAVE SETUSER USERS WHOAMI HELP";
    for word in words.split(' ') {
        assert!(lines.iter().any(|line| line.starts_with(&format!("+{word}"))), "{word}");
    }
}

#[test]
fn a_script_may_call_what_its_user_may() {
    let server = Server::start();
    let (mut admin, mut conn) = (server.connect(), server.connect());
    admin.expect("ACL SETUSER u on nopass ~a +eval +get +set", "+OK");
    conn.expect("AUTH u x", "+OK");
    let mut eval = |text: &str, key: &str| {
        conn.send(&encode(&["EVAL", text, "0", key]));
        conn.reply().to_string()
    };
    assert_eq!(eval("return redis.call('SET',ARGV[1],'1')", "a"), "+OK");
    let denied = eval("return redis.call('SET',ARGV[1],'1')", "b");
    assert!(
        denied.starts_with("-ERR ACL failure in script: No permissions to access a key"),
        "{denied}"
    );
    let denied = eval("return redis.call('DEL',ARGV[1])", "a");
    assert!(
        denied.starts_with(
            "-ERR ACL failure in script: User u has no permissions to run the 'del' command"
        ),
        "{denied}"
    );
    assert_eq!(eval("return redis.acl_check_cmd('GET',ARGV[1]) and 1 or 0", "a"), ":1");
    assert_eq!(eval("return redis.acl_check_cmd('GET',ARGV[1]) and 1 or 0", "b"), ":0");
    let log = admin.run("ACL LOG").to_string();
    assert!(log.contains("lua") && log.contains("cmd=eval"), "{log}");
}

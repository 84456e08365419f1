//! Scripts that mean harm: after each the server is alive and as small as before.

use larder_tests::{Conn, Server};

/// Resident memory that stays far below what the attacks would take if they worked.
const CALM: u64 = 600 << 20;

#[track_caller]
fn eval(conn: &mut Conn, script: &str) -> String {
    conn.call(&[b"EVAL", script.as_bytes(), b"0"]).to_string()
}

#[test]
fn memory_is_bounded() {
    let server = Server::with(&["--script-memory-limit", "64mb"]);
    let mut conn = server.connect();
    for script in [
        "return ('x'):rep(1000000000):len()",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t+1] = {#t} end",
        "local s = ('x'):rep(10000000) local t = {} for i=1,1000 do t[i] = s end return cjson.encode(t)",
        "local s = ('x'):rep(10000000) local t = {} for i=1,1000 do t[i] = s end return cmsgpack.pack(t)",
        "local s = ('x'):rep(10000000) return struct.pack(('s'):rep(200), unpack((function() local t = {} for i=1,200 do t[i] = s end return t end)()))",
        "return table.concat({('x'):rep(40000000), ('x'):rep(40000000)}):len()",
        "local s = ('x'):rep(30000000) return load(function() return s end)",
    ] {
        let reply = eval(&mut conn, script);
        assert!(reply.contains("memory") || reply == "nil", "{script}: {reply}");
        assert_eq!(eval(&mut conn, "return 1"), ":1");
    }
    // A byte of such a text may be a table.
    let json = [b"[", &b"[],".repeat(3_000_000)[..], b"[]]"].concat();
    let message_pack = [b"\xdd\x00\x98\x96\x80", &b"\x90".repeat(10_000_000)[..]].concat();
    for (script, text) in [("cjson.decode", &json), ("cmsgpack.unpack", &message_pack)] {
        let script = format!("return #{script}(ARGV[1])");
        let reply = conn.call(&[b"EVAL", script.as_bytes(), b"0", text]).to_string();
        assert!(reply.contains("not enough memory"), "{script}: {reply}");
        assert_eq!(eval(&mut conn, "return 1"), ":1");
    }
    assert!(server.resident() < CALM, "{}", server.resident());
}

/// A function has room for 8000 values, its arguments included, and is granted a few beyond these.
#[test]
fn thousands_of_arguments_are_survived() {
    const FUNCTIONS: &str = "cjson.new cjson.encode cjson.decode cmsgpack.pack cmsgpack.unpack \
        cmsgpack.unpack_one struct.pack struct.unpack struct.size bit.band bit.tohex redis.call \
        redis.pcall redis.acl_check_cmd redis.error_reply redis.status_reply redis.log redis.sha1hex \
        redis.setresp redis.set_repl redis.breakpoint next pairs ipairs select unpack type tostring \
        tonumber error assert pcall xpcall getmetatable setmetatable rawget rawset rawequal setfenv \
        getfenv load loadstring collectgarbage string.rep string.find string.gsub string.format \
        table.insert table.remove table.concat table.sort math.random math.max coroutine.create \
        coroutine.wrap coroutine.resume coroutine.yield";
    let server = Server::start();
    let mut conn = server.connect();
    for count in 7975..=8000 {
        let script = format!(
            "for name in string.gmatch('{FUNCTIONS}', '%S+') do \
               local called = _G for part in string.gmatch(name, '%w[%w_]*') do called = called[part] end \
               for _, first in ipairs({{'i4', {{}}, redis, function() end}}) do \
                 local t = {{first}} for i = 2, {count} do t[i] = 1 end \
                 pcall(function() called(unpack(t)) end) \
               end \
             end \
             local t = {{}} for i = 1, {count} do t[i] = i end \
             return {{pcall(function() return unpack(t) end)}}"
        );
        let reply = conn.call(&[b"EVAL", script.as_bytes(), b"0"]);
        assert!(reply.items().len() >= 2, "{count}: {reply}");
    }
    assert!(!server.log().contains("panic"), "{}", server.log());
}

/// Redis lets a script put other globals in the place of those that all later scripts have.
#[test]
fn globals_are_not_replaced() {
    let server = Server::start();
    let mut conn = server.connect();
    for level in ["0", "'0'", "' 0x0 '", "'-0'"] {
        for script in ["setfenv(LEVEL, {})", "coroutine.wrap(function() setfenv(LEVEL, {}) end)()"]
        {
            let reply = eval(&mut conn, &script.replace("LEVEL", level));
            assert!(reply.contains("Attempt to modify a readonly table"), "{reply}");
            assert_eq!(
                eval(&mut conn, &format!("return type(redis) -- {script}{level}")),
                "\"table\""
            );
        }
        let load = format!("#!lua name=a\nsetfenv({level}, {{}})");
        assert!(
            conn.call(&[&b"FUNCTION"[..], b"LOAD", load.as_bytes()])
                .is_error("ERR Error registering")
        );
    }
    let load = b"#!lua name=a\nredis.register_function('f', function() return type(redis) end)";
    conn.call(&[&b"FUNCTION"[..], b"LOAD", load]);
    conn.expect("FCALL f 0", "\"table\"");
}

#[test]
fn depth_is_bounded() {
    let server = Server::start();
    let mut conn = server.connect();
    for script in [
        "local t = {} for i=1,100000 do t = {t} end return cjson.encode(t)",
        "local t = {} for i=1,100000 do t = {t} end return cmsgpack.pack(t)",
        "return cjson.decode(('['):rep(1000000))",
        "cjson.decode_max_depth(2147483647) return cjson.decode(('['):rep(1000000))",
        "cjson.encode_max_depth(2147483647) local t = {} for i=1,100000 do t = {t} end return cjson.encode(t)",
        "return cmsgpack.unpack(('\\145'):rep(1000000))",
        "return cmsgpack.unpack(('\\129\\1'):rep(1000000))",
        "local function f() return pcall(f) end return f()",
        "local function f() return f() + 1 end return f()",
        "return loadstring(('('):rep(100000) .. '1' .. (')'):rep(100000))",
        "return loadstring('return ' .. ('{'):rep(100000))",
        "return coroutine.wrap(function() local function f() return coroutine.wrap(f)() end return f() end)()",
    ] {
        eval(&mut conn, script);
        assert_eq!(eval(&mut conn, "return 1"), ":1", "{script}");
    }
}

/// What is returned ends where it is too deep for anybody to read.
#[test]
fn replies_are_not_deep_for_ever() {
    let server = Server::start();
    for script in [
        "local a = {} local b = {a} a[1] = b return a",
        "local t = {} for i=1,100000 do t = {t} end return t",
        "local m = {map={}} m.map.a = m return m",
        "local s = {set={}} s.set[s] = true return s",
    ] {
        let mut conn = server.connect();
        conn.send(&larder_tests::encode(&[b"EVAL", script.as_bytes(), b"0"]));
        conn.send(b"PING\r\n");
        let answer = conn.read_until(b"+PONG\r\n");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("-ERR reached lua stack limit\r\n"), "{script}");
        assert!(answer.ends_with("+PONG\r\n"), "{script}");
    }
}

/// Line ends and the like cannot get into a reply's line.
#[test]
fn replies_cannot_be_forged() {
    let server = Server::start();
    let mut conn = server.connect();
    for (script, reply) in [
        ("return redis.error_reply('ERR a\\r\\n+OK')", "-ERR a  +OK"),
        ("return {err='ERR a\\r\\n:1\\r\\nb'}", "-ERR a  :1  b"),
        ("return {ok='a\\r\\n-ERR b'}", "+a  -ERR b"),
        ("error({err='ERR a\\nb'})", "-ERR a b script: *"),
        ("error('a\\r\\nb')", "-ERR user_script:1: a  b script: *"),
        ("return redis.call('a\\r\\nb')", "-ERR Unknown Redis command called from script*"),
        ("return {big_number='1\\r\\n2'}", "\"1  2\""),
    ] {
        let got = eval(&mut conn, script);
        let fits = match reply.strip_suffix('*') {
            Some(start) => got.starts_with(start),
            None => got == reply,
        };
        assert!(fits, "{script}: {got}");
        assert_eq!(conn.run("PING").to_string(), "+PONG");
    }
}

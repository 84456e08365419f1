//! What a script sees of Lua, and what it may not change.

use crate::evaluates;
use larder_tests::Server;

#[test]
fn globals_and_libraries() {
    evaluates(
        r##"
        return foo
        foo=1
        setmetatable(_G,{})
        local g=getmetatable(_G) g.__index={}
        redis.call = 1
        _G={}
        rawset(_G,'x',1)
        rawset(redis,'x',1)
        table.insert(redis,1)
        return rawget(_G,'x')
        return type(rawget(_G,'redis'))
        local n=0 for k,v in pairs(redis) do n=n+1 end return n
        local n={} for k,v in pairs(redis) do n[#n+1]=k end table.sort(n) return n
        return next(math)~=nil
        return type(getmetatable('').__index)
        return ('x'):rep(3)
        return loadstring('return 1')()
        return loadstring(string.dump(function() return 1 end))()
        return loadstring('bad code here')
        return {loadstring('bad code here')}
        return {load(function() return nil end)}
        return print
        return os
        return io
        return debug
        return require
        return math.random(0)
        return math.random(1,2,3)
        return _VERSION
        return tostring(1e15)
        return unpack({1,2,3})
        local t={} for i=1,10 do t[i]=i end return {unpack(t,2,4)}
        return string.format('%d %s %q',1,'a','b')
        return string.find('abc','b')
        return {string.gsub('hello','l','L')}
        coroutine.wrap(function() redis.call('set','co',1) end)() return redis.call('get','co')
        local co=coroutine.create(function() error('x') end) local ok,e=coroutine.resume(co) return {ok,e}
        local ok,e=coroutine.resume(coroutine.create(function() redis.call('foo') end)) return {ok,type(e)}
        return select('#',xpcall(function() error('a') end, function(e) return e end))
        local ok,e=xpcall(function() redis.call('nope') end, function(e) return type(e) end) return e
        assert(false)
        assert(false,'msg')
        assert(nil,{err='x'})
        return tonumber('0x10')
        return collectgarbage('count') > 0
        return collectgarbage('foo')
        local t=setmetatable({},{__index=function(t,k) return k end}) return t.abc
        return tostring(nil)
        return type(_G._G)
        local a = {} a.x.y = 1
        local function f() return f() end return f
        local function f() f() end f()
        return string.char(256)
        return ("x"):bad()
        return 1 .. {}
        return nil + 1
        return KEYS.x
        "##,
    );
}

/// Ways out that Redis 7.0 has, or dies of; here they are closed.
#[test]
fn nothing_stays_changed() {
    let server = Server::start();
    let mut conn = server.connect();
    let mut refused = |script: &str, with: &str| {
        let reply = conn.call(&[b"EVAL", script.as_bytes(), b"0"]).to_string();
        assert!(reply.contains(with), "{script}: {reply}");
    };
    refused("getmetatable('').__index = {} ", "readonly table");
    refused("getmetatable('').__index.rep = nil", "readonly table");
    refused("local m = getmetatable(_G); m.__index = nil", "readonly table");
    refused("setfenv(0, {})", "readonly table");
    refused("unpack({}, -2147483648, 2147483647)", "too many results");
    refused("unpack({}, 1, 2147483647)", "too many results");
    refused("('a'):find(('a?'):rep(100000))", "pattern too complex");
    refused("('a'):match(('('):rep(100000))", "pattern too complex");
    refused("local p = newproxy(true); getmetatable(p).__gc = 1", "attempt to index");
    refused("return loadstring('\\27Lua')()", "attempt to call a nil value");
    refused("local a = redis; a.x = 1", "readonly table");
    refused("for k, v in pairs(redis) do redis[k] = nil end", "readonly table");
    refused("local _, t = pairs(string); t.rep = 1; return ('a'):rep(2)", "\"aa\"");
    refused("collectgarbage('stop'); return collectgarbage('setpause', 1)", ":200");
    refused("return tostring(rawequal(_G, _G._G))", "\"true\"");
}

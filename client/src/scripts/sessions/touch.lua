-- Puts off the end of a session that is used. It never brings one back.
--
-- KEYS  session, mark of the digest, generation of the user, index of the user
-- ARGV  1 digest, 2 idle time in ms
-- Gives {1, ms left}, {2, digest} where it has another digest by now, {0} where there is none.
local known = redis.call('HMGET', KEYS[1], '_a', '_g')
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if not known[1] then
    local mark = redis.call('GET', KEYS[2]) or ''
    if string.sub(mark, 1, 1) == '>' and string.sub(mark, 2, 16) + 0 > now then
        return {2, string.sub(mark, 17)}
    end
    return {0}
end
if (redis.call('GET', KEYS[3]) or '') ~= known[2] then
    return {0}
end
local deadline = math.min(now + ARGV[2], known[1] + 0)
local at = string.format('%.0f', deadline)
redis.call('HSET', KEYS[1], '_t', string.format('%.0f', now))
redis.call('PEXPIREAT', KEYS[1], at)
redis.call('ZADD', KEYS[4], at, ARGV[1])
local last = redis.call('ZREVRANGE', KEYS[4], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[4], last[2])
return {1, math.max(deadline - now, 0)}

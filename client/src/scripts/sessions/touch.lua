-- Puts off the end of a session that is used. It never brings one back.
--
-- KEYS  session, index of the user
-- ARGV  1 digest, 2 idle time in ms
-- Gives the ms left, or 0 where there is no such session.
local absolute = redis.call('HGET', KEYS[1], '_a')
if not absolute then
    return 0
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local deadline = math.min(now + ARGV[2], absolute + 0)
local at = string.format('%.0f', deadline)
redis.call('HSET', KEYS[1], '_t', string.format('%.0f', now))
redis.call('PEXPIREAT', KEYS[1], at)
redis.call('ZADD', KEYS[2], at, ARGV[1])
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[2], last[2])
return math.max(deadline - now, 0)

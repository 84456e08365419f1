-- Gives a session another digest. The old one leads to it for a while, or is closed at once.
--
-- KEYS  old session, new session, index of the user, mark of the old digest
-- ARGV  1 nonce of the call, 2 old digest, 3 new digest, 4 for how many ms the old one leads to the
--       new one, 5 lifetime of a mark in ms, 6 channel of events
-- Gives {1, version, ms left}, {0} where there is no such session.
local moved = redis.call('HMGET', KEYS[2], '_n', '_v')
if moved[1] then
    if moved[1] ~= ARGV[1] then
        return {0}
    end
    return {1, moved[2] + 0, math.max(redis.call('PTTL', KEYS[2]), 0)}
end
local known = redis.call('HMGET', KEYS[1], '_v', '_u')
if not known[1] then
    return {0}
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local left = math.max(redis.call('PTTL', KEYS[1]), 1)
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[2], '_n', ARGV[1], '_v', known[1] + 1)
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('ZADD', KEYS[3], string.format('%.0f', now + left), ARGV[3])
local last = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[3], last[2])
if ARGV[4] + 0 > 0 then
    redis.call('SET', KEYS[4], '>' .. ARGV[3], 'PX', ARGV[4])
else
    redis.call('SET', KEYS[4], 'x', 'PX', ARGV[5])
end
redis.call('PUBLISH', ARGV[6], 'rotated ' .. ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. known[2])
return {1, known[1] + 1, left}

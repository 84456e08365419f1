-- Begins a session, within the limit on the sessions of its user.
--
-- KEYS  session, index of the user, generation of the user
-- ARGV  1 nonce of the call, 2 digest, 3 user, 4 idle time in ms, 5 absolute time in ms,
--       6 most sessions of the user or 0, 7 1 to end the least recently used one beyond that and 0 to
--       refuse, 8 schema, 9 label, 10 prefix of sessions, 11 prefix of marks, 12 channel of events,
--       13 lifetime of a mark in ms, 14 lifetime of the generation in ms, then fields and values
-- Gives {1, now in ms, version, generation}, {0} where another session has this digest, {-1} where
-- the user has too many.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local generation = redis.call('GET', KEYS[3]) or '0'
if redis.call('EXISTS', KEYS[1]) == 1 then
    local known = redis.call('HMGET', KEYS[1], '_n', '_v', '_c', '_g')
    if known[1] == ARGV[1] then
        return {1, known[3] + 0, known[2] + 0, known[4] + 0}
    end
    return {0}
end
-- It has to outlive every session that was begun under it.
if generation ~= '0' then
    redis.call('PEXPIRE', KEYS[3], ARGV[14])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local most = ARGV[6] + 0
if most > 0 then
    local count = redis.call('ZCARD', KEYS[2])
    if count >= most and ARGV[7] == '0' then
        return {-1}
    end
    if count >= most then
        for _, digest in ipairs(redis.call('ZRANGE', KEYS[2], 0, count - most)) do
            if redis.call('DEL', ARGV[10] .. digest) == 1 then
                redis.call('PUBLISH', ARGV[12], 'evicted ' .. digest .. ' ' .. ARGV[3])
            end
            redis.call('SET', ARGV[11] .. digest, 'x', 'PX', ARGV[13])
            redis.call('ZREM', KEYS[2], digest)
        end
    end
end
local absolute = now + ARGV[5]
local deadline = math.min(now + ARGV[4], absolute)
local at = string.format('%.0f', now)
redis.call(
    'HSET', KEYS[1], '_n', ARGV[1], '_v', '1', '_u', ARGV[3], '_c', at, '_t', at,
    '_a', string.format('%.0f', absolute), '_g', generation, '_s', ARGV[8], '_l', ARGV[9]
)
for i = 15, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', deadline))
redis.call('ZADD', KEYS[2], string.format('%.0f', deadline), ARGV[2])
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')
redis.call('PEXPIREAT', KEYS[2], last[2])
redis.call('PUBLISH', ARGV[12], 'created ' .. ARGV[2] .. ' ' .. ARGV[3])
return {1, now, 1, generation + 0}

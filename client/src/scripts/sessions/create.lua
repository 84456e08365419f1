-- Begins a session, within the limit on the sessions of its user.
--
-- KEYS  session, mark of the digest, generation of the user, index of the user, then for each that
--       may be ended for it: session, mark of its digest
-- ARGV  1 id of this call (twelve letters), 2 digest, 3 user, 4 idle time in ms, 5 absolute time in
--       ms, 6 most sessions of the user or 0, 7 1 to end the least recently used ones beyond that and
--       0 to refuse, 8 schema, 9 label, 10 channel of events, 11 lifetime of a mark in ms,
--       12 lifetime of the generation in ms, 13 number of those that may be ended, their digests,
--       then fields and values
-- Gives {1, when it began in ms}, {0} where the digest is or was in use, {-1} where the user has too
-- many, {2, digests} where these have to be named.
if redis.call('EXISTS', KEYS[1]) == 1 then
    local known = redis.call('HMGET', KEYS[1], '_r', '_c')
    if known[1] and calls_since(known[1], ARGV[1]) then
        -- It writes too, so that its answer waits for replicas as the first one's did.
        redis.call('HSET', KEYS[1], '_r', known[1])
        return {1, known[2] + 0}
    end
    return {0}
end
if redis.call('EXISTS', KEYS[2]) == 1 then
    return {0}
end
local most, named = ARGV[6] + 0, ARGV[13] + 0
local generation = redis.call('GET', KEYS[3]) or ''
-- What is over does not count.
expire(KEYS[4], now, ARGV[10])
local surplus = most > 0 and redis.call('ZCARD', KEYS[4]) - most + 1 or 0
if surplus > 0 then
    if ARGV[7] == '0' then
        return {-1}
    end
    local places = {}
    for i = 1, named do
        places[ARGV[13 + i]] = 3 + 2 * i
    end
    -- Some more, because others may be faster.
    local oldest = redis.call('ZRANGE', KEYS[4], 0, surplus + 7)
    for i = 1, surplus do
        if not places[oldest[i]] then
            return {2, oldest}
        end
    end
    for i = 1, surplus do
        local digest = oldest[i]
        if redis.call('DEL', KEYS[places[digest]]) == 1 then
            redis.call('PUBLISH', ARGV[10], 'evicted ' .. digest .. ' ' .. ARGV[3])
        end
        redis.call('SET', KEYS[places[digest] + 1], 'x', 'PX', ARGV[11])
        redis.call('ZREM', KEYS[4], digest)
    end
end
-- It has to outlive every session that began under it.
if generation ~= '' then
    redis.call('PEXPIRE', KEYS[3], ARGV[12])
end
local absolute = now + ARGV[5]
local deadline = math.min(now + ARGV[4], absolute)
redis.call(
    'HSET', KEYS[1], '_r', calls_with('', ARGV[1]), '_v', '1', '_u', ARGV[3], '_c', digits(now),
    '_t', digits(now), '_a', digits(absolute), '_g', generation, '_s', ARGV[8], '_l', ARGV[9]
)
for i = 14 + named, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIREAT', KEYS[1], digits(deadline))
enter(KEYS[4], ARGV[2], deadline)
redis.call('PUBLISH', ARGV[10], 'created ' .. ARGV[2] .. ' ' .. ARGV[3])
return {1, now}

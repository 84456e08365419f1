-- Locks a session against all others who lock it, for a while, and reads it. Each lock makes a version.
--
-- KEYS  session, mark of the digest, generation of the user
-- ARGV  1 id of this call (twelve letters), 2 for how many ms
-- Gives {1, now in ms, ms left, all fields and values}, {2, digest} where it has another digest by
-- now, {0} where there is none, {-1, ms} where another has it locked for so long.
local known = redis.call('HMGET', KEYS[1], '_v', '_r', '_g', '_k')
if not known[1] then
    return moved(KEYS[2])
end
if (redis.call('GET', KEYS[3]) or '') ~= known[3] then
    return {0}
end
local lock = known[4]
local left = lock and string.sub(lock, 14) - now or 0
if left > 0 then
    if string.sub(lock, 1, 12) ~= ARGV[1] then
        return {-1, left}
    end
    -- It writes too, so that its answer waits for replicas as the first one's did.
    redis.call('HSET', KEYS[1], '_k', lock)
else
    local calls = calls_with(known[2] or '', ARGV[1])
    lock = ARGV[1] .. ':' .. digits(now + ARGV[2])
    redis.call('HSET', KEYS[1], '_v', known[1] + 1, '_r', calls, '_k', lock)
end
return {1, now, redis.call('PTTL', KEYS[1]), redis.call('HGETALL', KEYS[1])}

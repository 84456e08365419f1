-- Puts off the end of a session that is used. It never brings one back.
--
-- KEYS  session, mark of the digest, generation of the user, index of the user
-- ARGV  1 digest, 2 idle time in ms
-- Gives {1, ms left}, {2, digest} where it has another digest by now, {0} where there is none.
local known = redis.call('HMGET', KEYS[1], '_a', '_g')
if not known[1] then
    return moved(KEYS[2])
end
if (redis.call('GET', KEYS[3]) or '') ~= known[2] then
    return {0}
end
local deadline = math.min(now + ARGV[2], known[1] + 0)
redis.call('HSET', KEYS[1], '_t', digits(now))
redis.call('PEXPIREAT', KEYS[1], digits(deadline))
enter(KEYS[4], ARGV[1], deadline)
return {1, math.max(deadline - now, 0)}

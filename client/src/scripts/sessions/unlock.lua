-- Takes a lock from a session, if it is still the one of this call.
--
-- KEYS  session, mark of the digest
-- ARGV  1 id of the call that locked it
-- Gives {1} where it was, {2, digest} where the session has another digest by now, {0} otherwise.
local lock = redis.call('HGET', KEYS[1], '_k')
if not lock then
    return moved(KEYS[2])
end
if string.sub(lock, 1, 12) ~= ARGV[1] then
    return {0}
end
redis.call('HDEL', KEYS[1], '_k')
return {1}

-- Ends a session; whatever comes for it afterwards finds none.
--
-- KEYS  session, index of the user, mark of the digest
-- ARGV  1 digest, 2 lifetime of a mark in ms, 3 channel of events, 4 user
-- Gives 1 if it was there, else 0.
local was = redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('SET', KEYS[3], 'x', 'PX', ARGV[2])
if was == 1 then
    redis.call('PUBLISH', ARGV[3], 'closed ' .. ARGV[1] .. ' ' .. ARGV[4])
end
return was

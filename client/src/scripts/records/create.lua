-- Makes a record, unless its id is in use.
--
-- KEYS  record
-- ARGV  id of this call, deadline in ms since the Unix epoch, fields and values
-- Gives 1, or 0 where the id is in use.
local calls = redis.call('HGET', KEYS[1], '_o')
if calls then
    if not string.find(calls, ARGV[1], 1, true) then
        return 0
    end
    -- It writes too, so that its answer waits for replicas as the first one's did.
    redis.call('HSET', KEYS[1], '_o', calls)
    return 1
end
redis.call('HSET', KEYS[1], '_o', ARGV[1] .. ',', '_e', ARGV[2])
for at = 3, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
end
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
return 1

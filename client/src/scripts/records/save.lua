-- Changes fields of a record that is there.
--
-- KEYS  record
-- ARGV  id of this call, deadline in ms since the Unix epoch, 1 to remove all fields that are not
--       named and 0 not to, number of fields to set, these and their values, fields to remove
-- Gives 1, or 0 where there is none.
local calls = redis.call('HGET', KEYS[1], '_o')
if not calls then
    return 0
end
if string.find(calls, ARGV[1], 1, true) then
    -- It writes too, so that its answer waits for replicas as the first one's did.
    redis.call('HSET', KEYS[1], '_o', calls)
    return 1
end
if ARGV[3] == '1' then
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
        if string.sub(field, 1, 1) == '.' then
            redis.call('HDEL', KEYS[1], field)
        end
    end
end
local sets = tonumber(ARGV[4])
for at = 5, 4 + 2 * sets, 2 do
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
end
for at = 5 + 2 * sets, #ARGV do
    redis.call('HDEL', KEYS[1], ARGV[at])
end
-- The last eight calls, so that one that is repeated is known.
redis.call('HSET', KEYS[1], '_o', string.sub(calls .. ARGV[1] .. ',', -104), '_e', ARGV[2])
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
return 1

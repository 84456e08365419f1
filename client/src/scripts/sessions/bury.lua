-- Ends sessions that are doomed: they are void already, and nobody hears of that before.
--
-- KEYS  doomed of the user, then for each that is named: session, mark of the digest
-- ARGV  1 lifetime of a mark in ms, 2 channel of events, 3 user, 4 most digests in a reply, then the
--       digests
-- Gives {how many were there, digests that are still doomed}.
local count = 0
for at = 5, #ARGV do
    local key = 2 * (at - 4)
    if redis.call('DEL', KEYS[key]) == 1 then
        count = count + 1
        redis.call('PUBLISH', ARGV[2], 'closed ' .. ARGV[at] .. ' ' .. ARGV[3])
    end
    redis.call('SET', KEYS[key + 1], 'x', 'PX', ARGV[1])
    redis.call('ZREM', KEYS[1], ARGV[at])
end
return {count, redis.call('ZRANGE', KEYS[1], 0, ARGV[4] - 1)}

-- Ends all sessions of a user but one, those that the index has lost included.
--
-- KEYS  index of the user, generation of the user
-- ARGV  1 nonce of the call, 2 digest to keep or '', 3 prefix of sessions, 4 prefix of marks,
--       5 lifetime of a mark in ms, 6 channel of events, 7 user, 8 lifetime of the generation in ms
-- Gives how many were ended.
local kept = ARGV[2]
if kept ~= '' and redis.call('HGET', ARGV[3] .. kept, '_w') == ARGV[1] then
    return 0
end
local count = 0
local generation = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[8])
for _, digest in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if digest ~= kept then
        if redis.call('DEL', ARGV[3] .. digest) == 1 then
            count = count + 1
            redis.call('PUBLISH', ARGV[6], 'closed ' .. digest .. ' ' .. ARGV[7])
        end
        redis.call('SET', ARGV[4] .. digest, 'x', 'PX', ARGV[5])
        redis.call('ZREM', KEYS[1], digest)
    end
end
if kept ~= '' and redis.call('EXISTS', ARGV[3] .. kept) == 1 then
    redis.call('HSET', ARGV[3] .. kept, '_g', generation, '_w', ARGV[1])
end
return count

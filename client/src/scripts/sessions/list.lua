-- The sessions of a user. It writes nothing, so that a replica runs it too.
--
-- KEYS  index of the user, generation of the user
-- ARGV  1 prefix of sessions
-- Gives for each {digest, created in ms, last used in ms, ms left, label}.
local generation = redis.call('GET', KEYS[2]) or '0'
local out = {}
for _, digest in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, -1)) do
    local key = ARGV[1] .. digest
    local known = redis.call('HMGET', key, '_c', '_t', '_l', '_g')
    if known[1] and known[4] == generation then
        out[#out + 1] = {digest, known[1] + 0, known[2] + 0, redis.call('PTTL', key), known[3]}
    end
end
return out

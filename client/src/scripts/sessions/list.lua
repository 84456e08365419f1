-- Describes sessions of a user. It writes nothing, so that a replica runs it too.
--
-- KEYS  generation of the user, sessions
-- Gives for each {created in ms, last used in ms, ms left, label}, or {} where it is gone.
local generation = redis.call('GET', KEYS[1]) or ''
local out = {}
for at = 2, #KEYS do
    local known = redis.call('HMGET', KEYS[at], '_c', '_t', '_l', '_g')
    local found = {}
    if known[1] and known[4] == generation then
        found = {known[1] + 0, known[2] + 0, redis.call('PTTL', KEYS[at]), known[3]}
    end
    out[at - 1] = found
end
return out

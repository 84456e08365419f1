-- Reads a session. It writes nothing, so that a replica runs it too.
--
-- KEYS  session, mark of the digest, generation of the user
-- Gives {1, now in ms, ms left, all fields and values}, {2, digest} where it has another digest by
-- now, {0} where there is none, {-1} where it was closed.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local fields = redis.call('HGETALL', KEYS[1])
if #fields == 0 then
    local mark = redis.call('GET', KEYS[2])
    if not mark then
        return {0}
    end
    if string.sub(mark, 1, 1) == '>' and string.sub(mark, 2, 16) + 0 > now then
        return {2, string.sub(mark, 17)}
    end
    return {-1}
end
local generation
for i = 1, #fields, 2 do
    if fields[i] == '_g' then
        generation = fields[i + 1]
    end
end
if (redis.call('GET', KEYS[3]) or '') ~= generation then
    return {-1}
end
return {1, now, redis.call('PTTL', KEYS[1]), fields}

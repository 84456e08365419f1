-- Reads a session. It writes nothing, so that a replica runs it too.
--
-- KEYS  session, mark of the digest
-- ARGV  1 digest, 2 prefix of sessions, 3 prefix of generations
-- Gives {1, digest, now in ms, ms left, all fields and values}, {0} where there is none, {-1} where it
-- was closed. The digest is another one where the session was rotated a moment ago.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local digest, key = ARGV[1], KEYS[1]
local fields = redis.call('HGETALL', key)
if #fields == 0 then
    local mark = redis.call('GET', KEYS[2])
    if not mark then
        return {0}
    end
    if string.sub(mark, 1, 1) ~= '>' then
        return {-1}
    end
    digest = string.sub(mark, 2)
    key = ARGV[2] .. digest
    fields = redis.call('HGETALL', key)
    if #fields == 0 then
        return {-1}
    end
end
local user, generation
for i = 1, #fields, 2 do
    if fields[i] == '_u' then
        user = fields[i + 1]
    elseif fields[i] == '_g' then
        generation = fields[i + 1]
    end
end
if not user or (redis.call('GET', ARGV[3] .. user) or '0') ~= generation then
    return {-1}
end
return {1, digest, now, redis.call('PTTL', key), fields}

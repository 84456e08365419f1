-- Makes void all sessions of a user but one, those that the index has lost included. Those that it
-- knows are doomed: bury.lua ends them.
--
-- KEYS  index of the user, doomed of the user, generation of the user, then where one is kept:
--       session, mark of its digest
-- ARGV  1 id of this call (twelve letters), 2 digest to keep or '', 3 lifetime of the generation in
--       ms, 4 most digests in a reply
-- Gives {1, digests that are doomed}, {2, digest} where the one to keep has another digest by now.
local current = redis.call('GET', KEYS[3]) or ''
if current ~= ARGV[1] then
    local kept = false
    if ARGV[2] ~= '' then
        local known = redis.call('HGET', KEYS[4], '_g')
        local digest = not known and leads_to(redis.call('GET', KEYS[5]))
        if digest then
            return {2, digest}
        end
        kept = known == current
    end
    -- The generation is this call's id. It outlives every session of an older one.
    redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])
    redis.call('ZUNIONSTORE', KEYS[2], 2, KEYS[1], KEYS[2], 'AGGREGATE', 'MAX')
    redis.call('PEXPIRE', KEYS[2], ARGV[3])
    redis.call('DEL', KEYS[1])
    if kept then
        local deadline = now + math.max(redis.call('PTTL', KEYS[4]), 1)
        redis.call('HSET', KEYS[4], '_g', ARGV[1])
        redis.call('ZREM', KEYS[2], ARGV[2])
        enter(KEYS[1], ARGV[2], deadline)
    end
else
    -- A call that is repeated writes too, so that its answer waits for replicas.
    redis.call('PEXPIRE', KEYS[3], ARGV[3])
end
return {1, redis.call('ZRANGE', KEYS[2], 0, ARGV[4] - 1)}

-- Stores what the holder of a lease loaded, unless an invalidation came in between: it takes the
-- lease away.
--
-- KEYS  value, lease, fence, and where the value has tags: the namespace's last drop, each tag
-- ARGV  token, freshness in ms, staleness after it in ms, version (8 bytes), start of the load in
--       ms (the time that came with the lease), body
-- Gives 1 stored, 0 the lease is gone, -1 nothing may be stored for now, -2 the version is too old,
-- -3 a tag was dropped since the load began, or may have been.
-- A value is `L\1`, fresh until (8 bytes, ms), stored at (8 bytes, ms), version (8 bytes), number of
-- tags (1 byte), the generation of each (8 bytes), body.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
    return 0
end
local known = {}
for at = 4, #KEYS do
    known[KEYS[at]] = redis.call('GET', KEYS[at])
end
redis.call('DEL', KEYS[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local fence = redis.call('GET', KEYS[3])
if fence and #fence == 16 then
    if struct.unpack('>I8', fence) > now then
        return -1
    end
    if string.sub(fence, 9) > ARGV[4] then
        return -2
    end
end
local life = ARGV[2] + ARGV[3]
local tags = math.max(#KEYS - 4, 0)
local generations = ''
if tags > 0 then
    local started = ARGV[5] + 0
    local dropped = known[KEYS[4]]
    local refused = not dropped
    if not dropped then
        dropped = string.format('%.0f', now)
        redis.call('SET', KEYS[4], dropped)
        known[KEYS[4]] = dropped
    end
    for at = 5, #KEYS do
        local generation = known[KEYS[at]]
        if not generation then
            -- Never dropped, or dropped and lost: in either case not since the last drop of all.
            generation = dropped
            redis.call('SET', KEYS[at], generation)
            known[KEYS[at]] = generation
            refused = refused or dropped + 0 >= started
        else
            refused = refused or generation + 0 >= started
        end
        generations = generations .. struct.pack('>I8', generation + 0)
    end
    if refused then
        return -3
    end
end
redis.call(
    'SET', KEYS[1],
    'L\1' .. struct.pack('>I8I8', now + ARGV[2], now) .. ARGV[4] .. string.char(tags) .. generations .. ARGV[6],
    'PX', life
)
return 1

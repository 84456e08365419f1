-- Takes a value and the lease on it away, so that a load under way is not stored.
--
-- KEYS  value, lease, fence
-- ARGV  ms during which nothing may be stored, lowest version that may be stored (8 bytes), ms that
--       the fence stays, 1 to keep the value for those who take a stale one and 0 to delete it
-- Gives 1 where there was a value, else 0.
local there = 0
if ARGV[4] == '1' then
    local value = redis.call('GET', KEYS[1])
    if value and #value >= 27 and string.sub(value, 1, 2) == 'L\1' then
        there = 1
        redis.call('SET', KEYS[1], 'L\1' .. string.rep('\0', 8) .. string.sub(value, 11), 'KEEPTTL')
    end
    redis.call('DEL', KEYS[2])
else
    there = redis.call('EXISTS', KEYS[1])
    redis.call('DEL', KEYS[1], KEYS[2])
end
if ARGV[3] ~= '0' then
    local clock = redis.call('TIME')
    local hold = clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1]
    local version = ARGV[2]
    local stays = ARGV[3] + 0
    local fence = redis.call('GET', KEYS[3])
    if fence and #fence == 16 then
        hold = math.max(hold, struct.unpack('>I8', fence))
        if string.sub(fence, 9) > version then
            version = string.sub(fence, 9)
        end
        stays = math.max(stays, redis.call('PTTL', KEYS[3]))
    end
    redis.call('SET', KEYS[3], struct.pack('>I8', hold) .. version, 'PX', stays)
end
return there

-- Gives a tag a new generation, which hides all values stored under older ones.
--
-- KEYS  the namespace's last drop, tag
-- Gives the generation. It only grows; that of a lost key is the time, later than all before it.
local clock = redis.call('TIME')
local generation = clock[1] * 1000 + math.floor(clock[2] / 1000)
local before, last = redis.call('GET', KEYS[2]), redis.call('GET', KEYS[1])
if before then
    generation = math.max(generation, before + 1)
end
local text = string.format('%.0f', generation)
redis.call('SET', KEYS[2], text)
if not last or last + 0 < generation then
    redis.call('SET', KEYS[1], text)
end
return text

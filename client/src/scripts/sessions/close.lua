-- Ends a session; whatever comes for it afterwards finds none.
--
-- KEYS  session, mark of the digest, index of the user
-- ARGV  1 digest, 2 lifetime of a mark in ms, 3 channel of events, 4 user
-- Gives {1} if it was there, {2, digest} where it has another digest by now, to be closed too, {0}
-- where there was none.
local was = redis.call('DEL', KEYS[1])
if was == 0 then
    local mark = redis.call('GET', KEYS[2]) or ''
    if string.sub(mark, 1, 1) == '>' then
        return {2, string.sub(mark, 17)}
    end
end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('SET', KEYS[2], 'x', 'PX', ARGV[2])
if was == 1 then
    redis.call('PUBLISH', ARGV[3], 'closed ' .. ARGV[1] .. ' ' .. ARGV[4])
end
return {was}

-- Gives a lease back without a value.
--
-- KEYS  lease
-- ARGV  token, ms during which nobody shall load, 0 for none
-- Gives 1, or 0 where the lease is gone.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
if ARGV[2] == '0' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], 'throttled', 'PX', ARGV[2])
end
return 1

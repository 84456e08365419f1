-- What the scripts of sessions and records share: it stands in front of theirs.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- A number as Redis reads it.
local function digits(number)
    return string.format('%.0f', number)
end

-- Calls that changed something are known for twenty seconds, 256 at most, so that one that is sent
-- again does nothing twice: in a row, each by its id of twelve letters and the second it came in.
-- How many came after a call, nothing where it is not known.
local function calls_since(calls, id)
    local found = string.find(calls, id .. ':', 1, true)
    return found and math.floor((#calls - found - 17) / 18)
end

-- The row with another call.
local function calls_with(calls, id)
    local second = clock[1] % 10000
    local first = math.max(1, #calls - 4589)
    while first < #calls do
        local age = (second - string.sub(calls, first + 13, first + 16)) % 10000
        -- What seems to be hours old is of a clock that was ahead.
        if age <= 20 or age >= 5000 then
            break
        end
        first = first + 18
    end
    return string.sub(calls, first) .. id .. string.format(':%04d,', second)
end

-- The digest that a mark leads to at this time, nothing where it leads nowhere.
local function leads_to(mark)
    if mark and string.sub(mark, 1, 1) == '>' and string.sub(mark, 2, 16) + 0 > now then
        return string.sub(mark, 17)
    end
end

-- The answer where there is no session: another digest, if its mark leads to one.
local function moved(key)
    local digest = leads_to(redis.call('GET', key))
    return digest and {2, digest} or {0}
end

-- Has a session stand in the index of its user, which lives two minutes longer than its last one: so
-- long whoever tells of those that are over may find it there.
local function enter(index, digest, deadline)
    redis.call('ZADD', index, digits(deadline), digest)
    local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
    redis.call('PEXPIREAT', index, digits(last[2] + 120000))
end

-- Takes the sessions out of an index that were over by then, and tells of them. Gives how many.
local function expire(index, by, channel)
    local over = redis.call('ZRANGEBYSCORE', index, '-inf', digits(by))
    for i = 1, #over do
        redis.call('PUBLISH', channel, 'expired ' .. over[i])
    end
    if #over > 0 then
        redis.call('ZREMRANGEBYSCORE', index, '-inf', digits(by))
    end
    return #over
end


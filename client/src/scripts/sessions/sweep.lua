-- Tells of the sessions of a user that are over, where the server itself tells nobody. One second
-- late: where it does, nobody has to.
--
-- KEYS  index of the user
-- ARGV  1 channel of events
-- Gives how many there were.
return expire(KEYS[1], now - 1000, ARGV[1])

-- Renews a lease, or gives it up, while it is still the holder's.
-- KEYS 1 lease    ARGV 1 holder, 2 ms from now on, 0 to give it up
-- Answers 1, or 0 if it is no longer the holder's.
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == "0" then redis.call("DEL", KEYS[1]) else redis.call("PEXPIRE", KEYS[1], ARGV[2]) end
return 1

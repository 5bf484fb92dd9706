-- Retires the state that a replay was filling, unless that replay has finished it or another has begun anew.
-- KEYS 1 meta    ARGV 1 nonce, 2 the replay
-- Answers 1, or 0 if it was left alone.
local meta = redis.call("HMGET", KEYS[1], "nonce", "replay")
if meta[1] ~= ARGV[1] or meta[2] ~= ARGV[2] then return 0 end
redis.call("HSET", KEYS[1], "status", "retired")
return 1

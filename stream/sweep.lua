-- Moves a shard's sweep on, if it stands where the worker believes: a server may have lost its last second.
-- KEYS 1 meta    ARGV 1 nonce, 2 where the sweep stood, 3 where it stands
-- Answers where it stands now; empty if nowhere yet, or if the shard is another's.
local meta = redis.call("HMGET", KEYS[1], "nonce", "sweep")
local stood = meta[2] or ""
if meta[1] ~= ARGV[1] then return "" end
if stood ~= ARGV[2] then return stood end
redis.call("HSET", KEYS[1], "sweep", ARGV[3])
return ARGV[3]

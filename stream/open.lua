-- Takes a shard's meta into the hands of a worker.
-- KEYS 1 meta    ARGV 1 generation, 2 a new nonce, 3 beginning of the log - 1, 4 "1": whatever stands there is lost
-- Where there is none, or its leftovers were never all deleted, it becomes `wiping` under the new nonce.
-- Answers the meta as a flat array.
local meta = redis.call("HMGET", KEYS[1], "nonce", "status")
if not meta[1] or meta[2] == "wiping" or ARGV[4] == "1" then
  redis.call("DEL", KEYS[1])
  redis.call("HSET", KEYS[1], "generation", ARGV[1], "status", "wiping", "nonce", ARGV[2], "applied", ARGV[3])
end
return redis.call("HGETALL", KEYS[1])

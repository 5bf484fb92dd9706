-- Takes a shard's meta into the hands of a worker or a replay.
-- KEYS 1 meta    ARGV 1 generation, 2 a new nonce, 3 beginning of the log - 1, 4 "1": whatever stands there is lost,
--                5 the replay that opens it, empty for an owner
-- Where there is none, or its leftovers were never all deleted, it becomes `wiping` under the new nonce.
-- Answers the meta as a flat array.
local meta = redis.call("HMGET", KEYS[1], "nonce", "status")
if not meta[1] or meta[2] == "wiping" or ARGV[4] == "1" then
  redis.call("DEL", KEYS[1])
  redis.call("HSET", KEYS[1], "generation", ARGV[1], "status", "wiping", "nonce", ARGV[2], "applied", ARGV[3])
  if ARGV[5] ~= "" then redis.call("HSET", KEYS[1], "replay", ARGV[5]) end
end
return redis.call("HGETALL", KEYS[1])

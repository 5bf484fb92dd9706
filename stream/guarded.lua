-- Runs commands on a shard only while its meta carries the nonce the worker knows, so that a worker that lost the
-- shard changes nothing. KEYS 1 meta, then keys to delete    ARGV 1 nonce, then field and value pairs of meta to set
-- Answers 1, or 0 if the shard is another's.
if redis.call("HGET", KEYS[1], "nonce") ~= ARGV[1] then return 0 end
for i = 2, #KEYS do redis.call("DEL", KEYS[i]) end
for i = 2, #ARGV, 2 do redis.call("HSET", KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1

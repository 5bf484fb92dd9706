-- Runs commands on a shard only while its meta carries the nonce the worker knows, so that a worker that lost the
-- shard changes nothing. KEYS 1 meta, then keys to delete    ARGV 1 nonce, then field and value pairs of meta to set
-- Deletes only from what is wiped or retired: a wipe's call that was repeated may arrive once the shard is filled.
-- Answers 1, or 0 if the shard is another's or not to be deleted from.
local meta = redis.call("HMGET", KEYS[1], "nonce", "status")
if meta[1] ~= ARGV[1] then return 0 end
if #KEYS > 1 and meta[2] ~= "wiping" and meta[2] ~= "retired" then return 0 end
for i = 2, #KEYS do redis.call("DEL", KEYS[i]) end
for i = 2, #ARGV, 2 do redis.call("HSET", KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1

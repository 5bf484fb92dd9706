-- Passes over a record that breaks the code, and leaves a note of it in meta until `control` says so: nobody can merge it
-- any more, and whoever opens the shard next finishes what a crash has cut short.
-- KEYS 1 meta    ARGV 1 nonce, 2 first offset, 3 the record's offset, 4 last offset, 5 note (empty: none is left)
-- Answers OK, also to a call that is repeated; or SEEN: somebody has merged it; or, as merge.lua, why nothing was done.
local meta = redis.call("HMGET", KEYS[1], "nonce", "status", "applied", "quarantine")
if not meta[1] then return "ABSENT" end
if meta[2] == "retired" then return "RETIRED" end
if meta[1] ~= ARGV[1] then return "NONCE" end
local applied = tonumber(meta[3])
if ARGV[5] ~= "" and meta[4] == ARGV[5] then return "OK" end
if tonumber(ARGV[2]) > applied + 1 then return "GAP" end
if tonumber(ARGV[3]) <= applied then return "SEEN" end
if ARGV[5] ~= "" then
  if meta[4] and meta[4] ~= "" then return "NOTED" end
  redis.call("HSET", KEYS[1], "quarantine", ARGV[5])
end
redis.call("HSET", KEYS[1], "applied", ARGV[4])
return "OK"

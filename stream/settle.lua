-- Clears the note of a quarantined record once `control` says it, and no other note that was left meanwhile.
-- KEYS 1 meta    ARGV 1 the note
if redis.call("HGET", KEYS[1], "quarantine") == ARGV[1] then redis.call("HSET", KEYS[1], "quarantine", "") end
return 1

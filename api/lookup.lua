-- Reads all that a look-up needs of a learner, at one moment. Writes nothing.
-- KEYS 1 meta, 2 list, 3 history, 4 feedback, 5 pending, 6 dirty
-- ARGV 1 user
-- Answers status, applied, list, header, history, feedback, pending, time of the dirty mark; false where there is none.
local meta = redis.call("HMGET", KEYS[1], "status", "applied")
return {
  meta[1],
  meta[2],
  redis.call("GET", KEYS[2]),
  redis.call("HGET", KEYS[3], ""),
  redis.call("HGETALL", KEYS[3]),
  redis.call("HGETALL", KEYS[4]),
  redis.call("HGETALL", KEYS[5]),
  redis.call("ZSCORE", KEYS[6], ARGV[1]),
}

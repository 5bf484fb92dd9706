-- Notes acknowledged writes of one shard that may not be merged yet, so that readers hide what was just taken.
-- KEYS  1 meta of the live generation, then for each write: the learner's pending hash, and history
-- ARGV  1 time to live (s), then for each write: user, course, packed (u64 offset, u8 rank)
-- What is merged already is not noted. Of two unmerged writes of a course the greater offset stays; an enrolment,
-- drop or completion keeps its rank, since that is what readers show. Says on the channel cs:changed whose writes
-- were noted. Answers for each write the erasure threshold of the learner as it is known now (schemas/meta.py), or "".
local ENROLLED, DROPPED, COMPLETED = 1, 2, 4

local function offset_of(packed)
  local high, low = struct.unpack(">I4I4", packed)
  return high * 4294967296 + low
end

local function states(packed)
  local rank = string.byte(packed, 9)
  return rank == ENROLLED or rank == DROPPED or rank == COMPLETED
end

local changed, thresholds = {}, {}
local applied = tonumber(redis.call("HGET", KEYS[1], "applied") or -1)
for i = 1, (#KEYS - 1) / 2 do
  local pending, history = KEYS[2 * i], KEYS[2 * i + 1]
  local user, course, later = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
  thresholds[i] = string.sub(redis.call("HGET", history, "") or "", 17, 24)
  if offset_of(later) > applied then
    local earlier = redis.call("HGET", pending, course)
    if earlier and offset_of(earlier) > applied then
      if offset_of(earlier) > offset_of(later) then earlier, later = later, earlier end
      if states(earlier) and not states(later) then later = string.sub(later, 1, 8) .. string.sub(earlier, 9, 9) end
    end
    redis.call("HSET", pending, course, later)
    redis.call("EXPIRE", pending, ARGV[1])
    changed[#changed + 1] = user
  end
end
-- By pcall: who may not publish (ACL) must not lose the write; followers then look now and then.
if #changed > 0 then redis.pcall("PUBLISH", "cs:changed", cmsgpack.pack(changed)) end
return thresholds

-- Publishes the lists of learners of one shard, each only if it is no older than what stands there.
-- KEYS  1 meta, 2 dirty; then for each learner: history, list, embedding
-- ARGV  1 nonce, 2 now (ms), 3 what the lists are made with, in the words of `sweep`; then for each learner: user,
--       version (4 x u64, as at offset 1 of a packed list), list, embedding
--       an empty list: the learner has nothing of his own, what stood there goes
-- Says on the channel cs:changed whose list was replaced; without a listener that costs nothing.
-- Answers one digit a learner: 1 published, 0 refused; or "" if the shard is another's.
local byte, sub = string.byte, string.sub
local ZEROS = string.rep("\0", 32)

local function compare(a, b, at)
  for i = at, at + 7 do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x > y and 1 or -1 end
  end
  return 0
end

-- A list replaces another if no part of its version is lower, and at least one is higher.
local function replaces(version, stood)
  local higher = false
  for at = 1, 25, 8 do
    local order = compare(version, stood, at)
    if order < 0 then return false end
    higher = higher or order > 0
  end
  return higher
end

-- The newest record of `control` that epochs in the words of `sweep` come from, and the catalogue's epoch. A list's own
-- epoch does not tell: in an arm it stays that of the experiment when another model goes live.
local function decided(epochs)
  local words = string.gsub(epochs, "^>%S+ ", "")
  local model, left, started, catalogue = string.match(words, "^(%d+):?(%d*):?(%d*)%S* (-?%d+)")
  if not model then return -1, -1 end
  return math.max(tonumber(model), tonumber(left) or 0, tonumber(started) or 0), tonumber(catalogue)
end

local meta = redis.call("HMGET", KEYS[1], "nonce", "status", "sweep")
if meta[1] ~= ARGV[1] or meta[2] == "retired" then return "" end
local models, catalogue = decided(ARGV[3])
local swept_models, swept_catalogue = decided(meta[3] or "")
-- The sweep may have passed by already, so a list that is late leaves the mark.
local is_late = models < swept_models or catalogue < swept_catalogue
local answer, changed = {}, {}
for i = 0, (#ARGV - 3) / 4 - 1 do
  local history, list, embedding = KEYS[3 + i * 3], KEYS[4 + i * 3], KEYS[5 + i * 3]
  local user, version = ARGV[4 + i * 4], ARGV[5 + i * 4]
  local packed, vector = ARGV[6 + i * 4], ARGV[7 + i * 4]
  local header = redis.pcall("HGET", history, "")
  if header and #header ~= 32 then header = ZEROS end -- damaged since it was read: the mark stays
  local stood = redis.pcall("GETRANGE", list, 1, 32)
  if #stood < 32 then stood = ZEROS end -- of another type, too
  -- A list from before the last erasure would bring back what was erased.
  local state = sub(version, 17, 32)
  local accepted = header and compare(state, sub(header, 25, 32), 1) >= 0 and replaces(version, stood)
  if accepted and packed == "" then
    redis.call("DEL", list, embedding)
  elseif accepted then
    redis.call("SET", list, packed)
    if vector ~= "" then redis.call("SET", embedding, vector) end
  end
  if not header or (not is_late and state == sub(header, 1, 16) and (accepted or version == stood)) then
    redis.call("ZREM", KEYS[2], user)
  elseif accepted then
    -- Late, or of an older state than the learner's, where a newer list went meanwhile and the mark with it: once more.
    redis.call("ZADD", KEYS[2], "NX", ARGV[2], user)
  end
  answer[#answer + 1] = accepted and "1" or "0"
  if accepted then changed[#changed + 1] = user end
end
-- By pcall: who may not publish (ACL) must not lose the write; followers then look now and then.
if #changed > 0 then redis.pcall("PUBLISH", "cs:changed", cmsgpack.pack(changed)) end
return table.concat(answer)

-- Joins activity of learners of one shard: soft state that expires. What a learner's state has seen is skipped.
-- KEYS  1 meta, 2 dirty, 3 learners; then for each learner: history, activity
-- ARGV  1 nonce, 2 score of the mark, 3 seconds to live, 4 most fields, 5 length of the newest searches kept;
--       then for each learner: user, u64 offset + 1, score, "1" if the list may change, number n of fields,
--       n times field and 8-byte moment, packed searches
local byte, sub = string.byte, string.sub

local function greater(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x > y end
  end
  return #a > #b
end

local function u16(packed, at) return byte(packed, at) * 256 + byte(packed, at + 1) end

-- Adds to `moments` (query -> newest moment) the searches of `packed` that are not erased, nor cut short.
local function join_searches(moments, packed, threshold)
  local at = 1
  while at + 9 <= #packed do
    local last = at + 9 + u16(packed, at + 8)
    local moment, query = sub(packed, at, at + 7), sub(packed, at + 10, last)
    if last <= #packed and greater(moment, threshold) and (not moments[query] or greater(moment, moments[query])) then
      moments[query] = moment
    end
    at = last + 1
  end
end

-- The newest searches, packed, newest first; of one moment the greater query first, as the client cuts them.
local function pack_searches(moments, limit)
  local queries, parts = {}, {}
  for query in pairs(moments) do queries[#queries + 1] = query end
  table.sort(queries, function(a, b)
    if moments[a] ~= moments[b] then return greater(moments[a], moments[b]) end
    return greater(a, b)
  end)
  for i = 1, math.min(#queries, limit) do
    local query = queries[i]
    parts[i] = moments[query] .. struct.pack(">I2", #query) .. query
  end
  return table.concat(parts)
end

-- The erasure threshold of a header as us, 8 bytes: the head of a stamp shifted by the 4 bits of the rank.
local function threshold_us(header)
  local high, low = struct.unpack(">I4I4", sub(header, 17, 24))
  return struct.pack(">I4I4", math.floor(high / 16), (high % 16) * 268435456 + math.floor(low / 16))
end

local meta = redis.call("HMGET", KEYS[1], "nonce", "status")
if meta[1] ~= ARGV[1] or meta[2] == "retired" then return 0 end
local at, key_at = 6, 4
while at <= #ARGV do
  local user, version, score, marks, number = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4])
  local history, activity = KEYS[key_at], KEYS[key_at + 1]
  local header = redis.pcall("HGET", history, "") or string.rep("\0", 32)
  local fields_at = at + 5
  local searches = ARGV[fields_at + 2 * number]
  if #header == 32 and greater(version, sub(header, 9, 16)) then -- a history that is damaged is for the merge to find
    if type(redis.pcall("HLEN", activity)) ~= "number" then redis.call("DEL", activity) end -- of another type
    local threshold = threshold_us(header)
    for i = fields_at, fields_at + 2 * number - 2, 2 do
      local stood = redis.call("HGET", activity, ARGV[i])
      local room = stood or redis.call("HLEN", activity) < tonumber(ARGV[4])
      if room and greater(ARGV[i + 1], threshold) and (not stood or greater(ARGV[i + 1], stood)) then
        redis.call("HSET", activity, ARGV[i], ARGV[i + 1])
      end
    end
    if searches ~= "" then
      local moments = {}
      join_searches(moments, searches, threshold)
      join_searches(moments, redis.call("HGET", activity, "q") or "", threshold)
      local packed = pack_searches(moments, tonumber(ARGV[5]))
      if packed ~= "" then redis.call("HSET", activity, "q", packed) end
    end
    redis.call("EXPIRE", activity, ARGV[3])
    if marks == "1" then
      redis.call("HSET", history, "", sub(header, 1, 8) .. version .. sub(header, 17, 32))
      redis.call("ZADD", KEYS[3], "NX", score, user)
      redis.call("ZADD", KEYS[2], "GT", ARGV[2], user) -- never earlier than a hard event's
    end
  end
  at, key_at = fields_at + 2 * number + 1, key_at + 2
end
return 1

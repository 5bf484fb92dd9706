-- Joins a run of consecutive records into the histories of one shard. Idempotent, commutative, associative.
--
-- KEYS  1 meta, 2 counts, 3 dirty, 4 learners; then for each learner: history, list, pending,
--       and feedback if flag 2, profile if flag 4, and activity, embedding if flag 1
-- ARGV  1 nonce, 2 first offset, 3 last offset, 4 time of the mark (ms), 5 what is wanted: "first enrolments" in the
--       answer, "pending writes" left alone (they are the live generation's), or nothing; then two a learner: its last offset, its packed update (stream/merge.py: pack_update)
-- Answers {"OK", {learner's place, list that stood before or false, {what the history held}, course, ...}, ...}
--      or {"ABSENT"}, {"RETIRED"}, {"NONCE"}, {"GAP", applied}, {"DAMAGED"}: the state holds what no merge wrote
--
-- A run of no offsets (the first is the last + 1) joins what the log holds further on before its time has come, as an
-- erasure into a generation that nobody feeds any more: a join may come early, and does so again when its time comes.
--
-- Everything is read and checked before the first write: there is no rollback. Stamps are compared byte by byte,
-- since "<" on strings follows the server's locale; no number is formatted here, since Lua keeps 14 digits.

local byte, sub = string.byte, string.sub
local ERASED, FEEDBACK, PROFILE = 1, 2, 4
local FIXED = { [1] = 24, [2] = 24, [3] = 28, [4] = 24, [5] = 36, [7] = 36, [8] = 25 }
local ZERO = string.rep("\0", 8)

local function greater(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x > y end
  end
  return #a > #b
end

local function u16(packed, at) return byte(packed, at) * 256 + byte(packed, at + 1) end

local function register_end(packed, at)
  local rank = byte(packed, at + 7) % 16
  return at + (FIXED[rank] or 26 + u16(packed, at + 24)) - 1
end

-- Raised where the state holds what no merge wrote, and told from whatever else breaks.
local DAMAGE = {}

-- Returns what a command that reads answers; damage is a key of another type.
local function read(...)
  local found = redis.pcall(...)
  if type(found) ~= "table" or not found.err then return found end
  error(string.find(found.err, "^WRONGTYPE") and DAMAGE or found)
end

-- Damage is a record that is no row of whole registers.
local function check_record(packed)
  local at, size = 1, #packed
  while at <= size do
    local rank = size - at >= 23 and byte(packed, at + 7) % 16 or 0
    if rank < 1 or rank > 12 or (not FIXED[rank] and size - at < 25) then error(DAMAGE) end
    at = register_end(packed, at) + 1
  end
  if at ~= size + 1 then error(DAMAGE) end
end

local function kind_of(register)
  local rank = byte(register, 8) % 16
  return rank == 2 and 1 or rank
end

-- Adds the registers of a packed record to `cells` (kind -> register): the later writer, none that is erased.
local function join_into(cells, packed, threshold)
  local at = 1
  while at <= #packed do
    local last = register_end(packed, at)
    local register = sub(packed, at, last)
    local kind = kind_of(register)
    if greater(sub(register, 1, 8), threshold) and (not cells[kind] or greater(register, cells[kind])) then
      cells[kind] = register
    end
    at = last + 1
  end
end

local function pack_cells(cells)
  local parts = {}
  for kind = 1, 12 do parts[#parts + 1] = cells[kind] end
  return table.concat(parts)
end

-- The day of an enrolment that counts (u32 bytes), or nil: us = head / 16 is exact in a double.
local function counted_day(packed)
  if packed == "" or byte(packed, 8) % 16 ~= 1 then return nil end
  local high, low = struct.unpack(">I4I4", packed)
  local us = high * 268435456 + math.floor(low / 16)
  return struct.pack(">I4", math.floor(us / 86400000000))
end

local meta = redis.call("HMGET", KEYS[1], "nonce", "status", "applied")
if not meta[1] then return { "ABSENT" } end
if meta[2] == "retired" then return { "RETIRED" } end
if meta[1] ~= ARGV[1] then return { "NONCE" } end
local applied, first, last = tonumber(meta[3]), tonumber(ARGV[2]), tonumber(ARGV[3])
local is_early = first > last
if not is_early and first > applied + 1 then return { "GAP", meta[3] } end
if not is_early and last <= applied then return { "OK" } end

local writes, answer, gone = {}, { "OK" }, {}
local function write(...) writes[#writes + 1] = { ... } end

-- Returns what adds a pair to a command that takes many: a command costs more than a pair. Lua unpacks no more than
-- some thousands.
local function many(...)
  local head, command = { ... }, nil
  return function(one, other)
    if not command or #command > 2000 then
      command = { unpack(head) }
      writes[#writes + 1] = command
    end
    command[#command + 1] = one
    command[#command + 1] = other
  end
end

local mark, place_learner = many("ZADD", KEYS[3]), many("ZADD", KEYS[4], "GT")

local set_key, set_field
local function set(key, field, value)
  if set_key ~= key then set_key, set_field = key, many("HSET", key) end
  set_field(field, value)
end

-- Course and day -> by how many enrolments it has moved.
local moved = {}
local function move(course, day, by)
  if day then moved[course .. day] = (moved[course .. day] or 0) + by end
end

-- Returns the join of two packed records; the run's holds its registers in order, one of a kind.
local function join(stood, packed, threshold)
  if threshold == ZERO and (stood == "" or stood == packed) then return packed end
  check_record(stood)
  local cells = {}
  join_into(cells, stood, threshold)
  join_into(cells, packed, threshold)
  return pack_cells(cells)
end

-- Joins `packed` with what stands in a hash field; answers what stands now.
local function join_field(key, field, stood, packed, threshold)
  local joined = join(stood, packed, threshold)
  if joined == "" and stood ~= "" then
    write("HDEL", key, field)
  elseif joined ~= stood then
    set(key, field, joined)
  end
  return joined
end

-- Reads `number` of (u8 length, field, u16 length, packed) into `fields` and their order.
local function read_fields(update, at, number)
  local fields, order = {}, {}
  for _ = 1, number do
    local name_end = at + byte(update, at)
    local name = sub(update, at + 1, name_end)
    local size = u16(update, name_end + 1)
    fields[name] = sub(update, name_end + 3, name_end + 2 + size)
    order[#order + 1] = name
    at = name_end + 3 + size
  end
  return fields, order, at
end

-- What stands in the hash: for `names` and "" (a history's header), and for an erasure for every other field too, which
-- joins `names`.
local function read_stood(key, names, all)
  local stood, known = {}, {}
  if all then
    for _, name in ipairs(names) do known[name] = true end
    local flat = read("HGETALL", key)
    for i = 1, #flat, 2 do
      stood[flat[i]] = flat[i + 1]
      if flat[i] ~= "" and not known[flat[i]] then names[#names + 1] = flat[i] end
    end
  else
    local values = read("HMGET", key, "", unpack(names))
    stood[""] = values[1] or nil
    for i, name in ipairs(names) do stood[name] = values[i + 1] or nil end
  end
  return stood
end

local key_at = 4
local function next_key()
  key_at = key_at + 1
  return KEYS[key_at]
end

-- Drops the pending writes of these courses, for an erasure of all, up to the learner's last offset in the run, also
-- where it comes early; and what is none. They are of no generation, so that no rebuild would mend them.
local function drop_pending(key, courses, erased, reached)
  if ARGV[5] == "pending writes" or not (erased or #courses > 0) then return end
  local is_hash, stood = pcall(read_stood, key, erased and {} or courses, erased)
  if not is_hash then return write("DEL", key) end
  for course, packed in pairs(stood) do
    local high, low = 0, 0
    if #packed == 9 then high, low = struct.unpack(">I4I4", packed) end
    if high * 4294967296 + low <= reached then write("HDEL", key, course) end
  end
end

-- The later of the header's part and the update's, 8 bytes each.
local function later(header, at, given)
  local known = sub(header, at, at + 7)
  return greater(given, known) and given or known
end

-- Joins records into the history; answers whether any is left, and notes first enrolments.
local function merge_history(place, history, list, courses, names, stood, threshold)
  local firsts, holds = {}, false
  for _, course in ipairs(names) do
    local before = stood[course] or ""
    local after = join_field(history, course, before, courses[course] or "", threshold)
    holds = holds or after ~= ""
    if after ~= before then
      local old, new = counted_day(before), counted_day(after)
      if old ~= new then
        move(course, old, -1)
        move(course, new, 1)
      end
      local was_enrolled = before ~= "" and kind_of(before) == 1
      if new and not was_enrolled then firsts[#firsts + 1] = course end
    end
  end
  if ARGV[5] == "first enrolments" and #firsts > 0 then
    local listed = redis.pcall("GET", list)
    answer[#answer + 1] = { place, type(listed) == "string" and listed, read("HKEYS", history), unpack(firsts) }
  end
  return holds
end

-- Joins feedback or profile registers; answers where the update goes on, and whether any register is left.
local function merge_beside(update, at, given, erased, threshold, pending, reached)
  if not (given or erased) then return at, false end
  local key, fields, names, holds = next_key(), {}, {}, false
  if given then fields, names, at = read_fields(update, at + 2, u16(update, at)) end
  if pending and not erased then drop_pending(pending, names, false, reached) end
  local stood = read_stood(key, names, erased)
  for _, name in ipairs(names) do
    local joined = join_field(key, name, stood[name] or "", fields[name] or "", threshold)
    holds = holds or joined ~= ""
  end
  return at, holds
end

local function merge_learner(place, score, update)
  local flags = byte(update, 1)
  local erased = flags % 2 == ERASED
  local user_end = 2 + byte(update, 2)
  local user = sub(update, 3, user_end)
  local history, list, pending, reached = next_key(), next_key(), next_key(), tonumber(score)
  local courses, names, at = read_fields(update, user_end + 27, u16(update, user_end + 25))
  drop_pending(pending, names, erased, reached)
  local stood = read_stood(history, names, erased)
  local header = stood[""] or string.rep("\0", 32)
  if #header ~= 32 then error(DAMAGE) end
  local version = later(header, 1, sub(update, user_end + 1, user_end + 8))
  local threshold = later(header, 17, sub(update, user_end + 9, user_end + 16))
  local erasure = later(header, 25, sub(update, user_end + 17, user_end + 24))

  local holds = merge_history(place, history, list, courses, names, stood, threshold)
  for _, flag in ipairs({ FEEDBACK, PROFILE }) do
    local held
    local given = math.floor(flags / flag) % 2 == 1
    at, held = merge_beside(update, at, given, erased, threshold, flag == FEEDBACK and pending, reached)
    holds = holds or held
  end

  local is_newer = version ~= sub(header, 1, 8)
  local new_header = version .. sub(header, 9, 16) .. threshold .. erasure
  if new_header ~= header then set(history, "", new_header) end
  if erased then
    write("DEL", list, next_key(), next_key())
    gone[#gone + 1] = user
  end
  place_learner(score, user)
  if erased and not holds then
    write("ZREM", KEYS[3], user)
  elseif is_newer or erased then
    mark(ARGV[4], user)
  end
end

local is_whole, trouble = pcall(function()
  read("HLEN", KEYS[2])
  read("ZCARD", KEYS[3])
  read("ZCARD", KEYS[4])
  for i = 6, #ARGV, 2 do merge_learner((i - 6) / 2, ARGV[i], ARGV[i + 1]) end
end)
if trouble == DAMAGE then return { "DAMAGED" } end
if not is_whole then error(trouble, 0) end
for _, command in ipairs(writes) do redis.call(unpack(command)) end
for cell, by in pairs(moved) do
  if by ~= 0 and redis.call("HINCRBY", KEYS[2], cell, string.format("%d", by)) == 0 then
    redis.call("HDEL", KEYS[2], cell)
  end
end
if not is_early then redis.call("HSET", KEYS[1], "applied", ARGV[3]) end
-- Who follows the list of an erased learner must not keep it; by pcall: who may not publish must not lose the merge.
if #gone > 0 then redis.pcall("PUBLISH", "cs:changed", cmsgpack.pack(gone)) end
return answer

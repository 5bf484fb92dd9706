-- Adds what learners of an experiment did to the figures of their arms: those who were given a list, each tested once.
-- KEYS  1 figures, 2 marks
-- ARGV  1 seconds to live; then for each learner: draw, arm, lists, clicks, enrolments,
--       test ("": none, "0": a miss, "1": a hit)
local figures, marks = KEYS[1], KEYS[2]

local function add(arm, measure, number)
  if number ~= "0" then redis.call("HINCRBY", figures, arm .. " " .. measure, number) end
end

for at = 2, #ARGV, 6 do
  local draw, arm, lists, clicks, enrolments, test = unpack(ARGV, at, at + 5)
  if lists ~= "0" and redis.call("HSETNX", marks, draw, "0") == 1 then add(arm, "learners", "1") end
  local mark = redis.call("HGET", marks, draw)
  if mark then
    add(arm, "lists", lists)
    add(arm, "clicks", clicks)
    add(arm, "enrolments", enrolments)
    if mark == "0" and test ~= "" then
      redis.call("HSET", marks, draw, "1")
      add(arm, "tests", "1")
      add(arm, "hits", test)
    end
  end
end
redis.call("EXPIRE", figures, ARGV[1])
redis.call("EXPIRE", marks, ARGV[1])
return 1

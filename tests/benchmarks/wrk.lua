-- What load.py asks of wrk, through the environment: requests for LOAD_SECONDS, then the answers to all of them.
-- LOAD_PATH and LOAD_BODY are sent with `@` replaced: by the lines of the file LOAD_VALUES in turn, each once unless
-- LOAD_AGAIN is set, or without a file by a number. Where none is left the load ends.

local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, nanoseconds; } clock_time; int clock_gettime(int, clock_time *);")
local clock = ffi.new("clock_time")
local NEVER = 3600 * 1000

local function now()
   ffi.C.clock_gettime(0, clock)
   return tonumber(clock.seconds) + tonumber(clock.nanoseconds) / 1e9
end

local function around(text)
   local head, tail = text:match("^(.-)@(.*)$")
   return head or text, tail
end

local function filled(head, tail, value)
   return tail and head .. value .. tail or head
end

function setup(thread)
   only = thread
end

function init()
   method, seconds = os.getenv("LOAD_METHOD"), tonumber(os.getenv("LOAD_SECONDS"))
   path_head, path_tail = around(os.getenv("LOAD_PATH"))
   body_head, body_tail = around(os.getenv("LOAD_BODY"))
   again = os.getenv("LOAD_AGAIN") == "1"
   first = tonumber(os.getenv("LOAD_FIRST"))
   if os.getenv("LOAD_VALUES") ~= "" then
      values = {}
      for line in io.lines(os.getenv("LOAD_VALUES")) do
         values[#values + 1] = line
      end
   end
   headers = { ["Content-Type"] = body_head ~= "" and "application/json" or nil }
   if os.getenv("LOAD_CREDENTIAL") ~= "" then
      headers["Authorization"] = "Bearer " .. os.getenv("LOAD_CREDENTIAL")
   end
   if os.getenv("LOAD_TRACEPARENT") ~= "" then
      headers["traceparent"] = os.getenv("LOAD_TRACEPARENT")
   end
   sent, made, answered, statuses, began, ended = 0, 0, 0, {}, 0, 0
end

local function exhausted()
   return values and not again and first + sent >= #values
end

local function tell_if_drained()
   if answered == sent and not told then
      told = true
      io.write("drained\n")
      io.flush()
   end
end

-- Asked before each request of a connection: in how many milliseconds to send it.
function delay()
   local time = now()
   if sent == 0 then
      began = time
   end
   if time - began >= seconds or exhausted() then
      over = true
      tell_if_drained()
      return NEVER
   end
   sent = sent + 1
   return 0
end

function request()
   local place = first + made
   if sent > 0 then -- wrk asks for one more before it begins
      made = made + 1
   end
   local value = values and values[place % #values + 1] or place
   local body = body_head ~= "" and filled(body_head, body_tail, value) or nil
   return wrk.format(method, filled(path_head, path_tail, value), headers, body)
end

function response(status)
   answered, ended = answered + 1, now()
   statuses[status] = (statuses[status] or 0) + 1
   if over then
      tell_if_drained()
   end
end

function done(summary, latency)
   local lines = { sent = only:get("sent"), began = only:get("began"), ended = only:get("ended") }
   lines.p50, lines.p99 = latency:percentile(50) / 1000, latency:percentile(99) / 1000
   local errors = summary.errors
   lines.lost = errors.connect + errors.read + errors.write + errors.timeout
   for status, count in pairs(only:get("statuses")) do
      lines["status " .. status] = count
   end
   for name, value in pairs(lines) do
      io.write(string.format("result %s=%.6f\n", name, value))
   end
end

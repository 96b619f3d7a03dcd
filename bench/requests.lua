-- wrk -s requests.lua URL -- FILE THREADS: sends the requests of FILE one after the other, again and again.
-- FILE is a row of "<length>\n<raw HTTP request>". Each thread begins at another place, so that threads do not meet at one picture.

local threads = 0

function setup(thread)
   thread:set("number", threads)
   threads = threads + 1
end

function init(args)
   requests = {}
   local file = assert(io.open(args[1], "rb"))
   while true do
      local length = file:read("*n")
      if not length then break end
      file:read(1)
      requests[#requests + 1] = file:read(length)
   end
   file:close()
   position = math.floor(number * #requests / tonumber(args[2]))
end

function request()
   position = position % #requests + 1
   return requests[position]
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format(
      '\nRESULT {"requests": %d, "duration_us": %d, "failed": %d, "refused": %d, "p50_us": %d, "p99_us": %d}\n',
      summary.requests, summary.duration, e.connect + e.read + e.write + e.timeout, e.status,
      latency:percentile(50), latency:percentile(99)))
end

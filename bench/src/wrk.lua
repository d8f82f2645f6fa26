-- Sends the headers of a file in turn, one a request, and prints the figures in one line.

local requests = {}
local at = 0

function init(args)
  for line in io.lines(args[1]) do
    local name, value = line:match("^(.-): (.*)$")
    requests[#requests + 1] = wrk.format("GET", "/me", { [name] = value })
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  local p50, p99 = latency:percentile(50), latency:percentile(99)
  print(string.format("figures %d %d %d %d %d", summary.requests, summary.duration, p50, p99, errors))
end

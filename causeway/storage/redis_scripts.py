"""The atomic steps of `RedisState`, in Lua 5.1 as Redis 7 and Valkey run it.

The arithmetic is that of ``gauges``. Numbers are doubles: exact up to 2^53, nine billion dollars in micros. What goes to
RESERVE, SETTLE and LOAD is one MessagePack argument, and so is what RESERVE answers: 35 arguments one by one take the client
30 us more, and a plain number in an answer loses its fraction.

Keys, all with a life of their own: ``window:KEY`` a hash of slots with ``used``, ``head`` and ``newest``; ``total:KEY`` an
integer; ``level:KEY`` a sorted set with one member for each unit that is held, scored by the end of its lease;
``reservation:ID`` what was taken, packed by MessagePack.
"""

from __future__ import annotations

from causeway.storage.shared_state import WINDOW_SLOTS

_METERS = (
    f"local SLOTS = {WINDOW_SLOTS}"
    + """
local RING = SLOTS + 1

local function the_time(given)
  if given > 0 then return given end
  local time = redis.call('TIME')
  return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- lets a key live for at least so long
local function live(key, seconds)
  local ms = math.ceil(seconds * 1000)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end

-- lets go of the slots that have left the window: its sum, its present slot, its newest slot with something in it
local function advance(key, width, now)
  local slot = math.floor(now / width)
  local stored = redis.call('HMGET', key, 'used', 'head', 'newest')
  local used, head, newest = tonumber(stored[1] or 0), tonumber(stored[2] or slot), tonumber(stored[3] or 0)
  if slot <= head then return used, head, newest end
  if slot - head >= RING then
    redis.call('DEL', key)
    return 0, slot, newest
  end
  local passed = {}
  for s = head + 1, slot do passed[#passed + 1] = s % RING end
  for _, amount in ipairs(redis.call('HMGET', key, unpack(passed))) do used = used - tonumber(amount or 0) end
  redis.call('HDEL', key, unpack(passed))
  redis.call('HSET', key, 'used', used, 'head', slot)
  return used, slot, newest
end

local function take_window(key, width, slot, amount)
  if amount == 0 then return end
  redis.call('HINCRBY', key, slot % RING, amount)
  redis.call('HINCRBY', key, 'used', amount)
  redis.call('HSET', key, 'head', slot, 'newest', slot)
  live(key, width * RING * 2)
end
"""
)

RESERVE = (
    _METERS
    + """
-- KEYS: the reservation, then each meter. ARGV: the time or zero, the lease and how much longer the reservation is kept,
-- in seconds, its id; and of each meter: kind, unit, limit, amount, window_s, ends_at
local given, lease, kept, id, asked = unpack(cmsgpack.unpack(ARGV[1]))
local now = the_time(given)
local meters, unknown = {}, {}

for n, a in ipairs(asked) do
  local m = {key = KEYS[n + 1], kind = a[1], unit = a[2], limit = a[3], amount = a[4], width = a[5] / SLOTS, ends = a[6],
             slot = 0, resets = 0}
  if m.kind == 'window' then
    m.used, m.slot, m.newest = advance(m.key, m.width, now)
  elseif m.kind == 'level' then
    redis.call('ZREMRANGEBYSCORE', m.key, '-inf', now)
    m.used = redis.call('ZCARD', m.key)
  else
    local stored = redis.call('GET', m.key)
    m.used = stored and tonumber(stored)
    if not m.used then unknown[#unknown + 1] = n - 1 end
  end
  meters[#meters + 1] = m
end
if #unknown > 0 then return cmsgpack.pack({unknown, -1, 0, {}, {}}) end

-- seconds until the amount fits; math.huge when it never does
local function wait(m)
  if m.amount > m.limit then return math.huge end
  if m.kind == 'level' then return 0 end
  if m.kind == 'total' then return math.max(0, m.ends - now) end
  local slots = {}
  for s = m.slot - SLOTS, m.slot do slots[#slots + 1] = s % RING end
  local amounts, left = redis.call('HMGET', m.key, unpack(slots)), m.used
  for n, amount in ipairs(amounts) do
    left = left - tonumber(amount or 0)
    if left + m.amount <= m.limit then return (m.slot - SLOTS + n - 1 + RING) * m.width - now end
  end
  return math.huge
end

local repeated = redis.call('EXISTS', KEYS[1]) == 1
local refused, longest = -1, -1
for n, m in ipairs(meters) do
  if not repeated and m.amount > 0 and m.used + m.amount > m.limit then
    local seconds = wait(m)
    if seconds > longest then refused, longest = n - 1, seconds end
  end
end

if refused < 0 and not repeated then
  local lease_end = math.ceil(now + lease)
  local taken = {}
  for n, m in ipairs(meters) do
    if m.kind == 'window' then
      take_window(m.key, m.width, m.slot, m.amount)
      if m.amount > 0 then m.newest = m.slot end
    elseif m.kind == 'level' then
      for unit = 1, m.amount do redis.call('ZADD', m.key, lease_end, id .. '#' .. unit) end
      live(m.key, lease + 1)
    else
      redis.call('INCRBY', m.key, m.amount)
    end
    m.used = m.used + m.amount
    taken[n] = {m.kind, m.key, m.unit, m.amount, m.slot, m.width}
  end
  redis.call('SET', KEYS[1], cmsgpack.pack(taken), 'PX', math.ceil((lease + kept) * 1000))
end

local remaining, resets = {}, {}
for n, m in ipairs(meters) do
  if m.kind == 'window' and m.used ~= 0 then m.resets = (m.newest + RING) * m.width - now end
  if m.kind == 'total' then m.resets = math.max(0, m.ends - now) end
  remaining[n], resets[n] = m.limit - m.used, m.resets
end
return cmsgpack.pack({unknown, refused, longest, remaining, resets})
"""
)
"""Answers the places of the totals to load, the refused meter's place or -1, how long to wait for it, and of each meter what
remains and in how many seconds it is empty."""

SETTLE = (
    _METERS
    + """
-- KEYS: the reservation. ARGV: the time or zero, its id, for how many milliseconds it may not be reserved any more, and what
-- was used by unit
local given, id, barred, used = unpack(cmsgpack.unpack(ARGV[1]))
local packed = redis.call('GET', KEYS[1])
redis.call('DEL', KEYS[1])
if barred > 0 then redis.call('SET', KEYS[1], '', 'PX', barred) end
if not packed or packed == '' then return 0 end
local now = the_time(given)

for _, part in ipairs(cmsgpack.unpack(packed)) do
  local kind, key, unit, taken, slot, width = unpack(part)
  local more = (used[unit] or taken) - taken
  if kind == 'level' then
    for held = 1, taken do redis.call('ZREM', key, id .. '#' .. held) end
  elseif kind == 'total' then
    if more ~= 0 and redis.call('EXISTS', key) == 1 then redis.call('INCRBY', key, more) end
  elseif more ~= 0 then
    local _, present = advance(key, width, now)
    if more > 0 then
      take_window(key, width, present, more)
    elseif present - slot < RING and redis.call('HEXISTS', key, slot % RING) == 1 then
      redis.call('HINCRBY', key, slot % RING, more)
      redis.call('HINCRBY', key, 'used', more)
    end
  end
end
return 1
"""
)
"""Answers whether the reservation was there."""

LOAD = (
    _METERS
    + """
-- KEYS: the total. ARGV: the time or zero, what was used, until when it is kept
local given, used, kept_until = unpack(cmsgpack.unpack(ARGV[1]))
redis.call('SET', KEYS[1], used, 'NX', 'PX', math.max(1000, math.ceil((kept_until - the_time(given)) * 1000)))
"""
)
"""A total that is there stays as it is."""

ADD = """
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return count
"""
"""KEYS: the counter. ARGV: how much, its life in milliseconds."""

APPEND = """
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], '*', 'v', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""
"""KEYS: the log. ARGV: the value, the most values, its life in milliseconds."""

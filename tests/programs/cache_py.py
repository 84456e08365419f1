"""redis-py's own client-side cache: reads are answered from memory until the server invalidates.

Usage: cache_py.py PORT. Prints what it saw; an assertion or an error ends it.

redis-py refuses servers that call themselves older than 7.4. What it needs (CLIENT TRACKING over
RESP3) is in 6.0 already, so it is told that 7.0 will do; nothing else of it is changed."""

import sys
import time

import redis
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection

CacheProxyConnection.MIN_ALLOWED_VERSION = "7.0.0"
port = int(sys.argv[1])
plain = redis.Redis(port=port, decode_responses=True)
plain.flushall()
cached = redis.Redis(
    port=port, protocol=3, decode_responses=True, cache_config=CacheConfig(max_size=1000)
)
cache = cached.get_cache()


def gets():
    """How often the server has seen a GET."""
    return plain.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"]


def reads(count):
    """Reads `key`, says what and how often the server was asked."""
    before = gets()
    values = {cached.get("key") for _ in range(count)}
    return values, gets() - before


def sees(value):
    """Reads until the cache gives `value`: the invalidation comes on its own time."""
    deadline = time.monotonic() + 20
    while cached.get("key") != value:
        assert time.monotonic() < deadline, cached.get("key")
        time.sleep(0.005)


plain.set("key", "one")
print("filled", reads(1))
print("from memory", reads(50), "entries", cache.size)
plain.set("key", "two")
sees("two")
print("another client wrote", reads(50))
cached.set("key", "three")
sees("three")
print("wrote itself", reads(50))
plain.set("key", "short")
sees("short")
plain.pexpire("key", 100)
sees(None)
print("expired", reads(1)[0])
plain.set("key", "four")
sees("four")
plain.flushall()
sees(None)
print("flushed", reads(1)[0])
plain.rpush("list", 1, 2, 3)
plain.hset("hash", mapping={"f": "v"})
print("other types", cached.lrange("list", 0, -1), cached.hget("hash", "f"), cached.mget("list2", "key"))
plain.eval("redis.call('SET', KEYS[1], 'by a script')", 1, "key")
sees("by a script")
with plain.pipeline() as pipe:
    pipe.set("key", "x").set("key", "by a transaction").execute()
sees("by a transaction")
print("by a script and by a transaction")

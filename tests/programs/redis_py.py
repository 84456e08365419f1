"""redis-py: pipelines, WATCH, pub/sub, scripts, locks, streams, in RESP2 and in RESP3.

Usage: redis_py.py PORT. Prints what it saw; an assertion or an error ends it."""

import sys
import threading
import time

import redis


def pipelines(r):
    with r.pipeline(transaction=True) as pipe:
        replies = pipe.set("a", 1).incr("a").rpush("l", "x", "y").lrange("l", 0, -1).execute()
    print("transaction", replies)
    with r.pipeline(transaction=False) as pipe:
        for i in range(100):
            pipe.set(f"k{i}", i)
        pipe.mget([f"k{i}" for i in range(100)])
        print("pipeline of", len(pipe), "sum", sum(map(int, pipe.execute()[-1])))
    with r.pipeline() as pipe:
        pipe.set("s", "text").lpush("s", "no list").get("s")
        replies = pipe.execute(raise_on_error=False)
    print("an error inside:", replies[0], type(replies[1]).__name__, replies[2])


def optimistic_locking(r):
    """Four threads raise one counter with WATCH, GET, MULTI, SET, EXEC: none of it may be lost."""
    r.set("counter", 0)

    def work():
        for _ in range(25):

            def raise_it(pipe):
                value = int(pipe.get("counter"))
                pipe.multi()
                pipe.set("counter", value + 1)

            r.transaction(raise_it, "counter")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("counter", r.get("counter"))
    with r.pipeline() as pipe:
        pipe.watch("counter")
        r.set("counter", "other")
        pipe.multi()
        pipe.set("counter", "mine")
        try:
            outcome = pipe.execute()
        except redis.WatchError:
            outcome = "refused"
    print("a watched key changed:", outcome, r.get("counter"))


def publish_and_subscribe(r):
    heard = []
    done = threading.Event()

    def hear(message):
        heard.append((message["type"], message["pattern"], message["channel"], message["data"]))
        if message["data"] == "last":
            done.set()

    p = r.pubsub(ignore_subscribe_messages=True)
    p.subscribe(news=hear)
    p.psubscribe(**{"sport.*": hear})
    while r.pubsub_numsub("news") != [("news", 1)] or r.pubsub_numpat() != 1:
        time.sleep(0.01)
    thread = p.run_in_thread(sleep_time=0.01)
    receivers = [r.publish("news", "one"), r.publish("sport.golf", "two"), r.publish("x", "three")]
    r.publish("news", "last")
    assert done.wait(20)
    thread.stop()
    thread.join()
    print("published", receivers, "heard", heard)


def scripts(r):
    multiply = r.register_script("return redis.call('GET', KEYS[1]) * ARGV[1]")
    r.set("n", 6)
    print("script", multiply(keys=["n"], args=[7]))
    r.script_flush()
    print("loaded again", multiply(keys=["n"], args=[2]), r.script_exists(multiply.sha))
    with r.pipeline() as pipe:
        pipe.set("n", 10)
        multiply(keys=["n"], args=[5], client=pipe)
        print("in a transaction", pipe.execute())
    print("types", r.eval("return {1, 'two', {3.7}, false, redis.status_reply('FINE')}", 0))
    try:
        r.eval("return redis.call('LPUSH', KEYS[1], 1)", 1, "n")
    except redis.ResponseError as error:
        print("error", str(error).split(" script:")[0])


def locks(r):
    lock = r.lock("resource", timeout=20)
    assert lock.acquire(blocking=False)
    other = r.lock("resource", timeout=20, blocking_timeout=0.1)
    print("lock held", lock.locked(), lock.owned(), "by another", other.acquire())
    print("extended", lock.extend(10), lock.reacquire())
    lock.release()
    with other:
        print("then the other", other.owned(), 0 < r.pttl("resource") <= 20000)
    print("free", r.exists("resource"))


def streams(r):
    ids = [r.xadd("st", {"n": i}, id=f"{i}-1") for i in range(1, 6)]
    r.xgroup_create("st", "g", id="0")
    read = r.xreadgroup("g", "c", {"st": ">"}, count=3)
    print("ids", ids, "read", read)
    print("acked", r.xack("st", "g", "1-1"), "pending", r.xpending("st", "g"))
    print("claimed", r.xautoclaim("st", "g", "d", 0, count=1))


def scans(r):
    print("keys", len(set(r.scan_iter("k*", count=7))), r.dbsize())
    r.hset("h", mapping={f"f{i}": i for i in range(300)})
    print("fields", len(dict(r.hscan_iter("h"))))
    r.zadd("z", {f"m{i}": i / 2 for i in range(10)})
    print("scores", r.zrange("z", 2, 4, withscores=True), r.zpopmax("z"))


for protocol in (2, 3):
    client = redis.Redis(port=int(sys.argv[1]), protocol=protocol, decode_responses=True)
    client.flushall()
    print("protocol", protocol)
    for part in (pipelines, optimistic_locking, publish_and_subscribe, scripts, locks, streams, scans):
        part(client)
    client.close()

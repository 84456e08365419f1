"""Writes through redis-py in Sentinel mode until it is killed: a line for each write and each error.

    sentinel.py name port port port

By default redis-py waits up to 2, 4 and 8 s between its attempts, also to reach a Sentinel that is
gone, so an application that wants to write again soon says how often it tries.
"""

import sys
import time

from redis.backoff import ConstantBackoff, NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

name, ports = sys.argv[1], sys.argv[2:]
sentinel = Sentinel(
    [("127.0.0.1", int(port)) for port in ports],
    sentinel_kwargs={"socket_timeout": 0.5, "retry": Retry(NoBackoff(), 0)},
)
primary = sentinel.master_for(name, socket_timeout=0.5, retry=Retry(ConstantBackoff(0.05), 3))
number = 0
while True:
    number += 1
    try:
        primary.set("py:%d" % number, number)
        print("ok", number, flush=True)
    except RedisError as error:
        print("failed", number, str(error).replace("\n", " "), flush=True)
    time.sleep(0.005)

"""Writes through redis-py in Sentinel mode until it is killed: a line for each write and each error.

    sentinel.py name port port port
"""

import sys
import time

from redis.exceptions import RedisError
from redis.sentinel import Sentinel

name, ports = sys.argv[1], sys.argv[2:]
sentinel = Sentinel([("127.0.0.1", int(port)) for port in ports], socket_timeout=0.5)
primary = sentinel.master_for(name, socket_timeout=0.5)
number = 0
while True:
    number += 1
    try:
        primary.set("py:%d" % number, number)
        print("ok", number, flush=True)
    except RedisError as error:
        print("failed", number, str(error).replace("\n", " "), flush=True)
    time.sleep(0.005)

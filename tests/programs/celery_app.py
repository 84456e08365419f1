"""celery with Redis as its broker and for its results: a worker beside the caller.

Usage: celery_app.py PORT. Prints what it saw; an assertion or an error ends it."""

import sys

from celery import Celery, chain, chord, group
from celery.contrib.testing.worker import start_worker

url = f"redis://127.0.0.1:{sys.argv[1]}"
app = Celery("programs", broker=url + "/0", backend=url + "/1")
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fail():
    raise ValueError("meant to fail")


with start_worker(app, pool="solo", perform_ping_check=False, loglevel="critical"):
    print("result", add.delay(40, 2).get(timeout=20))
    print("group", group(add.s(i, i) for i in range(10))().get(timeout=20))
    print("chain", chain(add.s(1, 2), add.s(10))().get(timeout=20))
    print("chord", chord((add.s(i, 1) for i in range(5)), total.s())().get(timeout=20))
    print("later", add.apply_async((2, 3), countdown=0.2).get(timeout=20))
    failed = fail.delay()
    print("failed", repr(failed.get(timeout=20, propagate=False)), failed.state)

"""rq: jobs are enqueued, a burst worker runs them, their results are read.

Usage: rq_queue.py PORT. Prints what it saw; an assertion or an error ends it."""

import logging
import sys
from datetime import timedelta

import jobs
import redis
from rq import Queue, Retry, SimpleWorker
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry

logging.disable(logging.CRITICAL)
connection = redis.Redis(port=int(sys.argv[1]))
connection.flushall()
high, low = Queue("high", connection=connection), Queue("low", connection=connection)

first = low.enqueue(jobs.add, 1, 2)
many = low.enqueue_many([Queue.prepare_data(jobs.add, (i, i)) for i in range(20)])
urgent = high.enqueue(jobs.add, 40, 2)
failing = low.enqueue(jobs.fail)
retried = low.enqueue(jobs.fail, retry=Retry(max=2))
dependent = low.enqueue(jobs.after, 7, depends_on=first)
cancelled = low.enqueue(jobs.add, 0, 0)
cancelled.cancel()
later = low.enqueue_in(timedelta(hours=1), jobs.add, 5, 5)
print("queued", high.count, low.count, "deferred", dependent.get_status(refresh=True).value)

worker = SimpleWorker([high, low], connection=connection)
print("worked", worker.work(burst=True, logging_level="CRITICAL"))

print("results", first.return_value(), urgent.return_value(), dependent.return_value())
print("many", sum(job.return_value() for job in many))
print("failed", failing.get_status(refresh=True).value, failing.latest_result().exc_string.strip().split("\n")[-1])
print("retried", retried.get_status(refresh=True).value, "left", retried.retries_left)
print("cancelled", cancelled.get_status(refresh=True).value)
print("finished", len(FinishedJobRegistry(queue=low)), "failed", len(FailedJobRegistry(queue=low)))
print("scheduled", len(ScheduledJobRegistry(queue=low)), later.get_status(refresh=True).value)
print("left", high.count, low.count)

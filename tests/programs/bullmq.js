// BullMQ on ioredis: queue, worker, delayed, prioritised, failing and repeated jobs, a flow, events.
//
// Usage: bullmq.js PORT. Prints what it saw; an assertion or an error ends it.
'use strict';

const assert = require('node:assert');
const { Queue, Worker, QueueEvents, FlowProducer } = require('bullmq');

const connection = { host: '127.0.0.1', port: Number(process.argv[2]), maxRetriesPerRequest: null };

async function main() {
  const queue = new Queue('work', { connection });
  const events = new QueueEvents('work', { connection });
  await events.waitUntilReady();
  const seen = { added: 0, completed: 0, failed: 0, progress: 0 };
  for (const name of Object.keys(seen)) events.on(name, () => { seen[name] += 1; });
  await queue.client;

  // Waiting jobs are taken by their priority, so the order is known once a worker comes.
  const bulk = await queue.addBulk([3, 1, 2].map((n) => ({
    name: 'square', data: { n }, opts: { priority: n },
  })));
  const again = await queue.add('flaky', {}, { attempts: 3, backoff: { type: 'fixed', delay: 50 }, priority: 4 });
  const bad = await queue.add('bad', {}, { priority: 5 });
  const start = Date.now();
  const delayed = await queue.add('delayed', { n: 9 }, { delay: 300 });
  const counts = await queue.getJobCounts('prioritized', 'delayed', 'waiting');
  console.log('queued', JSON.stringify(counts));

  const order = [];
  let attempts = 0;
  const worker = new Worker('work', async (job) => {
    order.push(job.name + (job.data.n ?? ''));
    if (job.name === 'flaky' && ++attempts < 3) throw new Error('not yet');
    if (job.name === 'bad') throw new Error('meant to fail');
    await job.updateProgress(50);
    return (job.data.n ?? 0) ** 2;
  }, { connection, concurrency: 1 });
  worker.on('error', (error) => { console.log('worker error', error.message); process.exitCode = 1; });

  const results = await Promise.all(bulk.map((job) => job.waitUntilFinished(events, 20000)));
  console.log('results', JSON.stringify(results), 'order', order.slice(0, 3).join(' '));
  await again.waitUntilFinished(events, 20000);
  console.log('flaky after', attempts, 'attempts');
  console.log('bad', await bad.waitUntilFinished(events, 20000).catch((error) => error.message));
  console.log('delayed', await delayed.waitUntilFinished(events, 20000), Date.now() - start >= 300);

  // A parent runs after its children and reads what they returned.
  const flow = new FlowProducer({ connection });
  const tree = await flow.add({
    name: 'parent', queueName: 'family', data: {},
    children: [1, 2, 3].map((n) => ({ name: 'child', queueName: 'family', data: { n } })),
  });
  const familyEvents = new QueueEvents('family', { connection });
  await familyEvents.waitUntilReady();
  const family = new Worker('family', async (job) => {
    if (job.name === 'child') return job.data.n;
    return Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0);
  }, { connection, concurrency: 4 });
  console.log('flow', await tree.job.waitUntilFinished(familyEvents, 20000));

  // A scheduler makes a job again and again.
  let ticks = 0;
  const three = new Promise((resolve) => {
    worker.on('completed', (job) => { if (job.name === 'tick' && ++ticks === 3) resolve(); });
  });
  await queue.upsertJobScheduler('clock', { every: 50 }, { name: 'tick' });
  await three;
  await queue.removeJobScheduler('clock');
  console.log('scheduler', (await queue.getJobSchedulers()).length);

  await queue.pause();
  await queue.add('held', {});
  console.log('paused', await queue.isPaused(), await queue.getWaitingCount());
  await queue.drain(true);
  await queue.resume();
  assert(seen.added >= 6 && seen.completed >= 5 && seen.failed >= 1 && seen.progress >= 5, JSON.stringify(seen));
  console.log('events seen');
  console.log('failed', (await queue.getFailed()).map((job) => `${job.name}: ${job.failedReason}`).join());
  await Promise.all([worker, family, events, familyEvents, flow].map((each) => each.close()));
  await queue.obliterate({ force: true });
  console.log('left', JSON.stringify(await (await queue.client).keys('bull:work:*')));
  await queue.close();
}

main().catch((error) => { console.error(error); process.exit(1); });

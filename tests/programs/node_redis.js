// node-redis over RESP3: commands, MULTI, WATCH, pub/sub, scripts, its client-side cache, and what
// Spring Session does with keyspace notifications.
//
// Usage: node_redis.js PORT. Prints what it saw; an assertion or an error ends it.
'use strict';

const assert = require('node:assert');
const { setTimeout: sleep } = require('node:timers/promises');
const { createClient, defineScript, WatchError, BasicClientSideCache } = require('redis');

const socket = { host: '127.0.0.1', port: Number(process.argv[2]) };

async function until(what, condition) {
  const deadline = Date.now() + 20000;
  while (!(await condition())) {
    assert(Date.now() < deadline, `never: ${what}`);
    await sleep(5);
  }
}

async function main() {
  const scripts = {
    addTwice: defineScript({
      NUMBER_OF_KEYS: 1,
      SCRIPT: "redis.call('INCRBY', KEYS[1], ARGV[1]) return redis.call('INCRBY', KEYS[1], ARGV[1])",
      parseCommand(parser, key, n) { parser.pushKey(key); parser.push(n.toString()); },
      transformReply: (reply) => reply,
    }),
  };
  const client = createClient({ socket, RESP: 3, scripts });
  client.on('error', (error) => { console.error(error); process.exit(1); });
  await client.connect();
  await client.flushAll();

  await client.hSet('hash', { a: '1', b: '2' });
  console.log('hash', JSON.stringify(await client.hGetAll('hash')));
  await client.zAdd('z', [{ score: 1.5, value: 'x' }, { score: 2, value: 'y' }]);
  console.log('scores', JSON.stringify(await client.zRangeWithScores('z', 0, -1)));
  console.log('multi', JSON.stringify(await client.multi().set('n', 1).incr('n').get('n').exec()));
  console.log('script', await client.addTwice('n', 20));

  const other = client.duplicate();
  other.on('error', (error) => { console.error(error); process.exit(1); });
  await other.connect();
  const watcher = await client.duplicate().connect();
  await watcher.watch('n');
  await other.set('n', 'changed');
  const outcome = await watcher.multi().set('n', 'mine').exec()
    .catch((error) => (error instanceof WatchError ? 'refused' : error.message));
  console.log('watched', outcome, await client.get('n'));

  // In RESP3 one connection subscribes and sends commands.
  const heard = [];
  await client.subscribe('news', (message) => heard.push(message));
  await client.pSubscribe('n*', (message, channel) => heard.push(`${channel}:${message}`));
  console.log('receivers', await other.publish('news', 'hello'), await client.get('n'));
  await until('two messages', () => heard.length === 2);
  console.log('heard', heard.sort().join());

  // A session expires: its owner hears of it, as Spring Session does.
  await other.configSet('notify-keyspace-events', 'Egx');
  const expired = [];
  await client.pSubscribe('__keyevent@*__:*', (key, event) => expired.push(`${event.split(':')[1]} ${key}`));
  await other.set('session:expires:1', '', { PX: 50 });
  await other.set('session:expires:2', '');
  await other.del('session:expires:2');
  await until('the expiry is told', () => expired.includes('expired session:expires:1'));
  console.log('events', expired.sort().join());
  await other.configSet('notify-keyspace-events', '');

  const clientSideCache = new BasicClientSideCache({ ttl: 0, maxEntries: 0 });
  const cached = createClient({ socket, RESP: 3, clientSideCache });
  cached.on('error', (error) => { console.error(error); process.exit(1); });
  await cached.connect();
  await other.set('cached', 'one');
  for (let i = 0; i < 10; i++) assert.strictEqual(await cached.get('cached'), 'one');
  await other.set('cached', 'two');
  await until('the new value', async () => (await cached.get('cached')) === 'two');
  const { hitCount } = clientSideCache.stats();
  console.log('cache hits', hitCount >= 9);

  for (const each of [client, other, watcher, cached]) each.destroy();
}

main().catch((error) => { console.error(error); process.exit(1); });

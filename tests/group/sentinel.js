// Writes through ioredis in Sentinel mode until it is killed: a line for each write and each error.
//
//     sentinel.js name port port port

const Redis = require('ioredis');

const [name, ...ports] = process.argv.slice(2);
const redis = new Redis({
  sentinels: ports.map((port) => ({ host: '127.0.0.1', port: Number(port) })),
  name,
  sentinelRetryStrategy: () => 50,
  retryStrategy: () => 50,
  reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
  commandTimeout: 500,
  maxRetriesPerRequest: null,
  failoverDetector: true,
});
redis.on('error', () => {});
// With failoverDetector ioredis ends for good when +switch-master comes while it asks a Sentinel,
// whichever that is: an application has to begin anew.
redis.on('end', () => redis.connect().catch(() => {}));

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

(async () => {
  for (let number = 1; ; number++) {
    try {
      await redis.set(`js:${number}`, number);
      console.log('ok', number);
    } catch (error) {
      console.log('failed', number, error.message);
    }
    await pause(5);
  }
})();

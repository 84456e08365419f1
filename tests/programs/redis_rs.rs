//! redis-rs: blocking and multiplexed, RESP2 and RESP3, with its client-side cache.

use std::thread;
use std::time::{Duration, Instant};

use larder_tests::Server;
use redis::caching::CacheConfig;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, AsyncConnectionConfig, Commands, PushInfo, PushKind, Script, Value};
use tokio::sync::mpsc;

use crate::on_both;

fn client(server: &Server, protocol: &str) -> redis::Client {
    let url = format!("redis://{}/?protocol={protocol}", server.addr());
    redis::Client::open(url).expect("a good address")
}

fn in_runtime(work: impl Future<Output = redis::RedisResult<()>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work).expect("no command fails");
}

#[test]
fn pipelines_and_transactions() {
    on_both(|server| {
        for protocol in ["resp2", "resp3"] {
            let client = client(server, protocol);
            let mut connection = client.get_connection().expect("it listens");
            let (was, sum, list): (Option<i64>, i64, Vec<String>) = redis::pipe()
                .atomic()
                .getset("n", 40)
                .incr("n", 2)
                .rpush("l", &["a", "b"])
                .ignore()
                .lrange("l", 0, -1)
                .query(&mut connection)
                .expect("the transaction runs");
            assert_eq!((was, sum, list), (None, 42, vec!["a".to_owned(), "b".to_owned()]));

            let raise = || {
                let mut connection = client.get_connection().expect("it listens");
                for _ in 0..50 {
                    let _: () =
                        redis::transaction(&mut connection, &["counter"], |connection, pipe| {
                            let value: i64 = connection.get("counter").unwrap_or(0);
                            pipe.set("counter", value + 1).ignore().query(connection)
                        })
                        .expect("it runs in the end");
                }
            };
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(raise);
                }
            });
            assert_eq!(connection.get::<_, i64>("counter"), Ok(200), "no update is lost");
            let () = redis::cmd("FLUSHALL").query(&mut connection).expect("it flushes");
        }
    });
}

#[test]
fn scripts_and_streams() {
    on_both(|server| {
        let mut connection = client(server, "resp2").get_connection().expect("it listens");
        let script = Script::new(
            "for i, key in ipairs(KEYS) do redis.call('INCRBY', key, ARGV[i]) end
             return redis.call('MGET', unpack(KEYS))",
        );
        for round in 1..=2 {
            let sums: Vec<i64> =
                script.key("a").key("b").arg(1).arg(10).invoke(&mut connection).unwrap();
            assert_eq!(sums, [round, 10 * round]);
            // The crate loads the script again when the server does not know it.
            let () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut connection).expect("it flushes");
        }

        let () = connection.xgroup_create_mkstream("s", "g", "$").expect("a group");
        for n in 1..=3 {
            let _: String = connection.xadd("s", format!("{n}-0"), &[("n", n)]).expect("an entry");
        }
        let options = StreamReadOptions::default().group("g", "c").count(10).block(1000);
        let read: StreamReadReply =
            connection.xread_options(&["s"], &[">"], &options).expect("entries");
        let ids: Vec<&str> = read.keys[0].ids.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!(ids, ["1-0", "2-0", "3-0"]);
        assert_eq!(connection.xack("s", "g", &ids), Ok(3));
    });
}

#[test]
fn publish_and_subscribe() {
    on_both(|server| {
        let client = client(server, "resp2");
        let mut listener = client.get_connection().expect("it listens");
        let mut publisher = client.get_connection().expect("it listens");
        let mut pubsub = listener.as_pubsub();
        pubsub.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        pubsub.subscribe(&["one", "two"]).expect("it subscribes");
        pubsub.psubscribe("t*").expect("it subscribes");
        assert_eq!(publisher.publish("one", "first"), Ok(1));
        assert_eq!(publisher.publish("two", "second"), Ok(2));
        let heard: Vec<(Option<String>, String, String)> = (0..3)
            .map(|_| pubsub.get_message().expect("a message"))
            .map(|message| {
                let pattern = message.get_pattern().expect("text or nothing");
                let payload = message.get_payload().expect("text");
                (pattern, message.get_channel_name().to_owned(), payload)
            })
            .collect();
        let message = |pattern: Option<&str>, channel: &str, payload: &str| {
            (pattern.map(str::to_owned), channel.to_owned(), payload.to_owned())
        };
        assert_eq!(
            heard,
            [
                message(None, "one", "first"),
                message(None, "two", "second"),
                message(Some("t*"), "two", "second"),
            ]
        );
    });
}

#[test]
fn a_multiplexed_connection_with_pushes() {
    on_both(|server| {
        in_runtime(async {
            let (sender, mut pushes) = mpsc::unbounded_channel::<PushInfo>();
            let config = AsyncConnectionConfig::new().set_push_sender(sender);
            let client = client(server, "resp3");
            let mut connection =
                client.get_multiplexed_async_connection_with_config(&config).await?;

            // Many tasks share the connection, and the pushes come in between.
            connection.subscribe("news").await?;
            let tasks: Vec<_> = (0..50)
                .map(|n| {
                    let mut connection = connection.clone();
                    tokio::spawn(async move {
                        let key = format!("key:{n}");
                        let () = connection.set(&key, n).await?;
                        let () = connection.publish("news", n).await?;
                        connection.get::<_, i64>(&key).await
                    })
                })
                .collect();
            for (n, task) in (0..).zip(tasks) {
                assert_eq!(task.await.expect("the task ends"), Ok(n));
            }
            let mut numbers = Vec::new();
            while numbers.len() < 50 {
                let push = pushes.recv().await.expect("the connection is open");
                if push.kind == PushKind::Message {
                    assert_eq!(push.data[0], Value::BulkString(b"news".to_vec()));
                    numbers.push(redis::from_redis_value::<i64>(push.data[1].clone()).unwrap());
                }
            }
            numbers.sort_unstable();
            assert_eq!(numbers, (0..50).collect::<Vec<i64>>());

            // Invalidations by hand, as a cache of one's own would ask for them.
            let () =
                redis::cmd("CLIENT").arg("TRACKING").arg("ON").query_async(&mut connection).await?;
            let _: i64 = connection.get("key:7").await?;
            let mut other = client.get_multiplexed_async_connection().await?;
            let () = other.set("key:7", "new").await?;
            loop {
                let push = pushes.recv().await.expect("the connection is open");
                if push.kind == PushKind::Invalidate {
                    let keys = Value::Array(vec![Value::BulkString(b"key:7".to_vec())]);
                    assert_eq!(push.data, [keys]);
                    return Ok(());
                }
            }
        });
    });
}

#[test]
fn its_client_side_cache() {
    on_both(|server| {
        in_runtime(async {
            let config = AsyncConnectionConfig::new().set_cache_config(CacheConfig::default());
            let client = client(server, "resp3");
            let mut cached = client.get_multiplexed_async_connection_with_config(&config).await?;
            let mut other = client.get_multiplexed_async_connection().await?;
            let statistics = |connection: &redis::aio::MultiplexedConnection| {
                connection.get_cache_statistics().expect("the cache is on")
            };

            let () = other.set("key", "one").await?;
            for _ in 0..100 {
                assert_eq!(cached.get::<_, String>("key").await?, "one");
            }
            assert_eq!((statistics(&cached).miss, statistics(&cached).hit), (1, 99));

            // Writes, a script's writes, expiry and a flush: each is seen, and then cached again.
            let script = Script::new("return redis.call('SET', KEYS[1], 'three')");
            for (step, expected) in [Some("two"), Some("three"), None, None].into_iter().enumerate()
            {
                match step {
                    0 => other.set("key", "two").await?,
                    1 => script.key("key").invoke_async(&mut other).await?,
                    2 => other.pexpire("key", 50).await?,
                    _ => {
                        let () = other.set("key", "three").await?;
                        becomes(&mut cached, Some("three")).await?;
                        let () = redis::cmd("FLUSHALL").query_async(&mut other).await?;
                    }
                }
                becomes(&mut cached, expected).await?;
                let hits = statistics(&cached).hit;
                for _ in 0..10 {
                    assert_eq!(cached.get::<_, Option<String>>("key").await?.as_deref(), expected);
                }
                assert!(statistics(&cached).hit >= hits + 9, "step {step} is cached again");
            }
            assert!(statistics(&cached).invalidate >= 4);
            Ok(())
        });
    });
}

/// Reads through the cache until the value is `expected`: an invalidation comes in its own time.
async fn becomes(
    cached: &mut redis::aio::MultiplexedConnection,
    expected: Option<&str>,
) -> redis::RedisResult<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while cached.get::<_, Option<String>>("key").await?.as_deref() != expected {
        assert!(Instant::now() < deadline, "the cache never shows {expected:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

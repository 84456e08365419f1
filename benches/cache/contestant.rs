//! Whoever reads through a cache: ours, plain get and set, amalgam-cache.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use larder_client::cache::builder::LocalOptions;
use larder_client::{Cache, Endpoints, Net, Target};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde::{Deserialize, Serialize};

use crate::Result;

/// How long values are fresh.
pub(crate) const TTL: Duration = Duration::from_secs(2);

/// What is cached: about 150 bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) version: u64,
    pub(crate) name: String,
    pub(crate) description: String,
}

impl Product {
    pub(crate) fn of(version: u64) -> Self {
        let name = format!("product number {version}");
        Self { version, name, description: "x".repeat(100) }
    }
}

/// The kinds of contestants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Larder,
    LarderLocal,
    Plain,
    Amalgam,
    AmalgamStrict,
    AmalgamLocal,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Larder,
        Self::LarderLocal,
        Self::Plain,
        Self::Amalgam,
        Self::AmalgamStrict,
        Self::AmalgamLocal,
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Larder => "larder-client",
            Self::LarderLocal => "larder-client with local layer",
            Self::Plain => "plain get and set",
            Self::Amalgam => "amalgam-cache",
            Self::AmalgamStrict => "amalgam-cache strict",
            Self::AmalgamLocal => "amalgam-cache with local layer",
        }
    }
}

/// One process's worth of a contestant.
#[derive(Clone)]
pub(crate) enum Contestant {
    Larder(Cache<u64, Product>),
    Plain(MultiplexedConnection),
    Amalgam(amalgam::Cache<Product>),
}

impl Contestant {
    pub(crate) async fn connect(kind: Kind, addr: SocketAddr) -> Result<Self> {
        Ok(match kind {
            Kind::Larder | Kind::LarderLocal => {
                let endpoints = Endpoints::single(&addr.to_string())?;
                let net = Net::builder().endpoints(endpoints).connect().await?;
                let mut cache = net.cache("products").ttl(TTL).target(Target::Primary);
                if kind == Kind::LarderLocal {
                    cache = cache.target(Target::default()).local(LocalOptions::default());
                }
                Self::Larder(cache.build())
            }
            Kind::Plain => Self::Plain(connection(addr).await?),
            Kind::Amalgam | Kind::AmalgamStrict | Kind::AmalgamLocal => {
                Self::Amalgam(amalgam(kind, addr).await?)
            }
        })
    }

    pub(crate) async fn read<F>(
        &self,
        key: u64,
        load: impl FnOnce() -> F + Send + 'static,
    ) -> Result<u64>
    where
        F: Future<Output = u64> + Send + 'static,
    {
        match self {
            Self::Larder(cache) => {
                let load = move |_| async move {
                    Ok::<_, std::convert::Infallible>(Some(Product::of(load().await)))
                };
                Ok(cache.fetch(&key, load).await?.ok_or("nothing")?.version)
            }
            Self::Plain(connection) => {
                let mut connection = connection.clone();
                let name = format!("products:{key}");
                let found: Option<Vec<u8>> = connection.get(&name).await?;
                if let Some(found) = found {
                    return Ok(rmp_serde::from_slice::<Product>(&found)?.version);
                }
                let product = Product::of(load().await);
                let bytes = rmp_serde::to_vec_named(&product)?;
                let millis = u64::try_from(TTL.as_millis())?;
                let () = connection.pset_ex(&name, bytes, millis).await?;
                Ok(product.version)
            }
            Self::Amalgam(cache) => {
                let load = move |_| async move {
                    Ok::<_, std::convert::Infallible>(Product::of(load().await))
                };
                Ok(cache.get_or_set(key.to_string(), load).await?.version)
            }
        }
    }

    /// Takes a value away. Whether that is known to be done.
    pub(crate) async fn invalidate(&self, key: u64) -> Result<bool> {
        match self {
            Self::Larder(cache) => Ok(!cache.invalidate(&key).await.is_queued),
            Self::Plain(connection) => {
                let mut connection = connection.clone();
                let _: i64 = connection.del(format!("products:{key}")).await?;
                Ok(true)
            }
            Self::Amalgam(cache) => {
                cache.remove(key.to_string()).await?;
                Ok(true)
            }
        }
    }
}

/// The `redis` crate's own connection, with a time limit as it has by default.
pub(crate) async fn connection(addr: SocketAddr) -> Result<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://{addr}/?protocol=resp3"))?;
    Ok(client.get_multiplexed_async_connection().await?)
}

/// With its distributed parts; without a local layer unless that is asked for.
async fn amalgam(kind: Kind, addr: SocketAddr) -> Result<amalgam::Cache<Product>> {
    use amalgam::provider::{
        Backplane, DistributedCache, DistributedLocker, DistributedSerializer,
        MessagePackSerializer, RedisBackplane, RedisDistributedCache, RedisDistributedLocker,
    };
    let url = format!("redis://{addr}/");
    let values = RedisDistributedCache::connect(url.clone()).await?;
    let backplane = RedisBackplane::connect(url.clone()).await?;
    let locker = RedisDistributedLocker::connect(url).await?;
    let skip = kind != Kind::AmalgamLocal;
    let options = amalgam::EntryOptions::default().with_duration(TTL).with_skip_memory(skip, skip);
    let builder = amalgam::Cache::<Product>::builder()
        .distributed(Arc::new(values) as Arc<dyn DistributedCache>)
        .serializer(Arc::new(MessagePackSerializer) as Arc<dyn DistributedSerializer<Product>>)
        .backplane(Arc::new(backplane) as Arc<dyn Backplane>)
        .distributed_locker(Arc::new(locker) as Arc<dyn DistributedLocker>)
        .default_options(options);
    let builder = if kind == Kind::AmalgamStrict { builder.strict() } else { builder };
    Ok(builder.try_build()?)
}

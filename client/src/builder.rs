//! What a client needs to know before it connects.

use crate::error::Error;
use crate::link::{Credentials, Settings};
use crate::net::{Limits, Net};
use crate::topology::Topology;
use crate::topology::endpoints::Endpoints;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tls")]
use crate::link::tls::Tls;

/// A connection that is not there after this time is given up. A server in reach answers within
/// milliseconds; a lost SYN is sent again after a second.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A command without an answer for this long fails. Most take less than a millisecond; what is left
/// is room for a pause of either side.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a write waits for another primary. ElastiCache speaks of "a few seconds".
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a client shall be.
#[must_use]
pub struct Builder {
    endpoints: Option<Endpoints>,
    zone: Option<Arc<str>>,
    credentials: Arc<dyn Fn() -> Credentials + Send + Sync>,
    database: u32,
    connect_timeout: Duration,
    limits: Limits,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without what may hold a password.
        out.debug_struct("Builder").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            endpoints: None,
            zone: None,
            credentials: Arc::new(Credentials::default),
            database: 0,
            connect_timeout: CONNECT_TIMEOUT,
            limits: Limits { response: RESPONSE_TIMEOUT, failover: FAILOVER_TIMEOUT },
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Where the nodes are.
    pub fn endpoints(mut self, endpoints: Endpoints) -> Self {
        self.endpoints = Some(endpoints);
        self
    }

    /// The availability zone that this process runs in: reads stay inside it where they can.
    pub fn zone(mut self, zone: &str) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// The user and the password to log in with.
    pub fn login(self, username: &str, password: &str) -> Self {
        let (username, password) = (username.to_owned(), password.to_owned());
        self.credentials(move || Credentials {
            username: Some(username.clone()),
            password: Some(password.clone()),
        })
    }

    /// The password of the default user.
    pub fn password(self, password: &str) -> Self {
        let password = password.to_owned();
        self.credentials(move || Credentials { username: None, password: Some(password.clone()) })
    }

    /// Who to log in as, asked before each connection: for tokens that expire.
    pub fn credentials(
        mut self,
        credentials: impl Fn() -> Credentials + Send + Sync + 'static,
    ) -> Self {
        self.credentials = Arc::new(credentials);
        self
    }

    /// Encrypts connections to hosts.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The database, instead of 0.
    pub fn database(mut self, database: u32) -> Self {
        self.database = database;
        self
    }

    /// How long opening a connection may take, handshake included. Two seconds unless it is set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a command may take. One second unless it is set.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.limits.response = timeout;
        self
    }

    /// How long a call may wait for another primary. Five seconds unless it is set. A change of a
    /// session is known for twenty seconds when it comes again, so more than that would be too long.
    pub fn failover_timeout(mut self, timeout: Duration) -> Self {
        self.limits.failover = timeout;
        self
    }

    /// Connects, and waits until the primary is found. The connections belong to the tokio runtime
    /// that this runs in.
    ///
    /// # Errors
    /// [`Error::Settings`]; [`Error::NoNode`] or [`Error::NoPrimary`] when there is none within the
    /// time for a connection.
    pub async fn connect(self) -> Result<Net, Error> {
        // Two links and a question, and a second try for each.
        let patience = self.connect_timeout * 2;
        let net = self.start()?;
        net.ready(true, patience).await?;
        Ok(net)
    }

    /// Begins to connect and waits for nothing: for a program that has to start while the cache is
    /// down. Has to be called in a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn start(self) -> Result<Net, Error> {
        let Some(endpoints) = self.endpoints else {
            return Err(Error::Settings("no endpoints were named".to_owned()));
        };
        let settings = Settings {
            credentials: self.credentials,
            database: self.database,
            connect_timeout: self.connect_timeout,
            #[cfg(feature = "tls")]
            tls: self.tls,
        };
        let topology = Topology::start(endpoints, settings.clone());
        Ok(Net::new(topology, self.zone, self.limits, settings))
    }
}

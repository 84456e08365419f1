//! One member of a group, as a process of its own runs it: its node, its link to the others, and the
//! group's two addresses on its machine.

use super::endpoints::{EndpointSettings, Endpoints};
use super::face::Request;
use super::member_settings::MemberSettings;
use super::observer::Observer;
use super::supervisor::{OnChange, Order, Plan, Shown, Supervisor};
use super::timing::Timing;
use crate::config::Settings;
use crate::listener::bind_port;
use crate::node::{StartError, StopSignal};
use crate::persistence::leaving;
use larder_replication::group::disk::{DiskThread, FileDisk};
use larder_replication::group::link::{Plain, Secret};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a primary that leaves waits for a replica to take over.
const HANDOVER: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(5);

/// A running member. Dropping it ends it.
pub struct GroupMember {
    supervisor: Supervisor,
    endpoints: Option<Endpoints>,
}

impl GroupMember {
    /// Starts the member that the settings describe; none where they name no group.
    ///
    /// # Errors
    /// Settings that make no member, and what keeps a node, a link or an endpoint from starting.
    pub fn start(
        settings: Settings,
        config_file: Option<PathBuf>,
        on_change: impl Fn(&Settings) + Send + Sync + 'static,
    ) -> Result<Option<Self>, StartError> {
        let wrong = |error: String| StartError::Group(error);
        let Some(own) = MemberSettings::of(&settings).map_err(|error| wrong(error.to_string()))?
        else {
            return Ok(None);
        };
        let disk = FileDisk::open(&own.dir).map_err(|error| wrong(error.to_string()))?;
        let observer = Observer::new();
        let (bind, backlog) = (settings.bind.clone(), settings.tcp_backlog);
        let endpoints = start_endpoints(&settings, &own, &observer)?;
        let on_change: OnChange = Arc::new(on_change);
        let plan = Plan {
            group: own.group,
            settings: Settings { availability_zone: own.me.zone.0.clone(), ..settings },
            me: own.me,
            members: own.members,
            secret: Secret::new(&own.secret).map_err(|error| wrong(error.to_string()))?,
            secret_bytes: own.secret,
            timing: Timing { lease: own.lease, heartbeat: own.heartbeat },
            config_file,
            on_change: Some(on_change),
            disk: Arc::new(DiskThread::start(disk).map_err(StartError::Thread)?),
            dial: Arc::new(Plain),
            listen: Box::new(move || bind_port(&bind, own.group_port, backlog)),
            network: None,
        };
        let supervisor = Supervisor::start(plan, &observer)?;
        Ok(Some(Self { supervisor, endpoints }))
    }

    /// The addresses that lead to the primary.
    pub fn primary_endpoints(&self) -> &[SocketAddr] {
        self.endpoints.as_ref().map_or(&[], Endpoints::primary)
    }

    /// The addresses that lead to the replicas in turn.
    pub fn reader_endpoints(&self) -> &[SocketAddr] {
        self.endpoints.as_ref().map_or(&[], Endpoints::reader)
    }

    /// Blocks until the member ended: after a SHUTDOWN command or by its handle.
    pub fn wait(&self) {
        self.supervisor.shown().wait_end();
    }

    /// Something that can ask the member to end while another thread waits for it.
    pub fn shutdown_handle(&self) -> MemberShutdown {
        MemberShutdown(Arc::clone(self.supervisor.shown()))
    }
}

/// Asks a member to end.
#[derive(Clone)]
pub struct MemberShutdown(Arc<Shown>);

impl MemberShutdown {
    /// Hands the primary over where the node has it, saves where there are save points, and ends the
    /// member; false when the save failed, so that it goes on. Blocks until then.
    pub fn leave(&self, signal: StopSignal) -> bool {
        self.hand_over();
        if let Some(node) = self.0.node()
            && leaving::leave(&node, signal.options(&node)).is_err()
        {
            return false;
        }
        self.0.order(Order::End);
        true
    }

    /// Gives up what is being saved, so that nothing half written stays behind.
    pub fn abandon(&self) {
        if let Some(node) = self.0.node() {
            node.snapshots.stop();
        }
    }

    /// Nobody needs to notice that a primary leaves.
    fn hand_over(&self) {
        let face = &self.0.face;
        let leads = || face.config().primary.as_ref() == Some(&face.me);
        if !leads() || face.ask(Request::Failover(None)).is_err() {
            return;
        }
        let mut waited = Duration::ZERO;
        while leads() && waited < HANDOVER {
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
    }
}

fn start_endpoints(
    settings: &Settings,
    own: &MemberSettings,
    observer: &Arc<Observer>,
) -> Result<Option<Endpoints>, StartError> {
    let bind = |port| bind_port(&settings.bind, port, settings.tcp_backlog);
    let primary = bind(settings.primary_endpoint_port).map_err(StartError::Listen)?;
    let reader = bind(settings.reader_endpoint_port).map_err(StartError::Listen)?;
    if primary.is_empty() && reader.is_empty() {
        return Ok(None);
    }
    let told = EndpointSettings {
        zone: Some(own.me.zone.clone()),
        max_lag_ms: settings.reader_endpoint_max_lag_ms,
        hold: Duration::from_millis(settings.endpoint_hold_time_ms),
    };
    Endpoints::start(primary, reader, &told, observer).map(Some)
}

//! A node as Sentinel describes it: names and values in Sentinel's order.

use crate::node::group::face::Face;
use larder_protocol::Reply;
use larder_replication::group::config::{GroupConfig, Member, NodeId};
use sha1::{Digest, Sha1};
use std::net::SocketAddr;

/// What a node is to Sentinel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Primary,
    Replica,
    Sentinel,
}

/// One node.
pub(crate) struct Instance<'f> {
    face: &'f Face,
    config: &'f GroupConfig,
    member: &'f Member,
    address: SocketAddr,
    role: Role,
}

impl<'f> Instance<'f> {
    /// The primary, if there is one.
    pub(crate) fn primary(face: &'f Face, config: &'f GroupConfig) -> Option<Self> {
        let member = config.members.get(config.primary.as_ref()?)?;
        Self::new(face, config, member, Role::Primary)
    }

    /// The replicas.
    pub(crate) fn replicas(face: &'f Face, config: &'f GroupConfig) -> Vec<Self> {
        let others = config.members.values().filter(|m| config.primary.as_ref() != Some(&m.id));
        others.filter_map(|member| Self::new(face, config, member, Role::Replica)).collect()
    }

    /// The members that clients can ask, but for this one.
    pub(crate) fn sentinels(face: &'f Face, config: &'f GroupConfig) -> Vec<Self> {
        let others = config.members.values().filter(|member| member.id != face.me);
        others.filter_map(|member| Self::new(face, config, member, Role::Sentinel)).collect()
    }

    /// A witness has no address for clients, so that they cannot be told of it.
    fn new(
        face: &'f Face,
        config: &'f GroupConfig,
        member: &'f Member,
        role: Role,
    ) -> Option<Self> {
        member.client_address.map(|address| Self { face, config, member, address, role })
    }

    /// All that is told of it.
    pub(crate) fn reply(&self) -> Reply<'static> {
        let mut fields = Fields(Vec::new());
        let is_up = is_up(self.config, self.member);
        let run_id = run_id(&self.face.name, &self.member.id);
        let name = match self.role {
            Role::Primary => self.face.name.clone(),
            Role::Replica => self.address.to_string(),
            Role::Sentinel => run_id.clone(),
        };
        fields.put("name", name);
        fields.put("ip", self.address.ip());
        fields.put("port", self.address.port());
        fields.put("runid", run_id);
        fields.put("flags", self.flags(is_up));
        fields.put("link-pending-commands", 0);
        fields.put("link-refcount", 1);
        fields.put("last-ping-sent", 0);
        fields.put("last-ok-ping-reply", if is_up { 0 } else { self.down_after_ms() });
        fields.put("last-ping-reply", if is_up { 0 } else { self.down_after_ms() });
        if !is_up {
            fields.put("s-down-time", self.down_after_ms());
        }
        fields.put("down-after-milliseconds", self.down_after_ms());
        match self.role {
            Role::Primary => self.put_primary(&mut fields),
            Role::Replica => self.put_replica(&mut fields, is_up),
            Role::Sentinel => {
                fields.put("last-hello-message", 0);
                fields.put("voted-leader", "?");
                fields.put("voted-leader-epoch", 0);
            }
        }
        Reply::Map(fields.0)
    }

    fn put_primary(&self, fields: &mut Fields) {
        let with_data = self.config.members.values().filter(|m| m.client_address.is_some()).count();
        fields.put("info-refresh", 0);
        fields.put("role-reported", "master");
        fields.put("role-reported-time", 0);
        fields.put("config-epoch", self.config.epoch);
        fields.put("num-slaves", with_data.saturating_sub(1));
        fields.put("num-other-sentinels", with_data.saturating_sub(1));
        fields.put("quorum", self.config.members.len() / 2 + 1);
        fields.put("failover-timeout", self.down_after_ms() * 2);
        fields.put("parallel-syncs", with_data.saturating_sub(1));
    }

    fn put_replica(&self, fields: &mut Fields, is_up: bool) {
        let primary = self.config.primary.as_ref();
        let primary = primary.and_then(|id| self.config.members.get(id)?.client_address);
        fields.put("info-refresh", 0);
        fields.put("role-reported", "slave");
        fields.put("role-reported-time", 0);
        fields.put("master-link-down-time", if is_up { 0 } else { self.down_after_ms() });
        fields.put("master-link-status", if is_up { "ok" } else { "err" });
        fields.put("master-host", primary.map_or("?".to_owned(), |at| at.ip().to_string()));
        fields.put("master-port", primary.map_or(0, |at| at.port()));
        fields.put("slave-priority", 100);
        fields.put("slave-repl-offset", 0);
        fields.put("replica-announced", 1);
    }

    fn flags(&self, is_up: bool) -> String {
        let word = match self.role {
            Role::Primary => "master",
            Role::Replica => "slave",
            Role::Sentinel => "sentinel",
        };
        match (is_up, self.role) {
            (true, _) => word.to_owned(),
            (false, Role::Primary) => format!("s_down,o_down,{word},disconnected"),
            (false, _) => format!("s_down,{word},disconnected"),
        }
    }

    fn down_after_ms(&self) -> u64 {
        self.face.down_after.as_millis() as u64
    }
}

struct Fields(Vec<(Reply<'static>, Reply<'static>)>);

impl Fields {
    fn put(&mut self, name: &'static str, value: impl ToString) {
        let value = Reply::Owned(value.to_string().into_bytes());
        self.0.push((Reply::Bulk(name.as_bytes()), value));
    }
}

/// Whether a member is up, as far as the group has agreed on it: the primary says of its replicas
/// whether they keep up.
pub(super) fn is_up(config: &GroupConfig, member: &Member) -> bool {
    let has_power = config.interrupted.as_ref() != Some(&member.zone);
    has_power && (member.client_address.is_none() || config.in_sync.contains_key(&member.id))
}

/// Forty digits that stay a member's own, as those of a Sentinel do.
pub(super) fn run_id(group: &str, id: &NodeId) -> String {
    let digest = Sha1::digest(format!("{group}/{id}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

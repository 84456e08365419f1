//! What a member has to know of itself and its group before it starts, out of its settings.

use crate::config::{GroupPeer, HostPort, Settings, read_group_file};
use larder_replication::group::config::{Member, NodeId, Zone};
use larder_replication::group::link::Secret;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The longest secret or group file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// How often a name that cannot be looked up yet is tried, a second apart.
const LOOKUPS: u32 = 30;

/// Why a node cannot be a member.
#[derive(Debug, thiserror::Error)]
pub(super) enum MemberError {
    /// The settings do not make a member.
    #[error("{0}")]
    Settings(String),
    /// A file cannot be read.
    #[error("can't read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A name has no address.
    #[error("can't look up {place}: {source}")]
    Lookup {
        /// The name and port.
        place: HostPort,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// A member-to-be.
#[derive(Clone)]
pub(super) struct MemberSettings {
    /// The group's name.
    pub(super) group: String,
    /// This member.
    pub(super) me: Member,
    /// All members of a new group, in order: the first one with data is its first primary.
    pub(super) members: Vec<Member>,
    /// What members prove to each other that they know.
    pub(super) secret: Arc<[u8]>,
    /// Where this member listens to the others.
    pub(super) group_port: u16,
    /// The folder for what it has to remember.
    pub(super) dir: PathBuf,
    /// For how long a primary may acknowledge after a majority heard of it.
    pub(super) lease: Duration,
    /// Between two renewals of that.
    pub(super) heartbeat: Duration,
}

impl MemberSettings {
    /// The membership that the settings ask for; none where they name no group.
    ///
    /// # Errors
    /// Settings that do not fit each other, files that cannot be read, names without an address.
    pub(super) fn of(settings: &Settings) -> Result<Option<Self>, MemberError> {
        if settings.group.is_empty() {
            return match settings.group_witness || !settings.group_peers.is_empty() {
                true => Err(wrong("'group' has to name the group that this node belongs to")),
                false => Ok(None),
            };
        }
        let peers = peers(settings)?;
        if settings.node_id.is_empty() {
            return Err(wrong("'node-id' has to say which of the members of its group this is"));
        }
        let id = settings.node_id.to_ascii_lowercase();
        let own = peers.iter().find(|peer| peer.id == id);
        let own =
            own.ok_or_else(|| wrong(format!("'{id}' is not among the members of the group")))?;
        check_own(settings, own)?;
        let secret = secret(settings, &peers)?;
        let group_port =
            if settings.group_port != 0 { settings.group_port } else { own.group.port };
        let members = peers.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
        let me = members.iter().find(|member| member.id.0 == id).cloned();
        let me = me.ok_or_else(|| wrong("the members changed while they were read"))?;
        let dir = match settings.group_dir.as_str() {
            "" => settings.path("group"),
            dir => settings.path(dir),
        };
        Ok(Some(Self {
            group: settings.group.clone(),
            me,
            members,
            secret,
            group_port,
            dir,
            lease: Duration::from_millis(settings.group_lease_time_ms),
            heartbeat: Duration::from_millis(settings.group_heartbeat_period_ms),
        }))
    }
}

fn wrong(text: impl Into<String>) -> MemberError {
    MemberError::Settings(text.into())
}

fn peers(settings: &Settings) -> Result<Vec<GroupPeer>, MemberError> {
    let peers = match settings.group_file.as_str() {
        "" => settings.group_peers.clone(),
        file => {
            let text = read(&settings.path(file))?;
            read_group_file(&text).map_err(|reason| wrong(format!("group-file: {reason}")))?
        }
    };
    if peers.iter().all(|peer| peer.client.is_none()) {
        return Err(wrong("'group-peers' or 'group-file' has to name the members of the group"));
    }
    Ok(peers)
}

/// What the settings say of this member has to be what the others are told.
fn check_own(settings: &Settings, own: &GroupPeer) -> Result<(), MemberError> {
    let zone = &settings.availability_zone;
    if !zone.is_empty() && *zone != own.zone {
        return Err(wrong(format!(
            "this node is in zone {zone}, and its group has it in {}",
            own.zone
        )));
    }
    if settings.group_witness != own.client.is_none() {
        return Err(wrong(match own.client {
            Some(_) => "a witness has no address for clients in 'group-peers'",
            None => "a member without an address for clients has to be a witness",
        }));
    }
    if settings.replicaof.is_some() {
        return Err(wrong(
            "the group says whom its members follow: 'replicaof' has no place there",
        ));
    }
    if settings.group_heartbeat_period_ms * 2 > settings.group_lease_time_ms {
        return Err(wrong("'group-lease-time' has to be twice 'group-heartbeat-period' at least"));
    }
    Ok(())
}

fn secret(settings: &Settings, peers: &[GroupPeer]) -> Result<Arc<[u8]>, MemberError> {
    let text = match (settings.group_secret.as_str(), settings.group_secret_file.as_str()) {
        ("", "") => {
            if !peers.iter().all(is_on_loopback) {
                return Err(wrong(
                    "'group-secret' or 'group-secret-file' has to be set: members of the group are \
                     reached over a network",
                ));
            }
            // On one machine it keeps groups apart, and nobody out.
            format!("the members of {} on one machine", settings.group)
        }
        ("", file) => read(&settings.path(file))?.trim().to_owned(),
        (secret, _) => secret.to_owned(),
    };
    Secret::new(text.as_bytes()).map_err(|error| wrong(format!("group-secret: {error}")))?;
    Ok(Arc::from(text.as_bytes()))
}

fn is_on_loopback(peer: &GroupPeer) -> bool {
    let host = &peer.group.host;
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

fn read(path: &Path) -> Result<String, MemberError> {
    let bounded = || {
        use std::io::Read;
        let mut text = String::new();
        std::fs::File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
        Ok(text)
    };
    bounded().map_err(|source| MemberError::File { path: path.to_owned(), source })
}

fn resolve(peer: &GroupPeer) -> Result<Member, MemberError> {
    Ok(Member {
        id: NodeId(peer.id.clone()),
        zone: Zone(peer.zone.clone()),
        client_address: peer.client.as_ref().map(look_up).transpose()?,
        group_address: look_up(&peer.group)?,
    })
}

/// The address of a name. Where members start together a name may not be there yet.
fn look_up(place: &HostPort) -> Result<SocketAddr, MemberError> {
    for attempt in 1.. {
        let found = (place.host.as_str(), place.port).to_socket_addrs();
        let source = match found.map(|mut all| all.next()) {
            Ok(Some(address)) => return Ok(address),
            Ok(None) => std::io::Error::from(std::io::ErrorKind::NotFound),
            Err(source) => source,
        };
        if attempt >= LOOKUPS {
            return Err(MemberError::Lookup { place: place.clone(), source });
        }
        tracing::warn!(%place, error = %source, "a member of the group cannot be looked up yet");
        std::thread::sleep(Duration::from_secs(1));
    }
    Err(wrong("a name without an address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(lines: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        let peers = "s-001=a@127.0.0.1:7001 s-002=b@127.0.0.1:7002 w=c@/127.0.0.1:9";
        for (name, value) in
            [("group", "s"), ("node-id", "S-002"), ("group-peers", peers)].iter().chain(lines)
        {
            settings.set_directive(name, value).expect("a good line");
        }
        settings
    }

    fn refused(lines: &[(&str, &str)]) -> String {
        let made = MemberSettings::of(&settings(lines));
        made.map(|_| ()).expect_err("no member").to_string()
    }

    #[test]
    fn a_member_knows_itself_and_the_others() {
        let own = MemberSettings::of(&settings(&[])).expect("good settings").expect("a member");
        assert_eq!((own.me.id.0.as_str(), own.me.zone.0.as_str()), ("s-002", "b"));
        assert_eq!((own.members.len(), own.group_port), (3, 17002));
        assert_eq!(own.members[2].client_address, None, "a witness");
        let none = MemberSettings::of(&Settings::default());
        assert!(none.is_ok_and(|own| own.is_none()), "no group, no member");
    }

    #[test]
    fn settings_that_do_not_fit() {
        for (lines, part) in [
            (&[("node-id", "s-009")][..], "is not among the members"),
            (&[("node-id", "")], "'node-id' has to say"),
            (&[("group-peers", "w=c@/127.0.0.1:9")], "has to name the members"),
            (&[("group", "")], "'group' has to name"),
            (&[("availability-zone", "a")], "its group has it in b"),
            (&[("group-witness", "yes")], "a witness has no address"),
            (&[("node-id", "w")], "has to be a witness"),
            (&[("replicaof", "no one")], ""),
            (&[("group-lease-time", "200")], "twice"),
            (&[("group-secret", "short")], "group-secret"),
            (&[("group-secret-file", "/nowhere/at/all")], "can't read /nowhere/at/all"),
            (&[("group-peers", "s-002=a@10.0.0.1:1")], "has to be set"),
        ] {
            if part.is_empty() {
                assert!(MemberSettings::of(&settings(lines)).is_ok());
                continue;
            }
            let text = refused(lines);
            assert!(text.contains(part), "{lines:?}: {text}");
        }
    }

    #[test]
    fn members_and_secret_from_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let (secret, group) = (folder.path().join("secret"), folder.path().join("group"));
        std::fs::write(&secret, "a secret of more than enough letters\n").expect("a file");
        std::fs::write(&group, "# all\ns-002=b@10.0.0.2:7002\n").expect("a file");
        let path = |path: &Path| path.to_str().expect("a legal path").to_owned();
        let (secret, group) = (path(&secret), path(&group));
        let settings = settings(&[("group-secret-file", &secret), ("group-file", &group)]);
        let own = MemberSettings::of(&settings).expect("good settings").expect("a member");
        assert_eq!(own.members.len(), 1, "the file counts");
        assert_eq!(&*own.secret, b"a secret of more than enough letters");
    }
}

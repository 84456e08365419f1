//! Sessions against every make of server: what a failover undid is done again.

use std::collections::BTreeMap;
use std::time::Duration;

use larder_client::sessions::{Grace, SessionError};
use larder_client::{Sessions, Target};

use crate::site::{MAKES, Make, Site};

type Data = BTreeMap<String, u32>;

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime")
}

async fn sessions(site: &Site, target: Target) -> Sessions<Data> {
    let builder = site.net().await.sessions("web").read_from(target);
    builder.confirm(0, Duration::ZERO).build().expect("settings that agree")
}

fn sites(make: Make) -> [Site; 2] {
    [Site::single(make), Site::pair(make)]
}

#[test]
fn a_session_is_the_same_everywhere() {
    for site in MAKES.into_iter().flat_map(sites) {
        runtime().block_on(async {
            let sessions = sessions(&site, Target::default()).await;
            let visit = |patch: &mut larder_client::sessions::Patch| {
                patch.set("visits", 1);
            };
            let (first, old) = sessions.create("ann", &Data::new()).await.expect("a session");
            assert!(sessions.load(&first).await.expect("a server").is_some(), "right after it");
            let grace = Grace::For(Duration::from_secs(60));
            let (second, new) = sessions.rotate(&old, grace).await.expect("a session").value;
            assert_eq!(sessions.patch(&old, visit).await.expect("a session"), 3);
            let led = sessions.load(&first).await.expect("a server").expect("it leads on");
            assert_eq!(led.digest(), new.digest());
            let edit = |data: &mut Data| *data.entry("visits".to_owned()).or_default() += 1;
            let edited = sessions.edit(&old, edit).await.expect("a session");
            assert_eq!((edited.data()["visits"], edited.version()), (2, 4));
            let (kept, handle) = sessions.create("ann", &Data::new()).await.expect("a session");
            assert_eq!(sessions.list("ann", None).await.expect("a server").len(), 2);
            let closed = sessions.close_all("ann", Some(&handle)).await.expect("a server").value;
            assert_eq!(closed, 1);
            let gone = sessions.patch(&old, visit).await;
            assert!(matches!(gone, Err(SessionError::Gone)), "{gone:?}");
            assert!(sessions.load(&second).await.expect("a server").is_none());
            assert!(sessions.close(&handle).await.expect("a server").value);
            assert!(sessions.load(&kept).await.expect("a server").is_none(), "nor on a replica");
        });
    }
}

#[test]
fn a_logout_that_a_failover_undid_is_made_again() {
    for make in MAKES {
        let site = Site::pair(make);
        runtime().block_on(async {
            let mine = sessions(&site, Target::Primary).await;
            let theirs = sessions(&site, Target::Primary).await;
            let (left, handle) = mine.create("ann", &Data::new()).await.expect("a session");
            let (stolen, session) = mine.create("bob", &Data::new()).await.expect("a session");
            let (stays, _) = mine.create("cid", &Data::new()).await.expect("a session");
            let net = site.net().await;
            assert_eq!(net.wait_replicas(1, Duration::from_secs(20)).await.expect("an answer"), 1);
            // The replica no longer hears of anything, and keeps what it has.
            tokio::task::block_in_place(|| site.run(1, "REPLICAOF NO ONE"));
            assert!(mine.close(&handle).await.expect("a primary").value);
            let rotated = mine.rotate(&session, Grace::None).await.expect("a session").value.0;
            tokio::task::block_in_place(|| {
                site.follow(0, 1);
                site.wait_in_sync(0);
            });
            let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
            let load = async |token| theirs.load(token).await.ok();
            while load(&left).await != Some(None)
                || load(&stolen).await != Some(None)
                || !matches!(load(&rotated).await, Some(Some(_)))
            {
                assert!(tokio::time::Instant::now() < deadline, "they were never made again");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert!(theirs.load(&stays).await.expect("a primary").is_some());
        });
    }
}

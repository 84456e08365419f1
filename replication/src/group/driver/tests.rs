//! Members with a node that does nothing but say what it was told, over a network that loses nothing.

use super::*;
use crate::ReplicationId;
use crate::group::config::Incarnation;
use crate::group::data::{AckSets, DataPosition};
use crate::group::link::{BoxFuture, CallError};
use crate::group::ports::MemoryDisk;
use std::net::SocketAddr;
use tokio::time::Instant;

/// All members by name, as long as they run, and who is cut off from the others.
#[derive(Clone, Default)]
struct Town(Arc<Mutex<BTreeMap<NodeId, Handle>>>, Arc<Mutex<Option<NodeId>>>);

/// One member's view of it.
struct Neighbours(Town, NodeId);

impl Peers for Neighbours {
    fn call<'a>(
        &'a self,
        to: &'a Member,
        request: Bytes,
    ) -> BoxFuture<'a, Result<Bytes, CallError>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let handle = self.0.0.lock().get(&to.id).cloned();
            let is_cut =
                self.0.1.lock().as_ref().is_some_and(|cut| [&to.id, &self.1].contains(&cut));
            match handle.filter(|_| !is_cut) {
                Some(handle) => Ok(handle.answer(&self.1, &request).await),
                None => std::future::pending().await,
            }
        })
    }
}

/// Time as tokio has it.
struct Ticks(Instant);

impl GroupClock for Ticks {
    fn boottime_nanos(&self) -> u64 {
        nanos(self.0.elapsed()) + 1
    }

    fn unix_ms(&self) -> i64 {
        self.0.elapsed().as_millis() as i64
    }
}

/// A node that holds as many bytes as it is told.
struct Puppet {
    id: NodeId,
    life: Incarnation,
    facts: Mutex<Facts>,
    town: Puppets,
}

#[derive(Default)]
struct Facts {
    epoch: u64,
    offset: u64,
    leads: Option<u64>,
    follows: Option<NodeId>,
    holds: bool,
    sets: AckSets,
    handed_over: bool,
}

type Puppets = Arc<Mutex<BTreeMap<NodeId, Arc<Puppet>>>>;

impl DataNode for Puppet {
    fn position(&self) -> DataPosition {
        let facts = self.facts.lock();
        DataPosition {
            incarnation: self.life,
            epoch: facts.epoch,
            replid: ReplicationId::NONE,
            offset: facts.offset,
        }
    }

    fn freeze(&self) -> DataPosition {
        let mut facts = self.facts.lock();
        (facts.leads, facts.follows) = (None, None);
        drop(facts);
        self.position()
    }

    fn lead(&self, epoch: u64, in_sync: &AckSets) {
        let mut facts = self.facts.lock();
        (facts.leads, facts.follows, facts.epoch) = (Some(epoch), None, epoch);
        facts.sets = in_sync.clone();
    }

    fn follow(&self, epoch: u64, primary: &Member) {
        let leader = self.town.lock().get(&primary.id).cloned();
        let given = leader.and_then(|one| {
            let theirs = one.facts.lock();
            (theirs.leads == Some(epoch)).then_some(theirs.offset)
        });
        let mut facts = self.facts.lock();
        (facts.leads, facts.follows) = (None, Some(primary.id.clone()));
        if let Some(offset) = given {
            (facts.epoch, facts.offset) = (epoch, offset);
        }
    }

    fn set_in_sync(&self, in_sync: &AckSets) {
        self.facts.lock().sets = in_sync.clone();
    }

    fn followers(&self) -> Vec<Follower> {
        let all: Vec<Arc<Puppet>> = self.town.lock().values().cloned().collect();
        let follows = |one: &&Arc<Puppet>| one.facts.lock().follows.as_ref() == Some(&self.id);
        let (leads, offset) = {
            let facts = self.facts.lock();
            (facts.leads, facts.offset)
        };
        if let Some(epoch) = leads {
            for one in all.iter().filter(follows) {
                let mut theirs = one.facts.lock();
                (theirs.epoch, theirs.offset) = (epoch, offset);
            }
        }
        all.iter()
            .filter(follows)
            .map(|one| Follower {
                id: one.id.clone(),
                incarnation: one.life,
                acked_offset: one.facts.lock().offset,
                silent_ms: 0,
            })
            .collect()
    }

    fn hold_writes(&self, hold: bool) -> u64 {
        let mut facts = self.facts.lock();
        facts.holds = hold;
        facts.offset
    }

    fn hand_over(&self, _: u64, _: &Member) {
        self.facts.lock().handed_over = true;
    }

    fn awaits_acks(&self) -> bool {
        true
    }
}

/// A disk that writes promises when it is let.
struct GatedDisk(MemoryDisk, watch::Receiver<bool>);

impl Disk for GatedDisk {
    fn read(&self, name: &str) -> Result<Vec<Vec<u8>>, DiskError> {
        self.0.read(name)
    }

    fn replace(&self, name: &str, record: &[u8]) -> Writing {
        let (disk, mut gate) = (self.0.clone(), self.1.clone());
        let (name, record) = (name.to_owned(), record.to_vec());
        Box::pin(async move {
            if name == PROMISE && gate.wait_for(|is_open| *is_open).await.is_err() {
                return Err(DiskError::Busy);
            }
            disk.replace(&name, &record).await
        })
    }

    fn append(&self, name: &str, record: &[u8]) -> Writing {
        self.0.append(name, record)
    }
}

struct Nobody;

impl Host for Nobody {
    fn power_off(&self, _: Duration) {}
}

/// A group under test.
struct Group {
    town: Town,
    puppets: Puppets,
    members: Vec<Member>,
    disks: Vec<MemoryDisk>,
    leases: BTreeMap<NodeId, Arc<Lease>>,
    began: Instant,
}

fn id(index: usize) -> NodeId {
    NodeId(format!("s-00{index}"))
}

impl Group {
    /// `data` nodes and `witnesses`.
    async fn start(data: usize, witnesses: usize) -> Self {
        let mut group = Self::new(data, witnesses);
        for index in 1..=data + witnesses {
            group.begin(index, 1).await;
        }
        group
    }

    fn new(data: usize, witnesses: usize) -> Self {
        let member = |index: usize| Member {
            id: id(index),
            zone: Zone(["a", "b", "c"][(index - 1) % 3].to_owned()),
            client_address: (index <= data)
                .then(|| SocketAddr::from(([127, 0, 0, 1], 7000 + index as u16))),
            group_address: ([127, 0, 0, 1], 8000 + index as u16).into(),
        };
        let members: Vec<Member> = (1..=data + witnesses).map(member).collect();
        let disks = members.iter().map(|_| MemoryDisk::default()).collect();
        Self {
            town: Town::default(),
            puppets: Puppets::default(),
            members,
            disks,
            leases: BTreeMap::new(),
            began: Instant::now(),
        }
    }

    /// Begins a life of a member.
    async fn begin(&mut self, index: usize, life: u128) {
        let disk = Arc::new(self.disks[index - 1].clone());
        self.begin_with(index, life, disk).await;
    }

    async fn begin_with(&mut self, index: usize, life: u128, disk: Arc<dyn Disk>) {
        let me = self.members[index - 1].clone();
        let lease = Arc::<Lease>::default();
        self.leases.insert(me.id.clone(), Arc::clone(&lease));
        let node = me.client_address.map(|_| {
            let (facts, town) = (Mutex::default(), Arc::clone(&self.puppets));
            let puppet =
                Arc::new(Puppet { id: me.id.clone(), life: Incarnation(life), facts, town });
            self.puppets.lock().insert(me.id.clone(), Arc::clone(&puppet));
            puppet as Arc<dyn DataNode>
        });
        let options = Options {
            me: me.clone(),
            group: "s".to_owned(),
            founders: self.members.clone(),
            timings: Timings::default(),
            disk,
            peers: Arc::new(Neighbours(self.town.clone(), me.id.clone())),
            node,
            lease,
            host: Arc::new(Nobody),
            clock: Arc::new(Ticks(self.began)),
        };
        let handle = Driver::start(options).await.unwrap();
        self.town.0.lock().insert(me.id, handle);
    }

    /// Ends it at once.
    async fn kill(&self, id: &NodeId) {
        let handle = self.town.0.lock().remove(id).unwrap();
        self.puppets.lock().remove(id);
        handle.stop().await;
    }

    fn handle(&self) -> Handle {
        self.town.0.lock().values().next().cloned().unwrap()
    }

    /// Who holds a lease.
    fn holders(&self) -> Vec<NodeId> {
        let now = Ticks(self.began).boottime_nanos();
        let holds = |(_, lease): &(&NodeId, &Arc<Lease>)| lease.is_held(now);
        self.leases.iter().filter(holds).map(|(id, _)| id.clone()).collect()
    }

    /// Lets time pass until it is so, and looks all the while that no two acknowledge.
    async fn until(&self, what: &str, is_so: impl Fn(&Self, &GroupConfig) -> bool) -> u64 {
        let began = Instant::now();
        loop {
            let config = Arc::clone(&self.handle().status().borrow().config);
            let holders = self.holders();
            assert!(holders.len() <= 1, "{holders:?}");
            if is_so(self, &config) {
                return began.elapsed().as_millis() as u64;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "never: {what}; {config:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until_whole(&self, primary: Option<&NodeId>) -> u64 {
        self.until("whole", |group, config| {
            let running = group.puppets.lock();
            running.iter().all(|(id, one)| config.in_sync.get(id) == Some(&one.life))
                && group.holders().first() == config.primary.as_ref()
                && primary.is_none_or(|id| config.primary.as_ref() == Some(id))
        })
        .await
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_member_leads_a_new_group_and_the_best_one_follows_it() {
    let mut group = Group::start(3, 0).await;
    group.until_whole(Some(&id(1))).await;
    group.puppets.lock()[&id(3)].facts.lock().offset = 10;
    group.kill(&id(1)).await;
    let took_ms = group.until_whole(Some(&id(3))).await;
    assert!(took_ms < 2500, "{took_ms} ms");
    group.begin(1, 2).await;
    group.until_whole(Some(&id(3))).await;
    let config = Arc::clone(&group.handle().status().borrow().config);
    assert_eq!((config.failovers, config.in_sync[&id(1)]), (1, Incarnation(2)));
}

#[tokio::test(start_paused = true)]
async fn a_witness_votes_and_never_leads() {
    let group = Group::start(2, 1).await;
    group.until_whole(Some(&id(1))).await;
    group.kill(&id(1)).await;
    group.until_whole(Some(&id(2))).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_majority_nobody_acknowledges() {
    let group = Group::start(3, 0).await;
    group.until_whole(None).await;
    group.kill(&id(2)).await;
    group.kill(&id(3)).await;
    group.until("the lease is gone", |group, _| group.holders().is_empty()).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(group.holders(), []);
    let facts = |id: &NodeId| group.puppets.lock()[id].facts.lock().leads;
    assert_eq!(facts(&id(1)), None, "it gave its place up");
}

#[tokio::test(start_paused = true)]
async fn a_handover_moves_the_place_without_an_election() {
    let group = Group::start(3, 0).await;
    group.until_whole(None).await;
    let epoch = group.handle().status().borrow().config.epoch;
    for to in [id(2), id(3), id(1)] {
        let before = Instant::now();
        assert_eq!(group.handle().hand_over(Some(to.clone())).await, Ok(to.clone()));
        group.until("it acknowledges", |group, _| group.holders() == [to.clone()]).await;
        let took_ms = before.elapsed().as_millis();
        assert!(took_ms < 100, "{took_ms} ms");
        group.until_whole(Some(&to)).await;
    }
    assert!(group.handle().hand_over(Some(id(9))).await.is_err());
    let config = Arc::clone(&group.handle().status().borrow().config);
    assert_eq!((config.epoch, config.failovers), (epoch + 3, 0));
    assert!(group.puppets.lock().values().all(|one| !one.facts.lock().holds));
}

#[tokio::test(start_paused = true)]
async fn a_handover_that_nobody_waits_for_any_more_keeps_nobody_from_leading() {
    let mut group = Group::new(3, 0);
    let (gate, opened) = watch::channel(true);
    for index in 1..=3 {
        let disk = group.disks[index - 1].clone();
        group.begin_with(index, 1, Arc::new(GatedDisk(disk, opened.clone()))).await;
    }
    group.until_whole(None).await;
    gate.send_replace(false);
    let patience = Duration::from_millis(50);
    let handed_over = tokio::time::timeout(patience, group.handle().hand_over(None)).await;
    assert!(handed_over.is_err(), "its promise is not written yet");
    assert_eq!(group.holders(), []);
    gate.send_replace(true);
    group.until("somebody acknowledges", |group, _| group.holders().len() == 1).await;
    assert!(group.puppets.lock().values().all(|one| !one.facts.lock().holds));
}

/// What comes at once need not have been planned because the last of it was.
#[tokio::test(start_paused = true)]
async fn nothing_is_passed_on_to_who_took_over_from_one_that_was_elected() {
    let group = Group::start(3, 0).await;
    group.until_whole(Some(&id(1))).await;
    let handle = |index| group.town.0.lock()[&id(index)].clone();
    let epoch = handle(1).status().borrow().config.epoch;
    // It cannot ask for what it has begun, and the others elect.
    *group.town.1.lock() = Some(id(1));
    let first = handle(1);
    let handing_over = tokio::spawn(async move { first.hand_over(Some(id(2))).await });
    let is_elected = |status: &Arc<Status>| status.config.epoch > epoch;
    let elected = handle(2).status().wait_for(is_elected).await.unwrap().config.clone();
    assert!(!elected.is_planned);
    let next = if elected.primary == Some(id(2)) { id(3) } else { id(2) };
    assert_eq!(handle(2).hand_over(Some(next.clone())).await, Ok(next));
    *group.town.1.lock() = None;
    let is_heard_of = |status: &Arc<Status>| status.config.epoch > elected.epoch;
    let known = handle(1).status().wait_for(is_heard_of).await.unwrap().config.clone();
    assert!(known.is_planned);
    let _ = handing_over.await;
    let puppet = Arc::clone(&group.puppets.lock()[&id(1)]);
    assert!(!puppet.facts.lock().handed_over, "who was elected need not have all that it has");
}

#[tokio::test(start_paused = true)]
async fn all_start_anew_and_go_on_with_what_they_agreed_on() {
    let mut group = Group::start(3, 0).await;
    group.until_whole(None).await;
    for index in 1..=3 {
        group.kill(&id(index)).await;
    }
    for index in 1..=3 {
        group.begin(index, 2).await;
    }
    group.until_whole(None).await;
    let config = Arc::clone(&group.handle().status().borrow().config);
    let is_told = config.events.iter().any(|event| event.message.contains("may be lost"));
    assert!(is_told && config.epoch > 1, "{:?}", config.events);
}

#[tokio::test(start_paused = true)]
async fn members_come_and_go() {
    let group = Group::start(3, 1).await;
    group.until_whole(None).await;
    group.handle().remove_member(id(3)).await.unwrap();
    group.until("it is gone", |_, config| !config.members.contains_key(&id(3))).await;
    assert!(group.handle().remove_member(id(1)).await.is_err(), "the primary stays");
    let member = group.members[2].clone();
    group.handle().add_member(member).await.unwrap();
    group.until_whole(None).await;
}

#[tokio::test(start_paused = true)]
async fn a_promise_is_kept_at_once_and_told_when_it_is_on_the_disk() {
    for is_written in [true, false] {
        let mut group = Group::new(3, 0);
        let (gate, opened) = watch::channel(false);
        let disk = group.disks[0].clone();
        group.begin_with(1, 1, Arc::new(GatedDisk(disk.clone(), opened))).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let puppet = Arc::clone(&group.puppets.lock()[&id(1)]);
        puppet.facts.lock().follows = Some(id(2));
        let handle = group.handle();
        let asked = encode(&Request::Promise { epoch: 7 });
        let promise = tokio::spawn(async move { handle.answer(&id(2), &asked).await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!promise.is_finished());
        assert_eq!(puppet.facts.lock().follows, None, "the node is frozen already");
        let asked = encode(&Request::Renew { epoch: 6, membership: 0 });
        let renewed = group.handle().answer(&id(2), &asked).await;
        assert!(matches!(decode(&renewed), Some(Answer::Renewed { granted: false, .. })));
        match is_written {
            true => drop(gate.send(true)),
            false => drop(gate),
        }
        let promised = promise.await.unwrap();
        let is_given = matches!(decode(&promised), Some(Answer::Promised(Promised::Yes(_))));
        assert_eq!(is_given, is_written);
        assert_eq!(read_number(&disk, PROMISE).unwrap(), if is_written { 7 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn an_interruption_without_an_end_keeps_nobody_from_leading() {
    let group = Group::start(3, 0).await;
    group.until_whole(None).await;
    let zone = Zone("b".to_owned());
    group.handle().interrupt_zone(zone.clone(), Duration::MAX).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let primary = group.handle().status().borrow().config.primary.clone().unwrap();
    group.kill(&primary).await;
    group.until_whole(None).await;
    let config = Arc::clone(&group.handle().status().borrow().config);
    assert_eq!(config.interrupted, Some(zone));
}

#[tokio::test(start_paused = true)]
async fn a_promise_of_the_last_epoch_keeps_nobody_else_from_leading() {
    for broken in 1..=3 {
        let mut group = Group::new(3, 0);
        group.disks[broken - 1].replace(PROMISE, &encode(&u64::MAX)).await.unwrap();
        for index in 1..=3 {
            group.begin(index, 1).await;
        }
        group.until("somebody leads", |group, _| group.holders().len() == 1).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        group.until("somebody leads on", |group, _| group.holders().len() == 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_member_promises_an_epoch_after_which_there_is_none() {
    let mut group = Group::new(3, 0);
    group.begin(1, 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = encode(&Request::Promise { epoch: u64::MAX });
    let promised = group.handle().answer(&id(2), &asked).await;
    assert!(matches!(decode(&promised), Some(Answer::Promised(Promised::No { .. }))));
    assert_eq!(read_number(&group.disks[0], PROMISE).unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn where_a_member_is_nobody_changes_by_adding_it_again() {
    let group = Group::start(3, 0).await;
    group.until_whole(None).await;
    let leader = group.handle().inner.consensus.leader().unwrap();
    let elsewhere = Member { group_address: ([127, 0, 0, 1], 9).into(), ..leader.clone() };
    assert!(group.handle().add_member(elsewhere).await.is_err());
    let leading = group.town.0.lock()[&leader.id].clone();
    assert_eq!(leading.inner.consensus.leader(), Some(leader.clone()));
    group.handle().add_member(leader).await.expect("the same again, as after a lost answer");
}

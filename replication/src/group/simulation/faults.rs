//! What goes wrong: drawn one after the other, so that several things are wrong at the same time.

use super::world::Weather;
use super::{Doubt, Group};
use std::time::Duration;
use tokio::task::JoinHandle;

impl Group {
    /// The stormy part of a history.
    pub(super) async fn storm(&mut self, random: &mut fastrand::Rng) {
        self.pass(Duration::from_millis(random.u64(1500..5000))).await;
        let until = self.world.now() + self.shape.storm.as_nanos() as u64;
        // Some histories are gentle, so that rare things happen to a group that is well.
        let pace_ms = random.u64(150..2500);
        while self.world.now() < until {
            self.fault(random).await;
            self.pass(Duration::from_millis(random.u64(20..pace_ms))).await;
        }
    }

    async fn fault(&mut self, random: &mut fastrand::Rng) {
        let place = random.usize(0..self.members.len());
        let kind = random.u8(0..30);
        self.world.tell(|| format!("fault {kind} at {place}, revision {}", self.told));
        match kind {
            0..=2 => self.partition(random),
            3..=4 => self.one_way(random),
            28..=29 => self.deafen(place),
            5..=7 => self.world.heal_network(),
            8..=9 => self.world.set_weather(Weather {
                delay_us: (100, random.u64(1_000..80_000)),
                loss_percent: random.u64(0..20),
                duplicate_percent: random.u64(0..15),
            }),
            10 => {
                let to = random.usize(0..self.members.len());
                self.world.slow(place, to, random.u64(10_000..600_000));
            }
            11..=13 => self.world.pause(place, Duration::from_millis(random.u64(50..4000))),
            14..=16 if self.may_lose_memory() && self.world.is_up(place) => {
                self.power_off(place, Duration::from_millis(random.u64(200..4000)));
            }
            17 if self.may_lose_memory() && self.world.is_up(place) => {
                self.power_off_primary(random);
            }
            18 if self.may_lose_memory() => {
                self.world.crash_at_write(place);
                // Nobody else may lose its memory before that one did.
                self.pass(Duration::from_millis(random.u64(100..1500))).await;
                if self.world.is_up(place) {
                    self.power_off(place, Duration::from_millis(300));
                }
            }
            19 => self.world.set_slow_disk(place, random.u64(0..40)),
            20 => self.world.jump_unix_clock(place, random.i64(-10_000_000..10_000_000)),
            21..=23 => self.hand_over(place, random),
            24 if self.may_lose_memory() => self.test_failover(place).await,
            25 if self.may_lose_memory() => self.interrupt(place, random).await,
            26..=27 => self.change_members(place, random),
            _ => {}
        }
    }

    fn partition(&mut self, random: &mut fastrand::Rng) {
        self.world.heal_network();
        let places = self.members.len() + self.shape.clients;
        let sides: Vec<bool> = (0..places).map(|_| random.bool()).collect();
        for from in 0..places {
            for to in 0..places {
                if sides[from] != sides[to] {
                    self.world.cut(from, to);
                }
            }
        }
    }

    /// A node's members do not hear it any more, and its data goes on.
    fn deafen(&mut self, place: usize) {
        self.world.heal_network();
        for other in 0..self.members.len() {
            self.world.deafen(place, other);
        }
        self.world.set_weather(Weather {
            delay_us: (100, 120_000),
            loss_percent: 0,
            duplicate_percent: 0,
        });
    }

    fn one_way(&mut self, random: &mut fastrand::Rng) {
        for _ in 0..random.u8(1..4) {
            let nodes = self.members.len();
            self.world.cut(random.usize(0..nodes), random.usize(0..nodes));
        }
    }

    fn power_off_primary(&mut self, random: &mut fastrand::Rng) {
        let primary = self.config().primary.clone();
        if let Some(&place) = primary.as_ref().and_then(|id| self.places.get(id)) {
            self.power_off(place, Duration::from_millis(random.u64(200..4000)));
        }
    }

    fn hand_over(&mut self, place: usize, random: &mut fastrand::Rng) {
        let Some(handle) = self.world.handle(place) else { return };
        let to = random.bool().then(|| {
            let to = random.usize(0..self.members.len());
            self.members[to].id.clone()
        });
        tokio::spawn(async move {
            // It may be refused; what has to be true is true all the same.
            let _ = handle.hand_over(to).await;
        });
    }

    async fn test_failover(&mut self, place: usize) {
        let Some(handle) = self.world.handle(place) else { return };
        let called = tokio::spawn(async move { handle.test_failover().await });
        self.wait_for_accident(called).await;
    }

    async fn interrupt(&mut self, place: usize, random: &mut fastrand::Rng) {
        let zone = self.members[place].zone.clone();
        let config = self.config();
        let within = config.data_members().filter(|member| member.zone == zone).count();
        let Some(handle) = self.world.handle(place).filter(|_| within < 2) else { return };
        let duration = Duration::from_millis(random.u64(500..4000));
        let called = tokio::spawn(async move { handle.interrupt_zone(zone, duration).await });
        self.wait_for_accident(called).await;
    }

    /// Waits until a call that takes power has had its effect or has failed. What failed may be agreed
    /// on all the same, and heard of late.
    async fn wait_for_accident<E>(&mut self, called: JoinHandle<Result<(), E>>) {
        for _ in 0..200 {
            if called.is_finished() {
                break;
            }
            self.pass(Duration::from_millis(25)).await;
        }
        called.abort();
        if matches!(called.await, Ok(Ok(()))) {
            // The power may go late, at a node that hears of it late.
            while self.config().interrupted.is_some() && self.world.now() < 200_000_000_000 {
                self.world.heal_network();
                self.pass(Duration::from_millis(300)).await;
            }
            return self.pass(Duration::from_millis(600)).await;
        }
        self.doubt = Some(Doubt::begin(self));
    }

    fn change_members(&mut self, place: usize, random: &mut fastrand::Rng) {
        let Some(handle) = self.world.handle(random.usize(0..self.founders)) else { return };
        let member = self.members[place].clone();
        let config = self.config();
        if place < self.founders || config.members.is_empty() {
            return;
        }
        if config.members.contains_key(&member.id) {
            tokio::spawn(async move { handle.remove_member(member.id).await });
        } else {
            let is_up = self.world.is_up(place);
            if !is_up {
                self.back.insert(place, self.world.now());
            }
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                handle.add_member(member).await
            });
        }
    }
}

//! One load per key inside the process.
//!
//! Who finds nothing joins the flight that is under way for the key, or starts one. A flight is a
//! task of its own: it goes on when those who wait for it do not. What it brings says as of when it
//! was true; who joined later asks again, because an invalidation may have been finished in between.

use super::Fetched;
use super::key::Key;
use crate::error::Error;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// How a flight stands.
pub(super) enum Progress<V> {
    /// Under way.
    Flying,
    /// Under way, and there is a value that is no longer fresh.
    Stale(Fetched<V>),
    /// Over.
    Landed(Result<Fetched<V>, Error>),
}

/// A load under way.
pub(super) type Flight<V> = watch::Sender<Progress<V>>;

/// The loads under way.
pub(super) struct Flights<V>(Mutex<HashMap<Key, Arc<Flight<V>>>>);

impl<V> Default for Flights<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// What came of the wish to join.
pub(super) enum Joined<V> {
    /// A new flight, to be flown by whoever gets this.
    Pilot(Arc<Flight<V>>, watch::Receiver<Progress<V>>),
    /// One that was under way.
    Passenger(watch::Receiver<Progress<V>>),
}

impl<V> Flights<V> {
    /// Joins the flight for a key, or starts one.
    pub(super) fn join(&self, key: &[u8]) -> Joined<V> {
        let mut flights = self.0.lock();
        if let Some(flight) = flights.get(key) {
            return Joined::Passenger(flight.subscribe());
        }
        let flight = Arc::new(watch::Sender::new(Progress::Flying));
        let receiver = flight.subscribe();
        flights.insert(key.to_vec(), Arc::clone(&flight));
        Joined::Pilot(flight, receiver)
    }

    /// Starts a flight in place of one that is under way.
    pub(super) fn replace(&self, key: &[u8]) -> (Arc<Flight<V>>, watch::Receiver<Progress<V>>) {
        let flight = Arc::new(watch::Sender::new(Progress::Flying));
        let receiver = flight.subscribe();
        self.0.lock().insert(key.to_vec(), Arc::clone(&flight));
        (flight, receiver)
    }

    /// A flight is over: nobody joins it any more.
    pub(super) fn leave(&self, key: &[u8], flight: &Arc<Flight<V>>) {
        let mut flights = self.0.lock();
        if flights.get(key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            flights.remove(key);
        }
    }

    /// Nobody joins what is under way for a key.
    pub(super) fn detach(&self, key: &[u8]) {
        self.0.lock().remove(key);
    }

    /// Nobody joins anything that is under way.
    pub(super) fn detach_all(&self) {
        self.0.lock().clear();
    }

    /// Whether a load is under way for a key.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.0.lock().contains_key(key)
    }
}

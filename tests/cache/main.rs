//! The client's database cache, its sessions and the way it follows nodes, against Larder and stock Redis.
//!
//! Everything runs against a single node and against a primary with a replica, of either kind. A
//! site's processes are real ones; "another process" is another `Net` where the test is about what
//! the server keeps apart, and a real process where it is about numbers.

mod database;
mod failover;
mod group;
mod history;
mod lives;
mod loads;
mod logins;
mod outage;
mod race;
mod sessions;
mod site;
mod stampede;

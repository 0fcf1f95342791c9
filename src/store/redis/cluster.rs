//! A cluster: each record on the server that has its slot.
//!
//! A command goes to one server. If that server fails, the command fails. It is not sent again,
//! because it may have been carried out. Only a command that a server has rejected is sent on: the
//! slot is not its own, or is being moved. The map of the slots is read again when a server
//! rejects, falls silent or cannot be reached. Other servers do not wait for that.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::{ConnectionInfo, ErrorKind, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, sleep, timeout};

use super::address::Address;
use super::commands::{Commands, last};
use super::error::unreached;
use super::place::Place;
use super::server::{Endpoint, PAUSE, Server};
use super::setting::Setting;
use super::slot_set::{SlotSet, slot_of};
use crate::runtime::lock::lock;

mod reading;
mod redirect;
mod slots;

use reading::Read;
use redirect::{NotServed, Step, send_announced};
use slots::Slots;

/// How often a command is sent on before the map is looked at again.
const HOPS: usize = 16;
/// How long a command waits for its other names, while its slot is being moved.
const MOVING: Duration = Duration::from_millis(20);
/// How long a server may take to be connected to before the map is read again.
const REACH: Duration = Duration::from_millis(200);

/// The servers of a cluster, shared by all clones.
#[derive(Clone)]
pub(super) struct Cluster(Arc<Inner>);

struct Inner {
    /// Never empty. All servers are reached as the first one is.
    seeds: Vec<ConnectionInfo>,
    setting: Setting,
    servers: Mutex<HashMap<Address, Server>>,
    /// In the order of the slots.
    map: Mutex<Arc<Vec<Slots>>>,
    /// The servers that have rejected a command although the map had named them.
    in_doubt: Mutex<HashSet<Address>>,
    /// When the map was last read, and the result. The caller that reads holds the lock.
    reading: Arc<tokio::sync::Mutex<Read>>,
    /// Which server is asked first, when many can be.
    turn: AtomicUsize,
}

impl Cluster {
    /// Connects nowhere yet.
    pub(super) fn new(seeds: Vec<ConnectionInfo>, setting: Setting) -> Self {
        Self(Arc::new(Inner {
            seeds,
            setting,
            servers: Mutex::default(),
            map: Mutex::default(),
            in_doubt: Mutex::default(),
            reading: Arc::default(),
            turn: AtomicUsize::new(0),
        }))
    }

    /// Sends commands on one name to the server that has it.
    pub(super) async fn send(&self, commands: &Commands) -> RedisResult<Vec<Value>> {
        self.0.setting.in_time(self.route(commands)).await
    }

    /// The server that has a slot, and all slots that it has, as it says itself: the map may be out
    /// of date.
    pub(super) async fn part_with(&self, slot: u16) -> RedisResult<(Address, SlotSet)> {
        let place = || Place::cluster(&self.0.seeds);
        let found = async {
            let mut server = self.0.setting.to_reach(place, self.reach(Some(slot))).await?;
            loop {
                let question = Commands::of(&[&[b"CLUSTER", b"SLOTS"]]);
                let map = self.0.server(&server).send(&question).await.and_then(last)?;
                let mut own = SlotSet::none();
                for slots in slots::read(map, &server.host)? {
                    if slots.port == server.port && slots.host == server.host {
                        own.add(slots.first..=slots.last);
                    }
                }
                if own.contains(slot) {
                    return Ok((server, own));
                }
                self.0.doubt(&server);
                server = self.owner_later(Some(slot)).await?;
            }
        };
        self.0.setting.in_time(found).await
    }

    /// Sends commands to one server. What it does not serve is an error among the replies, and a
    /// reason to read the map again.
    pub(super) async fn send_to(
        &self,
        server: &Address,
        commands: &Commands,
    ) -> RedisResult<Vec<Value>> {
        let replies = self.0.server(server).send(commands).await;
        if NotServed::find(&replies).is_some_and(|why| why.next(server).is_map_in_doubt) {
            self.0.doubt(server);
        }
        replies
    }

    async fn route(&self, commands: &Commands) -> RedisResult<Vec<Value>> {
        let slot = commands.name().map(slot_of);
        let place = || Place::cluster(&self.0.seeds);
        let mut to = self.0.setting.to_reach(place, self.reach(slot)).await?;
        let mut asking = false;
        let mut hops = 0;
        while hops < HOPS {
            let server = self.0.server(&to);
            let replies = if asking {
                send_announced(&server, commands).await
            } else {
                server.send(commands).await
            };
            let Some(not_served) = NotServed::find(&replies) else { return replies };
            let next = not_served.next(&to);
            if next.is_map_in_doubt {
                self.0.doubt(&to);
            }
            match next.step {
                Step::GiveUp => return replies,
                Step::GoTo { server, announced } => {
                    (to, asking) = (server, announced);
                    hops += 1;
                }
                Step::LookUpAgain => {
                    (to, asking) = (self.owner_later(slot).await?, false);
                    hops = 0;
                }
            }
        }
        Err((ErrorKind::Server(ServerErrorKind::TryAgain), "the slot did not come to rest").into())
    }

    /// Where a slot is, when a command can be sent there. While the server cannot be reached, the
    /// map may change and name another one.
    async fn reach(&self, slot: Option<u16>) -> RedisResult<Address> {
        loop {
            let owner = self.owner(slot).await?;
            if let Ok(reached) = timeout(REACH, self.0.server(&owner).reach()).await {
                return reached.map(|()| owner);
            }
        }
    }

    /// Where a slot is after a pause. The slot is being moved, or its new server is unknown.
    async fn owner_later(&self, slot: Option<u16>) -> RedisResult<Address> {
        sleep(MOVING).await;
        self.owner(slot).await
    }

    /// Where a slot is. A caller that has reason to doubt the map reads it first, unless that was
    /// just done.
    async fn owner(&self, slot: Option<u16>) -> RedisResult<Address> {
        match self.0.owner(slot) {
            Some(owner) if self.0.server(&owner).is_sound() => {
                if !lock(&self.0.in_doubt).is_empty()
                    && let Ok(reading) = Arc::clone(&self.0.reading).try_lock_owned()
                {
                    let _ = self.read(Instant::now(), reading).await;
                }
            }
            known => {
                let asked = Instant::now();
                let reading = Arc::clone(&self.0.reading).lock_owned().await;
                let read = self.read(asked, reading).await;
                if known.is_none() {
                    read.map_err(unreached)?;
                }
            }
        }
        self.0.owner(slot).ok_or_else(|| {
            (ErrorKind::Server(ServerErrorKind::ClusterDown), "no server has this slot").into()
        })
    }

    async fn read(
        &self,
        asked: Instant,
        mut reading: tokio::sync::OwnedMutexGuard<Read>,
    ) -> RedisResult<()> {
        if let Some((at, read)) = &*reading
            && (*at >= asked || at.elapsed() < PAUSE)
        {
            return read.clone();
        }
        // A caller may give up before it is read. The reading goes on for the callers behind it.
        let inner = Arc::clone(&self.0);
        let read = tokio::spawn(async move {
            let read = inner.read().await;
            *reading = Some((Instant::now(), read.clone()));
            read
        });
        read.await.unwrap_or_else(|ended| Err(std::io::Error::other(ended).into()))
    }
}

impl Inner {
    fn server(&self, address: &Address) -> Server {
        let mut servers = lock(&self.servers);
        if let Some(server) = servers.get(address) {
            return server.clone();
        }
        let seed =
            self.seeds.iter().find(|seed| Address::of(seed.addr()).as_ref() == Some(address));
        let info = seed.cloned().unwrap_or_else(|| {
            let like = &self.seeds[0];
            like.clone().set_addr(address.clone().like(Some(like.addr())))
        });
        let server = Server::new(Endpoint::Fixed(info), self.setting.clone());
        servers.insert(address.clone(), server.clone());
        server
    }

    /// Which server the map names for a slot. For no slot, any server, preferably one with a
    /// connection.
    fn owner(&self, slot: Option<u16>) -> Option<Address> {
        let map = Arc::clone(&lock(&self.map));
        let address = |slots: &Slots| Address { host: slots.host.clone(), port: slots.port };
        if let Some(slot) = slot {
            let index = map.partition_point(|slots| slots.last < slot);
            return map.get(index).filter(|slots| slots.first <= slot).map(address);
        }
        let sound = map.iter().map(address).find(|address| self.server(address).is_sound());
        sound.or_else(|| map.first().map(address))
    }

    /// The map of this server may be as wrong as its rejection, so it is asked last.
    fn doubt(&self, server: &Address) {
        lock(&self.in_doubt).insert(server.clone());
    }

    fn adopt(&self, mut map: Vec<Slots>) {
        map.sort_unstable_by_key(|slots| slots.first);
        let is_seed = |address: &Address| {
            self.seeds.iter().any(|seed| Address::of(seed.addr()).as_ref() == Some(address))
        };
        let is_named = |address: &Address| {
            map.iter().any(|slots| slots.port == address.port && slots.host == address.host)
        };
        // The connection to any other server ends with its entry.
        lock(&self.servers).retain(|address, _| is_named(address) || is_seed(address));
        *lock(&self.map) = Arc::new(map);
        lock(&self.in_doubt).clear();
    }
}

//! A cluster: each record on the server that has its slot.
//!
//! A command goes to one server, and a failure of that server is the failure of the command: it is not sent again by
//! itself, for it may have been carried out. Only what a server has refused, because the slot is not its own or is on
//! the move, is sent on. The map of the slots is read anew when a server refuses, or falls silent, or cannot be
//! reached. Other servers are not held up by that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::{Cmd, ConnectionInfo, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::eviction::Eviction;
use super::sentinel::like_address;
use super::server::{PAUSE, Place, Server, held, timed_out};
use super::slots::{self, Slots};

mod commands;

pub(super) use commands::Commands;
use commands::{Address, Refusal};

/// How long a command may take in all, on however many servers.
const OVERALL: Duration = Duration::from_secs(1);
/// How long the servers may take to tell which slots they have.
const READ: Duration = Duration::from_millis(500);
/// How many servers are asked for the map at once.
const ASKED: usize = 3;
/// How often a command is sent on, at a time.
const HOPS: usize = 16;
/// How long to wait for the rest of what a command needs, while its slot is on the move.
const MOVING: Duration = Duration::from_millis(20);

/// The servers of a cluster, shared by all clones.
#[derive(Clone)]
pub(super) struct Cluster(Arc<Inner>);

struct Inner {
    /// Never empty. How the first one is reached, every other one is too.
    seeds: Vec<ConnectionInfo>,
    eviction: Arc<Eviction>,
    servers: Mutex<HashMap<Address, Server>>,
    /// In the order of the slots.
    map: Mutex<Arc<Vec<Slots>>>,
    /// A server has refused a command for which the map had named it.
    in_doubt: AtomicBool,
    /// When the map was last read, and what came of it. Held by the one caller who reads.
    reading: tokio::sync::Mutex<Option<(Instant, RedisResult<()>)>>,
    /// Whose turn it is to be asked, when many can be.
    turn: AtomicUsize,
}

impl Cluster {
    /// Connects nowhere yet.
    pub(super) fn new(seeds: Vec<ConnectionInfo>, eviction: Arc<Eviction>) -> Self {
        Self(Arc::new(Inner {
            seeds,
            eviction,
            servers: Mutex::default(),
            map: Mutex::default(),
            in_doubt: AtomicBool::new(false),
            reading: tokio::sync::Mutex::default(),
            turn: AtomicUsize::new(0),
        }))
    }

    /// Sends commands on one name to the server that has it.
    pub(super) async fn send(&self, commands: Commands<'_>) -> RedisResult<Vec<Value>> {
        timeout(OVERALL, self.route(commands)).await.unwrap_or_else(|elapsed| Err(timed_out(elapsed)))
    }

    async fn route(&self, commands: Commands<'_>) -> RedisResult<Vec<Value>> {
        let slot = commands.slot();
        let mut to = self.owner(slot).await?;
        let mut asking = false;
        let mut hops = 0;
        while hops < HOPS {
            let server = self.0.server(&to);
            let answers = commands.send(&server, asking).await;
            match Refusal::find(&answers) {
                None => return answers,
                Some(Refusal::Moved(address)) => {
                    self.0.in_doubt.store(true, Ordering::Relaxed);
                    (to, asking) = (address.or_at(&to), false);
                }
                Some(Refusal::Ask(address)) => (to, asking) = (address.or_at(&to), true),
                Some(Refusal::TryAgain) => {
                    sleep(MOVING).await;
                    (to, asking) = (self.owner(slot).await?, false);
                    hops = 0;
                    continue;
                }
                Some(Refusal::Down) => {
                    self.0.in_doubt.store(true, Ordering::Relaxed);
                    return answers;
                }
            }
            hops += 1;
        }
        Err((ErrorKind::Server(ServerErrorKind::TryAgain), "the slot did not come to rest").into())
    }

    /// Where a slot is. Whoever has reason to doubt it reads the map first, unless that was just done.
    async fn owner(&self, slot: Option<u16>) -> RedisResult<Address> {
        match self.0.owner(slot) {
            Some(owner) if self.0.server(&owner).is_sound() => {
                if self.0.in_doubt.load(Ordering::Relaxed)
                    && let Ok(reading) = self.0.reading.try_lock()
                {
                    let _ = self.read(Instant::now(), reading).await;
                }
            }
            known => {
                let asked = Instant::now();
                let reading = self.0.reading.lock().await;
                let read = self.read(asked, reading).await;
                if known.is_none() {
                    read?;
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
        mut reading: tokio::sync::MutexGuard<'_, Option<(Instant, RedisResult<()>)>>,
    ) -> RedisResult<()> {
        if let Some((at, read)) = &*reading
            && (*at >= asked || at.elapsed() < PAUSE)
        {
            return read.clone();
        }
        let read = timeout(READ, self.0.read()).await.unwrap_or_else(|elapsed| Err(timed_out(elapsed)));
        *reading = Some((Instant::now(), read.clone()));
        read
    }
}

impl Inner {
    fn server(&self, address: &Address) -> Server {
        let mut servers = held(&self.servers);
        if let Some(server) = servers.get(address) {
            return server.clone();
        }
        let seed = self.seeds.iter().find(|seed| Address::of(seed.addr()).as_ref() == Some(address));
        let info = seed.cloned().unwrap_or_else(|| {
            let like = &self.seeds[0];
            let address = like_address(Some(like.addr()), address.host.clone(), address.port);
            like.clone().set_addr(address)
        });
        let server = Server::new(Place::Fixed(info), Arc::clone(&self.eviction));
        servers.insert(address.clone(), server.clone());
        server
    }

    /// Which server the map names for a slot; for no slot, any, rather one that is known to be there.
    fn owner(&self, slot: Option<u16>) -> Option<Address> {
        let map = Arc::clone(&held(&self.map));
        let address = |slots: &Slots| Address { host: slots.host.clone(), port: slots.port };
        if let Some(slot) = slot {
            let index = map.partition_point(|slots| slots.last < slot);
            return map.get(index).filter(|slots| slots.first <= slot).map(address);
        }
        let sound = map.iter().map(address).find(|address| self.server(address).is_sound());
        sound.or_else(|| map.first().map(address))
    }

    /// Whom to ask for the map: those that are known to be there, or else everybody in turn.
    fn candidates(&self) -> Vec<Address> {
        let map = Arc::clone(&held(&self.map));
        let named = map.iter().map(|slots| Address { host: slots.host.clone(), port: slots.port });
        let mut all: Vec<_> =
            named.chain(self.seeds.iter().filter_map(|seed| Address::of(seed.addr()))).collect();
        all.sort_unstable();
        all.dedup();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % all.len().max(1);
        all.rotate_left(turn);
        let (mut sound, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|address| self.server(address).is_sound());
        if sound.is_empty() {
            others
        } else {
            sound.truncate(ASKED);
            sound
        }
    }

    /// Asks several servers at once for the map; the first one that knows it counts.
    async fn read(&self) -> RedisResult<()> {
        let mut asked = JoinSet::new();
        for address in self.candidates() {
            let server = self.server(&address);
            asked.spawn(async move {
                let mut command = Cmd::new();
                command.arg("CLUSTER").arg("SLOTS");
                slots::read(server.one(&command).await?, &address.host)
            });
        }
        let mut failure = None;
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok(Ok(map)) => {
                    self.adopt(map);
                    return Ok(());
                }
                Ok(Err(error)) => failure = Some(error),
                Err(_) => {}
            }
        }
        Err(failure
            .unwrap_or_else(|| RedisError::from((ErrorKind::Client, "no server of the cluster to ask"))))
    }

    fn adopt(&self, mut map: Vec<Slots>) {
        map.sort_unstable_by_key(|slots| slots.first);
        let is_seed = |address: &Address| {
            self.seeds.iter().any(|seed| Address::of(seed.addr()).as_ref() == Some(address))
        };
        let is_named = |address: &Address| {
            map.iter().any(|slots| slots.port == address.port && slots.host == address.host)
        };
        // The connection to a server that is neither ends with it.
        held(&self.servers).retain(|address, _| is_named(address) || is_seed(address));
        *held(&self.map) = Arc::new(map);
        self.in_doubt.store(false, Ordering::Relaxed);
    }
}

//! A private group of Redis servers that Sentinel watches over.

use std::collections::HashMap;

use super::node::{Mode, Node, until};

const NAME: &str = SentinelGroup::NAME;

/// One primary, two replicas and three sentinels, which take a primary for dead after a second.
pub(crate) struct SentinelGroup {
    servers: Vec<Node>,
    sentinels: Vec<Node>,
}

impl SentinelGroup {
    /// The name of the group, as the sentinels know it.
    pub(crate) const NAME: &str = "orders";

    /// Starts the group, and returns when all sentinels know one another, the primary and both
    /// replicas.
    pub(crate) fn start() -> Self {
        let server = "save \"\"\nrepl-diskless-sync-delay 0\n";
        let primary = Node::start(Mode::Server, server);
        let port = primary.port();
        let replica =
            || Node::start(Mode::Server, &format!("{server}replicaof 127.0.0.1 {port}\n"));
        let servers = vec![primary, replica(), replica()];
        // Sentinels read of replicas in the primary's own account, and seldom.
        until("replicas in sync", || servers[0].leads(2));
        let watch = format!(
            "sentinel monitor {NAME} 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds {NAME} 1000\n\
             sentinel failover-timeout {NAME} 2000\n"
        );
        let sentinels: Vec<_> = (0..3).map(|_| Node::start(Mode::Sentinel, &watch)).collect();
        let group = Self { servers, sentinels };
        group.hasten();
        group.whole();
        group
    }

    pub(crate) fn url(&self) -> String {
        let sentinels: Vec<_> =
            self.sentinel_ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{NAME}", sentinels.join(","))
    }

    pub(crate) fn sentinel_ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(Node::port).collect()
    }

    /// The ports of the primary and both replicas, in no order.
    pub(crate) fn server_ports(&self) -> Vec<u16> {
        self.servers.iter().map(Node::port).collect()
    }

    /// The port of the primary, as named by the first sentinel that replies.
    pub(crate) fn primary_port(&self) -> u16 {
        self.sentinels.iter().find_map(named_primary).expect("no sentinel replies")
    }

    /// Ends the primary as a crash would, and tells its port. The sentinels will find out.
    pub(crate) fn kill_primary(&mut self) -> u16 {
        let port = self.primary_port();
        self.server(port).kill();
        port
    }

    /// Stops the primary where it is, and tells its port. The sentinels will find out.
    pub(crate) fn stop_primary(&mut self) -> u16 {
        let port = self.primary_port();
        self.server(port).stop();
        port
    }

    /// Lets all stopped servers go on. The former primary considers itself the primary until a
    /// sentinel tells it otherwise.
    pub(crate) fn resume(&mut self) {
        self.servers.iter_mut().for_each(Node::resume);
    }

    /// Ends all servers and all sentinels as a crash would.
    pub(crate) fn kill_all(&mut self) {
        self.sentinels.iter_mut().chain(&mut self.servers).for_each(Node::kill);
    }

    /// Asks a sentinel to make a replica the primary, and tells the port of the primary until now.
    pub(crate) fn failover(&self) -> u16 {
        let port = self.primary_port();
        let sentinel =
            self.sentinels.iter().find(|sentinel| sentinel.runs()).expect("no sentinel runs");
        // An error while another failover has its after-effects.
        until("failover begun", || {
            sentinel.ask::<()>(&format!("SENTINEL FAILOVER {NAME}")).is_ok()
        });
        port
    }

    /// Returns when all sentinels that run name another primary than this one.
    pub(crate) fn moved_from(&self, port: u16) {
        until("another primary", || {
            let mut running = self.sentinels.iter().filter(|sentinel| sentinel.runs());
            running.all(|sentinel| named_primary(sentinel).is_some_and(|named| named != port))
        });
    }

    /// Starts again what was killed, lets go on what was stopped, and returns when the group is
    /// whole.
    pub(crate) fn heal(&mut self) {
        self.resume();
        for sentinel in &mut self.sentinels {
            if sentinel.is_killed() {
                sentinel.start_again(&[]);
            }
        }
        self.hasten();
        until("sentinels of one mind", || self.agreed().is_some());
        let primary = self.agreed().expect("they were of one mind").to_string();
        for server in &mut self.servers {
            let is_primary = server.port().to_string() == primary;
            if server.is_killed() && is_primary {
                server.start_again(&[]);
            } else if server.is_killed() {
                server.start_again(&["--replicaof", "127.0.0.1", &primary]);
            } else if !is_primary {
                // A sentinel would tell it the same, some seconds later. One that does so meanwhile
                // cuts the connections of the server.
                until("a replica", || {
                    server.ask::<()>(&format!("REPLICAOF 127.0.0.1 {primary}")).is_ok()
                });
            }
        }
        self.whole();
    }

    fn server(&mut self, port: u16) -> &mut Node {
        self.servers.iter_mut().find(|server| server.port() == port).expect("a server of the group")
    }

    /// The primary's port, if all sentinels name the same.
    fn agreed(&self) -> Option<u16> {
        let first = named_primary(&self.sentinels[0])?;
        self.sentinels
            .iter()
            .all(|sentinel| named_primary(sentinel) == Some(first))
            .then_some(first)
    }

    fn whole(&self) {
        until("a whole group", || {
            let Some(primary) = self.agreed() else {
                return false;
            };
            let primary = self.servers.iter().find(|server| server.port() == primary).unwrap();
            primary.leads(2) && self.sentinels.iter().all(sees_all)
        });
    }

    /// Shortens the periods at which sentinels look at servers and at one another, where they let
    /// themselves be told (since 7.0). One that was not scheduled for two seconds would do nothing
    /// for thirty.
    fn hasten(&self) {
        for sentinel in &self.sentinels {
            let periods = "INFO-PERIOD 500 PUBLISH-PERIOD 250 PING-PERIOD 200 TILT-PERIOD 1000";
            let _ = sentinel.ask::<()>(&format!("SENTINEL DEBUG {periods}"));
        }
    }
}

fn named_primary(sentinel: &Node) -> Option<u16> {
    let address = sentinel.ask::<Vec<String>>(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}"));
    address.ok()?.get(1)?.parse().ok()
}

/// Whether the sentinel sees a primary, two replicas and two other sentinels, and finds nothing
/// wrong with them.
fn sees_all(sentinel: &Node) -> bool {
    let group = format!("SENTINEL MASTER {NAME}");
    let Ok(primary) = sentinel.ask::<HashMap<String, String>>(&group) else {
        return false;
    };
    let is = |field: &str, value: &str| primary.get(field).is_some_and(|found| found == value);
    let replicas: Vec<HashMap<String, String>> =
        sentinel.ask(&format!("SENTINEL REPLICAS {NAME}")).unwrap_or_default();
    is("flags", "master")
        && is("num-other-sentinels", "2")
        && replicas.len() == 2
        && replicas.iter().all(|replica| {
            replica["flags"] == "slave"
                && replica["master-link-status"] == "ok"
                && replica["master-port"] == primary["port"]
        })
}

//! A private Redis Cluster.

use super::node::{Mode, Node, until};

/// Three primaries with a third of the slots each, and a replica for each of them.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
}

impl Cluster {
    /// Starts six servers, joins them, and returns when all of them find the cluster in order.
    pub(crate) fn start() -> Self {
        let configuration = "save \"\"\ncluster-enabled yes\ncluster-node-timeout 1000\n\
                             cluster-replica-validity-factor 0\ncluster-allow-replica-migration no\n\
                             repl-diskless-sync-delay 0\n";
        let nodes: Vec<_> = (0..6).map(|_| Node::start(Mode::Server, configuration)).collect();
        for (node, slots) in nodes.iter().zip([0..=5460, 5461..=10922, 10923..=16383]) {
            // Before 7.0 there is no command that takes a range.
            let slots: Vec<_> = slots.map(|slot: u16| slot.to_string()).collect();
            node.ask::<()>(&format!("CLUSTER ADDSLOTS {}", slots.join(" "))).unwrap();
        }
        for (index, node) in nodes.iter().enumerate() {
            node.ask::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1)).unwrap();
            for other in &nodes[..index] {
                node.ask::<()>(&format!("CLUSTER MEET 127.0.0.1 {}", other.port())).unwrap();
            }
        }
        let cluster = Self { nodes };
        for (primary, replica) in cluster.nodes[..3].iter().zip(&cluster.nodes[3..]) {
            let id: String = primary.ask("CLUSTER MYID").unwrap();
            // An error until the replica has heard of its primary.
            until("a replica that knows its primary", || {
                replica.ask::<()>(&format!("CLUSTER REPLICATE {id}")).is_ok()
            });
        }
        cluster.whole();
        cluster
    }

    /// A URL that names all six servers.
    pub(crate) fn url(&self) -> String {
        let nodes: Vec<_> = self.ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+cluster://{}", nodes.join(","))
    }

    pub(crate) fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(Node::port).collect()
    }

    /// The ports of the servers that take themselves for primaries.
    pub(crate) fn primary_ports(&self) -> Vec<u16> {
        self.nodes.iter().filter(|node| node.runs() && is_primary(node)).map(Node::port).collect()
    }

    /// Ends a primary as a crash would, and tells its port. Its replica will find out.
    pub(crate) fn kill_primary(&mut self) -> u16 {
        let primary = self.primary();
        primary.kill();
        primary.port()
    }

    /// Stops a primary where it is, and tells its port. Its replica will find out.
    pub(crate) fn stop_primary(&mut self) -> u16 {
        let primary = self.primary();
        primary.stop();
        primary.port()
    }

    /// Lets all that were stopped go on.
    pub(crate) fn resume(&mut self) {
        self.nodes.iter_mut().for_each(Node::resume);
    }

    /// Ends all servers as a crash would.
    pub(crate) fn kill_all(&mut self) {
        self.nodes.iter_mut().for_each(Node::kill);
    }

    /// Makes a replica take the place of its primary, and tells the port of the primary until now.
    pub(crate) fn failover(&self) -> u16 {
        let replica =
            self.nodes.iter().find(|node| node.runs() && !is_primary(node)).expect("a replica");
        let account: String = replica.ask("INFO replication").unwrap();
        let port = account.lines().find_map(|line| line.strip_prefix("master_port:")).unwrap();
        replica.ask::<()>("CLUSTER FAILOVER").unwrap();
        port.parse().unwrap()
    }

    /// Returns when three other servers that run are primaries, and all that run find the cluster
    /// in order.
    pub(crate) fn moved_from(&self, port: u16) {
        until("another primary", || {
            let primaries = self.primary_ports();
            let mut running = self.nodes.iter().filter(|node| node.runs());
            primaries.len() == 3 && !primaries.contains(&port) && running.all(is_in_order)
        });
    }

    /// Starts again what was killed, lets go on what was stopped, and returns when the cluster is
    /// whole.
    pub(crate) fn heal(&mut self) {
        self.resume();
        for node in &mut self.nodes {
            if node.is_killed() {
                node.start_again(&[]);
            }
        }
        self.whole();
    }

    /// The first primary in the list that still has a replica.
    fn primary(&mut self) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.runs() && is_primary(node)).expect("a primary")
    }

    fn whole(&self) {
        until("a whole cluster", || {
            let whole = |node: &Node| {
                is_in_order(node)
                    && node.says("CLUSTER INFO", "cluster_known_nodes:6")
                    && (node.leads(1) || node.says("INFO replication", "master_link_status:up"))
                    && node
                        .ask::<String>("CLUSTER NODES")
                        .is_ok_and(|nodes| !nodes.contains("fail"))
            };
            self.nodes.iter().all(whole) && self.primary_ports().len() == 3
        });
    }
}

fn is_primary(node: &Node) -> bool {
    node.says("INFO replication", "role:master")
}

fn is_in_order(node: &Node) -> bool {
    node.says("CLUSTER INFO", "cluster_state:ok")
}

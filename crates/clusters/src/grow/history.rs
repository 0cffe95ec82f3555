//! What was done on nodes: mostly with success, sometimes not, sometimes not to the end.

use heart_model::policy::{Digests, NodeState, Operation, OperationStatus, ResourceHistory, Role};

use super::{Grower, Leaf, NOW, Tier, resources::agent};

/// What became of a resource on a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    NotRunning,
    Stopped,
    Active(Role),
    Failed,
    StartFailed,
    StopFailed,
    PromoteFailed,
    Open(&'static str),
    Cancelled,
}

impl Grower {
    pub(super) fn histories(&mut self) {
        if self.tier == Tier::Remote {
            self.remote_states();
        }
        for leaf in self.leaves.clone() {
            self.history_of(&leaf);
        }
        if self.trouble(150) {
            self.removed();
        }
    }

    /// States of nodes that are reached through a connection.
    fn remote_states(&mut self) {
        let is_remote = |leaf: &&Leaf| leaf.agent.agent_type == "remote";
        let names: Vec<String> = self.leaves.iter().filter(is_remote).map(|leaf| leaf.id.clone()).collect();
        for name in names {
            if self.chance.happens(700) {
                let mut state =
                    NodeState { id: name.clone(), name: Some(name), remote: true, ..NodeState::default() };
                state.fenced = self.trouble(60);
                state.in_maintenance = self.trouble(40);
                self.state.nodes.push(state);
            }
        }
    }

    fn history_of(&mut self, leaf: &Leaf) {
        let full = self.state.nodes.iter().filter(|node| !node.remote).count();
        let nodes = if leaf.needs_full_node() { full } else { self.state.nodes.len() };
        if leaf.contained || nodes == 0 {
            // What was done in containers that come and go says little.
            return;
        }
        if leaf.cloned {
            let spread = self.chance.happens(800);
            let mut instance = 0;
            for node in 0..nodes {
                let runs = spread && instance < leaf.instances && self.chance.happens(900);
                let fate = self.fate(leaf, runs);
                let name = if leaf.unique { format!("{}:{instance}", leaf.id) } else { leaf.id.clone() };
                instance += usize::from(runs);
                self.write(leaf, &name, node, fate);
                if leaf.promotable && self.chance.happens(500) {
                    let score = [-1, 0, 5, 10, 100][self.chance.below(5)].to_string();
                    self.say(node, &format!("master-{}", leaf.id), score);
                }
            }
            return;
        }
        let home = self.chance.below(nodes);
        let runs = self.chance.happens(700);
        for node in 0..nodes {
            let is_here = (runs && node == home) || self.trouble(25);
            let fate = self.fate(leaf, is_here);
            self.write(leaf, &leaf.id, node, fate);
        }
        if leaf.migrates && nodes > 1 && self.trouble(300) {
            let target = (home + self.chance.between(1, nodes - 1)) % nodes;
            self.migration(leaf, home, target);
        }
    }

    fn fate(&mut self, leaf: &Leaf, runs: bool) -> Fate {
        if self.trouble(200) {
            let tasks = ["start", "stop", "monitor", "promote", "demote", "migrate_to", "migrate_from"];
            return match self.chance.below(10) {
                0..=2 => Fate::Failed,
                3 | 4 => Fate::StartFailed,
                5 => Fate::StopFailed,
                6 if leaf.promotable => Fate::PromoteFailed,
                6 => Fate::Cancelled,
                7 | 8 => {
                    let task = tasks[self.chance.below(if leaf.promotable { 5 } else { 3 })];
                    Fate::Open(if leaf.migrates && self.chance.happens(300) { tasks[6] } else { task })
                }
                _ => Fate::Unknown,
            };
        }
        match (runs, self.chance.below(10)) {
            (true, 0..=3) if leaf.promotable => Fate::Active(Role::Promoted),
            (true, _) => Fate::Active(Role::Started),
            (false, 0) => Fate::Unknown,
            (false, 1) => Fate::Stopped,
            (false, _) => Fate::NotRunning,
        }
    }

    fn write(&mut self, leaf: &Leaf, name: &str, node: usize, fate: Fate) {
        let failed = self.failure();
        let every_ms = leaf.monitors.first().copied().unwrap_or(10_000);
        let mut did = Did { digest: self.trouble(30), ..Did::default() };
        match fate {
            Fate::Unknown => return,
            Fate::NotRunning => did.answered("monitor", 0, 7),
            Fate::Stopped => {
                did.answered("start", 0, 0);
                did.answered("stop", 0, 0);
            }
            Fate::Active(role) => {
                if self.chance.happens(150) {
                    did.answered("monitor", 0, if role == Role::Promoted { 8 } else { 0 });
                } else {
                    did.answered("start", 0, 0);
                    if role == Role::Promoted {
                        did.answered("promote", 0, 0);
                    }
                }
                for every_ms in &leaf.monitors {
                    did.answered("monitor", *every_ms, 0);
                }
                if role == Role::Promoted {
                    // A monitor of the promoted role expects to find it.
                    did.operations
                        .retain(|operation| operation.every_ms == 0 || operation.every_ms == 11_000);
                    did.expect_promoted();
                }
            }
            Fate::Failed => {
                did.answered("start", 0, 0);
                did.failed("monitor", every_ms, failed);
            }
            Fate::StartFailed => did.failed("start", 0, failed),
            Fate::StopFailed => {
                did.answered("start", 0, 0);
                did.failed("stop", 0, failed);
            }
            Fate::PromoteFailed => {
                did.answered("start", 0, 0);
                did.failed("promote", 0, failed);
            }
            Fate::Open(task) => {
                if task != "start" && self.chance.happens(800) {
                    did.answered("start", 0, 0);
                }
                did.open(task);
            }
            Fate::Cancelled => did.failed("monitor", every_ms, (OperationStatus::Cancelled, 0)),
        }
        let has_failed =
            matches!(fate, Fate::Failed | Fate::StartFailed | Fate::StopFailed | Fate::PromoteFailed);
        if has_failed && self.chance.happens(800) {
            let count = match self.chance.below(4) {
                0 => "INFINITY".to_owned(),
                _ => self.chance.between(1, 4).to_string(),
            };
            let base = name.split(':').next().unwrap_or(name);
            self.say(node, &format!("fail-count-{base}#monitor_{every_ms}"), count);
            let last = NOW - [5, 50, 500, 5000][self.chance.below(4)];
            self.say(node, &format!("last-failure-{base}#monitor_{every_ms}"), last.to_string());
        }
        self.note(&leaf.agent, name, node, did);
    }

    fn failure(&mut self) -> (OperationStatus, i32) {
        match self.chance.below(10) {
            0..=3 => (OperationStatus::Done, 1),
            4 => (OperationStatus::TimedOut, 1),
            5 => (OperationStatus::Done, [2, 3, 4, 5, 6][self.chance.below(5)]),
            6 => (OperationStatus::Done, 7),
            7 => (OperationStatus::Error, 1),
            8 => (OperationStatus::NotInstalled, 5),
            _ => (
                [
                    OperationStatus::ErrorHard,
                    OperationStatus::ErrorFatal,
                    OperationStatus::NotSupported,
                    OperationStatus::NotConnected,
                    OperationStatus::Invalid,
                    OperationStatus::Done,
                ][self.chance.below(6)],
                [1, 8, 9, 190, 191][self.chance.below(5)],
            ),
        }
    }

    fn note(&mut self, agent: &heart_model::policy::AgentName, name: &str, node: usize, did: Did) {
        let locked_at = self.trouble(15).then_some(NOW - 100);
        let mut agent = agent.clone();
        if self.trouble(8) {
            agent.agent_type = "Other".into();
        }
        let Some(state) = self.state.nodes.get_mut(node) else { return };
        let known = state.history.iter_mut().find(|history| history.resource == name);
        match known {
            Some(known) => known.operations = did.operations,
            None => state.history.push(ResourceHistory {
                resource: name.to_owned(),
                agent,
                container: None,
                locked_at,
                operations: did.operations,
            }),
        }
    }

    /// A migration that was left in the middle.
    fn migration(&mut self, leaf: &Leaf, source: usize, target: usize) {
        let name = |grower: &Grower, node: usize| {
            let state = &grower.state.nodes[node];
            let written = grower.cluster.nodes.iter().find(|node| node.id == state.id);
            written.map_or_else(|| state.id.clone(), |node| node.name.clone())
        };
        let between = (name(self, source), name(self, target));
        let (mut at_source, mut at_target) = (Did::default(), Did::default());
        at_source.answered("start", 0, 0);
        let stage = self.chance.below(6);
        match stage {
            0 => at_source.open("migrate_to"),
            1 => at_source.failed("migrate_to", 0, (OperationStatus::Done, 1)),
            _ => at_source.answered("migrate_to", 0, 0),
        }
        match stage {
            2 => at_target.open("migrate_from"),
            3 => at_target.failed("migrate_from", 0, (OperationStatus::Done, 1)),
            4 => at_target.answered("migrate_from", 0, 0),
            _ => at_target.answered("monitor", 0, 7),
        }
        for did in [&mut at_source, &mut at_target] {
            for operation in &mut did.operations {
                if operation.name.starts_with("migrate") {
                    operation.migrate_source = Some(between.0.clone());
                    operation.migrate_target = Some(between.1.clone());
                    operation.changed_at = Some(NOW - 3);
                }
            }
        }
        self.note(&leaf.agent, &leaf.id, source, at_source);
        if self.chance.happens(900) {
            self.note(&leaf.agent, &leaf.id, target, at_target);
        }
    }

    /// Something that is not configured any more.
    fn removed(&mut self) {
        let id = self.id("gone");
        let leaf = Leaf::plain(&id, &agent("ocf", Some("heartbeat"), "Dummy"));
        self.history_of(&leaf);
    }
}

/// What was done with one resource on one node.
#[derive(Default)]
struct Did {
    operations: Vec<Operation>,
    /// Whether it was told something else than today.
    digest: bool,
}

impl Did {
    fn push(&mut self, name: &str, every_ms: u64, status: OperationStatus, answer: i32, expected: i32) {
        let call = self.operations.len() as i32 * 3 + 5;
        let open = status == OperationStatus::Pending;
        let digests = Digests { all: self.digest.then(|| "0000".to_owned()), ..Digests::default() };
        self.operations.push(Operation {
            id: format!("{name}_{every_ms}"),
            name: name.to_owned(),
            every_ms,
            status,
            answer,
            expected: Some(expected),
            call: if open { -1 } else { call },
            transition: Some((call, 1, "one".to_owned())),
            changed_at: Some(NOW - 200 + i64::from(call)),
            ran_at: Some(NOW - 200 + i64::from(call)),
            digests,
            ..Operation::default()
        });
    }

    fn answered(&mut self, name: &str, every_ms: u64, answer: i32) {
        let probe = name == "monitor" && every_ms == 0;
        self.push(name, every_ms, OperationStatus::Done, answer, if probe { 7 } else { 0 });
    }

    fn failed(&mut self, name: &str, every_ms: u64, (status, answer): (OperationStatus, i32)) {
        self.push(name, every_ms, status, answer, 0);
    }

    fn open(&mut self, name: &str) {
        self.push(name, 0, OperationStatus::Pending, 193, 0);
    }

    fn expect_promoted(&mut self) {
        for operation in self.operations.iter_mut().filter(|operation| operation.every_ms > 0) {
            (operation.answer, operation.expected) = (8, Some(8));
        }
    }
}

//! Resources: primitives, and everything that can be around them.

use std::collections::BTreeMap;

use heart_model::policy::{
    AgentName, AttributeSet, Body, Bundle, FencingLevel, FencingTarget, NamedOperation, Resource, Role,
};

use super::{Grower, Leaf, NOW, Tier, Values};

/// What is around a primitive.
#[derive(Clone, Copy, Default)]
struct Around {
    instances: usize,
    cloned: bool,
    unique: bool,
    promotable: bool,
    contained: bool,
}

pub(crate) fn agent(class: &str, provider: Option<&str>, agent_type: &str) -> AgentName {
    AgentName { class: class.into(), provider: provider.map(Into::into), agent_type: agent_type.into() }
}

impl Grower {
    pub(super) fn resources(&mut self) {
        let most = [4, 8, 14][self.chance.below(3)];
        for _ in 0..self.chance.between(1, most) {
            let resource = self.top();
            self.cluster.resources.push(resource);
        }
        if self.chance.happens(if self.tier >= Tier::Everything { 800 } else { 150 }) {
            self.fence_devices();
        }
        if self.tier == Tier::Remote {
            self.connections();
        }
    }

    fn top(&mut self) -> Resource {
        let kind = if self.tier == Tier::Plain { 0 } else { self.chance.below(10) };
        match kind {
            0..=4 => self.primitive(Around { instances: 1, ..Around::default() }, true),
            5 | 6 => self.group(Around { instances: 1, ..Around::default() }),
            7..=8 => self.clone(),
            _ if self.tier == Tier::Remote => self.bundle(),
            _ => self.clone(),
        }
    }

    fn group(&mut self, around: Around) -> Resource {
        let id = self.id("g");
        if !around.cloned {
            self.names.push((id.clone(), false));
        }
        let count = self.chance.between(1, 4);
        let members = (0..count).map(|_| self.primitive(around, true)).collect();
        let meta = self.meta(false);
        self.made(id, Body::Group(members), meta)
    }

    fn clone(&mut self) -> Resource {
        let id = self.id("c");
        let nodes = self.cluster.nodes.len();
        let mut meta = self.meta(true);
        let mut around = Around { instances: nodes, cloned: true, ..Around::default() };
        around.promotable = self.chance.happens(450);
        if around.promotable {
            meta.put("promotable", &true);
            for (name, per_mille) in [("promoted-max", 250), ("promoted-node-max", 60)] {
                if self.chance.happens(per_mille) {
                    meta.put(name, &self.chance.between(1, 2));
                }
            }
        }
        if self.chance.happens(350) {
            let least = usize::from(!self.chance.happens(50));
            around.instances = self.chance.between(least, nodes + 1);
            meta.put("clone-max", &around.instances);
        }
        around.unique = self.chance.happens(200);
        if around.unique {
            meta.put("globally-unique", &true);
            if self.chance.happens(500) {
                meta.put("clone-node-max", &self.chance.between(1, 3));
            }
        }
        for (name, per_mille) in [("interleave", 400), ("ordered", 200), ("notify", 200)] {
            if self.chance.happens(per_mille) {
                meta.put(name, &true);
            }
        }
        if self.chance.happens(60) {
            meta.put("clone-min", &self.chance.between(1, 2));
        }
        self.names.push((id.clone(), around.promotable));
        let inner = if self.chance.happens(300) { self.group(around) } else { self.primitive(around, false) };
        self.made(id, Body::Clone(Box::new(inner)), meta)
    }

    fn primitive(&mut self, around: Around, named: bool) -> Resource {
        let id = self.id("r");
        let agent = match self.chance.below(5) {
            0 => agent("systemd", None, "unit"),
            1 if around.promotable => agent("ocf", Some("linbit"), "drbd"),
            _ => agent("ocf", Some("heartbeat"), "Dummy"),
        };
        let mut meta = self.meta(false);
        let migrates = self.rarely(250);
        if migrates {
            meta.put("allow-migrate", &true);
        }
        let operations = self.operations(around.promotable);
        let monitors = operations.iter().filter(|operation| operation.every_ms > 0);
        self.leaves.push(Leaf {
            id: id.clone(),
            agent: agent.clone(),
            instances: around.instances.max(1),
            cloned: around.cloned,
            unique: around.unique,
            promotable: around.promotable,
            migrates,
            contained: around.contained,
            monitors: monitors.map(|operation| operation.every_ms).collect(),
        });
        if named && (!around.cloned || self.chance.happens(100)) {
            self.names.push((id.clone(), around.promotable));
        }
        let mut resource = self.made(id, Body::Primitive(agent), meta);
        resource.operations = operations;
        resource
    }

    fn made(&mut self, id: String, body: Body, meta: Values) -> Resource {
        let mut meta = meta.sets();
        if self.rarely(60) {
            let (name, value) =
                [("priority", "7"), ("resource-stickiness", "50"), ("target-role", "Stopped")]
                    [self.chance.below(if self.calm { 1 } else { 3 })];
            let values = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let rule = Some(self.rule());
            meta.push(AttributeSet { id: self.id("s"), score: self.score(), rule, values });
        }
        let mut parameters = Values::default();
        if self.chance.happens(200) {
            parameters.put("ip", &"192.0.2.1");
        }
        let mut utilization = Values::default();
        if self.rarely(500) {
            utilization.put("cpu", &self.chance.between(0, 4));
            if self.chance.happens(300) {
                utilization.put("memory", &self.chance.between(0, 1000));
            }
        }
        Resource {
            id,
            body,
            meta,
            parameters: parameters.sets(),
            utilization: utilization.sets(),
            operations: Vec::new(),
        }
    }

    /// Options that any resource may have.
    fn meta(&mut self, clone: bool) -> Values {
        let mut meta = Values::default();
        let chance = &mut self.chance;
        if chance.happens(100) {
            meta.put("priority", &chance.between(0, 10));
        }
        if self.calm {
            return meta;
        }
        if chance.happens(200) {
            meta.put("resource-stickiness", &chance.one_of(&["0", "1", "100", "-5", "1000", "INFINITY"]));
        }
        if chance.happens(120) {
            meta.put("migration-threshold", &chance.between(0, 3));
        }
        if chance.happens(100) {
            meta.put("failure-timeout", &chance.one_of(&["60s", "10s", "1h"]));
        }
        if chance.happens(60) {
            meta.put(
                "multiple-active",
                &chance.one_of(&["stop_only", "block", "stop_unexpected", "stop_start"]),
            );
        }
        if chance.happens(50) {
            meta.put("critical", &"false");
        }
        if chance.happens(if clone { 30 } else { 60 }) {
            meta.put("target-role", &chance.one_of(&["Stopped", "Started", "Unpromoted", "Promoted"]));
        }
        if chance.happens(30) {
            meta.put("is-managed", &"false");
        }
        if chance.happens(20) {
            meta.put("maintenance", &"true");
        }
        if self.rarely(80) {
            meta.put("requires", &self.chance.one_of(&["nothing", "quorum", "fencing", "unfencing"]));
        }
        if self.rarely(30) {
            meta.put("allow-unhealthy-nodes", &"true");
        }
        meta
    }

    fn operations(&mut self, promotable: bool) -> Vec<NamedOperation> {
        let mut operations = Vec::new();
        if self.chance.happens(650) {
            operations.push(self.operation("monitor", 10_000, None));
        }
        if promotable && self.chance.happens(600) {
            operations.push(self.operation("monitor", 11_000, Some(Role::Promoted)));
        }
        if self.chance.happens(60) {
            operations.push(self.operation("monitor", 12_000, Some(Role::Stopped)));
        }
        for (name, per_mille) in [("start", 150), ("stop", 150), ("promote", 40), ("demote", 40)] {
            if self.chance.happens(per_mille) {
                operations.push(self.operation(name, 0, None));
            }
        }
        operations
    }

    fn operation(&mut self, name: &str, every_ms: u64, role: Option<Role>) -> NamedOperation {
        let mut options = Values::default();
        if self.chance.happens(300) {
            options.put("timeout", &"30s");
        }
        if !self.calm && self.chance.happens(250) {
            let answer = self.chance.one_of(&[
                "ignore", "restart", "block", "stop", "standby", "fence", "demote", "migrate", "nonsense",
            ]);
            options.put("on-fail", &answer);
        }
        if self.chance.happens(40) {
            options.put("enabled", &"false");
        }
        NamedOperation {
            id: self.id("o"),
            name: name.to_owned(),
            every_ms,
            role,
            options: super::set(options.0),
            meta: Vec::new(),
            parameters: Vec::new(),
        }
    }

    fn fence_devices(&mut self) {
        let mut devices = Vec::new();
        for _ in 0..self.chance.between(1, 2) {
            let id = self.id("f");
            let mut meta = Values::default();
            if !self.calm && self.chance.happens(200) {
                meta.put("provides", &"unfencing");
            }
            let agent = agent("stonith", None, "fence_any");
            self.leaves.push(Leaf::plain(&id, &agent));
            self.names.push((id.clone(), false));
            devices.push(id.clone());
            let made = self.made(id, Body::Primitive(agent), meta);
            self.cluster.resources.push(made);
        }
        for index in 1..=self.chance.below(3) as u32 {
            let target = match self.chance.below(3) {
                0 => FencingTarget::Node(self.node()),
                1 => FencingTarget::Pattern("n.*".into()),
                _ => FencingTarget::Attribute("rack".into(), "a".into()),
            };
            self.cluster.fencing_levels.push(FencingLevel { target, index, devices: devices.clone() });
        }
    }

    fn bundle(&mut self) -> Resource {
        let id = self.id("b");
        let promotable = self.chance.happens(400);
        let mut container = Values::default();
        let replicas = self.chance.between(1, 3);
        container.put("image", &"any");
        container.put("replicas", &replicas);
        if self.chance.happens(200) {
            container.put("replicas-per-host", &self.chance.between(1, 2));
        }
        if promotable {
            container.put("promoted-max", &1);
        }
        let mut network = Values::default();
        if self.chance.happens(700) {
            network.put("ip-range-start", &"192.0.2.10");
        } else {
            network.put("control-port", &3121);
        }
        let around = Around { instances: replicas, cloned: true, unique: false, promotable, contained: true };
        let inner = self.chance.happens(700).then(|| Box::new(self.primitive(around, false)));
        self.names.push((id.clone(), promotable));
        let bundle = Bundle {
            technology: "podman".into(),
            container: super::set(container.0),
            network: self.chance.happens(900).then(|| super::set(network.0)),
            inner,
            ..Bundle::default()
        };
        let meta = self.meta(false);
        self.made(id, Body::Bundle(Box::new(bundle)), meta)
    }

    /// Connections to remote nodes, and guests.
    fn connections(&mut self) {
        for _ in 0..self.chance.below(3) {
            let id = self.id("remote");
            let meta = self.meta(false);
            let agent = agent("ocf", Some("pacemaker"), "remote");
            self.leaves.push(Leaf::plain(&id, &agent));
            self.names.push((id.clone(), false));
            let made = self.made(id, Body::Primitive(agent), meta);
            self.cluster.resources.push(made);
        }
        for _ in 0..self.chance.below(3) {
            let id = self.id("vm");
            let guest = self.id("guest");
            let mut meta = self.meta(false);
            meta.put("remote-node", &guest);
            let container = agent("ocf", Some("heartbeat"), "VirtualDomain");
            self.leaves.push(Leaf::plain(&id, &container));
            self.leaves.push(Leaf::plain(&guest, &agent("ocf", Some("pacemaker"), "remote")));
            self.names.push((id.clone(), false));
            let made = self.made(id, Body::Primitive(container), meta);
            self.cluster.resources.push(made);
        }
    }

    /// A moment near now.
    pub(super) fn moment(&mut self) -> i64 {
        NOW - 5000 + self.chance.between(0, 10_000) as i64
    }
}

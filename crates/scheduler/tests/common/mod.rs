//! A world without time in which plans are carried out.
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses its part")]

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use heart_model::{
    Activity, AgentRef, Ailment, BootId, ClusterSpec, Duration, Epoch, GroupName, GroupSpec, Guard,
    LogicalTimeouts, Name, NodeName, NodeSpec, NodeState, NodeStatus, Other, PingSpec, Plan, Profile, Reach,
    ResourceName, ResourceSpec, ResourceState, Session, SessionNumber, Spec, Status, Step, StepAction,
    Timing, WhenSick, Wishes,
};

pub(crate) struct World {
    pub(crate) spec: Spec,
    pub(crate) status: Status,
    boots: u128,
    epochs: u64,
}

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

pub(crate) fn resource(name: &str) -> ResourceName {
    ResourceName::parse(name).unwrap()
}

pub(crate) fn word(name: &str) -> Name {
    Name::new(name).unwrap()
}

impl World {
    pub(crate) fn new(nodes: &[&str]) -> World {
        let spec = Spec {
            cluster: ClusterSpec {
                name: Name::new("test").unwrap(),
                key_file: "/key".into(),
                port: 694,
                links: Vec::new(),
                when_sick: WhenSick::Move,
                failovers_max: heart_model::FAILOVERS_OF_CLUSTER,
                after_fence: heart_model::AfterFence::StayOff,
            },
            timing: Timing::of(Profile::Default),
            nodes: BTreeMap::new(),
            resources: BTreeMap::new(),
            groups: BTreeMap::new(),
            times: BTreeMap::new(),
            tie_break: None,
            pings: BTreeMap::new(),
        };
        let status = Status { quorum: true, ..Status::default() };
        let mut world = World { spec, status, boots: 0, epochs: 0 };
        for name in nodes {
            world.spec.nodes.insert(
                node(name),
                NodeSpec {
                    addresses: Vec::new(),
                    voter: true,
                    capacity: BTreeMap::new(),
                    fence: Vec::new(),
                    watchdog: None,
                    never_paused: false,
                },
            );
            world.boot(&node(name));
        }
        world
    }

    /// The node is there in a new boot.
    pub(crate) fn boot(&mut self, name: &NodeName) {
        self.boots += 1;
        let session = Session { boot: BootId(self.boots), number: SessionNumber(1) };
        self.status.nodes.insert(name.clone(), NodeStatus::well(NodeState::Online, Some(session)));
    }

    pub(crate) fn sicken(&mut self, name: &NodeName, with: Ailment) {
        self.status.nodes.get_mut(name).expect("the node is there").sick.insert(with);
    }

    /// So many ping targets are configured.
    pub(crate) fn ping(&mut self, targets: u32) {
        let ping = PingSpec {
            hosts: Vec::from([IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))]),
            interval: Duration::from_secs(1),
            lost_after: Duration::from_secs(5),
        };
        let name = |number: u32| Name::new(&format!("t{number}")).unwrap();
        self.spec.pings = (0..targets).map(|number| (name(number), ping.clone())).collect();
    }

    pub(crate) fn reaches(&mut self, name: &NodeName, least: u32, most: u32) {
        self.status.nodes.get_mut(name).expect("the node is there").reach = Reach { least, most };
    }

    pub(crate) fn set(&mut self, name: &NodeName, state: NodeState) {
        self.status.nodes.get_mut(name).expect("the node is there").state = state;
    }

    pub(crate) fn add(&mut self, name: &str, guard: Guard, failures_max: u32, prefers: &[NodeName]) {
        let second = Duration::from_secs(1);
        let timeouts = LogicalTimeouts { start: second, stop: second, status: second, status_every: second };
        let spec = ResourceSpec {
            agent: AgentRef::BuiltIn("process".into()),
            parameters: BTreeMap::new(),
            guard,
            timeouts,
            failures_max,
            failovers_max: heart_model::FAILOVERS,
            when_stuck: heart_model::WhenStuck::Report,
            needs: BTreeMap::new(),
            promotable: false,
            wishes: Wishes::preferring(prefers.to_vec()),
        };
        self.spec.resources.insert(resource(name), spec);
    }

    /// What the file wishes of a resource or a group.
    pub(crate) fn wishes(&mut self, name: &str) -> &mut Wishes {
        if let Some((_, group)) = self.spec.groups.iter_mut().find(|(group, _)| group.as_str() == name) {
            return &mut group.wishes;
        }
        &mut self.spec.resources.get_mut(name).expect("it is configured").wishes
    }

    /// A node, resource or group that something keeps away from.
    pub(crate) fn other(&self, name: &str) -> Other {
        if self.spec.nodes.contains_key(name) { Other::Node(node(name)) } else { Other::Unit(word(name)) }
    }

    pub(crate) fn group(&mut self, name: &str, members: &[ResourceName], prefers: &[NodeName]) {
        let group = GroupSpec { members: members.to_vec(), wishes: Wishes::preferring(prefers.to_vec()) };
        self.spec.groups.insert(GroupName::new(name).unwrap(), group);
    }

    /// The members of a group, or the resource itself.
    pub(crate) fn members(&self, name: &str) -> Vec<ResourceName> {
        match self.spec.groups.get(name) {
            Some(group) => group.members.clone(),
            None => vec![resource(name)],
        }
    }

    pub(crate) fn grant(&mut self, name: &ResourceName, node: &NodeName, activity: Activity) {
        self.epochs += 1;
        let session = self.status.nodes[node].session.expect("it has a session");
        self.status.resources.entry(name.clone()).or_default().state =
            ResourceState::Granted { node: node.clone(), session, epoch: Epoch(self.epochs), activity };
    }

    pub(crate) fn holder(&self, name: &ResourceName) -> Option<(&NodeName, &Activity, Session)> {
        match &self.status.resources.get(name)?.state {
            ResourceState::Granted { node, activity, session, .. } => Some((node, activity, *session)),
            ResourceState::Ungranted => None,
        }
    }

    pub(crate) fn become_(&mut self, name: &ResourceName, next: Activity) {
        if let Some(ResourceState::Granted { activity, .. }) =
            self.status.resources.get_mut(name).map(|resource| &mut resource.state)
        {
            *activity = next;
        }
    }

    pub(crate) fn fail(&mut self, name: &ResourceName, message: &str) {
        let holder = self.holder(name).expect("it runs").0.clone();
        self.become_(name, Activity::Failed(message.into()));
        let status = self.status.resources.get_mut(name).unwrap();
        *status.failures.entry(holder).or_default() += 1;
    }

    /// Whether somebody may still act under the grant of this resource.
    fn may_act(&self, name: &ResourceName) -> bool {
        let Some((node, _, session)) = self.holder(name) else { return false };
        let holder = &self.status.nodes[node];
        holder.state != NodeState::Fenced && holder.session == Some(session)
    }

    /// Carries out one step.
    ///
    /// # Errors
    /// Why it must not be carried out.
    pub(crate) fn perform(&mut self, step: &Step) -> Result<(), String> {
        let name = &step.resource;
        let holder = self.holder(name).map(|(node, activity, _)| (node.clone(), activity.clone()));
        let there = self.status.nodes.get(&step.node).map(|node| node.state);
        match step.action {
            StepAction::Stop => match holder {
                Some((node, _)) if node == step.node && there != Some(NodeState::Lost) => {
                    let session = self.status.nodes[&node].session.expect("it has a session");
                    let status = self.status.resources.get_mut(name).unwrap();
                    status.state = ResourceState::Ungranted;
                    status.last = Some((node, session));
                    Ok(())
                }
                _ => Err(format!("{name} is not held by {}", step.node)),
            },
            StepAction::TakeOver => match holder {
                Some((node, _))
                    if self.status.nodes[&node].state == NodeState::Lost
                        && self.spec.granted(name).expect("it is configured").guard != Guard::Fence
                        && there == Some(NodeState::Online) =>
                {
                    self.grant(name, &step.node, Activity::Stopped);
                    Ok(())
                }
                _ => Err(format!("{name} cannot be taken over")),
            },
            StepAction::Start => {
                let elsewhere = holder.is_some_and(|(node, _)| node != step.node) && self.may_act(name);
                if elsewhere || there != Some(NodeState::Online) {
                    return Err(format!("{name} must not start on {}", step.node));
                }
                self.grant(name, &step.node, Activity::Running);
                Ok(())
            }
        }
    }

    /// Plans, and checks what holds for every plan.
    pub(crate) fn plan(&self) -> Plan {
        let plan = heart_scheduler::plan(&self.spec, &self.status);
        for (position, step) in plan.steps.iter().enumerate() {
            assert!(
                step.after.iter().all(|before| *before < position),
                "step {position} of {:?}",
                plan.steps
            );
            let same = |other: &&Step| other.resource == step.resource && other.action == step.action;
            assert_eq!(plan.steps.iter().filter(same).count(), 1, "{step:?} twice");
        }
        for name in self.spec.grantable().keys() {
            assert!(plan.placement.contains_key(name), "{name} has no place");
            assert!(
                plan.reasons.get(name).is_some_and(|reasons| !reasons.is_empty()),
                "{name} has no reason"
            );
        }
        plan
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, resource) in &self.spec.resources {
            writeln!(to, "{name}: guard {:?}, limit {}", resource.guard, resource.failures_max)?;
            writeln!(to, "    needs {:?}, promotable {}", resource.needs, resource.promotable)?;
            writeln!(to, "    {:?}", resource.wishes)?;
        }
        for (name, group) in &self.spec.groups {
            writeln!(to, "{name}: {:?}, prefers {:?}", group.members, group.wishes.prefers)?;
        }
        for (name, node) in &self.status.nodes {
            writeln!(to, "{name}: {:?} {:?}", node.state, node.session)?;
        }
        for (name, status) in &self.status.resources {
            writeln!(
                to,
                "{name}: {:?}, failures {:?}, last {:?}",
                status.state, status.failures, status.last
            )?;
        }
        writeln!(to, "{:?}", self.status.intents)
    }
}

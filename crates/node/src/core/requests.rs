//! What people ask, and what they are told.

use heart_model::{Activity, Intent, Moment, NodeName, NodeState, Plan, Reason, ResourceName, StepAction};

use super::{
    Action, Core, Message, NodeView, Out, QUESTIONS_MAX, RefusedView, Request, ResourceView, Response,
    StatusView,
};
use crate::{
    board::{Board, flag},
    ledger::{Change, Entry, VERSION, write},
};

/// How long, in lost-afters, the leader's answer is waited for.
const ANSWER_WAIT: u32 = 4;

impl Core {
    /// Somebody on this node asks. What only the leader knows is asked of it.
    pub(super) fn on_request(
        &mut self,
        now: Moment,
        board: &Board,
        id: u64,
        request: Request,
        out: &mut Out,
    ) {
        let leader = self.leader(now, board).map(|(leader, _)| leader);
        let slot = leader.and_then(|leader| self.ids.iter().position(|id| *id == leader));
        match slot {
            Some(slot) if slot == self.slot => {
                let response = self.answer(now, request, out);
                self.reply(now, board, id, response, out);
            }
            Some(slot) if self.questions.len() < QUESTIONS_MAX => {
                self.questions.insert(id, now.after(self.timing.lost_after * ANSWER_WAIT));
                Core::send(slot, &Message::Ask { id, request }, out);
            }
            Some(_) | None => {
                let response = self.answer_alone(&request);
                self.reply(now, board, id, response, out);
            }
        }
    }

    /// Another core asks for somebody on its node.
    pub(super) fn on_ask(&mut self, now: Moment, from: usize, id: u64, request: Request, out: &mut Out) {
        let response = if self.conductor.is_some() { self.answer(now, request, out) } else { no_leader() };
        Core::send(from, &Message::Answer { id, response }, out);
    }

    pub(super) fn on_answer(&mut self, id: u64, response: Response) {
        if self.questions.remove(&id).is_some() {
            self.answers.push((id, response));
        }
    }

    /// Passes on what the leader answered, with what only this node knows; answers alone the questions
    /// that the leader left open.
    pub(super) fn answer_questions(&mut self, now: Moment, board: &Board, out: &mut Out) {
        self.refused.sample(now, board);
        for (id, response) in ::core::mem::take(&mut self.answers) {
            self.reply(now, board, id, response, out);
        }
        let late: Vec<u64> = self
            .questions
            .iter()
            .filter(|(_, until)| now.has_surely_reached(**until))
            .map(|(&id, _)| id)
            .collect();
        for id in late {
            self.questions.remove(&id);
            self.reply(now, board, id, no_leader(), out);
        }
    }

    fn reply(&mut self, now: Moment, board: &Board, id: u64, response: Response, out: &mut Out) {
        let response = match response {
            Response::Status(mut view) => {
                self.add_local_view(now, board, &mut view);
                Response::Status(view)
            }
            other => other,
        };
        out.actions.push(Action::Reply { id, response });
    }

    fn answer_alone(&self, request: &Request) -> Response {
        match request {
            Request::Status => Response::Status(Box::new(self.view())),
            Request::Log { limit } => self.log(*limit),
            Request::Why { .. } => Response::Why { reasons: vec![Reason::NoQuorum], next: Vec::new() },
            Request::Move { .. }
            | Request::Standby { .. }
            | Request::Resume { .. }
            | Request::Forgive { .. } => no_leader(),
        }
    }

    /// The leader answers.
    fn answer(&mut self, _now: Moment, request: Request, _out: &mut Out) -> Response {
        match request {
            Request::Status => Response::Status(Box::new(self.view())),
            Request::Log { limit } => self.log(limit),
            Request::Why { resource } => self.why(&resource),
            Request::Move { resource, to } => self.ask_to_move(resource, to),
            Request::Standby { node } => match self.known_node(&node) {
                Ok(()) => self.intend(
                    Change::Intend(Intent::Standby { node: node.clone() }),
                    format!("{node} goes to standby"),
                ),
                Err(refused) => refused,
            },
            Request::Resume { node } => match self.known_node(&node) {
                Ok(()) => self.resume(&node),
                Err(refused) => refused,
            },
            Request::Forgive { resource } => {
                self.intend(Change::Forgive { resource, node: None }, "failures are forgotten".into())
            }
        }
    }

    fn log(&self, limit: usize) -> Response {
        let skip = self.ledger.timeline.len().saturating_sub(limit);
        Response::Log { timeline: self.ledger.timeline.iter().skip(skip).cloned().collect() }
    }

    fn known_node(&self, node: &NodeName) -> Result<(), Response> {
        if self.names.contains(node) {
            return Ok(());
        }
        let names: Vec<String> = self.names.iter().map(|name| format!("`{name}`")).collect();
        Err(refused(format!("no node is called `{node}`"), format!("the nodes are {}", names.join(", "))))
    }

    fn resume(&mut self, node: &NodeName) -> Response {
        let intent = Intent::Standby { node: node.clone() };
        if !self.ledger.intents.contains(&intent) {
            return refused(
                format!("{node} is not in standby"),
                "`heart status` shows which nodes are".into(),
            );
        }
        self.intend(Change::Withdraw(intent), format!("{node} may run things again"))
    }

    fn ask_to_move(&mut self, resource: ResourceName, to: Option<NodeName>) -> Response {
        if let Some(Err(refused)) = to.as_ref().map(|to| self.known_node(to)) {
            return refused;
        }
        let Some(ledger) = self.ledger.resources.get(&resource) else { return self.no_resource(&resource) };
        let Some(grant) = &ledger.grant else {
            let hint = format!("`heart why {resource}` says why it does not run");
            return refused(format!("{resource} runs nowhere, so it cannot be moved"), hint);
        };
        if to.as_ref() == Some(&grant.node) {
            return refused(
                format!("{resource} is on {} already", grant.node),
                "nothing has to be done".into(),
            );
        }
        let from = grant.node.clone();
        if let Some(refused) = self.no_way(&from, to.as_ref()) {
            return refused;
        }
        let text = match &to {
            Some(to) => format!("{resource} moves from {from} to {to}"),
            None => format!("{resource} moves away from {from}"),
        };
        self.intend(Change::Intend(Intent::Move { resource, from, to }), text)
    }

    /// Why a move away from `from` cannot be carried out now, if it cannot.
    fn no_way(&self, from: &NodeName, to: Option<&NodeName>) -> Option<Response> {
        let status = self.conductor.as_ref()?.status();
        let standby = |node: &NodeName| self.ledger.intents.contains(&Intent::Standby { node: node.clone() });
        let online =
            |node: &NodeName| status.nodes.get(node).is_some_and(|node| node.state == NodeState::Online);
        let can = |node: &NodeName| node != from && online(node) && !standby(node);
        match to {
            Some(to) if !can(to) => {
                let why = if standby(to) { "is in standby" } else { "does not take part" };
                let hint = "`heart status` shows which nodes can take it".into();
                Some(refused(format!("nothing can be moved to {to}, which {why}"), hint))
            }
            None if !status.nodes.keys().any(can) => {
                let hint = "`heart status` shows how the other nodes are".into();
                Some(refused(format!("no other node than {from} can take it"), hint))
            }
            Some(_) | None => None,
        }
    }

    fn no_resource(&self, resource: &ResourceName) -> Response {
        let names: Vec<String> = self.ledger.resources.keys().map(|name| format!("`{name}`")).collect();
        refused(
            format!("no resource is called `{resource}`"),
            format!("the resources are {}", names.join(", ")),
        )
    }

    fn intend(&mut self, change: Change, text: String) -> Response {
        let entry = Entry { v: VERSION, at: self.wall, change };
        let taken = self.agreement.as_mut().is_some_and(|agreement| agreement.propose(write(&entry)));
        if taken { Response::Accepted { text } } else { no_leader() }
    }

    fn why(&self, resource: &ResourceName) -> Response {
        let Some(conductor) = &self.conductor else { return no_leader() };
        if !self.ledger.resources.contains_key(resource) {
            return self.no_resource(resource);
        }
        let reasons = conductor.plan().reasons.get(resource).cloned().unwrap_or_default();
        let next = next_steps(conductor.plan(), Some(resource));
        Response::Why { reasons, next }
    }

    /// The state of the cluster as this node sees it.
    fn view(&self) -> StatusView {
        let mut view = StatusView {
            cluster: self.settings.spec.cluster.name.to_string(),
            intents: self.ledger.intents.clone(),
            planned: self
                .conductor
                .as_ref()
                .map(|conductor| (conductor.status().clone(), conductor.plan().clone())),
            ..StatusView::default()
        };
        for (slot, name) in self.names.iter().enumerate() {
            view.nodes.insert(name.to_string(), self.node_view(slot, name));
        }
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        for (name, resource) in &spec.resources {
            let mut one = self.resource_view(name);
            one.agent = resource.agent.to_string();
            one.group = spec.group_of(name).map(|(group, _)| group.to_string());
            view.resources.insert(name.to_string(), one);
        }
        if let Some(conductor) = &self.conductor {
            view.next = next_steps(conductor.plan(), None);
        }
        view
    }

    fn node_view(&self, slot: usize, name: &NodeName) -> NodeView {
        let standby = self.ledger.intents.contains(&Intent::Standby { node: name.clone() });
        let known = self.conductor.as_ref().and_then(|conductor| conductor.status().nodes.get(name));
        let heard = slot == self.slot || self.sights.heard(slot).is_some();
        let state = match known {
            Some(node) => format!("{:?}", node.state).to_lowercase(),
            None if heard => "online".into(),
            None if self.sights.seen[slot].is_some() => "lost".into(),
            None => "absent".into(),
        };
        let state = if standby && state == "online" { "standby".into() } else { state };
        let voter = self.settings.spec.nodes.get(name).is_some_and(|node| node.voter);
        NodeView { state, voter, links: Vec::new(), lease_ms: None }
    }

    fn resource_view(&self, name: &ResourceName) -> ResourceView {
        let mut view = ResourceView { state: "stopped".into(), ..ResourceView::default() };
        let Some(ledger) = self.ledger.resources.get(name) else { return view };
        view.epoch = ledger.epoch.0;
        view.failures = ledger.failures.iter().map(|(node, count)| (node.to_string(), *count)).collect();
        if let Some(conductor) = &self.conductor {
            let reasons = conductor.plan().reasons.get(name);
            view.why = reasons.and_then(|reasons| reasons.last()).map(ToString::to_string);
        }
        if let Some(grant) = &ledger.grant {
            view.node = Some(grant.node.to_string());
            view.since = Some(grant.since);
            view.state = word(&grant.activity).into();
        }
        view
    }

    /// What only this node knows: how it hears the others, and its lease.
    fn add_local_view(&self, now: Moment, board: &Board, view: &mut StatusView) {
        view.node = self.settings.me.to_string();
        view.term = board.log().0.0;
        let leader =
            self.leader(now, board).and_then(|(leader, _)| self.ids.iter().position(|id| *id == leader));
        view.leader = leader.map(|slot| self.names[slot].to_string());
        view.voters = (self.sights.voters.count_ones() as usize, self.sights.voters_heard());
        view.quorum = !now.may_have_reached(board.lease_until());
        let links = self.settings.spec.nodes[&self.settings.me].addresses.len()
            + self.settings.spec.cluster.links.len();
        for (slot, name) in self.names.iter().enumerate() {
            let Some(node) = view.nodes.get_mut(name.as_str()) else { continue };
            if slot == self.slot {
                node.lease_ms = u64::try_from(now.at_least_until(board.lease_until()).as_millis()).ok();
                continue;
            }
            let heard = self.sights.heard(slot).map_or(0, |seen| seen.links);
            node.links = (0..links).map(|link| heard >> link & 1 == 1).collect();
        }
        view.problems = self.strangers();
        view.problems.extend(problems(view));
        view.refused = RefusedView::of(&board.refusals(), &self.names);
        let heard = |slot: usize| self.sights.heard(slot).is_some();
        view.problems.extend(self.refused.problems(board, &self.names, heard));
    }
}

impl Core {
    /// What is wrong with this node's disk and with nodes that are heard but go by another history or
    /// another file than this one.
    fn strangers(&self) -> Vec<String> {
        let ours = self.ledger.era;
        let mut said = Vec::new();
        if !self.disk_works {
            said.push(format!("the disk of {} does not take what is written", self.settings.me));
        }
        for seen in (0..self.ids.len()).filter_map(|slot| self.sights.heard(slot)) {
            let (name, me) = (&self.names[seen.slot], &self.settings.me);
            if seen.flags & flag::SICK != 0 {
                said.push(format!("the disk of {name} does not take what is written"));
            }
            if ours != 0 && seen.era != 0 && seen.era != ours {
                said.push(format!(
                    "{name} has the log of another history: decide which counts, and empty the other"
                ));
            }
            if seen.digest != self.settings.digest {
                said.push(format!("{name} has another configuration file than {me}"));
            }
        }
        said
    }
}

fn refused(error: String, hint: String) -> Response {
    Response::Refused { error, hint }
}

fn no_leader() -> Response {
    refused(
        "the cluster has no leader at the moment".into(),
        "without a quorum of voters nothing can be agreed on; `heart status` shows who is heard".into(),
    )
}

fn word(activity: &Activity) -> &'static str {
    match activity {
        Activity::Stopped => "stopped",
        Activity::Starting => "starting",
        Activity::Running => "running",
        Activity::Stopping => "stopping",
        Activity::Failed(_) => "failed",
        Activity::Stuck(_) => "stuck",
    }
}

fn next_steps(plan: &Plan, only: Option<&ResourceName>) -> Vec<String> {
    let wanted = |resource: &ResourceName| only.is_none_or(|only| only == resource);
    let sentence = |step: &heart_model::Step| match step.action {
        StepAction::Stop => format!("stop {} on {}", step.resource, step.node),
        StepAction::Start => format!("start {} on {}", step.resource, step.node),
        StepAction::TakeOver => format!("take {} over to {}", step.resource, step.node),
    };
    plan.steps.iter().filter(|step| wanted(&step.resource)).map(sentence).collect()
}

/// What is wrong, worst first.
fn problems(view: &StatusView) -> Vec<String> {
    let mut problems = Vec::new();
    if !view.quorum {
        problems
            .push(format!("{} hears {} of {} voters: no quorum", view.node, view.voters.1, view.voters.0));
    } else if view.leader.is_none() {
        problems.push("no leader is heard".into());
    }
    for (name, resource) in &view.resources {
        if resource.state != "running" {
            let why = resource.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            problems.push(format!("{name} is {}{why}", resource.state));
        }
        for (node, count) in &resource.failures {
            problems.push(format!("{name} failed {count} times on {node}"));
        }
    }
    for (name, node) in &view.nodes {
        if matches!(node.state.as_str(), "lost" | "fenced" | "absent") {
            problems.push(format!("{name} is {}", node.state));
        } else if let Some(link) = node.links.iter().position(|heard| !heard) {
            problems.push(format!("{name} is not heard over link {link}"));
        }
    }
    problems
}

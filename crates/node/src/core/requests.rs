//! What people ask, and what they are told.

use heart_model::{
    Activity, Duration, Intent, LogIndex, Moment, NodeName, NodeState, Plan, Reason, ResourceName,
    StepAction, Term,
};

use std::collections::BTreeSet;

use super::{
    Action, Core, Guarded, Message, NodeView, Out, QUESTIONS_MAX, RefusedView, Request, ResourceView,
    Response, StatusView, switching::WantedOff,
};
use crate::{
    agreement::Agreement,
    board::{Board, flag},
    ledger::{Change, Entry, VERSION, write},
};

/// What is promised to people who asked for something.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// The entry that was proposed for the question that is being answered.
    proposed: Option<(Term, LogIndex)>,
    /// Answers that wait for theirs.
    waiting: Vec<Promised>,
}

/// An answer that waits until what it speaks of was agreed on.
#[derive(Debug)]
struct Promised {
    /// The entry that it speaks of.
    term: Term,
    index: LogIndex,
    /// The core that asked, if it is not this one.
    from: Option<usize>,
    id: u64,
    response: Response,
}

/// How long, in lost-afters, the leader's answer is waited for.
const ANSWER_WAIT: u32 = 2;
/// So long a question waits for a core that stands still. Whoever asked has been told by then that there was no answer: what
/// is true of a node may not be true of it any more.
const WAITS_FOR: Duration = Duration::from_secs(5);

fn too_late() -> Response {
    refused(
        "this node stood still, and did not hear what was asked for too long".into(),
        "see how things are now (`heart status`), and ask again".into(),
    )
}

impl Core {
    /// Somebody on this node asks. What only the leader knows is asked of it.
    pub(super) fn on_request(
        &mut self,
        now: Moment,
        board: &Board,
        (id, asked): (u64, Moment),
        mut request: Request,
        out: &mut Out,
    ) {
        if now.has_surely_reached(asked.after(WAITS_FOR)) {
            return self.reply(now, board, id, too_late(), out);
        }
        self.say_which_life(&mut request);
        if let Request::Found { without } = &request {
            let response = self.found_without(now, without, out);
            return self.reply(now, board, id, response, out);
        }
        if let Request::TakeOver { without, who, sure } = &request {
            let response = self.take_over_from(now, board, (without, who, *sure), out);
            return self.reply(now, board, id, response, out);
        }
        if let Request::Prove { node } = &request {
            let response = self.prove_now(node.as_ref());
            return self.reply(now, board, id, response, out);
        }
        let leader = self.leader(now, board).map(|(leader, _)| leader);
        // Raft may know a leader that has not been heard for long: nobody waits for that.
        let reached = |&slot: &usize| {
            slot == self.slot || self.sights.heard(slot).is_some() || self.sights.relay_to(slot).is_some()
        };
        let slot = leader.and_then(|leader| self.ids.iter().position(|id| *id == leader)).filter(reached);
        match slot {
            Some(slot) if slot == self.slot => {
                let response = self.answer(now, request);
                if let Some(response) = self.wait_for_agreement(None, id, response) {
                    self.reply(now, board, id, response, out);
                }
            }
            Some(slot) if self.questions.len() < QUESTIONS_MAX => {
                let until = now.after(self.timing.lost_after * ANSWER_WAIT);
                self.questions.insert(id, (request.clone(), until));
                Core::send(slot, &Message::Ask { id, request }, out);
            }
            Some(_) | None => {
                let again = match &request {
                    Request::Fence { node, .. } => self.try_again_by_half(node),
                    _ => None,
                };
                let response = again.unwrap_or_else(|| self.answer_alone(now, Some(board), &request));
                self.reply(now, board, id, response, out);
            }
        }
    }

    /// Who answers for a node speaks of the life of it that is known where it is said: the leader may have heard of another
    /// one by the time that the word arrives there.
    fn say_which_life(&self, request: &mut Request) {
        if let Request::ConfirmOff { node, boot, .. } = request
            && boot.is_none()
        {
            let known = self.ledger.nodes.get(node);
            *boot = known.and_then(|known| known.session.or(known.taken_over)).map(|session| session.boot);
        }
    }

    /// Another core asks for somebody on its node.
    pub(super) fn on_ask(&mut self, now: Moment, from: usize, id: u64, request: Request, out: &mut Out) {
        let response = if self.conductor.is_some() {
            self.answer(now, request)
        } else {
            self.answer_alone(now, None, &request)
        };
        if let Some(response) = self.wait_for_agreement(Some(from), id, response) {
            Core::send(from, &Message::Answer { id, response }, out);
        }
    }

    /// Holds an answer back until what it speaks of was agreed on, if that is not so yet.
    fn wait_for_agreement(&mut self, from: Option<usize>, id: u64, response: Response) -> Option<Response> {
        let Some((term, index)) = self.promises.proposed.take() else { return Some(response) };
        self.promises.waiting.push(Promised { term, index, from, id, response });
        None
    }

    /// Gives the answers that waited: what they speak of was agreed on, or this node leads no more, and
    /// then nobody here knows.
    fn keep_promises(&mut self, now: Moment, board: &Board, out: &mut Out) {
        let leads = self.leading();
        let applied = self.agreement.as_ref().map(Agreement::applied);
        for promised in ::core::mem::take(&mut self.promises.waiting) {
            let response = if leads != Some(promised.term) {
                self.no_leader()
            } else if applied >= Some(promised.index) {
                promised.response
            } else {
                self.promises.waiting.push(promised);
                continue;
            };
            match promised.from {
                Some(from) => Core::send(from, &Message::Answer { id: promised.id, response }, out),
                None => self.reply(now, board, promised.id, response, out),
            }
        }
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
        self.keep_promises(now, board, out);
        for (id, response) in ::core::mem::take(&mut self.answers) {
            self.reply(now, board, id, response, out);
        }
        let late: Vec<u64> = self
            .questions
            .iter()
            .filter(|(_, (_, until))| now.has_surely_reached(*until))
            .map(|(&id, _)| id)
            .collect();
        for id in late {
            if let Some((request, _)) = self.questions.remove(&id) {
                let response = self.answer_alone(now, Some(board), &request);
                self.reply(now, board, id, response, out);
            }
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

    /// Without the leader; with what this node waits for, if its board is at hand, which is so where it was asked.
    fn answer_alone(&self, now: Moment, board: Option<&Board>, request: &Request) -> Response {
        match request {
            Request::Status => Response::Status(Box::new(self.view(now))),
            Request::Log { limit } => self.log(*limit),
            Request::Why { resource } => self.why_alone(now, board, resource),
            Request::Prove { .. } => not_here(),
            Request::Picture
            | Request::Move { .. }
            | Request::Cancel { .. }
            | Request::Found { .. }
            | Request::TakeOver { .. }
            | Request::Standby { .. }
            | Request::Resume { .. }
            | Request::Ticket { .. }
            | Request::Fence { .. }
            | Request::Unfence { .. }
            | Request::ConfirmOff { .. }
            | Request::Release { .. }
            | Request::Forgive { .. } => self.no_leader(),
        }
    }

    /// The leader answers.
    fn answer(&mut self, now: Moment, request: Request) -> Response {
        match request {
            Request::Status => Response::Status(Box::new(self.view(now))),
            Request::Log { limit } => self.log(limit),
            Request::Why { resource } => self.why(now, &resource),
            Request::Picture => self.picture(),
            Request::Move { resource, to } => self.ask_to_move(resource, to),
            Request::Cancel { resource } => self.cancel(&resource),
            Request::Standby { node } => match self.known_node(&node) {
                Ok(()) => self.stand_by(&node),
                Err(refused) => refused,
            },
            Request::Resume { node } => match self.known_node(&node) {
                Ok(()) => self.resume(&node),
                Err(refused) => refused,
            },
            Request::Forgive { resource } => self.forgive(resource),
            Request::Release { name } => self.release(name.as_ref()),
            Request::Fence { node, who, anyway, reboot } => {
                self.fence_now(&node, &WantedOff { who, anyway, reboot })
            }
            Request::Unfence { node, who } => self.unfence(&node, &who),
            Request::ConfirmOff { node, boot, who } => self.confirm_off(&node, boot, &who),
            Request::Ticket { ticket, held } => self.hold_ticket(&ticket, held),
            Request::Found { .. } | Request::TakeOver { .. } => begun(),
            Request::Prove { .. } => not_here(),
        }
    }

    fn picture(&self) -> Response {
        let (Some(conductor), Some(spec)) = (&self.conductor, &self.ledger.spec) else {
            return self.no_leader();
        };
        Response::Picture { spec: Box::new(spec.clone()), status: Box::new(conductor.status().clone()) }
    }

    fn log(&self, limit: usize) -> Response {
        let skip = self.ledger.timeline.len().saturating_sub(limit);
        Response::Log { timeline: self.ledger.timeline.iter().skip(skip).cloned().collect() }
    }

    pub(super) fn known_node(&self, node: &NodeName) -> Result<(), Response> {
        if self.names.contains(node) {
            return Ok(());
        }
        let mut names: Vec<String> = self.names.iter().map(|name| format!("`{name}`")).collect();
        names.sort_unstable();
        Err(refused(format!("no node is called `{node}`"), format!("the nodes are {}", names.join(", "))))
    }

    pub(super) fn no_resource(&self, resource: &ResourceName) -> Response {
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        let grantable = spec.grantable();
        let names: BTreeSet<&ResourceName> = grantable.keys().chain(self.ledger.resources.keys()).collect();
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let hint = match names.as_slice() {
            [] => "none are configured".into(),
            names => format!("the resources are {}", names.join(", ")),
        };
        refused(format!("no resource is called `{resource}`"), hint)
    }

    /// Proposes something that nobody waits for; false if that cannot be done now.
    pub(super) fn propose(&mut self, change: Change) -> bool {
        let entry = Entry { v: VERSION, at: self.wall, change };
        self.agreement.as_mut().is_some_and(|agreement| agreement.propose(write(&entry)))
    }

    pub(super) fn intend(&mut self, change: Change, text: String) -> Response {
        let entry = Entry { v: VERSION, at: self.wall, change };
        let agreement = self.agreement.as_mut().filter(|_| self.promises.waiting.len() < QUESTIONS_MAX);
        self.promises.proposed = agreement.and_then(|agreement| {
            agreement.propose(write(&entry)).then(|| (agreement.term(), agreement.last().1))
        });
        if self.promises.proposed.is_some() { Response::Accepted { text } } else { self.no_leader() }
    }

    fn why(&self, now: Moment, resource: &ResourceName) -> Response {
        let Some(conductor) = &self.conductor else { return self.no_leader() };
        if !self.ledger.resources.contains_key(resource) {
            return self.no_resource(resource);
        }
        let reasons = conductor.reasons(now, resource);
        let mut next = next_steps(conductor.plan(), Some(resource));
        next.extend(reasons.iter().filter_map(|reason| match reason {
            Reason::WaitsForGuard { node, .. } => self.attempts_against(now, node),
            _ => None,
        }));
        let runs = |name: &ResourceName| {
            let grant = self.ledger.resources.get(name).and_then(|known| known.grant.as_ref());
            grant.is_some_and(|grant| grant.activity == Activity::Running)
        };
        let spec = self.ledger.spec.as_ref().filter(|_| runs(resource));
        let status = conductor.status().resources.get(resource);
        let changed = status.is_some_and(|status| status.guard.is_some());
        let guarded = spec.and_then(|spec| Guarded::of(spec, resource));
        let guarded = guarded.map(|guarded| Guarded { changed, ..guarded });
        Response::Why { reasons, next, guarded, stuck: None }
    }

    /// What a node says that knows no leader: what it lacks, what it waits for, and what it knew last.
    fn why_alone(&self, now: Moment, board: Option<&Board>, resource: &ResourceName) -> Response {
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        if spec.granted(resource).is_none() && !self.ledger.resources.contains_key(resource) {
            return self.no_resource(resource);
        }
        let quorum = self.sights.voters_heard() >= self.sights.quorum();
        let mut reasons = vec![if quorum { Reason::NoLeader } else { Reason::NoQuorum }];
        let grant = self.ledger.resources.get(resource).and_then(|known| known.grant.as_ref());
        reasons.extend(grant.map(|grant| Reason::LastKnown { node: grant.node.clone() }));
        let half = board.and_then(|board| self.view_of_half(now, board));
        let (stuck, next) = half.map_or((None, Vec::new()), |(wrong, next)| (Some(wrong), vec![next]));
        Response::Why { reasons, next, guarded: None, stuck }
    }

    pub(super) fn no_leader(&self) -> Response {
        let (me, heard) = (&self.settings.me, self.sights.voters_heard());
        if heard >= self.sights.quorum() {
            let error = "nobody leads at the moment: the next leader is about to be elected".into();
            return refused(error, "ask again in a second; `heart status` shows who leads".into());
        }
        let voters = self.sights.voters.size;
        refused(
            format!("{me} hears {heard} of {voters} voters, itself counted: nothing can be agreed on here"),
            format!("ask on a node that hears more than half of them, or bring {me} back to the others"),
        )
    }

    /// The state of the cluster as this node sees it.
    fn view(&self, now: Moment) -> StatusView {
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
        for (name, resource) in spec.grantable() {
            let mut one = self.resource_view(now, &name);
            one.agent = resource.agent.to_string();
            one.group = spec.group_of(&name).map(|(group, _)| group.to_string());
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
        let in_log = self.ledger.nodes.get(name);
        let has_left = in_log.is_some_and(|known| known.left.is_some());
        let is_shut_out = in_log.is_some_and(|known| known.fence.is_shut_out);
        let is_silent = in_log.is_some_and(|known| known.fence.is_silent);
        let state = if has_left && state != "joining" { "left".into() } else { state };
        let state = match state.as_str() {
            "online" if standby => "standby".into(),
            "online" if self.is_sick(slot) => "sick".into(),
            "fenced" if is_shut_out => "shut out".into(),
            "fenced" if is_silent => "silent".into(),
            _ => state,
        };
        let voter = self.settings.spec.nodes.get(name).is_some_and(|node| node.voter);
        NodeView {
            state,
            voter,
            sick: self.say_sick(slot),
            pings: self.say_pings(slot),
            ..NodeView::default()
        }
    }

    fn resource_view(&self, now: Moment, name: &ResourceName) -> ResourceView {
        let mut view = ResourceView { state: "stopped".into(), ..ResourceView::default() };
        let Some(ledger) = self.ledger.resources.get(name) else { return view };
        view.epoch = ledger.epoch.0;
        view.move_ended = ledger.ended.as_ref().map(|ended| {
            let reason = Reason::MoveEnded { to: ended.to.clone(), because: ended.because.clone() };
            (ended.at.0, reason.to_string())
        });
        view.failures = ledger.failures.iter().map(|(node, count)| (node.to_string(), *count)).collect();
        if let Some(conductor) = &self.conductor {
            let reasons = conductor.reasons(now, name);
            view.rests = ledger.grant.is_none() && reasons.iter().any(Reason::is_as_configured);
            view.why = main_reason(&reasons).map(ToString::to_string);
            view.slow = conductor.slow(name).map(ToOwned::to_owned);
        }
        if let Some(grant) = &ledger.grant {
            view.node = Some(grant.node.to_string());
            view.since = Some(grant.since);
            let nodes = self.conductor.as_ref().map(|conductor| &conductor.status().nodes);
            let holder = nodes.and_then(|nodes| nodes.get(&grant.node)).map(|node| node.state);
            // What it did when it was last heard says nothing of now.
            let is_lost = matches!(holder, Some(NodeState::Lost | NodeState::Fenced));
            view.state = if is_lost { "lost".into() } else { word(&grant.activity).into() };
        }
        view
    }

    /// What only this node knows: how it hears the others, and its lease.
    fn add_local_view(&self, now: Moment, board: &Board, view: &mut StatusView) {
        view.node = self.settings.me.to_string();
        view.term = board.log().0.0;
        // Of a leader that raft knows and that is not heard any more nothing is known.
        let heard = board.leader_heard(now).map(|(leader, _)| leader);
        let leader =
            self.leader(now, board).filter(|(leader, _)| self.conductor.is_some() || heard == Some(*leader));
        let leader = leader.and_then(|(leader, _)| self.ids.iter().position(|id| *id == leader));
        view.leader = leader.map(|slot| self.names[slot].to_string());
        view.voters = (self.sights.voters.size, self.sights.voters_heard());
        view.quorum = !now.may_have_reached(board.lease_until());
        let links = self.settings.spec.nodes[&self.settings.me].addresses.len()
            + self.settings.spec.cluster.links.len();
        for (slot, name) in self.names.iter().enumerate() {
            let Some(node) = view.nodes.get_mut(name.as_str()) else { continue };
            if slot == self.slot {
                node.lease_ms = u64::try_from(now.at_least_until(board.lease_until()).as_millis()).ok();
                (node.sick, node.pings) = (self.say_sick(slot), self.say_pings(slot));
                continue;
            }
            let heard = self.sights.heard(slot).map_or(0, |seen| seen.links);
            node.links = (0..links).map(|link| heard >> link & 1 == 1).collect();
        }
        view.problems = self.strangers();
        if let Some((wrong, next)) = self.view_of_founding() {
            view.problems.push(wrong);
            view.next.push(next);
        }
        for (wrong, next) in self.view_of_half(now, board).into_iter().chain(self.view_of_disks(board)) {
            view.problems.push(wrong);
            view.next.push(next);
        }
        view.problems.extend(self.view_of_tie());
        view.problems.extend(self.view_of_fencing(now));
        view.problems.extend(self.view_of_shut_out());
        view.problems.extend(self.view_of_holds());
        view.problems.extend(self.view_of_watchdog(board));
        self.add_proofs(now, view);
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

pub(super) fn begun() -> Response {
    refused("the cluster has begun already".into(), "nothing has to be done".into())
}

pub(super) fn refused(error: String, hint: String) -> Response {
    Response::Refused { error, hint }
}

/// What is answered to another core that asks for devices to be tried: nothing of this is agreed on.
fn not_here() -> Response {
    refused(
        "devices are tried from the node on which somebody asks".into(),
        "update all nodes to the same version".into(),
    )
}

/// The reason that says most in one line: what it waits for, or else the last one.
fn main_reason(reasons: &[Reason]) -> Option<&Reason> {
    reasons.iter().find(|reason| reason.is_obstacle()).or(reasons.last())
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
        problems.push(format!(
            "{} hears {} of {} voters, itself counted: no quorum",
            view.node, view.voters.1, view.voters.0
        ));
    } else if view.leader.is_none() {
        problems.push(format!("{} hears no leader", view.node));
    }
    for (name, resource) in &view.resources {
        if resource.state != "running" && !resource.rests {
            let why = resource.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            problems.push(format!("{name} is {}{why}", resource.state));
        }
        if let (Some(why), Some(node)) = (&resource.slow, &resource.node) {
            problems.push(format!("{name} is slow to answer on {node}, and asked again: {why}"));
        }
        for (node, count) in &resource.failures {
            let times = if *count == 1 { "once".into() } else { format!("{count} times") };
            problems.push(format!("{name} failed {times} on {node}"));
        }
    }
    problems.extend(view.nodes.values().flat_map(|node| node.sick.iter().chain(&node.pings).cloned()));
    for (name, node) in &view.nodes {
        if matches!(node.state.as_str(), "lost" | "fenced" | "shut out" | "silent" | "absent") {
            problems.push(format!("{name} is {}", node.state));
        } else if let Some(link) = node.links.iter().position(|heard| !heard) {
            problems.push(format!("{name} is not heard over link {link}"));
        }
    }
    problems
}

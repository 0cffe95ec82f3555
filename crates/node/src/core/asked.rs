//! What people ask for: each is agreed on, and withdrawn when it is done or called off.

use heart_model::{Ended, Intent, Name, NodeName, NodeState, Refusal, ResourceName};

use super::{Core, message::Response, requests::refused};
use crate::ledger::Change;

impl Core {
    /// This cluster has a ticket from now on, or has it no more.
    pub(super) fn hold_ticket(&mut self, ticket: &Name, held: bool) -> Response {
        if let Some(refused) = self.no_ticket(ticket) {
            return refused;
        }
        let intent = Intent::Ticket { ticket: ticket.clone() };
        match (held, self.ledger.intents.contains(&intent)) {
            (true, true) => {
                Response::Accepted { text: format!("this cluster has the ticket {ticket} already") }
            }
            (false, false) => refused(
                format!("this cluster does not have the ticket {ticket}"),
                "nothing has to be done".into(),
            ),
            (true, false) => {
                self.intend(Change::Intend(intent), format!("this cluster has the ticket {ticket} now"))
            }
            (false, true) => {
                let text = format!("this cluster gives the ticket {ticket} up; what needs it stops");
                self.intend(Change::Withdraw(intent), text)
            }
        }
    }

    /// Nobody would notice a ticket that was only spelt wrongly.
    fn no_ticket(&self, ticket: &Name) -> Option<Response> {
        let spec = self.ledger.spec.as_ref().unwrap_or(&self.settings.spec);
        let groups = spec.groups.values().map(|group| &group.wishes);
        let wishes = spec.resources.values().map(|resource| &resource.wishes).chain(groups);
        let used: std::collections::BTreeSet<&Name> =
            wishes.filter_map(|wishes| wishes.ticket.as_ref()).collect();
        if used.contains(ticket) {
            return None;
        }
        let names: Vec<String> = used.iter().map(|name| format!("`{name}`")).collect();
        let hint = match names.as_slice() {
            [] => "no resource says `ticket = …` in the configuration".into(),
            names => format!("the tickets that resources need are {}", names.join(", ")),
        };
        Some(refused(format!("no resource needs a ticket called `{ticket}`"), hint))
    }

    /// Says what stops with it: a person may not know that nobody else can take it.
    pub(super) fn stand_by(&mut self, node: &NodeName) -> Response {
        let intent = Intent::Standby { node: node.clone() };
        if self.ledger.intents.contains(&intent) {
            let text = format!("{node} is in standby already; `heart resume {node}` ends that");
            return Response::Accepted { text };
        }
        let stops = match (&self.conductor, &self.ledger.spec) {
            (Some(conductor), Some(spec)) => {
                let mut status = conductor.status().clone();
                status.intents.push(intent.clone());
                let runs =
                    |name: &ResourceName| matches!(conductor.plan().placement.get(name), Some(Some(_)));
                let placement = heart_scheduler::plan(spec, &status).placement.into_iter();
                let none = placement.filter(|(name, place)| place.is_none() && runs(name));
                none.map(|(name, _)| name.to_string()).collect()
            }
            (None, _) | (_, None) => Vec::new(),
        };
        let text = match stops.as_slice() {
            [] => format!("{node} goes to standby"),
            [one] => format!("{node} goes to standby; {one} stops, as no other node can take it"),
            many => {
                format!("{node} goes to standby; {} stop, as no other node can take them", many.join(", "))
            }
        };
        self.intend(Change::Intend(intent), text)
    }

    pub(super) fn forgive(&mut self, resource: Option<ResourceName>) -> Response {
        if let Some(unknown) = resource.as_ref().filter(|&name| !self.ledger.resources.contains_key(name)) {
            return self.no_resource(unknown);
        }
        let wanted = |name: &ResourceName| resource.as_ref().is_none_or(|only| only == name);
        let failed =
            self.ledger.resources.iter().filter(|(name, known)| wanted(name) && !known.failures.is_empty());
        let names: Vec<String> = failed.map(|(name, _)| name.to_string()).collect();
        if names.is_empty() {
            let of = resource.map(|name| format!(" of {name}")).unwrap_or_default();
            return Response::Accepted {
                text: format!("no failure{of} is known, so there is nothing to forget"),
            };
        }
        let text = format!("the failures of {} are forgotten", names.join(", "));
        self.intend(Change::Forgive { resource, node: None }, text)
    }

    pub(super) fn resume(&mut self, node: &NodeName) -> Response {
        let intent = Intent::Standby { node: node.clone() };
        if !self.ledger.intents.contains(&intent) {
            return refused(
                format!("{node} is not in standby"),
                "`heart status` shows which nodes are".into(),
            );
        }
        self.intend(Change::Withdraw(intent), format!("{node} may run things again"))
    }

    pub(super) fn ask_to_move(&mut self, resource: ResourceName, to: Option<NodeName>) -> Response {
        if let Some(Err(refused)) = to.as_ref().map(|to| self.known_node(to)) {
            return refused;
        }
        let Some(ledger) = self.ledger.resources.get(&resource) else { return self.no_resource(&resource) };
        if let Some((of, node)) = resource.copy() {
            let error = format!("{resource} is the copy of {of} on {node}, and stays there");
            return refused(
                error,
                format!("`heart standby {node}` stops it, with everything else on {node}"),
            );
        }
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
        if let Some(refused) = self.no_way(&resource, &from, to.as_ref()) {
            return refused;
        }
        let text = match &to {
            Some(to) => format!("{resource} moves from {from} to {to}"),
            None => format!("{resource} moves away from {from}"),
        };
        self.intend(Change::Intend(Intent::Move { resource, from, to }), text)
    }

    /// Why a move away from `from` cannot be carried out now, if it cannot. The scheduler is asked: it
    /// would end such a move at once.
    fn no_way(&self, resource: &ResourceName, from: &NodeName, to: Option<&NodeName>) -> Option<Response> {
        let (conductor, spec) = (self.conductor.as_ref()?, self.ledger.spec.as_ref()?);
        let joining = |node: &NodeName| {
            conductor.status().nodes.get(node).is_some_and(|node| node.state == NodeState::Joining)
        };
        if let Some(to) = to.filter(|to| joining(to)) {
            let hint = "ask again when `heart status` shows it as online".into();
            return Some(refused(format!("{resource} cannot move to {to}, which is still joining"), hint));
        }
        let intent = Intent::Move { resource: resource.clone(), from: from.clone(), to: to.cloned() };
        let intents = vec![intent.clone()];
        let kept = conductor.status().intents.iter().filter(|intent| !matches!(intent, Intent::Move { .. }));
        let intents = kept.cloned().chain(intents).collect();
        let status = heart_model::Status { intents, ..conductor.status().clone() };
        let ended = heart_scheduler::plan(spec, &status).ended;
        let because = ended.into_iter().find(|(ended, _)| *ended == intent)?.1;
        Some(match because {
            Ended::NotOn { node, refusal } => {
                let hint = match &refusal {
                    Refusal::Standby => format!("`heart resume {node}` lets things run on {node} again"),
                    Refusal::Failed { resource, .. } => {
                        format!("when its cause is mended, `heart forgive {resource}` forgets the failures")
                    }
                    Refusal::Never => format!("`never` in the configuration keeps {resource} from {node}"),
                    Refusal::Apart { other } => {
                        format!("they keep apart by `never` in the configuration: move {other} away first")
                    }
                    Refusal::NotWith { other } => {
                        format!("it goes with {other} by `with` in the configuration: move {other}")
                    }
                    Refusal::NoRoom { of, .. } => format!(
                        "what runs on {node} leaves too little of its `capacity`: move something that needs {of} away, \
                         or raise it"
                    ),
                    Refusal::Sick { .. } | Refusal::Fewer { .. } => {
                        format!("`heart status` shows what is wrong with {node}, and what to do")
                    }
                    Refusal::Held => format!("`heart release {resource}` lets it be taken over again"),
                    Refusal::Quarantined => format!("`heart release {node}` lets things run on {node} again"),
                    Refusal::Absent
                    | Refusal::Joining
                    | Refusal::Lost
                    | Refusal::Fenced
                    | Refusal::Leaving
                    | Refusal::MovedAway
                    | Refusal::NoCopy
                    | Refusal::Outweighed => "`heart status` shows which nodes can take it".into(),
                };
                refused(format!("{resource} cannot move to {node}: {refusal}"), hint)
            }
            Ended::Cancelled | Ended::Nowhere | Ended::Elsewhere { .. } | Ended::Removed => refused(
                format!("{resource} cannot move away: no other node than {from} can take it"),
                "`heart status` shows how the other nodes are".into(),
            ),
        })
    }

    /// Calls off the move of a resource; that of a group goes by any of its members.
    pub(super) fn cancel(&mut self, resource: &ResourceName) -> Response {
        if !self.ledger.resources.contains_key(resource) {
            return self.no_resource(resource);
        }
        let group = self.ledger.spec.as_ref().map_or_else(Vec::new, |spec| spec.companions(resource));
        let concerned = |intent: &&Intent| match intent {
            Intent::Move { resource, .. } => group.contains(resource),
            Intent::Standby { .. } | Intent::Ticket { .. } => false,
        };
        let Some(intent) = self.ledger.intents.iter().find(concerned).cloned() else {
            let hint = "`heart status` shows what was asked for and is not done yet".into();
            return refused(format!("no move of {resource} is under way"), hint);
        };
        let text = format!("the move of {resource} is called off: it stays where it is now");
        self.intend(Change::End { intent, because: Ended::Cancelled }, text)
    }
}

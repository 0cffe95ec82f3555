//! What is not taken over by itself any more, and nodes that are avoided: what is said of them, and how a person ends it.

use std::collections::BTreeMap;

use heart_model::{Name, NodeName, ResourceName};

use super::{Action, Core, Out, Response, requests::refused};
use crate::ledger::{Change, Hold};

impl Core {
    /// A sentence for everything that is held, with what to do.
    pub(super) fn view_of_holds(&self) -> Vec<String> {
        self.all_held().into_iter().map(|(_, said)| said).collect()
    }

    /// Alerts people to what is held since the log has changed: each of it once, as long as it lasts.
    pub(super) fn alert_to_holds(&mut self, out: &mut Out) {
        let held = self.all_held();
        for (name, said) in &held {
            if !self.held_before.contains(name) {
                out.actions.push(Action::Note(format!("alert: {said}")));
            }
        }
        self.held_before = held.into_iter().map(|(name, _)| name).collect();
    }

    /// What is held, and what is said of it.
    fn all_held(&self) -> Vec<(String, String)> {
        let mut said = Vec::new();
        if let Some(hold) = self.ledger.cluster_held(self.wall) {
            let times = times(hold.failovers);
            let until = self.until(&hold, "everything");
            let all = format!(
                "nodes were lost or services failed over {times} within an hour, so nothing is taken over by itself \
                 {until}; find the cause; `heart release` ends that"
            );
            // No name of anything has a space.
            said.push(("the whole cluster".to_owned(), all));
        } else {
            for (name, hold) in self.held_units() {
                let times = times(hold.failovers);
                let until = self.until(&hold, name);
                let one = format!(
                    "{name} was taken over {times} within an hour, so it is not taken over again by itself {until}; find \
                     the cause; `heart release {name}` ends that"
                );
                said.push((name.to_owned(), one));
            }
        }
        for (name, node) in &self.ledger.nodes {
            if let Some(until) = node.losses.quarantined(self.wall) {
                let left = minutes(until.saturating_sub(self.wall));
                let one = format!(
                    "{name} was lost several times within ten minutes, so it is avoided for {left}; `heart release \
                     {name}` ends that"
                );
                said.push((format!("node {name}"), one));
            }
        }
        said
    }

    /// What is held, a group once.
    fn held_units(&self) -> BTreeMap<&str, Hold> {
        let group = |name: &ResourceName| {
            let spec = self.ledger.spec.as_ref()?;
            Some(spec.group_of(name)?.0.as_str())
        };
        let held = |name| Some((name, self.ledger.held(name, self.wall)?));
        let held = self.ledger.resources.keys().filter_map(held);
        held.map(|(name, hold)| (group(name).unwrap_or(name.as_str()), hold)).collect()
    }

    fn until(&self, hold: &Hold, what: &str) -> String {
        match hold.until {
            Some(until) => format!("for {}, and then once more", minutes(until.saturating_sub(self.wall))),
            None => format!("until {what} has run for an hour"),
        }
    }

    /// Lets what is named be taken over again, or a node be used.
    pub(super) fn release(&mut self, name: Option<&Name>) -> Response {
        let Some(spec) = &self.ledger.spec else { return self.no_leader() };
        let (mut resources, mut node) = (Vec::new(), None);
        if let Some(name) = name.map(Name::as_str) {
            node = self.names.iter().find(|known| known.as_str() == name).cloned();
            let group = spec.groups.iter().find(|(group, _)| group.as_str() == name);
            let members = group.map(|(_, group)| group.members.clone()).unwrap_or_default();
            let is_meant = |known: &&ResourceName| {
                let of = known.copy().map_or(known.as_str(), |(of, _)| of);
                known.as_str() == name || of == name || members.iter().any(|member| member.as_str() == of)
            };
            resources = self.ledger.resources.keys().filter(is_meant).cloned().collect();
            if resources.is_empty() && node.is_none() {
                return refused(
                    format!("no resource, group or node is called `{name}`"),
                    "`heart status` says what is held; `heart release` alone releases everything".into(),
                );
            }
        }
        if let Some(hold) = self.ledger.cluster_held(self.wall).filter(|_| name.is_some()) {
            return refused(
                format!(
                    "the whole cluster is held: services failed over {} within an hour",
                    times(hold.failovers)
                ),
                "`heart release` alone releases everything".into(),
            );
        }
        if !self.is_anything_held(&resources, node.as_ref()) {
            return Response::Accepted { text: "nothing is held, so there is nothing to release".into() };
        }
        let what = name.map_or("everything", Name::as_str);
        let text = format!("{what} is released: what was counted is forgotten");
        self.intend(Change::Release { resources, node }, text)
    }

    fn is_anything_held(&self, resources: &[ResourceName], node: Option<&NodeName>) -> bool {
        let everything = resources.is_empty() && node.is_none();
        let mut held = self.ledger.resources.keys().filter(|name| everything || resources.contains(name));
        let mut avoided = self.ledger.nodes.iter().filter(|(name, _)| everything || node == Some(name));
        (everything && self.ledger.cluster_held(self.wall).is_some())
            || held.any(|name| self.ledger.held(name, self.wall).is_some())
            || avoided.any(|(_, known)| known.losses.quarantined(self.wall).is_some())
    }
}

/// `once`, or `4 times`.
fn times(count: usize) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}

/// `4 minutes`, or `50 seconds`.
fn minutes(millis: u64) -> String {
    match millis.div_ceil(1000) {
        seconds if seconds < 100 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    }
}

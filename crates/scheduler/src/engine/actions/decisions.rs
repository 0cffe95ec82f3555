//! What people see: for each resource and node that something happens to, what that is.

use alloc::{format, string::String, vec::Vec};

use heart_model::policy::Role;

use super::{
    draft::Draft,
    emit,
    table::{Action, ActionIx, DEMOTE, Doing, PROMOTE, START, STOP},
};
use crate::engine::{
    arena::{Kind, NodeIx, ResIx},
    outcome::Decision,
};

/// All decisions, sorted.
pub(super) fn all(draft: &Draft<'_, '_>) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for action in draft.table.numbers() {
        of_node(draft, action, &mut decisions);
    }
    for resource in draft.arena.resource_numbers() {
        if draft.arena[resource].kind == Kind::Primitive {
            Resource::new(draft, resource).decide(&mut decisions);
        }
    }
    decisions.sort();
    decisions
}

fn of_node(draft: &Draft<'_, '_>, action: ActionIx, decisions: &mut Vec<Decision>) {
    let found = &draft.table[action];
    let Some(node) = found.node.filter(|_| emit::is_done(draft, action)) else { return };
    let word = match found.doing {
        Doing::Fence => emit::fence_word(draft, action),
        Doing::Unfence => String::from("on"),
        _ => return,
    };
    let subject = draft.arena.node(node).name.clone();
    decisions.push(Decision { verb: format!("Fence/{word}"), subject, detail: String::new() });
}

/// A resource, with what tells what happens to it.
struct Resource<'p, 'd, 's> {
    draft: &'p Draft<'d, 's>,
    resource: ResIx,
    role: Role,
    next_role: Role,
    current: Option<NodeIx>,
    next: Option<NodeIx>,
    start: Option<&'p Action>,
    stop: Option<&'p Action>,
    promote: Option<&'p Action>,
    demote: Option<&'p Action>,
    failed: bool,
}

impl<'p, 'd, 's> Resource<'p, 'd, 's> {
    fn new(draft: &'p Draft<'d, 's>, resource: ResIx) -> Resource<'p, 'd, 's> {
        let found = &draft.arena[resource];
        let next = draft.assigned(resource);
        let current = found
            .migration
            .map(|(source, _)| source)
            .filter(|source| found.active_on.contains(source))
            .or_else(|| found.active_on.first().copied());
        let step = |doing, node: Option<NodeIx>| {
            let exact = node.and_then(|node| draft.table.on(resource, doing, node));
            exact.map(|action| &draft.table[action])
        };
        let raw_next = found.assigned;
        let start = step(START, raw_next);
        let can_start = start.is_some_and(|start| start.runnable);
        let anywhere = || draft.table.any(resource, STOP).map(|stop| &draft.table[stop]);
        let stop = if can_start { step(STOP, current) } else { None };
        let leftover = || {
            let mut nodes = found.dangling.iter();
            nodes.find_map(|node| step(STOP, Some(*node)))
        };
        let stop = stop.or_else(leftover).or_else(|| if can_start { None } else { anywhere() });
        let next_role = if next.is_some() { found.next_role } else { Role::Stopped };
        Resource {
            draft,
            resource,
            role: found.role,
            next_role,
            current,
            next,
            start,
            stop,
            promote: step(PROMOTE, raw_next),
            demote: step(DEMOTE, raw_next).or_else(|| step(DEMOTE, current)),
            failed: found.failed,
        }
    }

    fn decide(&self, decisions: &mut Vec<Decision>) {
        let found = &self.draft.arena[self.resource];
        if (self.current.is_none() && self.next.is_none())
            || (self.current.is_none() && found.removed)
            || !found.managed
        {
            return;
        }
        if self.role == self.next_role {
            decisions.extend(self.same_role());
        } else {
            self.other_role(decisions);
        }
    }

    fn moves(&self) -> bool {
        self.current.is_some() && self.next.is_some() && self.current != self.next
    }

    fn same_role(&self) -> Option<Decision> {
        let arrives = self.next.and_then(|next| self.draft.table.on(self.resource, Doing::MigrateFrom, next));
        let migrates = arrives.is_some_and(|arrives| {
            self.draft.table[arrives].runnable && self.draft.table[arrives].is_required()
        });
        let required = |action: Option<&Action>| action.is_some_and(Action::is_required);
        if migrates && self.current.is_some() {
            return self.say("Migrate", self.current, self.next, self.start);
        }
        if self.draft.reloads.contains(&self.resource) {
            return self.say("Reload", self.current, self.next, self.start);
        }
        if !required(self.start) {
            let again = required(self.demote) && required(self.promote);
            return again.then(|| self.say("Re-promote", self.current, self.next, self.promote))?;
        }
        if !self.start.is_some_and(|start| start.runnable) {
            return self.say("Stop", self.current, None, self.stop);
        }
        if self.moves() {
            let word = if self.failed { "Recover" } else { "Move" };
            return self.say(word, self.current, self.next, self.stop);
        }
        if self.failed {
            return self.say("Recover", self.current, None, self.stop);
        }
        self.say("Restart", self.current, self.next, self.start)
    }

    fn other_role(&self, decisions: &mut Vec<Decision>) {
        let stops = self.stop.is_some();
        let start_fails = self.start.is_some_and(|start| !start.runnable);
        if stops && (self.next_role == Role::Stopped || start_fails) {
            for node in &self.draft.arena[self.resource].active_on {
                let stop = self.draft.table.on(self.resource, STOP, *node);
                let stop = stop.map(|stop| &self.draft.table[stop]);
                decisions.extend(self.say("Stop", Some(*node), None, stop));
            }
            return;
        }
        let stop_required = self.stop.is_some_and(Action::is_required);
        let decision = if self.failed && self.stop.is_some_and(|stop| stop.is_required() && stop.runnable) {
            self.say("Recover", self.current, self.next, self.stop)
        } else if self.moves() {
            self.say("Move", self.current, self.next, self.stop)
        } else if self.draft.reloads.contains(&self.resource) {
            self.say("Reload", self.current, self.next, self.start)
        } else if stop_required {
            self.say("Restart", self.current, self.next, self.start)
        } else if self.role == Role::Promoted {
            self.say("Demote", self.current, self.next, self.demote)
        } else if self.next_role == Role::Promoted {
            self.say("Promote", self.current, self.next, self.promote)
        } else if self.role == Role::Stopped {
            self.say("Start", self.current, self.next, self.start)
        } else {
            None
        };
        decisions.extend(decision);
    }

    fn say(
        &self,
        verb: &str,
        from: Option<NodeIx>,
        to: Option<NodeIx>,
        action: Option<&Action>,
    ) -> Option<Decision> {
        let name = |node: NodeIx| self.draft.arena.node(node).name.as_str();
        let (role, next) = (role_word(self.role), role_word(self.next_role));
        let with_role = self.role > Role::Started || self.next_role > Role::Unpromoted;
        let same_role = self.role == self.next_role;
        let mut detail = match (from, to) {
            (None, Some(to)) if with_role => format!("{role} -> {next} {}", name(to)),
            (None, Some(to)) => String::from(name(to)),
            (Some(from), None) if with_role => format!("{role} {}", name(from)),
            (Some(from), None) => String::from(name(from)),
            (Some(from), Some(to)) if from == to && same_role && with_role => {
                format!("{role} {}", name(from))
            }
            (Some(from), Some(to)) if from == to && same_role => String::from(name(from)),
            (Some(from), Some(to)) if same_role && with_role => {
                format!("{} -> {} {role}", name(from), name(to))
            }
            (Some(from), Some(to)) if same_role => format!("{} -> {}", name(from), name(to)),
            (Some(from), Some(to)) if from == to => format!("{role} -> {next} {}", name(from)),
            (Some(from), Some(to)) => format!("{role} {} -> {next} {}", name(from), name(to)),
            (None, None) => return None,
        };
        if action.is_some_and(|action| !action.runnable) {
            detail.push_str(" [blocked]");
        }
        let subject = self.draft.arena[self.resource].name.clone();
        Some(Decision { verb: String::from(verb), subject, detail })
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Stopped => "Stopped",
        Role::Started => "Started",
        Role::Unpromoted => "Unpromoted",
        Role::Promoted => "Promoted",
    }
}

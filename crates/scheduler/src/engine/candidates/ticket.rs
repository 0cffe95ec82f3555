//! What may run only where a ticket is: a site that has lost its ticket lets go.

use heart_model::policy::{Constraint, LossPolicy, Role, Score, TicketUse};

use super::add_everywhere;
use crate::engine::{
    arena::{Arena, Cause, ResIx},
    facts::fence_node,
};

/// Applies all uses of tickets that are not here.
pub(super) fn apply(arena: &mut Arena<'_>) {
    let spec = arena.spec;
    for (place, constraint) in spec.constraints.iter().enumerate() {
        let Constraint::Ticket(ticket) = constraint else { continue };
        if let Some(resource) = arena.by_id.get(&ticket.resource).copied() {
            without(arena, resource, ticket, Cause::Ticket(place as u32));
        }
    }
}

fn without(arena: &mut Arena<'_>, resource: ResIx, ticket: &TicketUse, cause: Cause) {
    let known = arena.state.tickets.get(&ticket.ticket);
    let (granted, standby) = known.map_or((false, false), |known| (known.granted, known.standby));
    if granted && !standby {
        return;
    }
    let children = arena[resource].children.clone();
    if !children.is_empty() {
        children.into_iter().for_each(|child| without(arena, child, ticket, cause));
        return;
    }
    let promoted = ticket.role == Some(Role::Promoted);
    let loss = ticket.loss.unwrap_or(if promoted { LossPolicy::Demote } else { LossPolicy::Stop });
    // Where nothing is fenced, a node that should be could not be told anything any more.
    let loss = if loss == LossPolicy::Fence && !arena.options.fencing { LossPolicy::Stop } else { loss };
    if granted || arena[resource].active_on.is_empty() {
        if !promoted || loss == LossPolicy::Stop {
            add_everywhere(arena, resource, Score::NEVER, cause);
        }
        return;
    }
    let concerned = ticket.role.is_none_or(|role| role == arena[resource].role);
    match loss {
        LossPolicy::Fence | LossPolicy::Freeze if !concerned => {}
        LossPolicy::Stop => add_everywhere(arena, resource, Score::NEVER, cause),
        LossPolicy::Demote if promoted => {}
        LossPolicy::Demote => add_everywhere(arena, resource, Score::NEVER, cause),
        LossPolicy::Fence => {
            add_everywhere(arena, resource, Score::NEVER, cause);
            for node in arena[resource].active_on.clone() {
                fence_node(arena, node, "the ticket of what runs there was lost");
            }
        }
        LossPolicy::Freeze => {
            arena[resource].managed = false;
            arena[resource].blocked = true;
        }
    }
}

//! What several nodes run at once, and the one copy that is promoted.

use heart_model::{AgentInfo, AgentRef};

use super::parties::{Parties, Party};
use crate::{Code, Mistake, draft::ResourceDraft, tree::cut};

/// Reports addresses that would be in several places.
pub(super) fn of_addresses(parties: &Parties<'_>, mistakes: &mut Vec<Mistake>) {
    for party in parties.all.iter().filter(|party| party.has_copies()) {
        let Some(copies) = &party.wishes.copies else { continue };
        let is_address =
            |member: &&&ResourceDraft| member.agent.as_ref().is_some_and(|agent| agent.value == "ip");
        for member in party.members.iter().filter(is_address) {
            let name = cut(&member.name.value, 40);
            let hint = match party.group {
                None => "an address is in one place: remove `copies`".into(),
                Some(_) => format!(
                    "an address is in one place: take `{name}` out of the group, and write `with = [\"{}\"]` \
                     into `[resource.{name}]`",
                    party.shown()
                ),
            };
            let message = format!("the address of `{name}` would be on several nodes at once");
            let mistake = Mistake::at(Code::CopiesOfAddress, copies.span, message);
            let address = member.beside.iter().find(|entry| entry.key == "address");
            let at = address.map_or(member.name.span, |address| address.value.span);
            mistakes.push(mistake.label("copies of an address").hint(hint).related(at, "the address"));
        }
    }
}

/// Reports copies that are to be with something that is in one place: all but one of them could run nowhere. And
/// what is promoted leads: others go with it.
pub(super) fn of_company(parties: &Parties<'_>, mistakes: &mut Vec<Mistake>) {
    for (number, party) in parties.all.iter().enumerate().filter(|(_, party)| party.has_copies()) {
        let own = party.shown();
        let has_promotion =
            |party: &Party<'_>| party.group.is_none() && party.members.iter().any(|one| is_promotable(one));
        let promotable = has_promotion(party);
        for (other, span) in parties.with(number) {
            let other = &parties.all[other];
            let shown = other.shown();
            let mistake = if promotable {
                Mistake::at(
                    Code::CopiesFollow,
                    span,
                    format!("`{own}` is promoted somewhere, and follows nobody"),
                )
                .label("goes with another")
                .hint(format!("let the other go with it: `with = [\"{own}\"]` in the table of `{shown}`"))
            } else if !other.has_copies() || has_promotion(other) {
                let message = format!("the copies of `{own}` cannot all be where `{shown}` is");
                let one = if other.has_copies() { "is promoted on one node" } else { "runs on one node" };
                Mistake::at(Code::CopiesFollow, span, message).label(one).hint(format!(
                    "remove `copies` from `{own}`, or let it go with something that has copies, too: then each has \
                     one beside it"
                ))
            } else {
                continue;
            };
            mistakes.push(mistake.related(other.name.span, "the other"));
        }
    }
}

fn is_promotable(resource: &ResourceDraft) -> bool {
    resource.promotable.as_ref().is_some_and(|promotable| promotable.value)
}

/// Whether one of the copies is promoted; refused where there are none, or its agent cannot.
pub(super) fn promotable(
    resource: &ResourceDraft,
    agent: &AgentRef,
    info: Option<&AgentInfo>,
    is_member: bool,
    mistakes: &mut Vec<Mistake>,
) -> bool {
    let Some(written) = resource.promotable.as_ref().filter(|_| is_promotable(resource)) else {
        return false;
    };
    // Of a member, that is said elsewhere.
    if is_member {
        return false;
    }
    let name = cut(&resource.name.value, 40);
    if !resource.present.iter().any(|key| key == "copies") {
        mistakes.push(
            Mistake::at(
                Code::NoCopies,
                written.span,
                format!("`{name}` has no copies of which one could be promoted"),
            )
            .label("needs `copies`")
            .hint("write on how many nodes it runs, such as `copies = 2`, or `copies = \"all\"`"),
        );
    }
    let can = matches!(agent, AgentRef::Ocf { .. }) && info.is_none_or(|info| info.promotes);
    if !can {
        let why = match agent {
            AgentRef::BuiltIn(_) => "agents of the Open Cluster Framework (`ocf:…`) can, some of them",
            AgentRef::Ocf { .. } => {
                "its `meta-data` offers no action `promote`: leave `promotable` away, and all copies are alike"
            }
        };
        mistakes.push(
            Mistake::at(Code::CannotPromote, written.span, format!("`{agent}` cannot promote a copy"))
                .label("not with this agent")
                .hint(why),
        );
    }
    true
}

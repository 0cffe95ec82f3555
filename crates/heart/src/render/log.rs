//! The timeline as sentences, cause first.

mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use heart_model::{
    Activity, BootId, Ended, Epoch, FenceOutcome, Intent, NodeName, Reason, Refusal, ResourceName, WhyOff,
};
use heart_node::ledger::{Change, Happened, NewGrant, What};

pub(crate) use wanted::Wanted;

use super::{
    Look,
    text::{Date, Tone, list, paint, plain},
};

/// What was seen so far.
#[derive(Debug, Default)]
struct Holders {
    /// Where the grants went: reports name the epoch, and people want the node.
    grants: BTreeMap<ResourceName, (Epoch, NodeName)>,
    /// Nodes that were to be switched off, in which life, and were not lost for that.
    ordered_off: BTreeMap<NodeName, BootId>,
}

impl Holders {
    fn note(&mut self, change: &Change) {
        match change {
            Change::OrderOff { node, order } => self.ordered_off.insert(node.clone(), order.boot),
            Change::WithdrawOff { node, .. } | Change::Admit { node, .. } | Change::Leave { node, .. } => {
                self.ordered_off.remove(node)
            }
            _ => None,
        };
        let (Change::TakeOver { grants, .. } | Change::Grant { grants } | Change::Close { grants, .. }) =
            change
        else {
            return;
        };
        for grant in grants {
            self.grants.insert(grant.resource.clone(), (grant.epoch, grant.node.clone()));
        }
    }

    /// Where that was, if that is known.
    fn holder(&self, resource: &ResourceName, epoch: Epoch) -> Option<&NodeName> {
        self.grants.get(resource).filter(|(known, _)| *known == epoch).map(|(_, node)| node)
    }

    /// ` on ada`, if that is known.
    fn place(&self, resource: &ResourceName, epoch: Epoch) -> String {
        self.holder(resource, epoch).map_or(String::new(), |node| format!(" on {node}"))
    }
}

/// One line for each entry at these places, oldest first. Dates are shown if not everything was today. The other
/// entries are not shown: they only tell where things happened.
pub(crate) fn log(timeline: &[Happened], places: &[usize], look: &Look) -> String {
    let today = Date::of(look, look.now_ms).day;
    let shown: BTreeSet<usize> = places.iter().copied().collect();
    let of_another_day = |happened: &Happened| Date::of(look, happened.at).day != today;
    let dated = shown.iter().filter_map(|place| timeline.get(*place)).any(of_another_day);
    let mut holders = Holders::default();
    let mut out = String::new();
    if !shown.is_empty() {
        let text = format!("times are {}, by the clock of who led", Date::zone(look, look.now_ms));
        out += &format!("{}\n", paint(look, Tone::Faint, &text));
    }
    for (place, happened) in timeline.iter().enumerate() {
        if shown.contains(&place) {
            out += &line(happened, &holders, dated, look);
        }
        if let What::Changed(change) = &happened.what {
            holders.note(change);
        }
    }
    if timeline.is_empty() {
        out += "nothing has happened yet\n";
    } else if shown.is_empty() {
        out += &format!("nothing of that is among the {} that are kept\n", entries(timeline.len()));
    }
    out
}

/// `1 entry`, `2 entries`.
fn entries(number: usize) -> String {
    if number == 1 { "1 entry".into() } else { format!("{number} entries") }
}

fn line(happened: &Happened, holders: &Holders, dated: bool, look: &Look) -> String {
    let (tone, text) = match &happened.what {
        What::Configured { digest } => (Tone::Normal, configured(*digest)),
        What::Members { text } => (Tone::Normal, text.clone()),
        What::Changed(change) => (tone(change), sentence(change, holders)),
    };
    let at = Date::of(look, happened.at);
    let time = if dated { format!("{} {}", at.date(), at.precise()) } else { at.precise() };
    format!("{}  {}\n", paint(look, Tone::Faint, &time), paint(look, tone, &plain(&text)))
}

fn configured(digest: u64) -> String {
    format!("a new configuration is in force (digest {digest:016x})")
}

fn sentence(change: &Change, holders: &Holders) -> String {
    match change {
        Change::Found { era, without } if without.is_empty() => {
            format!("a new cluster begins (era {era:016x})")
        }
        Change::Found { era, without } => {
            let left_out = list(&without.iter().map(ToString::to_string).collect::<Vec<_>>());
            format!("a new cluster begins without {left_out}, as somebody asked (era {era:016x})")
        }
        Change::Configure { digest, .. } => configured(*digest),
        Change::Admit { node, session } => format!("{node} takes part (session {session})"),
        Change::TakeOver { node, session, grants }
            if holders.ordered_off.get(node) == Some(&session.boot) =>
        {
            then(format!("{node} may run nothing any more: its session {session} was taken over"), grants)
        }
        Change::TakeOver { node, session, grants } => {
            then(format!("{node} is lost: its session {session} was taken over"), grants)
        }
        Change::Grant { grants } => goes(grants),
        Change::Close { resource, epoch, grants } => {
            let place = holders.place(resource, *epoch);
            then(format!("{resource} has ended{place} (epoch {epoch})"), grants)
        }
        Change::Report { resource, epoch, activity } => {
            reported(resource, &holders.place(resource, *epoch), *epoch, activity)
        }
        Change::Failure { resource, node, message, .. } => {
            format!("a failure of {resource} counts against {node}: {message}")
        }
        Change::Leave { node, .. } => format!("{node} has left in order"),
        Change::LetGo { node, .. } => format!("{node} has let go of all that it ran"),
        Change::Watched { node, .. } => format!("the watchdog of {node} is armed"),
        Change::Settle { .. } => "every voter knows who votes".into(),
        Change::Force(_)
        | Change::Fence { .. }
        | Change::Fenced { .. }
        | Change::ConfirmOff { .. }
        | Change::FenceAgain { .. }
        | Change::OrderOff { .. }
        | Change::WithdrawOff { .. }
        | Change::OrderOn { .. }
        | Change::TurnedOn { .. } => of_fencing(change),
        Change::Rest { digest } => {
            format!("all voters have kept to the configuration with digest {digest:016x} for long enough")
        }
        Change::Forgive { resource, node } => {
            let whose = resource.as_ref().map(|resource| format!(" of {resource}")).unwrap_or_default();
            let place = node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
            format!("the failures{whose}{place} are forgotten")
        }
        Change::Release { resources, node } => released(resources, node.as_ref()),
        Change::Intend(intent) => asked(intent),
        Change::Withdraw(intent)
        | Change::End { intent: intent @ (Intent::Ticket { .. } | Intent::Standby { .. }), .. } => {
            over(intent)
        }
        Change::End { intent: Intent::Move { resource, from, to }, because } => {
            let course = course(from, to.as_ref());
            match because {
                Ended::Cancelled => format!("somebody called off the move of {resource} {course}"),
                Ended::NotOn { .. } | Ended::Nowhere | Ended::Elsewhere { .. } | Ended::Removed => {
                    format!("the move of {resource} {course} {because}")
                }
            }
        }
    }
}

/// How something is, as its holder said it.
fn reported(resource: &ResourceName, place: &str, epoch: Epoch, activity: &Activity) -> String {
    match activity {
        Activity::Stopped => format!("{resource} is stopped{place} (epoch {epoch})"),
        Activity::Starting => format!("{resource} starts{place} (epoch {epoch})"),
        Activity::Running => format!("{resource} runs{place} (epoch {epoch})"),
        Activity::Stopping => format!("{resource} stops{place} (epoch {epoch})"),
        Activity::Failed(why) => format!("{resource} failed{place} (epoch {epoch}): {why}"),
        Activity::Stuck(why) => format!("{resource} could not be stopped{place} (epoch {epoch}): {why}"),
    }
}

/// What is not held or avoided any more.
fn released(resources: &[ResourceName], node: Option<&NodeName>) -> String {
    let names = resources.iter().map(ToString::to_string).chain(node.map(ToString::to_string));
    let names: Vec<String> = names.collect();
    let what = if names.is_empty() { "everything".into() } else { list(&names) };
    format!("somebody released {what}: failovers are counted anew")
}

/// What somebody asked for.
fn asked(intent: &Intent) -> String {
    match intent {
        Intent::Ticket { ticket } => format!("somebody gave this cluster the ticket {ticket}"),
        Intent::Standby { node } => format!("somebody put {node} in standby"),
        Intent::Move { resource, from, to: Some(to) } => {
            format!("somebody asked for {resource} to move from {from} to {to}")
        }
        Intent::Move { resource, from, to: None } => {
            format!("somebody asked for {resource} to move away from {from}")
        }
    }
}

/// What somebody had asked for, and is over.
fn over(intent: &Intent) -> String {
    match intent {
        Intent::Ticket { ticket } => format!("somebody took the ticket {ticket} from this cluster"),
        Intent::Standby { node } => format!("{node} may run things again"),
        Intent::Move { resource, from, to } => {
            format!("the move of {resource} {} is done", course(from, to.as_ref()))
        }
    }
}

/// From where to where.
fn course(from: &NodeName, to: Option<&NodeName>) -> String {
    to.map_or_else(|| format!("away from {from}"), |to| format!("from {from} to {to}"))
}

/// What is said of nodes that are switched off, or are said to be.
fn of_fencing(change: &Change) -> String {
    match change {
        Change::Force(forced) => {
            let names: Vec<String> = forced.without.iter().map(|one| one.node.to_string()).collect();
            let because = match &forced.who {
                Some(who) => format!("{who} says that it is off"),
                None if forced.by_tie_break => "by the tie-break; nothing is proven".into(),
                None => "proven off".into(),
            };
            format!("the cluster goes on without {} ({because})", list(&names))
        }
        Change::Fence { node, by, attempt, .. } => {
            format!("{by} is to switch {node} off (attempt {attempt})")
        }
        Change::Fenced { node, outcome: FenceOutcome::Off, .. } => format!("{node} is proven off"),
        Change::Fenced { node, outcome: FenceOutcome::Silent, .. } => {
            format!("{node} was silent for so long that it has reset itself, or let go of what it ran")
        }
        Change::Fenced { node, attempt, outcome: FenceOutcome::Failed { message }, .. } => {
            format!("attempt {attempt} to switch {node} off proved nothing: {message}")
        }
        Change::Fenced { node, outcome: FenceOutcome::ShutOut, .. } => {
            format!("{node} is shut out from its storage; it may have power")
        }
        Change::Fenced { node, outcome: FenceOutcome::On, .. } => format!("{node} has power"),
        Change::ConfirmOff { node, who, .. } => format!("{who} says that {node} is off"),
        Change::FenceAgain { node, who: Some(who) } => {
            format!("{who} wants it tried again to switch {node} off")
        }
        Change::FenceAgain { node, who: None } => {
            format!("it is tried again to switch {node} off, as some time has passed")
        }
        Change::OrderOff { node, order } => {
            let then = if order.reboot { ", and to boot again" } else { "" };
            match &order.why {
                WhyOff::Asked { who } => format!("{who} wants {node} to be switched off{then}"),
                WhyOff::Stuck { resource, .. } => {
                    format!("{resource} cannot be stopped on {node}, so {node} is to be switched off{then}")
                }
            }
        }
        Change::WithdrawOff { node, because, .. } => {
            format!("{node} is not switched off after all: {because}")
        }
        Change::OrderOn { node, who } => format!("{who} wants {node} to get power"),
        Change::TurnedOn { node, failure: None, .. } => format!("{node} has power"),
        Change::TurnedOn { node, failure: Some(why), .. } => format!("{node} got no power: {why}"),
        _ => String::new(),
    }
}

/// Red is for what went wrong.
fn tone(change: &Change) -> Tone {
    match change {
        Change::TakeOver { .. }
        | Change::Force(_)
        | Change::Failure { .. }
        | Change::Fence { .. }
        | Change::OrderOff { .. }
        | Change::TurnedOn { failure: Some(_), .. }
        | Change::Fenced { outcome: FenceOutcome::Failed { .. }, .. } => Tone::Bad,
        Change::TurnedOn { failure: None, .. }
        | Change::Fenced {
            outcome: FenceOutcome::Off | FenceOutcome::ShutOut | FenceOutcome::On | FenceOutcome::Silent,
            ..
        } => Tone::Good,
        Change::Report { activity, .. } => match activity {
            Activity::Failed(_) | Activity::Stuck(_) => Tone::Bad,
            Activity::Running => Tone::Good,
            Activity::Stopped | Activity::Starting | Activity::Stopping => Tone::Normal,
        },
        Change::Intend(_)
        | Change::Withdraw(_)
        | Change::End { .. }
        | Change::Forgive { .. }
        | Change::Release { .. }
        | Change::ConfirmOff { .. }
        | Change::FenceAgain { .. }
        | Change::WithdrawOff { .. }
        | Change::OrderOn { .. } => Tone::Between,
        Change::Found { .. }
        | Change::Configure { .. }
        | Change::Rest { .. }
        | Change::Settle { .. }
        | Change::Leave { .. }
        | Change::LetGo { .. }
        | Change::Watched { .. }
        | Change::Admit { .. }
        | Change::Grant { .. }
        | Change::Close { .. } => Tone::Normal,
    }
}

/// What happened, and what was granted with it.
fn then(what: String, grants: &[NewGrant]) -> String {
    if grants.is_empty() { what } else { format!("{what}; {}", goes(grants)) }
}

fn goes(grants: &[NewGrant]) -> String {
    let one = |grant: &NewGrant| {
        let NewGrant { resource, node, epoch, because, .. } = grant;
        match because {
            Some(Reason::NotOn { node: from, refusal: Refusal::Fewer { fewer } }) => {
                format!("{resource} moves from {from} to {node} (epoch {epoch}): {from} {fewer}")
            }
            Some(reason) => format!("{resource} goes to {node} (epoch {epoch}): {reason}"),
            None => format!("{resource} goes to {node} (epoch {epoch})"),
        }
    };
    grants.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{BootId, Fewer, Session, SessionNumber};

    #[test]
    fn what_moves_for_ping_targets_says_so() {
        let node = |name: &str| NodeName::new(name).unwrap();
        let resource = ResourceName::new("site-ip").unwrap();
        let fewer = Fewer { reaches: 0, of: 1, other: node("bob"), others: 1 };
        let grant = NewGrant {
            resource: resource.clone(),
            node: node("bob"),
            session: Session { boot: BootId(1), number: SessionNumber(1) },
            epoch: Epoch(4),
            because: Some(Reason::NotOn { node: node("ada"), refusal: Refusal::Fewer { fewer } }),
        };
        let change = Change::Close { resource, epoch: Epoch(3), grants: vec![grant] };
        assert_eq!(
            sentence(&change, &Holders::default()),
            "site-ip has ended (epoch 3); site-ip moves from ada to bob (epoch 4): ada reaches 0 of 1 ping targets, bob 1"
        );
    }
}

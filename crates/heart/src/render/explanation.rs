//! Why something in a described cluster is decided as it is, in words.

use heart_model::policy::{
    AttributeSet, Cluster, Constraint, Order, OrderKind, ResourceSet, Role, Score, Where,
};
use heart_scheduler::engine::explain::{Because, Cause, Explanation, NodeTrouble, Places};

use super::{
    Look,
    text::{Tone, list, paint, paragraph, plain},
};

/// Where it will be, what decides that, and what would be otherwise.
pub(crate) fn explanation(explanation: &Explanation, cluster: &Cluster, look: &Look) -> String {
    let resource = plain(&explanation.resource);
    let mut out = format!("{}\n", paint(look, Tone::Head, &resource));
    out += &paragraph(look, 2, Tone::Normal, &stands(explanation, &resource));
    for decision in &explanation.decisions {
        let text = format!("What is done for that: {} {}", decision.verb, plain(&decision.detail));
        out += &paragraph(look, 2, Tone::Normal, text.trim_end());
    }
    let because = &explanation.because;
    if explanation.node.is_none() && explanation.decisions.iter().any(|decision| decision.verb == "Start") {
        out += &paragraph(look, 2, Tone::Normal, "It does not run there now, and is wanted.");
    }
    if let Some(node) = explanation.node.as_deref().filter(|_| explanation.elsewhere && !because.is_empty()) {
        let text = format!("Nothing keeps it from {}; it is where it is for this:", plain(node));
        out += &paragraph(look, 2, Tone::Normal, &text);
    }
    out += &match (because.as_slice(), explanation.together) {
        ([], _) if explanation.stands.is_empty() => paragraph(
            look,
            2,
            Tone::Between,
            "No single thing that was written or that happened decides it, nor do all of them together.",
        ),
        ([], _) => paragraph(
            look,
            2,
            Tone::Normal,
            "Nothing that was written or that happened speaks for another place: among equal nodes it goes where \
             least runs, or to the first by name.",
        ),
        ([_], _) => String::new(),
        (_, false) if explanation.elsewhere => String::new(),
        (_, false) => paragraph(look, 2, Tone::Normal, "Each of these alone decides it:"),
        (_, true) => paragraph(look, 2, Tone::Normal, "These decide it together:"),
    };
    for Because { cause, .. } in because.iter().filter(|_| explanation.together) {
        out += &paragraph(look, 4, Tone::Normal, &words(cause, cluster));
    }
    if let Some(last) = because.last().filter(|_| explanation.together) {
        let text = format!("Without all of them: {}.", places(&last.otherwise));
        out += &paragraph(look, 2, Tone::Faint, &text);
    } else {
        for Because { cause, otherwise } in because {
            out += &paragraph(look, 4, Tone::Normal, &words(cause, cluster));
            out += &paragraph(look, 6, Tone::Faint, &format!("without that: {}", places(otherwise)));
        }
    }
    if explanation.cut {
        let text = "More things could play a part than were looked at.";
        out += &paragraph(look, 2, Tone::Between, text);
    }
    out
}

fn stands(explanation: &Explanation, resource: &str) -> String {
    let places = places(&explanation.stands);
    let there = |node: &str| explanation.stands.iter().any(|(at, _)| at == node);
    match explanation.node.as_deref() {
        Some(node) if !there(node) => {
            format!("{resource} will not be on {}, but {places}.", plain(node))
        }
        _ => format!("{resource} will be {places}."),
    }
}

fn places(places: &Places) -> String {
    if places.is_empty() {
        return "nowhere".into();
    }
    let words: Vec<String> = places
        .iter()
        .map(|(node, role)| match role {
            Role::Promoted => format!("on {} (promoted)", plain(node)),
            Role::Stopped | Role::Started | Role::Unpromoted => format!("on {}", plain(node)),
        })
        .collect();
    list(&words)
}

/// A cause as a sentence would have it.
pub(crate) fn words(cause: &Cause, cluster: &Cluster) -> String {
    match cause {
        Cause::Constraint { place, id } => match cluster.constraints.get(*place) {
            Some(written) => format!("constraint `{}`: {}", plain(id), constraint(written)),
            None => format!("constraint `{}`", plain(id)),
        },
        Cause::Node { node, trouble } => {
            let trouble = match trouble {
                NodeTrouble::Standby => "is in standby",
                NodeTrouble::Maintenance => "is in maintenance",
                NodeTrouble::Absent => "is not there, or is on its way",
                NodeTrouble::Health => "says how healthy it is",
            };
            format!("{} {trouble}", plain(node))
        }
        Cause::Quorum => "there is no majority".into(),
        Cause::ResourceOption { resource, name } => {
            let here = cluster.resource(resource);
            match here.and_then(|here| value(&here.meta, name)) {
                Some(value) => format!("`{}` of {} is `{}`", plain(name), plain(resource), plain(value)),
                None => format!("`{}` of {} has its default", plain(name), plain(resource)),
            }
        }
        Cause::Default { name } => {
            let value = value(&cluster.resource_defaults, name).unwrap_or_default();
            format!("`{}` is `{}` for all resources that do not say otherwise", plain(name), plain(value))
        }
        Cause::ClusterOption { name } => match value(&cluster.options, name) {
            Some(value) => format!("the cluster's option `{}` is `{}`", plain(name), plain(value)),
            None => format!("the cluster's option `{}` has its default", plain(name)),
        },
        Cause::Failed { resource, node } => format!("{} failed on {}", plain(resource), plain(node)),
        Cause::Active { resource, node } => {
            format!("what was done with {} on {}: it runs there, or did", plain(resource), plain(node))
        }
        Cause::Changed { resource, node } => {
            format!("{} was begun on {} otherwise than it is written now", plain(resource), plain(node))
        }
        Cause::PromotionScore { resource, node } => {
            format!("{} says how gladly {} would be promoted there", plain(node), plain(resource))
        }
        Cause::Ticket { ticket } => format!("ticket `{}` is not here", plain(ticket)),
        Cause::Needs { resource } => {
            format!("what {} needs of a node, which not every node has left", plain(resource))
        }
    }
}

fn value<'s>(sets: &'s [AttributeSet], name: &str) -> Option<&'s str> {
    sets.iter().find_map(|set| set.values.get(name)).map(String::as_str)
}

fn constraint(written: &Constraint) -> String {
    match written {
        Constraint::Location(location) => {
            let resource = plain(&location.resource);
            match &location.at {
                Where::Node { node, score } => format!("{resource} {}", taste(*score, &plain(node))),
                Where::Rules(_) => format!("{resource} has a rule about nodes"),
            }
        }
        Constraint::Colocation(pair) => {
            format!("{} {}", plain(&pair.dependent), company(pair.score, &plain(&pair.primary)))
        }
        Constraint::ColocationSets(sets) => {
            let (members, score) = (all(&sets.sets), sets.score);
            match score.is_negative() {
                true => format!("{members} stay apart ({score})"),
                false => format!("{members} stay together ({score})"),
            }
        }
        Constraint::Order(order) => in_order(order),
        Constraint::OrderSets(sets) => format!("{} act one after the other", all(&sets.sets)),
        Constraint::Ticket(ticket) => {
            format!("{} runs only with ticket `{}`", plain(&ticket.resource), plain(&ticket.ticket))
        }
    }
}

fn taste(score: Score, node: &str) -> String {
    match score {
        score if score <= Score::NEVER => format!("may not run on {node}"),
        score if score >= Score::INFINITY => format!("should run on {node} wherever else it could"),
        score if score.is_negative() => format!("would rather not run on {node} ({score})"),
        score => format!("would like to run on {node} ({score})"),
    }
}

fn company(score: Score, other: &str) -> String {
    match score {
        score if score <= Score::NEVER => format!("may not be where {other} is"),
        score if score >= Score::INFINITY => format!("has to be where {other} is"),
        score if score.is_negative() => format!("would rather not be where {other} is ({score})"),
        score => format!("would like to be where {other} is ({score})"),
    }
}

fn in_order(order: &Order) -> String {
    let (first, then) = (plain(&order.first), plain(&order.then));
    match order.kind {
        OrderKind::Mandatory => format!("{then} needs {first} first"),
        OrderKind::Optional => format!("{then} comes after {first}, if both act"),
        OrderKind::Serialize => format!("{first} and {then} never act at the same time"),
    }
}

fn all(sets: &[ResourceSet]) -> String {
    let members: Vec<String> = sets.iter().flat_map(|set| &set.members).map(|member| plain(member)).collect();
    list(&members)
}

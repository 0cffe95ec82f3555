//! What every node should reach beside the others.

use std::{collections::BTreeMap, net::IpAddr};

use heart_model::{Duration, Name, PING_HOSTS_MAX, PINGS_MAX, PingSpec};

use super::{absent, addresses, length, missing_key, name, too_many};
use crate::{
    Code, Mistake, Span, Written,
    draft::{Draft, PingDraft, place},
    duration,
    tree::{Kind, cut},
};

/// How often a host is asked, unless written.
const INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_BOUNDS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));
/// How many intervals without an answer make a target count as not reached, unless written.
const INTERVALS: u32 = 5;
/// No fewer may: one answer that is lost says nothing, and nodes do not find out in the same moment.
const INTERVALS_MIN: u32 = 3;
const LOST_AFTER_BOUNDS: (Duration, Duration) = (Duration::from_millis(600), Duration::from_secs(600));

pub(super) fn pings(draft: &Draft, mistakes: &mut Vec<Mistake>) -> BTreeMap<Name, PingSpec> {
    if let Some(ping) = draft.pings.get(PINGS_MAX) {
        too_many(draft.pings.len(), PINGS_MAX, "ping targets", ping.name.span, mistakes);
    }
    let taken = taken(draft);
    let mut hosts = BTreeMap::new();
    let mut pings = BTreeMap::new();
    for ping in &draft.pings {
        let interval = length(ping.interval.as_ref(), "interval", INTERVAL, INTERVAL_BOUNDS, mistakes);
        let usual = (interval * INTERVALS).min(LOST_AFTER_BOUNDS.1);
        let lost_after = length(ping.lost_after.as_ref(), "lost_after", usual, LOST_AFTER_BOUNDS, mistakes);
        hasty(ping, interval, lost_after, mistakes);
        let hosts = hosts_of(ping, &taken, &mut hosts, mistakes);
        let spec = PingSpec { hosts, interval, lost_after };
        pings.extend(name(&ping.name, "ping target", Name::new, mistakes).map(|name| (name, spec)));
    }
    pings
}

/// What the cluster itself has: that it answers says nothing of what is outside.
fn taken(draft: &Draft) -> BTreeMap<IpAddr, (String, Span)> {
    let mut taken = BTreeMap::new();
    for node in &draft.nodes {
        for address in node.addresses.iter().flat_map(|list| &list.value) {
            let owner = format!("node `{}`", cut(&node.name.value, 40));
            taken.extend(address.value.parse::<IpAddr>().ok().map(|ip| (ip, (owner, address.span))));
        }
    }
    for resource in draft.resources.iter().filter(|one| one.agent.as_ref().is_some_and(|a| a.value == "ip")) {
        let Some(address) = resource.beside.iter().find(|entry| entry.key == "address") else { continue };
        let Kind::Text(text) = &address.value.kind else { continue };
        let ip = text.split('/').next().and_then(|ip| ip.parse::<IpAddr>().ok());
        let owner = format!("resource `{}`", cut(&resource.name.value, 40));
        taken.extend(ip.map(|ip| (ip, (owner, address.value.span))));
    }
    taken
}

fn hosts_of(
    ping: &PingDraft,
    taken: &BTreeMap<IpAddr, (String, Span)>,
    before: &mut BTreeMap<IpAddr, Span>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<IpAddr> {
    let way_out = "write which of them has to answer, any one: `hosts = [\"192.0.2.1\"]`";
    let Some(list) = &ping.hosts else {
        if absent("hosts", &ping.present) {
            mistakes.push(missing_key("hosts", &place("ping", &ping.name), ping.name.span, way_out));
        }
        return Vec::new();
    };
    if list.value.is_empty() {
        let message = format!("nobody is asked for the ping target `{}`", cut(&ping.name.value, 40));
        mistakes.push(Mistake::at(Code::EmptyList, list.span, message).label("nothing in it").hint(way_out));
    }
    if let Some(host) = list.value.get(PING_HOSTS_MAX) {
        too_many(list.value.len(), PING_HOSTS_MAX, "hosts of one ping target", host.span, mistakes);
    }
    let mut host = |written: &Written<String>| {
        let ip = addresses::of_node(written, mistakes)?;
        if let Some((owner, at)) = taken.get(&ip) {
            mistakes.push(of_cluster(ip, owner, written.span, *at));
        } else if let Some(first) = before.get(&ip) {
            mistakes.push(twice(ip, written.span, *first));
        }
        before.entry(ip).or_insert(written.span);
        Some(ip)
    };
    list.value.iter().filter_map(&mut host).collect()
}

fn of_cluster(ip: IpAddr, owner: &str, at: Span, there: Span) -> Mistake {
    Mistake::at(Code::AddressTaken, at, format!("`{ip}` belongs to the cluster itself"))
        .label("says nothing of what is outside")
        .hint("name what stands between the nodes and their users, such as the gateway")
        .related(there, format!("{owner} has it"))
}

fn twice(ip: IpAddr, at: Span, first: Span) -> Mistake {
    Mistake::at(Code::ListedTwice, at, format!("`{ip}` is asked for twice"))
        .label("again")
        .hint("remove one of the two: it would count double")
        .related(first, "first here")
}

/// Reports that so few missing answers would do that nodes could not agree on what they see.
fn hasty(ping: &PingDraft, interval: Duration, lost_after: Duration, mistakes: &mut Vec<Mistake>) {
    let least = interval * INTERVALS_MIN;
    let Some(at) = ping.lost_after.as_ref().or(ping.interval.as_ref()) else { return };
    if lost_after >= least {
        return;
    }
    let message = format!(
        "`lost_after` is {}, and with one question each {} it takes {}",
        duration::print(lost_after),
        duration::print(interval),
        duration::print(least)
    );
    let way_out =
        format!("write `lost_after = \"{}\"` or more, or a shorter `interval`", duration::print(least));
    mistakes.push(
        Mistake::at(Code::DurationRange, at.span, message)
            .label("less than three answers missing prove nothing")
            .hint(way_out),
    );
}

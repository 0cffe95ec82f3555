//! Addresses: whether a text is one, whether it can be used, and whether two things share one.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{Code, Mistake, Span, Written, draft::Draft, tree::Kind, tree::cut};

/// Reports that a text is no address.
pub(super) fn no_address(written: &Written<String>, way_out: &str) -> Mistake {
    let text = cut(&written.value, 60);
    let (label, hint) = match written.value.split_once('/') {
        Some((address, _)) if address.parse::<IpAddr>().is_ok() => {
            ("a prefix length does not belong here", format!("write \"{address}\""))
        }
        _ if looks_like_name(&written.value) => {
            ("this looks like a name", "write the address itself: names are not looked up, as the cluster must not depend on a name server".into())
        }
        _ => ("no address", way_out.into()),
    };
    Mistake::at(Code::InvalidAddress, written.span, format!("`{text}` is no IP address"))
        .label(label)
        .hint(hint)
}

fn looks_like_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.contains(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain)
}

fn unusable(ip: IpAddr) -> Option<(&'static str, &'static str)> {
    match ip {
        _ if ip.is_unspecified() => Some(("stands for \"any address\"", "write the address itself")),
        _ if ip.is_multicast() => Some(("is a multicast address", "write an address of one machine")),
        _ if ip.is_loopback() => {
            Some(("reaches only the machine itself", "write an address that the others can reach"))
        }
        IpAddr::V4(v4) if v4.is_broadcast() => {
            Some(("is a broadcast address", "write an address of one machine"))
        }
        _ if is_link_local(ip) => Some((
            "is a link-local address, which means something else on every interface",
            "give the interface an address of its own, such as one in fd00::/8",
        )),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn refuse_unusable(ip: IpAddr, at: Span, mistakes: &mut Vec<Mistake>) -> bool {
    let Some((why, way_out)) = unusable(ip) else { return false };
    let refused = Mistake::at(Code::UnusableAddress, at, format!("`{ip}` {why}"));
    mistakes.push(refused.label("cannot be used here").hint(way_out));
    true
}

/// An address of a node.
pub(super) fn of_node(written: &Written<String>, mistakes: &mut Vec<Mistake>) -> Option<IpAddr> {
    let Ok(ip) = written.value.parse::<IpAddr>() else {
        mistakes.push(no_address(written, "write an IP address, such as \"10.0.0.1\" or \"fd00::1\""));
        return None;
    };
    (!refuse_unusable(ip, written.span, mistakes)).then_some(ip)
}

/// An address with or without a prefix length, as text says it.
fn split(text: &str) -> Option<(IpAddr, Option<&str>)> {
    match text.split_once('/') {
        Some((address, prefix)) => Some((address.parse().ok()?, Some(prefix))),
        None => Some((text.parse().ok()?, None)),
    }
}

fn bits(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Whether both are in one network of that prefix length.
fn same_network(one: IpAddr, other: IpAddr, prefix: u8) -> bool {
    if one.is_ipv4() != other.is_ipv4() || prefix > bits(one) {
        return false;
    }
    let shift = u32::from(bits(one) - prefix);
    number(one).checked_shr(shift).unwrap_or(0) == number(other).checked_shr(shift).unwrap_or(0)
}

/// Checks the address that an `ip` resource holds.
pub(super) fn of_resource(written: &Written<String>, mistakes: &mut Vec<Mistake>) {
    let Some((ip, prefix)) = split(&written.value) else {
        mistakes
            .push(no_address(written, "write an address with its prefix length, such as \"10.0.0.100/24\""));
        return;
    };
    // A link-local one can be held, if the interface is named: `compare` looks at that.
    if !is_link_local(ip) && refuse_unusable(ip, written.span, mistakes) {
        return;
    }
    let Some(prefix) = prefix else { return };
    let most = bits(ip);
    let refused = |message: String, hint: String| {
        Mistake::at(Code::InvalidPrefix, written.span, message).label("with this prefix length").hint(hint)
    };
    let Some(prefix) = prefix.parse::<u8>().ok().filter(|length| (1..=most).contains(length)) else {
        let shown = cut(prefix, 20);
        mistakes.push(refused(
            format!("`/{shown}` is no prefix length"),
            format!("for {} it is a number from 1 to {most}", if most == 32 { "IPv4" } else { "IPv6" }),
        ));
        return;
    };
    let hosts = number(ip) & low_bits(most - prefix);
    let free = most - prefix > 1;
    if free && hosts == 0 {
        let message = format!("`{}` is the name of the network itself, not an address in it", written.value);
        mistakes.push(refused(message, "write the address of the service".into()));
    } else if free && ip.is_ipv4() && hosts == low_bits(most - prefix) {
        let message = format!("`{}` is the broadcast address of its network", written.value);
        mistakes.push(refused(message, "write the address of the service".into()));
    }
}

fn low_bits(count: u8) -> u128 {
    1_u128.checked_shl(u32::from(count)).map_or(u128::MAX, |bit| bit - 1)
}

/// Finds addresses that two things share, and addresses that are in no node's network.
pub(super) fn compare(draft: &Draft, mistakes: &mut Vec<Mistake>) {
    let mut owners: BTreeMap<IpAddr, (String, Span)> = BTreeMap::new();
    let mut of_nodes: Vec<IpAddr> = Vec::new();
    for node in &draft.nodes {
        let owner = format!("node `{}`", cut(&node.name.value, 40));
        for address in node.addresses.iter().flat_map(|list| &list.value) {
            if let Ok(ip) = address.value.parse() {
                of_nodes.push(ip);
                claim(&mut owners, ip, &owner, address.span, mistakes);
            }
        }
    }
    for resource in draft.resources.iter().filter(|one| one.agent.as_ref().is_some_and(|a| a.value == "ip")) {
        let Some(address) = resource.beside.iter().find(|entry| entry.key == "address") else { continue };
        let Kind::Text(text) = &address.value.kind else { continue };
        let Some((ip, prefix)) = split(text) else { continue };
        let owner = format!("resource `{}`", cut(&resource.name.value, 40));
        claim(&mut owners, ip, &owner, address.value.span, mistakes);
        let named = resource.beside.iter().any(|entry| entry.key == "interface");
        if is_link_local(ip) && !named {
            let message =
                format!("`{ip}` is a link-local address, which means something else on every interface");
            let nowhere = Mistake::at(Code::UnusableAddress, address.value.span, message);
            mistakes.push(nowhere.label("on which interface?").hint("add `interface = \"eth0\"`"));
            continue;
        }
        let prefix = prefix.and_then(|prefix| prefix.parse().ok()).filter(|&prefix| prefix <= bits(ip));
        let usual = if ip.is_ipv4() { 24 } else { 64 };
        let near = |node: &IpAddr| same_network(*node, ip, prefix.unwrap_or(usual));
        if !named && !of_nodes.is_empty() && unusable(ip).is_none() && !of_nodes.iter().any(near) {
            mistakes.push(outside(text, prefix.is_some(), address.value.span));
        }
    }
}

fn claim(
    owners: &mut BTreeMap<IpAddr, (String, Span)>,
    ip: IpAddr,
    owner: &str,
    at: Span,
    mistakes: &mut Vec<Mistake>,
) {
    let Some((other, first)) = owners.get(&ip) else {
        owners.insert(ip, (owner.into(), at));
        return;
    };
    let message = if other == owner {
        format!("{owner} has the address {ip} twice")
    } else {
        format!("{owner} and {other} have the same address, {ip}")
    };
    let hint = match (owner.starts_with("node"), other.starts_with("node")) {
        (false, true) => "an address that moves must not be the fixed address of a machine",
        (true, true) if other == owner => "each address is a link of its own: remove one of the two",
        _ => "give one of them another address",
    };
    let twice = Mistake::at(Code::AddressTaken, at, message).label("again here").hint(hint);
    mistakes.push(twice.related(*first, "first here"));
}

fn outside(text: &str, has_prefix: bool, at: Span) -> Mistake {
    let hint = if has_prefix {
        "say where it belongs, for example `interface = \"eth0\"`, unless every node has another address in \
         this network"
    } else {
        "write its prefix length (\"…/24\") and where it belongs (`interface = \"eth0\"`)"
    };
    Mistake::at(Code::AddressOutside, at, format!("`{}` is in no network of the nodes", cut(text, 60)))
        .label("no node has an address near it")
        .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_told_apart() {
        for (one, other, prefix, same) in [
            ("10.0.0.1", "10.0.0.200", 24, true),
            ("10.0.0.1", "10.0.1.1", 24, false),
            ("10.0.0.1", "10.0.1.1", 16, true),
            ("fd00::1", "fd00::2", 64, true),
            ("fd00::1", "10.0.0.1", 1, false),
            ("10.0.0.1", "10.0.0.1", 32, true),
            ("10.0.0.1", "11.0.0.1", 0, true),
            ("fd00::1", "fe00::1", 0, true),
        ] {
            assert_eq!(
                same_network(one.parse().unwrap(), other.parse().unwrap(), prefix),
                same,
                "{one} {other}/{prefix}"
            );
        }
    }
}

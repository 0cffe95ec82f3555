//! The cluster as a whole: its name, its key, its links, how fast it reacts.

use std::net::{IpAddr, SocketAddr};

use heart_model::{
    AfterFence, ClusterSpec, Duration, FAILOVERS_OF_CLUSTER, LINKS_MAX, Link, LinkKind, Name, Profile,
    Timing, WhenSick,
};

use super::{absent, addresses, at_least_once, length, missing_key, name, too_many, unknown_word, word};
use crate::{
    Code, Environment, Found, Mistake, Span, Written,
    draft::{ClusterDraft, Draft, LinkDraft, TimingDraft},
    duration,
    tree::cut,
};

/// Where the key is, unless something else is written.
const KEY_FILE: &str = "/etc/heart/key";
/// The port registered for Linux-HA heartbeats.
const PORT: u16 = 694;
/// Longest name of a network interface.
const INTERFACE_MAX: usize = 15;

/// What is said of too small a number of failovers.
const WITHOUT_END: &str = "so many nodes may be lost within an hour until nothing is taken over for a while; the default is 50; \
     without an end, write 4294967295";

pub(super) fn cluster(
    draft: &Draft,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) -> Option<ClusterSpec> {
    let Some(written) = &draft.cluster else {
        if absent("cluster", &draft.present) {
            mistakes.push(
                Mistake::of_file(Code::MissingCluster, "there is no table `[cluster]`")
                    .hint("begin the file with `[cluster]` and `name = \"…\"`"),
            );
        }
        links(draft, PORT, mistakes);
        return None;
    };
    let port = port(written, mistakes);
    let links = links(draft, port, mistakes);
    let key_file = key_file(written, environment, mistakes);
    let choices = [("move", WhenSick::Move), ("report", WhenSick::Report)];
    let when_sick = word(written.when_sick.as_ref(), "when_sick", &choices, mistakes).unwrap_or_default();
    let choices = [("stay_off", AfterFence::StayOff), ("boot", AfterFence::Boot)];
    let after_fence =
        word(written.after_fence.as_ref(), "after_fence", &choices, mistakes).unwrap_or_default();
    let failovers = written.failovers_max.as_ref();
    let failovers_max =
        at_least_once(failovers, "failovers_max", FAILOVERS_OF_CLUSTER, WITHOUT_END, mistakes);
    if absent("name", &written.present) {
        let way_out = "write `name = \"…\"`: nodes ignore what they hear of clusters with another name";
        mistakes.push(missing_key("name", "[cluster]", written.span, way_out));
    }
    let name = name(written.name.as_ref()?, "cluster", Name::new, mistakes)?;
    Some(ClusterSpec { name, key_file, port, links, when_sick, failovers_max, after_fence })
}

fn port(written: &ClusterDraft, mistakes: &mut Vec<Mistake>) -> u16 {
    let Some(port) = &written.port else { return PORT };
    match u16::try_from(port.value) {
        Ok(port) if port > 0 => port,
        _ => {
            mistakes.push(
                Mistake::at(Code::NumberRange, port.span, format!("there is no port {}", port.value))
                    .label("out of bounds")
                    .hint("ports are 1 to 65535; the default is 694, registered for heartbeats"),
            );
            PORT
        }
    }
}

fn key_file(written: &ClusterDraft, environment: &dyn Environment, mistakes: &mut Vec<Mistake>) -> String {
    let path = written.key_file.as_ref().map_or(KEY_FILE, |file| file.value.as_str());
    let at = written.key_file.as_ref().map_or(written.span, |file| file.span);
    if !path.starts_with('/') || path.contains('\0') {
        mistakes.push(
            Mistake::at(Code::RelativePath, at, format!("`{}` is no whole path", cut(path, 60)))
                .label("does not begin with `/`")
                .hint(format!("write the path from the root on; the default is \"{KEY_FILE}\"")),
        );
    }
    match environment.file(path) {
        Found::Missing => mistakes.push(
            Mistake::at(Code::MissingFile, at, format!("the key file `{}` is not there", cut(path, 60)))
                .label("no such file on this machine")
                .hint("copy it from a node that has it; for a new cluster: `head -c 32 /dev/urandom >FILE; chmod 600 FILE`"),
        ),
        Found::Present(facts) if facts.exposed => mistakes.push(
            Mistake::at(
                Code::ExposedFile,
                at,
                format!("others than its owner can read the key file `{}`", cut(path, 60)),
            )
            .label("whoever has the key can command the cluster")
            .hint(format!("chmod 600 {}", cut(path, 60))),
        ),
        Found::Present(_) | Found::Unknown => {}
    }
    path.into()
}

fn links(draft: &Draft, port: u16, mistakes: &mut Vec<Mistake>) -> Vec<Link> {
    let mut links: Vec<(Link, Span)> = Vec::new();
    for written in &draft.links {
        let named = name(&written.name, "link", Name::new, mistakes);
        let Some((link, at)) = link(written, port, mistakes) else { continue };
        let same =
            |(other, _): &&(Link, Span)| other.address == link.address && other.interface == link.interface;
        if let Some((_, first)) = links.iter().find(same) {
            let message = format!("two links send to {} by {}", link.address, link.interface);
            let twice = Mistake::at(Code::AddressTaken, at, message).label("again here");
            mistakes.push(twice.hint("keep one of the two").related(*first, "first here"));
        } else if named.is_some() {
            links.push((link, at));
        }
    }
    let paths =
        draft.nodes.iter().filter_map(|node| node.addresses.as_ref()).map(|list| list.value.len()).max();
    let room = LINKS_MAX.saturating_sub(paths.unwrap_or(0));
    if let Some(first) = draft.links.get(room) {
        too_many(draft.links.len() + LINKS_MAX - room, LINKS_MAX, "links", first.name.span, mistakes);
    }
    links.into_iter().map(|(link, _)| link).collect()
}

fn link(written: &LinkDraft, port: u16, mistakes: &mut Vec<Mistake>) -> Option<(Link, Span)> {
    let place = format!("[link.{}]", cut(&written.name.value, 40));
    for (key, way_out) in [
        ("kind", "write `kind = \"multicast\"` or `kind = \"broadcast\"`"),
        ("address", "write the address that all nodes listen to, such as `address = \"239.1.2.3\"`"),
        ("interface", "write where it leaves, such as `interface = \"eth1\"`"),
    ] {
        if absent(key, &written.present) {
            mistakes.push(missing_key(key, &place, written.name.span, way_out));
        }
    }
    let kind = kind(written.kind.as_ref(), mistakes);
    let address = written.address.as_ref().and_then(|address| link_address(address, port, kind, mistakes));
    let interface = written.interface.as_ref().filter(|interface| interface_fits(interface, mistakes));
    let at = written.address.as_ref()?.span;
    Some((Link { kind: kind?, address: address?, interface: interface?.value.clone() }, at))
}

fn kind(written: Option<&Written<String>>, mistakes: &mut Vec<Mistake>) -> Option<LinkKind> {
    let choices = [("multicast", LinkKind::Multicast), ("broadcast", LinkKind::Broadcast)];
    let written = written?;
    if written.value == "unicast" {
        let known = choices.map(|(word, _)| word);
        mistakes.push(
            unknown_word(written, "kind", &known)
                .hint("unicast links need no table: they are the `addresses` of the nodes"),
        );
        return None;
    }
    word(Some(written), "kind", &choices, mistakes)
}

fn link_address(
    written: &Written<String>,
    port: u16,
    kind: Option<LinkKind>,
    mistakes: &mut Vec<Mistake>,
) -> Option<SocketAddr> {
    let text = written.value.as_str();
    let address = match (text.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(address), _) => SocketAddr::new(address, port),
        (_, Ok(address)) => address,
        (Err(_), Err(_)) => {
            mistakes.push(addresses::no_address(written, "write an IP address such as \"239.1.2.3\""));
            return None;
        }
    };
    let refused = match (kind?, address.ip()) {
        (LinkKind::Multicast, ip) if !ip.is_multicast() => {
            Some(("is no multicast address", "these are 224.0.0.0 to 239.255.255.255, and those in ff00::/8"))
        }
        (LinkKind::Broadcast, IpAddr::V6(_)) => Some((
            "is an IPv6 address, which knows no broadcast",
            "use `kind = \"multicast\"`, for example with `address = \"ff02::694\"`",
        )),
        (LinkKind::Broadcast, ip) if ip.is_multicast() => {
            Some(("is a multicast address", "write `kind = \"multicast\"`"))
        }
        (LinkKind::Broadcast, ip) if ip.is_unspecified() || ip.is_loopback() => {
            Some(("reaches nobody else", "write the last address of the network, such as \"10.0.0.255\""))
        }
        (LinkKind::Unicast | LinkKind::Multicast | LinkKind::Broadcast, _) => None,
    };
    if let Some((why, way_out)) = refused {
        let message = format!("`{}` {why}", cut(text, 60));
        mistakes.push(
            Mistake::at(Code::UnusableAddress, written.span, message)
                .label("cannot be used here")
                .hint(way_out),
        );
        return None;
    }
    Some(address)
}

fn interface_fits(written: &Written<String>, mistakes: &mut Vec<Mistake>) -> bool {
    let text = written.value.as_str();
    let fits = !text.is_empty()
        && text.len() <= INTERFACE_MAX
        && text != "."
        && text != ".."
        && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
    if !fits {
        mistakes.push(
            Mistake::at(
                Code::InvalidText,
                written.span,
                format!("no interface can be called `{}`", cut(text, 40)),
            )
            .label("not the name of an interface")
            .hint("`ip link` shows the interfaces; their names have at most 15 characters"),
        );
    }
    fits
}

pub(super) fn timing(written: &TimingDraft, mistakes: &mut Vec<Mistake>) -> Option<Timing> {
    let before = mistakes.len();
    let profiles = [("default", Profile::Default), ("fastest", Profile::Fastest)];
    let profile = word(written.profile.as_ref(), "profile", &profiles, mistakes).unwrap_or(Profile::Default);
    let base = Timing::of(profile);
    let millis = Duration::from_millis;
    let timing = Timing {
        heartbeat: length(
            written.heartbeat.as_ref(),
            "heartbeat",
            base.heartbeat,
            (millis(1), millis(10_000)),
            mistakes,
        ),
        lost_after: length(
            written.lost_after.as_ref(),
            "lost_after",
            base.lost_after,
            (millis(10), millis(300_000)),
            mistakes,
        ),
        let_go: length(written.let_go.as_ref(), "let_go", base.let_go, (millis(1), millis(60_000)), mistakes),
    };
    if mistakes.len() > before {
        return None;
    }
    let fault = relation(written, &timing)?;
    mistakes.extend(fault);
    (mistakes.len() == before).then_some(timing)
}

/// What is wrong between the three numbers: `Some(None)` if nothing is.
fn relation(written: &TimingDraft, timing: &Timing) -> Option<Option<Mistake>> {
    let print = duration::print;
    let places = [&written.let_go, &written.lost_after, &written.heartbeat, &written.profile];
    let Some(at) = places.iter().find_map(|place| place.as_ref().map(|place| place.span)) else {
        return Some(None);
    };
    let lease = timing.lease();
    let (heartbeat, lost_after, let_go) = (timing.heartbeat, timing.lost_after, timing.let_go);
    if lease.is_zero() {
        let message = format!(
            "letting go takes {}, and a node is lost after {}: there is no time left to own anything",
            print(let_go),
            print(lost_after)
        );
        return Some(Some(
            Mistake::at(Code::NoLease, at, message).label("a lease is 0.98 × `lost_after` − `let_go`").hint(
                format!(
                    "`let_go` has to be much shorter than `lost_after`; the default is {}",
                    print(Timing::of(Profile::Default).let_go)
                ),
            ),
        ));
    }
    // Three heartbeats, so that two may get lost, and a tenth for the way there and back and for
    // a machine that stalls.
    let needed = heartbeat * 3 + lost_after / 10;
    if lease >= needed {
        return Some(None);
    }
    let at = written.heartbeat.as_ref().or(written.lost_after.as_ref()).map_or(at, |place| place.span);
    let message = format!(
        "heartbeats every {} are too rare for a node that is lost after {}",
        print(heartbeat),
        print(lost_after)
    );
    let least = whole_milliseconds((let_go + heartbeat * 3) * 100 / 88);
    Some(Some(
        Mistake::at(Code::SlowHeartbeat, at, message)
            .label(format!("a lease lasts {}; it needs {}", about(lease), about(needed)))
            .hint(format!(
                "three heartbeats have to fit into a lease, with room: `lost_after = \"{}\"` would do, or a \
                 shorter `heartbeat`",
                print(least)
            )),
    ))
}

/// In milliseconds, with a tenth: what a reader needs to compare.
fn about(length: Duration) -> String {
    let tenths = length.as_micros() / 100;
    match tenths % 10 {
        0 => format!("{}ms", tenths / 10),
        tenth => format!("{}.{tenth}ms", tenths / 10),
    }
}

fn whole_milliseconds(length: Duration) -> Duration {
    Duration::from_millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX).saturating_add(1))
}

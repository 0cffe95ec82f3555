//! What decides between two halves.

use heart_model::{Duration, TieBreakPlace, TieBreakSpec};

use super::{length, missing_key};
use crate::{
    Code, Environment, Found, Mistake, Written,
    draft::{Draft, TieBreakDraft},
    tree::cut,
};

/// How long one look or one change may take, unless written.
const TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT_BOUNDS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// The region that a store is taken to be in: what stores of one's own go by.
const REGION: &str = "us-east-1";
/// Most members of etcd that are asked.
const ENDPOINTS_MAX: usize = 7;

pub(super) fn tie_break(
    draft: &Draft,
    voters: usize,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) -> Option<TieBreakSpec> {
    let written = draft.tie_break.as_ref()?;
    let timeout = length(written.timeout.as_ref(), "timeout", TIMEOUT, TIMEOUT_BOUNDS, mistakes);
    let place = place(written, mistakes);
    foreign(written, mistakes);
    if let Some(place) = &place {
        each_its_own(place, written, environment, mistakes);
    }
    if voters > 0 && !voters.is_multiple_of(2) {
        mistakes.push(
            Mistake::at(
                Code::IdleTieBreak,
                written.span,
                format!("with {voters} voters there are no two halves, and nothing for this to decide"),
            )
            .label("not used")
            .hint("remove it; or let an even number of nodes vote (`voter = true`), and it counts like one more"),
        );
    }
    Some(TieBreakSpec { place: place?, timeout })
}

/// What keeps the value: one thing.
fn place(written: &TieBreakDraft, mistakes: &mut Vec<Mistake>) -> Option<TieBreakPlace> {
    let all = ["witness", "file", "disk", "object", "etcd"];
    let mut there = all.iter().filter(|key| written.present.iter().any(|present| present == *key));
    let first = there.next();
    if let (Some(first), Some(second)) = (first, there.next()) {
        let message = format!("`{first}` and `{second}` cannot both decide");
        mistakes.push(
            Mistake::at(Code::Contradiction, written.span, message)
                .label("names two places")
                .hint("two that decide could side with a half each: keep the one that fails least"),
        );
        return None;
    }
    if first.is_none() {
        let way_out = "write `witness = \"HOST:PORT\"` (a `heart witness` elsewhere), `file = \"/MOUNTED/FOLDER/NAME\"` (on NFS), \
                       `disk = \"/dev/disk/by-id/…\"` (shared by all nodes), `object = \"http://HOST/BUCKET/KEY\"` or \
                       `etcd = [\"http://HOST:PORT\"]`";
        mistakes.push(missing_key("witness", "[tie_break]", written.span, way_out));
        return None;
    }
    witness(written, mistakes)
        .or_else(|| file(written, mistakes))
        .or_else(|| disk(written, mistakes))
        .or_else(|| object(written, mistakes))
        .or_else(|| etcd(written, mistakes))
}

/// Warns where each half could find a place of its own, and both would go on.
fn each_its_own(
    place: &TieBreakPlace,
    written: &TieBreakDraft,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) {
    let (message, label, hint, at) = match (place, &written.witness, &written.file) {
        (TieBreakPlace::Witness { address }, Some(at), _) if is_loopback(address) => (
            format!("`{}` is another machine for each node: itself", cut(address, 60)),
            "each half would ask its own",
            "name the address of one machine that all nodes reach, and that is none of them".to_owned(),
            at.span,
        ),
        (TieBreakPlace::File { path }, _, Some(at)) => {
            let Found::Present(facts) = environment.folder_of(path) else { return };
            let shown = cut(path.rsplit_once('/').map_or("", |(folder, _)| folder), 60);
            let label = "each half may find a folder of its own there";
            if facts.local {
                let hint = "name a folder that is on the file server only; if it is, mount that here, and remove this \
                            folder of the local disk";
                let message = format!("`{shown}/` is on this node's own disk");
                (message, label, hint.to_owned(), at.span)
            } else if facts.mount_point {
                let hint = format!(
                    "while nothing is mounted there, an empty folder of the node's own disk takes its place: make a folder \
                     on the file server (`mkdir {shown}/heart`) and name a file in it"
                );
                (format!("`{shown}/` is itself where a file system is mounted"), label, hint, at.span)
            } else {
                return;
            }
        }
        _ => return,
    };
    mistakes.push(Mistake::at(Code::EachItsOwn, at, message).label(label).hint(hint));
}

/// Whether the host of `HOST:PORT` is the machine itself, whichever that is.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let is_itself = |ip: std::net::IpAddr| ip.to_canonical().is_loopback() || ip.is_unspecified();
    host.parse().map_or_else(|_| host.eq_ignore_ascii_case("localhost"), is_itself)
}

fn invalid(written: &Written<String>, what: &str, way_out: &str) -> Mistake {
    let message = format!("`{}` is no {what}", cut(&written.value, 60));
    Mistake::at(Code::InvalidPlace, written.span, message).label("cannot be reached like this").hint(way_out)
}

fn witness(written: &TieBreakDraft, mistakes: &mut Vec<Mistake>) -> Option<TieBreakPlace> {
    let address = written.witness.as_ref()?;
    if has_host_and_port(&address.value) {
        return Some(TieBreakPlace::Witness { address: address.value.clone() });
    }
    let way_out = "it is a host and a port, such as \"10.9.0.1:6940\" or \"[2001:db8::1]:6940\"";
    mistakes.push(invalid(address, "address of a witness", way_out));
    None
}

fn has_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn file(written: &TieBreakDraft, mistakes: &mut Vec<Mistake>) -> Option<TieBreakPlace> {
    let path = written.file.as_ref()?;
    if path.value.starts_with('/') && !path.value.ends_with('/') {
        return Some(TieBreakPlace::File { path: path.value.clone() });
    }
    let way_out = "it is the whole path of a file in a folder that is only on a file system that all nodes have, such as \
         \"/mnt/nfs/heart/web\", where /mnt/nfs is mounted";
    mistakes.push(invalid(path, "path of a file", way_out));
    None
}

fn disk(written: &TieBreakDraft, mistakes: &mut Vec<Mistake>) -> Option<TieBreakPlace> {
    let device = written.disk.as_ref()?;
    if is_device(&device.value) {
        return Some(TieBreakPlace::Disk { device: device.value.clone() });
    }
    mistakes.push(invalid(device, "device file of a disk", DEVICE));
    None
}

/// What a device file is, for people.
pub(super) const DEVICE: &str = "it is the whole path of the disk that all nodes share, the same on every node, such as \
                                 \"/dev/disk/by-id/wwn-0x5000c500a0b1c2d3\"";

/// Whether a path can be the device file of a disk.
pub(super) fn is_device(path: &str) -> bool {
    path.starts_with('/') && !path.ends_with('/') && !path.contains(char::is_control)
}

/// The part after `http://`, without an end that says nothing.
fn of_http(text: &str) -> Option<&str> {
    text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'))
}

fn object(written: &TieBreakDraft, mistakes: &mut Vec<Mistake>) -> Option<TieBreakPlace> {
    let url = written.object.as_ref()?;
    let is_whole = of_http(&url.value).is_some_and(|rest| {
        let parts: Vec<&str> = rest.splitn(3, '/').collect();
        parts.len() == 3 && parts.iter().all(|part| !part.is_empty())
    });
    if !is_whole {
        let way_out =
            "it is \"http://HOST[:PORT]/BUCKET/KEY\"; without TLS, so keep it in a network of your own";
        mistakes.push(invalid(url, "address of an object", way_out));
        return None;
    }
    match (&written.access_key, &written.secret_file) {
        (Some(key), None) => {
            let way_out =
                "write `secret_file = \"/PATH\"`: a file with the secret that belongs to the access key";
            mistakes.push(missing_key("secret_file", "[tie_break]", key.span, way_out));
        }
        (None, Some(file)) => {
            let way_out = "write `access_key = \"…\"`: the name that the secret belongs to";
            mistakes.push(missing_key("access_key", "[tie_break]", file.span, way_out));
        }
        (Some(_), Some(file)) if !file.value.starts_with('/') => {
            mistakes.push(invalid(
                file,
                "path of a file",
                "it is the whole path, such as \"/etc/heart/secret\"",
            ));
        }
        _ => {}
    }
    Some(TieBreakPlace::Object {
        url: url.value.trim_end_matches('/').into(),
        access_key: written.access_key.as_ref().map(|key| key.value.clone()),
        secret_file: written.secret_file.as_ref().map(|file| file.value.clone()),
        region: written.region.as_ref().map_or_else(|| REGION.into(), |region| region.value.clone()),
    })
}

fn etcd(written: &TieBreakDraft, mistakes: &mut Vec<Mistake>) -> Option<TieBreakPlace> {
    let list = written.etcd.as_ref()?;
    if list.value.is_empty() || list.value.len() > ENDPOINTS_MAX {
        let message =
            format!("`etcd` names {} members, and it can be 1 to {ENDPOINTS_MAX}", list.value.len());
        mistakes.push(
            Mistake::at(Code::InvalidPlace, list.span, message)
                .label("too few or too many")
                .hint("such as `etcd = [\"http://10.9.0.1:2379\"]`"),
        );
        return None;
    }
    for one in &list.value {
        if !of_http(&one.value).is_some_and(|rest| !rest.is_empty() && !rest.contains('/')) {
            let way_out = "it is \"http://HOST:PORT\", where its JSON gateway listens";
            mistakes.push(invalid(one, "address of a member of etcd", way_out));
            return None;
        }
    }
    let Some(key) = written.key.as_ref().filter(|key| !key.value.is_empty()) else {
        let way_out = "write `key = \"…\"`, such as \"heart/web\": no other cluster may have the same one";
        mistakes.push(missing_key("key", "[tie_break]", list.span, way_out));
        return None;
    };
    let endpoints = list.value.iter().map(|one| one.value.trim_end_matches('/').into()).collect();
    Some(TieBreakPlace::Etcd { endpoints, key: key.value.clone() })
}

/// Keys that belong to another kind of place.
fn foreign(written: &TieBreakDraft, mistakes: &mut Vec<Mistake>) {
    let is_there = |key: &str| written.present.iter().any(|present| present == key);
    let of_object = [&written.access_key, &written.secret_file, &written.region];
    let names = ["access_key", "secret_file", "region"];
    let alone = of_object.into_iter().zip(names).filter(|_| !is_there("object"));
    let of_etcd = [(&written.key, "key")].into_iter().filter(|_| !is_there("etcd"));
    let owner = |name: &str| if name == "key" { "etcd" } else { "object" };
    for (key, name) in alone.chain(of_etcd) {
        let Some(key) = key else { continue };
        mistakes.push(
            Mistake::at(Code::UnknownKey, key.span, format!("`{name}` belongs to `{}`", owner(name)))
                .label("means nothing here")
                .hint(format!("remove it, or write `{}`", owner(name))),
        );
    }
}

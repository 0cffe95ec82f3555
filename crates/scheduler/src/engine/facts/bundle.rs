//! Bundles unfolded: for each replica a container, an address, a connection, the node inside, and the
//! instance that runs there.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use core::net::IpAddr;

use heart_model::policy::{AgentName, Bundle, Resource};

use super::{
    launch::Launch,
    unfold::{add_instance, connection_agent, insert, join_node},
};
use crate::engine::{
    arena::{Arena, BundleFacts, CloneFacts, Kind, NodeKind, Replica, ResIx},
    values::{flag, integer},
};

/// Replicas that a bundle has at the most, whatever is written.
const REPLICAS_MAX: i64 = 10_000;

/// Gives a bundle everything that it implies.
pub(super) fn unfold<'s>(arena: &mut Arena<'s>, bundle: ResIx, source: &'s Resource, written: &'s Bundle) {
    let count = |name: &str| written.container.values.get(name).and_then(|text| integer(text));
    let promoted_max = count("promoted-max").or_else(|| count("masters")).unwrap_or(0).clamp(0, REPLICAS_MAX);
    let replicas = count("replicas").unwrap_or_else(|| promoted_max.max(1)).clamp(1, REPLICAS_MAX) as u32;
    let per_host = count("replicas-per-host").unwrap_or(1).clamp(1, REPLICAS_MAX) as u32;
    let network = written.network.as_ref().map(|set| &set.values);
    let first =
        network.and_then(|set| set.get("ip-range-start")).and_then(|text| text.parse::<IpAddr>().ok());
    let reachable = first.is_some() || network.is_some_and(|set| set.contains_key("control-port"));
    let inner = written.inner.as_deref().filter(|_| reachable);
    let clone = inner.map(|_| add_clone(arena, bundle, source, replicas, per_host, promoted_max as u32));

    let all = core::iter::successors(first, |address| next_address(*address));
    let launch = Launch {
        id: &source.id,
        written,
        is_inhabited: inner.is_some(),
        addresses: all.take(replicas as usize).collect(),
    };
    let mut facts = BundleFacts { replicas: Vec::new(), per_host, inner: clone };
    for number in 0..replicas {
        let at = launch.addresses.get(number as usize).copied();
        let instance = clone.zip(inner).map(|(clone, inner)| add_instance(arena, clone, inner, number));
        let replica = add_replica(arena, bundle, &written.technology, number, at, instance);
        arena[replica.container].implied = launch.of_container(number);
        if let Some((resource, at)) = replica.address.zip(at) {
            arena[resource].implied = Some(launch.of_address(at));
        }
        facts.replicas.push(replica);
    }
    arena[bundle].bundle = Some(facts);
}

/// The clone of what runs inside: one instance for each container.
fn add_clone<'s>(
    arena: &mut Arena<'s>,
    bundle: ResIx,
    source: &'s Resource,
    replicas: u32,
    per_host: u32,
    promoted_max: u32,
) -> ResIx {
    let mut meta = arena[bundle].meta.clone();
    let unique = per_host > 1;
    for (name, value) in [
        ("ordered", "true".to_string()),
        ("clone-max", replicas.to_string()),
        ("clone-node-max", per_host.to_string()),
        ("globally-unique", unique.to_string()),
    ] {
        meta.insert(name.to_string(), value);
    }
    if promoted_max > 0 {
        meta.insert("promotable".to_string(), "true".to_string());
    }
    let promotable = flag(&meta, "promotable", false);
    let word = if promoted_max > 0 { "master" } else { "clone" };
    let id = format!("{}-{word}", source.id);
    let notify = flag(&meta, "notify", false);
    let clone = insert(arena, id.clone(), id, None, Kind::Clone, AgentName::default(), Some(bundle), meta);
    arena[bundle].children.push(clone);
    arena[clone].clone = Some(CloneFacts {
        max: replicas,
        node_max: per_host,
        min: 0,
        unique,
        ordered: true,
        interleave: false,
        notify,
        promotable,
        promoted_max: promoted_max.max(1),
        promoted_node_max: 1,
    });
    arena[clone].unique = unique;
    arena[clone].notify = notify;
    clone
}

fn add_replica(
    arena: &mut Arena<'_>,
    bundle: ResIx,
    technology: &str,
    number: u32,
    address: Option<IpAddr>,
    instance: Option<ResIx>,
) -> Replica {
    let id = arena[bundle].id.clone();
    let agent = |agent_type: &str| AgentName {
        class: "ocf".to_string(),
        provider: Some("heartbeat".to_string()),
        agent_type: agent_type.to_string(),
    };
    let address = address.map(|address| {
        // A colon would be taken for the number of an instance.
        let id = format!("{id}-ip-{}", address.to_string().replace(':', "."));
        add_part(arena, bundle, id, agent("IPaddr2"), &[])
    });
    let container = add_part(arena, bundle, format!("{id}-{technology}-{number}"), agent(technology), &[]);
    let mut replica = Replica { address, container, connection: None, inner: instance, node: None };
    if let Some(instance) = instance {
        let name = format!("{id}-{number}");
        let container_id = arena[container].id.clone();
        let connection =
            add_part(arena, bundle, name.clone(), connection_agent(), &[("container", container_id)]);
        join_node(arena, connection, &name, NodeKind::Guest { connection, container });
        replica.connection = Some(connection);
        replica.node = arena[connection].connection_to;
        let members = arena[instance].children.clone();
        // What runs inside is paid for where the container is.
        arena[container].needs = core::mem::take(&mut arena[instance].needs);
        for part in core::iter::once(instance).chain(members) {
            arena[part].container = Some(container);
            arena[container].contains.push(part);
        }
    }
    if let Some(address) = address {
        arena[address].container = Some(container);
        arena[container].contains.push(address);
    }
    replica
}

fn add_part(
    arena: &mut Arena<'_>,
    bundle: ResIx,
    id: String,
    agent: AgentName,
    more: &[(&str, String)],
) -> ResIx {
    let mut meta: BTreeMap<String, String> = arena[bundle].meta.clone();
    meta.extend(more.iter().map(|(name, value)| ((*name).to_string(), value.clone())));
    let part = insert(arena, id.clone(), id, None, Kind::Primitive, agent, Some(bundle), meta);
    arena[bundle].children.push(part);
    part
}

fn next_address(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}

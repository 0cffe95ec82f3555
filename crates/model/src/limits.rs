//! Everything has an end, and the end has a name.

/// Most nodes of one cluster. Heartbeats carry one entry for each.
pub const NODES_MAX: usize = 64;
/// Most voters of one cluster; further nodes follow as members.
pub const VOTERS_MAX: usize = 7;
/// Most links between two nodes.
pub const LINKS_MAX: usize = 8;
/// Most ping targets of one cluster.
pub const PINGS_MAX: usize = 8;
/// Most hosts of one ping target.
pub const PING_HOSTS_MAX: usize = 8;
/// Most resources of one cluster.
pub const RESOURCES_MAX: usize = 10_000;
/// Longest name of a node, resource or group, in bytes.
pub const NAME_MAX: usize = 63;
/// Most times that resources and groups can name.
pub const TIMES_MAX: usize = 256;
/// Most parts of one key of a time: `["mon-wed", "fri"]` has two.
pub const SPANS_MAX: usize = 64;
/// Most names in one list of what is wished of a resource or a group.
pub const WISHES_MAX: usize = 256;
/// Most times at which something else is wished of one resource or group.
pub const INSTEADS_MAX: usize = 16;
/// Most things by name that one node has to give, or one resource needs.
pub const AMOUNTS_MAX: usize = 16;
/// Longest configuration text that is read, in bytes.
pub const CONFIGURATION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest reason or message that an agent may hand back, in bytes; the rest is cut.
pub const AGENT_MESSAGE_MAX: usize = 4096;
/// Most orders that one executor works on at a time.
pub const ORDERS_IN_FLIGHT_MAX: usize = 64;
/// Longest message between two processes of one node, in bytes.
pub const LOCAL_MESSAGE_MAX: usize = 8 * 1024 * 1024;

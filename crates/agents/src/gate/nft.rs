//! The gate as the kernel's packet filter understands it.
//!
//! Three tables, all called `heart`:
//!
//! ```text
//! inet    in  (prerouting)   to a managed address: open? → `lease`     ND for it: open? → `lease`
//!         out (postrouting)  from a managed address: open? → `lease`   ND about it: open? → `lease`
//! arp     in, out            asking for, speaking for a managed address: open? → `lease`
//! netdev  one chain an interface: what carries our mark leaves only before the deadline
//!
//! lease     the key is not in the set `lease` (its timeout is over): drop;  then `deadline`
//! deadline  the time of day is past the deadline: drop
//! ```
//!
//! So whatever is managed is closed, unless it is in the set of the open ones, *and* the timeout
//! *and* the deadline hold. A refresh renews one set element and one rule in each of two tables,
//! however many addresses there are. The mark is on announcements: those are written by us to a
//! packet socket, which neither `inet` nor `arp` see.
//!
//! Every function here appends messages to a batch. Nothing is read back, no handle is kept:
//! rules are replaced by emptying their chain, whole tables by deleting them, in one transaction.

use std::net::IpAddr;

use crate::netlink::{APPEND, Attributes, Batch, CREATE};

/// The name of our tables.
pub(super) const TABLE: &str = "heart";
/// What a packet carries that we wrote ourselves: `hear` in ASCII.
pub(crate) const MARK: u32 = 0x6865_6172;

/// Families of tables.
pub(super) const INET: u8 = 1;
pub(super) const ARP: u8 = 3;
pub(super) const NETDEV: u8 = 5;

/// The packet filter's number among the netlink subsystems.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const DELETE_TABLE: u16 = NEW_TABLE | 2;
const NEW_CHAIN: u16 = NEW_TABLE | 3;
const NEW_RULE: u16 = NEW_TABLE | 6;
const DELETE_RULE: u16 = NEW_TABLE | 8;
const NEW_SET: u16 = NEW_TABLE | 9;
const NEW_ELEMENTS: u16 = NEW_TABLE | 12;
const DELETE_ELEMENTS: u16 = NEW_TABLE | 14;

const SET_TIMES_OUT: u32 = 0x10;
const LOOKUP_INVERTED: u32 = 1;
const REGISTER: u32 = 1;
const REGISTER_VERDICT: u32 = 0;
const DROP: i32 = 0;
const GOTO: i32 = -4;
const META_MARK: u32 = 3;
const META_FAMILY: u32 = 15;
const META_TRANSPORT: u32 = 16;
const META_TIME: u32 = 30;
const EQUAL: u32 = 0;
const AT_LEAST: u32 = 5;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// Where the sets hang their one key.
const LEASE_KEY: [u8; 4] = [0, 0, 0, 1];
/// Before everything else that filters or rewrites incoming packets.
const FIRST: i32 = -450;
/// After everything that rewrites outgoing packets.
const LAST: i32 = 450;

/// Until when the gate is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    /// Time of day, nanoseconds: not a packet later.
    pub(super) deadline: u64,
    /// From the moment the kernel takes it: not a packet later.
    pub(super) timeout_ms: u64,
}

/// Begins a transaction.
pub(super) fn begin(batch: &mut Batch) {
    batch.clear();
    batch.message(BATCH_BEGIN, 0, &[0, 0, 0, SUBSYSTEM.to_be_bytes()[1]], |_| ());
}

/// Ends a transaction; it is answered by one acknowledgement, or by errors. Whether there is anything in it: what is
/// empty is not answered.
///
/// The last message is acknowledged once the whole is committed. The end of a transaction is not, by kernels before
/// 6.10.
pub(super) fn commit(batch: &mut Batch) -> bool {
    let begin_alone = batch.messages() <= 1;
    batch.acknowledge_last();
    batch.message(BATCH_END, 0, &[0, 0, 0, SUBSYSTEM.to_be_bytes()[1]], |_| ());
    !begin_alone
}

fn message(batch: &mut Batch, family: u8, kind: u16, flags: u16, fill: impl FnOnce(&mut Attributes<'_>)) {
    batch.message(kind, flags, &[family, 0, 0, 0], |to| {
        to.text(1, TABLE);
        fill(to);
    });
}

/// Makes the table anew and empty, whether it was there or not.
fn table(batch: &mut Batch, family: u8) {
    message(batch, family, NEW_TABLE, CREATE, |_| ());
    message(batch, family, DELETE_TABLE, 0, |_| ());
    message(batch, family, NEW_TABLE, CREATE, |_| ());
}

/// Where a chain is called from.
struct Hook<'a> {
    number: u32,
    priority: i32,
    device: Option<&'a str>,
}

fn chain(batch: &mut Batch, family: u8, name: &str, hook: Option<&Hook<'_>>) {
    message(batch, family, NEW_CHAIN, CREATE, |to| {
        to.text(3, name);
        let Some(hook) = hook else { return };
        to.nested(4, |to| {
            to.network(1, hook.number);
            to.network(2, hook.priority.cast_unsigned());
            if let Some(device) = hook.device {
                to.text(3, device);
            }
        });
        to.network(5, 1);
        to.text(7, "filter");
    });
}

/// A set of keys of one length.
fn set(batch: &mut Batch, family: u8, id: u32, name: &str, key: &SetKey) {
    message(batch, family, NEW_SET, CREATE, |to| {
        to.text(2, name);
        to.network(3, key.flags);
        to.network(4, key.kind);
        to.network(5, key.length);
        to.network(10, id);
    });
}

/// What a set holds: the number is how `nft list` knows to print it.
struct SetKey {
    kind: u32,
    length: u32,
    flags: u32,
}

const IPV4_KEY: SetKey = SetKey { kind: 7, length: 4, flags: 0 };
const IPV6_KEY: SetKey = SetKey { kind: 8, length: 16, flags: 0 };
const LEASE_SET: SetKey = SetKey { kind: 4, length: 4, flags: SET_TIMES_OUT };

/// One rule, built expression by expression.
struct Rule<'a, 'b>(&'a mut Attributes<'b>);

impl Rule<'_, '_> {
    fn expression(&mut self, name: &str, fill: impl FnOnce(&mut Attributes<'_>)) {
        self.0.nested(1, |to| {
            to.text(1, name);
            to.nested(2, fill);
        });
    }

    fn meta(&mut self, key: u32) {
        self.expression("meta", |to| {
            to.network(1, REGISTER);
            to.network(2, key);
        });
    }

    fn compare(&mut self, how: u32, value: &[u8]) {
        self.expression("cmp", |to| {
            to.network(1, REGISTER);
            to.network(2, how);
            to.nested(3, |to| to.bytes(1, value));
        });
    }

    fn payload(&mut self, base: u32, offset: u32, length: u32) {
        self.expression("payload", |to| {
            to.network(1, REGISTER);
            to.network(2, base);
            to.network(3, offset);
            to.network(4, length);
        });
    }

    fn lookup(&mut self, set: &str, flags: u32) {
        self.expression("lookup", |to| {
            to.text(1, set);
            to.network(2, REGISTER);
            to.network(5, flags);
        });
    }

    fn load(&mut self, value: &[u8]) {
        self.expression("immediate", |to| {
            to.network(1, REGISTER);
            to.nested(2, |to| to.bytes(1, value));
        });
    }

    /// The time of day, in network order so that it compares as a number.
    fn time(&mut self) {
        self.meta(META_TIME);
        self.expression("byteorder", |to| {
            to.network(1, REGISTER);
            to.network(2, REGISTER);
            to.network(3, 1);
            to.network(4, 8);
            to.network(5, 8);
        });
    }

    fn verdict(&mut self, code: i32, chain: Option<&str>) {
        self.expression("immediate", |to| {
            to.network(1, REGISTER_VERDICT);
            to.nested(2, |to| {
                to.nested(2, |to| {
                    to.network(1, code.cast_unsigned());
                    if let Some(chain) = chain {
                        to.text(2, chain);
                    }
                });
            });
        });
    }
}

fn rule(batch: &mut Batch, family: u8, chain: &str, fill: impl FnOnce(&mut Rule<'_, '_>)) {
    message(batch, family, NEW_RULE, CREATE | APPEND, |to| {
        to.text(2, chain);
        to.nested(4, |to| fill(&mut Rule(to)));
    });
}

/// Which bytes of a packet hold an address that may be managed, and how such packets are known.
struct Field {
    conditions: &'static [(Load, &'static [u8])],
    base: u32,
    offset: u32,
    sets: (&'static str, &'static str),
    length: u32,
}

enum Load {
    Meta(u32),
    /// One byte of the transport header.
    Transport(u32),
}

const V4: (&str, &str) = ("managed4", "open4");
const V6: (&str, &str) = ("managed6", "open6");
const IS_V4: (Load, &[u8]) = (Load::Meta(META_FAMILY), &[2]);
const IS_V6: (Load, &[u8]) = (Load::Meta(META_FAMILY), &[10]);
const IS_ICMP6: (Load, &[u8]) = (Load::Meta(META_TRANSPORT), &[58]);

const DESTINATION4: Field = Field { conditions: &[IS_V4], base: NETWORK, offset: 16, sets: V4, length: 4 };
const SOURCE4: Field = Field { conditions: &[IS_V4], base: NETWORK, offset: 12, sets: V4, length: 4 };
const DESTINATION6: Field = Field { conditions: &[IS_V6], base: NETWORK, offset: 24, sets: V6, length: 16 };
const SOURCE6: Field = Field { conditions: &[IS_V6], base: NETWORK, offset: 8, sets: V6, length: 16 };
/// The target of a neighbour solicitation: somebody looks for the address.
const SOLICITED: Field = Field {
    conditions: &[IS_V6, IS_ICMP6, (Load::Transport(0), &[135])],
    base: TRANSPORT,
    offset: 8,
    sets: V6,
    length: 16,
};
/// The target of a neighbour advertisement: we say that we have the address.
const ADVERTISED: Field = Field {
    conditions: &[IS_V6, IS_ICMP6, (Load::Transport(0), &[136])],
    base: TRANSPORT,
    offset: 8,
    sets: V6,
    length: 16,
};
const ARP_TARGET: Field = Field { conditions: &[], base: NETWORK, offset: 24, sets: V4, length: 4 };
const ARP_SENDER: Field = Field { conditions: &[], base: NETWORK, offset: 14, sets: V4, length: 4 };

/// Managed and not open: drop. Managed and open: ask the lease.
fn admit(batch: &mut Batch, family: u8, chain: &str, field: &Field) {
    let (managed, open) = field.sets;
    let select = |rule: &mut Rule<'_, '_>| {
        for (load, value) in field.conditions {
            match load {
                Load::Meta(key) => rule.meta(*key),
                Load::Transport(offset) => rule.payload(TRANSPORT, *offset, 1),
            }
            rule.compare(EQUAL, value);
        }
        rule.payload(field.base, field.offset, field.length);
        rule.lookup(managed, 0);
    };
    rule(batch, family, chain, |rule| {
        select(rule);
        rule.lookup(open, LOOKUP_INVERTED);
        rule.verdict(DROP, None);
    });
    rule(batch, family, chain, |rule| {
        select(rule);
        rule.verdict(GOTO, Some("lease"));
    });
}

/// The sets and the two inner chains that every gated table has.
fn inner(batch: &mut Batch, family: u8) {
    table(batch, family);
    set(batch, family, 1, "managed4", &IPV4_KEY);
    set(batch, family, 2, "open4", &IPV4_KEY);
    set(batch, family, 3, "lease", &LEASE_SET);
    if family == INET {
        set(batch, family, 4, "managed6", &IPV6_KEY);
        set(batch, family, 5, "open6", &IPV6_KEY);
    }
    chain(batch, family, "deadline", None);
    chain(batch, family, "lease", None);
    rule(batch, family, "lease", |rule| {
        rule.load(&LEASE_KEY);
        rule.lookup("lease", LOOKUP_INVERTED);
        rule.verdict(DROP, None);
    });
    rule(batch, family, "lease", |rule| rule.verdict(GOTO, Some("deadline")));
    deadline_rule(batch, family, 0);
}

/// Installs both gated tables, closed, in place of whatever is there by their names.
pub(super) fn install(batch: &mut Batch) {
    inner(batch, INET);
    chain(batch, INET, "in", Some(&Hook { number: 0, priority: FIRST, device: None }));
    chain(batch, INET, "out", Some(&Hook { number: 4, priority: LAST, device: None }));
    for field in [&DESTINATION4, &DESTINATION6, &SOLICITED] {
        admit(batch, INET, "in", field);
    }
    for field in [&SOURCE4, &SOURCE6, &ADVERTISED] {
        admit(batch, INET, "out", field);
    }
    inner(batch, ARP);
    chain(batch, ARP, "in", Some(&Hook { number: 0, priority: FIRST, device: None }));
    chain(batch, ARP, "out", Some(&Hook { number: 1, priority: LAST, device: None }));
    admit(batch, ARP, "in", &ARP_TARGET);
    admit(batch, ARP, "out", &ARP_SENDER);
}

/// Takes all our tables away.
pub(super) fn uninstall(batch: &mut Batch, family: u8) {
    message(batch, family, NEW_TABLE, CREATE, |_| ());
    message(batch, family, DELETE_TABLE, 0, |_| ());
}

fn deadline_rule(batch: &mut Batch, family: u8, deadline: u64) {
    rule(batch, family, "deadline", |rule| {
        rule.time();
        rule.compare(AT_LEAST, &deadline.to_be_bytes());
        rule.verdict(DROP, None);
    });
}

/// Renews timeout and deadline of both gated tables.
pub(super) fn refresh(batch: &mut Batch, opening: Opening) {
    for family in [INET, ARP] {
        // Emptying and filling in one transaction works on kernels that cannot renew an element.
        message(batch, family, DELETE_ELEMENTS, 0, |to| to.text(2, "lease"));
        message(batch, family, NEW_ELEMENTS, CREATE, |to| {
            to.text(2, "lease");
            to.nested(3, |to| {
                to.nested(1, |to| {
                    to.nested(1, |to| to.bytes(1, &LEASE_KEY));
                    to.network64(4, opening.timeout_ms);
                });
            });
        });
        message(batch, family, DELETE_RULE, 0, |to| to.text(2, "deadline"));
        deadline_rule(batch, family, opening.deadline);
    }
}

/// Puts addresses into the sets of the managed or of the open ones, or takes them out.
fn change(batch: &mut Batch, kind: u16, sets: (&str, &str), addresses: &[IpAddr]) {
    let v4: Vec<_> = addresses.iter().filter(|address| address.is_ipv4()).copied().collect();
    let v6: Vec<_> = addresses.iter().filter(|address| address.is_ipv6()).copied().collect();
    for (family, set, keys) in [(INET, sets.0, &v4), (ARP, sets.0, &v4), (INET, sets.1, &v6)] {
        if keys.is_empty() {
            continue;
        }
        let flags = if kind == NEW_ELEMENTS { CREATE } else { 0 };
        message(batch, family, kind, flags, |to| {
            to.text(2, set);
            to.nested(3, |to| {
                for key in keys {
                    to.nested(1, |to| to.nested(1, |to| to.bytes(1, &octets(*key))));
                }
            });
        });
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// From now on these are closed, unless they are open.
pub(super) fn manage(batch: &mut Batch, addresses: &[IpAddr]) {
    change(batch, NEW_ELEMENTS, ("managed4", "managed6"), addresses);
}

/// From now on these pass, lease or not. They must have been managed.
pub(super) fn forget(batch: &mut Batch, addresses: &[IpAddr]) {
    change(batch, DELETE_ELEMENTS, ("managed4", "managed6"), addresses);
}

/// These pass while the lease holds.
pub(super) fn open(batch: &mut Batch, addresses: &[IpAddr]) {
    change(batch, NEW_ELEMENTS, ("open4", "open6"), addresses);
}

/// These do not pass any more. They must have been open.
pub(super) fn close(batch: &mut Batch, addresses: &[IpAddr]) {
    change(batch, DELETE_ELEMENTS, ("open4", "open6"), addresses);
}

/// What carries our mark leaves by `device` only before `deadline`.
pub(super) fn shield(batch: &mut Batch, device: &str, deadline: u64) {
    message(batch, NETDEV, NEW_TABLE, CREATE, |_| ());
    chain(batch, NETDEV, device, Some(&Hook { number: 1, priority: 0, device: Some(device) }));
    message(batch, NETDEV, DELETE_RULE, 0, |to| to.text(2, device));
    rule(batch, NETDEV, device, |rule| {
        rule.meta(META_MARK);
        rule.compare(EQUAL, &MARK.to_ne_bytes());
        rule.time();
        rule.compare(AT_LEAST, &deadline.to_be_bytes());
        rule.verdict(DROP, None);
    });
}

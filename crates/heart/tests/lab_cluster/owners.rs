//! Never two owners: every state of the links, every order in which power goes and returns, and an owner that stands
//! still, for two nodes with a witness, two with devices, three and five; and three that have an IPv6 address.
//!
//! Who owns is measured twice. On the wire, by the watch, who answers for the address, by ARP or neighbour discovery;
//! and by a service that writes down when it runs, which is guarded by `fence` where there are devices. A sample of all
//! this runs every time; the whole is ignored and takes some minutes for each:
//!
//! ```text
//! cargo nextest run -p heart --test lab_cluster --run-ignored only -E 'test(owners::)' --no-capture
//! ```

use std::time::Duration;

use anyhow::{Context, ensure};
use heart_lab::{CLIENT, Stamp, conflicts, milliseconds, tenures};
use heart_model::{Profile, Timing};

use crate::{
    cluster::{Cluster, pass, plan},
    dice::Dice,
    fences::{start_with, work},
    pairs::tied_with,
};

/// Where the service writes.
const LEDGER: &str = "/var/log/ledger";
const SERVICE: &str = r#"
[resource.ledger]
agent = "process"
command = ["/run/lab/bin/heart", "lab-ledger", "/var/log/ledger"]
failovers_max = 1000
"#;
/// How long a state lasts before it is looked at: enough for a verdict, a fence, and what follows.
const LASTS: Duration = Duration::from_millis(1800);
/// Most losses at once that are sampled where there are too many states to see all.
const LOSSES_MAX: u64 = 10;
/// Of five there are too many states and orders: so many are told.
const STATES_OF_FIVE: usize = 100;
const ORDERS_OF_FIVE: usize = 40;
/// How often each owner stands still for each length.
const FREEZES: usize = 3;
/// Of a lease: who stands still for less has so much left to be heard again that nothing follows. A pause of half a
/// lease, on a machine that was busy when it was to end.
const HARMLESS: f64 = 0.6;

/// What decides who goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Setup {
    Witness,
    Devices,
    Three,
    /// Without devices.
    ThreeOnIpv6,
    Five,
}

/// How much is told.
#[derive(Clone, Copy, PartialEq)]
enum Amount {
    Sample,
    All,
}

/// A cluster with its ledger, and what was counted.
struct Stand {
    cluster: Cluster,
    setup: Setup,
    dice: Dice,
    cases: usize,
    moved: usize,
    off: usize,
    /// What was started again in place after a pause that was shorter than a lease.
    again: usize,
    /// Pauses after which nothing was moved or started again.
    harmless: usize,
}

/// One direction from one machine to another, over all networks.
type Edge = (String, String);

impl Setup {
    fn start(self) -> Option<Stand> {
        let fenced = format!("{SERVICE}guard = \"fence\"\n");
        let leased = format!("{SERVICE}guard = \"lease\"\n");
        let cluster = match self {
            Setup::Witness => tied_with(&leased)?,
            Setup::ThreeOnIpv6 => plan(3).on_ipv6().tables(&leased).start()?,
            Setup::Devices => start_with(2, &fenced)?,
            Setup::Three => start_with(3, &fenced)?,
            Setup::Five => start_with(5, &fenced)?,
        };
        cluster.settled();
        Some(Stand {
            cluster,
            setup: self,
            dice: Dice::new(),
            cases: 0,
            moved: 0,
            off: 0,
            again: 0,
            harmless: 0,
        })
    }

    /// Nodes are switched off, and what waits for that is guarded by it.
    fn has_devices(self) -> bool {
        match self {
            Setup::Devices | Setup::Three | Setup::Five => true,
            Setup::Witness | Setup::ThreeOnIpv6 => false,
        }
    }
}

impl Stand {
    fn quorum(&self) -> usize {
        self.cluster.names().len() / 2 + 1
    }

    /// Every direction that there is; the witness is on the client's machine.
    fn edges(&self) -> Vec<Edge> {
        let mut all = self.cluster.names();
        if self.setup == Setup::Witness {
            all.push(CLIENT.into());
        }
        let to = |from: &String| {
            let others = all.iter().filter(|to| *to != from).cloned();
            others.map(|to| (from.clone(), to)).collect::<Vec<_>>()
        };
        all.iter().flat_map(to).collect()
    }

    /// Every set of lost directions; where these are too many, some.
    fn states(&mut self, amount: Amount) -> Vec<Vec<Edge>> {
        let edges = self.edges();
        let of_bits = |bits: u64| -> Vec<Edge> {
            edges
                .iter()
                .enumerate()
                .filter(|(place, _)| bits >> place & 1 == 1)
                .map(|(_, edge)| edge.clone())
                .collect()
        };
        let all = 1u64 << edges.len();
        match amount {
            Amount::All if self.setup != Setup::Five => (1..all).map(of_bits).collect(),
            Amount::All => (0..STATES_OF_FIVE).map(|_| self.some_losses(&edges)).collect(),
            Amount::Sample => (0..2).map(|_| self.some_losses(&edges)).collect(),
        }
    }

    fn some_losses(&mut self, edges: &[Edge]) -> Vec<Edge> {
        let mut left = edges.to_vec();
        let most = LOSSES_MAX.min(edges.len() as u64);
        let count = 1 + self.dice.below(most);
        (0..count).map(|_| left.remove(self.dice.below(left.len() as u64) as usize)).collect()
    }

    /// Who can go on in this state: who hears a quorum both ways. Of two without one, who hears nothing of the other
    /// any more and has something that decides; who still hears the other one waits for it.
    fn can_go_on(&self, lost: &[Edge]) -> Vec<String> {
        let hears = |one: &str, from: &str| !lost.iter().any(|(a, b)| a == from && b == one);
        let both = |one: &str, other: &str| hears(one, other) && hears(other, one);
        let names = self.cluster.names();
        let others = |one: &str| -> Vec<&String> { names.iter().filter(|other| *other != one).collect() };
        let able = |one: &&String| {
            let alone = || others(one).iter().all(|other| !hears(one, other));
            let quorum = 1 + others(one).iter().filter(|other| both(one, other)).count() >= self.quorum();
            match self.setup {
                Setup::Devices => quorum || alone(),
                Setup::Witness => quorum || alone() && both(one, CLIENT),
                Setup::Three | Setup::ThreeOnIpv6 | Setup::Five => quorum,
            }
        };
        names.iter().filter(able).cloned().collect()
    }

    /// Makes the outlets show what is true: not all were told who lost power otherwise.
    fn show_power(&self) {
        if !self.setup.has_devices() {
            return;
        }
        let up = self.cluster.up();
        let shown: Vec<String> = self
            .cluster
            .names()
            .iter()
            .map(|name| format!("echo {} > {name}", if up.contains(name) { "on" } else { "off" }))
            .collect();
        for name in &up {
            // It may lose its power meanwhile.
            self.cluster.lab.node(name).shell(&format!("cd /var/lib/switch; {}", shown.join("; "))).ok();
        }
    }

    fn boot(&mut self, name: &str) {
        self.cluster.lab.boot(name).unwrap();
        if self.setup.has_devices() {
            work(self.cluster.lab.name(), name);
            self.show_power();
        }
    }

    /// Exactly one has the address, and nobody else.
    fn await_one_of(&self, side: &[String], what: &str) -> String {
        Cluster::until(what, || {
            let owners = self.cluster.watch.owners();
            let owner = owners.iter().next().context("nobody has the address")?;
            ensure!(owners.len() == 1 && side.contains(owner), "{owners:?} have it");
            Ok(owner.clone())
        })
    }

    /// Everything is undone, everybody is back, and everything runs.
    fn calm(&mut self) {
        self.cluster.lab.heal().unwrap();
        for name in self.cluster.names() {
            if !self.cluster.up().contains(&name) {
                self.off += 1;
                self.boot(&name);
            }
        }
        self.cluster.settled();
        let all = self.cluster.names().len();
        Cluster::until("all vote again, and all know it", || {
            for name in self.cluster.names() {
                let voters = self.cluster.view_of(&name)?.voters;
                ensure!(voters == (all, all), "{name} says {voters:?}");
            }
            Ok(())
        });
        // Who was lost several times is avoided for a while, and nobody is switched off for what nobody else may have.
        for name in self.cluster.names() {
            self.cluster.lab.node("n1").shell(&format!("heart release {name} 2>&1 || true")).unwrap();
        }
        // Half of the voters goes on only by what every voter has written down of who votes.
        pass(LASTS / 3);
        if self.setup == Setup::Witness {
            Cluster::until("the witness names both", || {
                let value = self.cluster.lab.client().shell("cat /tmp/state/lab.json")?;
                ensure!(value.contains("\"n1\"") && value.contains("\"n2\""), "{value}");
                Ok(())
            });
        }
    }

    /// Ends a case, in which two never owned.
    fn end_case(&mut self, owner: &str, what: &str) {
        self.calm();
        self.cases += 1;
        let now = self.cluster.owner();
        self.moved += usize::from(now != owner);
        // Who is never seen to have it would never be seen to have it twice.
        assert_eq!(self.cluster.is_seen_on_the_wire(), now, "{what}");
        self.no_two_owners(what);
    }

    fn no_two_owners(&self, what: &str) {
        self.cluster.no_overlap();
        let mut all = Vec::new();
        for name in self.cluster.names() {
            let text = self.cluster.lab.node(&name).read(LEDGER).unwrap_or_default();
            all.extend(tenures(&name, &text).unwrap());
        }
        assert!(!all.is_empty(), "the service never ran");
        let found = conflicts(all);
        assert!(found.is_empty(), "{what}: {found:?}");
    }

    /// The links are in this state for a while.
    fn in_state(&mut self, lost: &[Edge]) {
        let what = format!(
            "lost: {}",
            lost.iter().map(|(from, to)| format!("{from}→{to}")).collect::<Vec<_>>().join(", ")
        );
        println!("{what}");
        let (owner, before) = (self.cluster.owner(), self.cluster.mark());
        for (from, to) in lost {
            self.cluster.lab.lose(&[from], &[to], None, 100).unwrap();
        }
        pass(LASTS);
        let able = self.can_go_on(lost);
        if !able.is_empty() {
            self.await_one_of(&self.cluster.names(), &what);
        }
        // Of three, who is heard by a quorum, and hears it, keeps what it has. Of more, the leader may not hear those
        // who do.
        if matches!(self.setup, Setup::Three | Setup::ThreeOnIpv6) {
            if able.contains(&owner) {
                let owners = self.cluster.watch.owners();
                assert!(owners.len() == 1 && owners.contains(&owner), "{what}: {owners:?} and not {owner}");
            }
            self.calm();
            self.cluster.kept(&before, &able);
        }
        self.end_case(&owner, &what);
    }

    /// Nodes lose their power in this order, and get it back in that.
    fn power(&mut self, lost: &[String], back: &[String]) {
        let what = format!("power lost by {lost:?}, back at {back:?}");
        println!("{what}");
        let owner = self.cluster.owner();
        for name in lost {
            // A device may have been quicker.
            self.cluster.lab.power_cut(name).ok();
            self.show_power();
            let up = self.cluster.up();
            let goes_on = up.len() >= self.quorum() || self.cluster.names().len() == 2 && !up.is_empty();
            if goes_on {
                self.await_one_of(&up, &what);
            } else {
                pass(LASTS / 2);
            }
        }
        for name in back {
            if !self.cluster.up().contains(name) {
                self.boot(name);
            }
            pass(LASTS / 3);
        }
        self.end_case(&owner, &what);
    }

    /// The node where this runs stands still, all its processes at once.
    fn freeze(&mut self, resource: &str, leases: f64) {
        let timing = Timing::of(Profile::Default);
        let lease: Duration = timing.lease();
        let what = format!("who runs {resource} stood still for {leases} leases");
        let (owner, mark, before) = (self.cluster.owner(), self.cluster.mark(), self.cluster.settled());
        let frozen = before.resources[resource].node.clone().unwrap();
        let began = self.cluster.lab.freeze(&frozen).unwrap();
        pass(lease.mul_f64(leases));
        // It may have been switched off meanwhile.
        self.cluster.lab.thaw(&frozen).ok();
        let lasted = Stamp::now().since(began);
        pass(LASTS);
        self.show_power();
        // What waits for a fence runs on where it is if that comes too late: of two with devices, who runs less lets
        // the other one shoot first, and an attempt ends when the node is heard again.
        let waits = self.setup == Setup::Devices || self.setup.has_devices() && resource == "ledger";
        let must_move = if waits { 5.0 } else { 2.0 };
        if leases > must_move {
            Cluster::until(&what, || {
                let view = self.cluster.view()?;
                let one = &view.resources[resource];
                // It may have come back since, when those who stood still before are avoided.
                ensure!(one.state == "running" && one.epoch > before.resources[resource].epoch, "{one:?}");
                Ok(())
            });
        }
        // The last beat may have been sent a heartbeat before. A machine that was busy, too, may have made it longer.
        if leases < 1.0 && lasted + timing.heartbeat < timing.lost_after {
            let after = self.cluster.settled();
            for (name, one) in &before.resources {
                let now = &after.resources[name];
                assert_eq!(one.node, now.node, "{what}: {name} was taken from who went on in time");
                // Of a longer pause its keeper may be late, and it is started again in place.
                if lasted < lease.mul_f64(HARMLESS) {
                    assert_eq!(one.epoch, now.epoch, "{what}, {lasted:?}: {name} was started again in place");
                }
                self.again += usize::from(one.epoch != now.epoch);
            }
            if lasted < lease.mul_f64(HARMLESS) {
                self.cluster.nothing_moved(&mark);
                self.harmless += 1;
            }
        }
        let now = self.cluster.watch.owners();
        println!("{what} ({} on {frozen}): the address was on {owner}, is on {now:?}", milliseconds(lasted));
        self.end_case(&owner, &what);
    }
}

/// Every order of these.
fn orders(of: &[String]) -> Vec<Vec<String>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let first = |place: usize| {
        let mut rest = of.to_vec();
        let one = rest.remove(place);
        orders(&rest).into_iter().map(move |order| [vec![one.clone()], order].concat())
    };
    (0..of.len()).flat_map(first).collect()
}

/// Every order in which some or all lose power, each with every order in which they get it back.
fn power_orders(names: &[String]) -> Vec<(Vec<String>, Vec<String>)> {
    let some = |bits: usize| -> Vec<String> {
        names
            .iter()
            .enumerate()
            .filter(|(place, _)| bits >> place & 1 == 1)
            .map(|(_, name)| name.clone())
            .collect()
    };
    let both = |some: Vec<String>| {
        let all = orders(&some);
        all.clone()
            .into_iter()
            .flat_map(move |lost| all.clone().into_iter().map(move |back| (lost.clone(), back)))
    };
    (1..1 << names.len()).map(some).flat_map(both).collect()
}

fn link_states(setup: Setup) {
    let Some(mut stand) = setup.start() else { return };
    for state in stand.states(Amount::All) {
        stand.in_state(&state);
    }
    stand.say("states of the links");
}

fn power(setup: Setup) {
    let Some(mut stand) = setup.start() else { return };
    let all = power_orders(&stand.cluster.names());
    let sampled = if setup == Setup::Five { ORDERS_OF_FIVE } else { all.len() };
    for number in 0..sampled {
        let place = if sampled == all.len() { number } else { stand.dice.below(all.len() as u64) as usize };
        stand.power(&all[place].0, &all[place].1);
    }
    stand.say("orders of power");
}

fn freezes(setup: Setup) {
    let Some(mut stand) = setup.start() else { return };
    for _ in 0..FREEZES {
        for resource in ["site-ip", "ledger"] {
            [0.5, 0.6, 1.0, 3.0, 10.0].into_iter().for_each(|leases| stand.freeze(resource, leases));
        }
    }
    stand.say("times that the owner stood still");
}

impl Stand {
    fn say(&self, what: &str) {
        println!(
            "{:?}: {} {what}; in {} another had the address in the end, {} were switched off, {} services started again \
             in place after a short pause, {} pauses did nothing; two owners: never",
            self.setup, self.cases, self.moved, self.off, self.again, self.harmless
        );
    }
}

/// A little of everything, with one cluster.
fn sample(setup: Setup) {
    let Some(mut stand) = setup.start() else { return };
    for state in stand.states(Amount::Sample) {
        stand.in_state(&state);
    }
    let orders = power_orders(&stand.cluster.names());
    let place = stand.dice.below(orders.len() as u64) as usize;
    stand.power(&orders[place].0, &orders[place].1);
    stand.freeze("site-ip", 0.5);
    stand.freeze("ledger", 3.0);
    stand.say("cases");
}

macro_rules! stories {
    ($($setup:ident $sample:ident $links:ident $power:ident $freezes:ident;)*) => {$(
        #[test]
        fn $sample() {
            sample(Setup::$setup);
        }

        #[test]
        #[ignore = "many minutes: every state of the links"]
        fn $links() {
            link_states(Setup::$setup);
        }

        #[test]
        #[ignore = "many minutes: every order of power"]
        fn $power() {
            power(Setup::$setup);
        }

        #[test]
        #[ignore = "minutes: an owner that stands still, over and over"]
        fn $freezes() {
            freezes(Setup::$setup);
        }
    )*};
}

stories! {
    Witness
        two_with_a_witness_never_both_own
        two_with_a_witness_in_every_state_of_the_links
        two_with_a_witness_in_every_order_of_power
        two_with_a_witness_of_which_the_owner_stands_still;
    Devices
        two_with_devices_never_both_own
        two_with_devices_in_every_state_of_the_links
        two_with_devices_in_every_order_of_power
        two_with_devices_of_which_the_owner_stands_still;
    Three
        of_three_never_two_own
        three_in_every_state_of_the_links
        three_in_every_order_of_power
        three_of_which_the_owner_stands_still;
    Five
        of_five_never_two_own
        five_in_some_states_of_the_links
        five_in_some_orders_of_power
        five_of_which_the_owner_stands_still;
}

/// The same never, where who has the address is asked for by neighbour discovery.
#[test]
fn of_three_never_two_own_an_ipv6_address() {
    let Some(mut stand) = Setup::ThreeOnIpv6.start() else { return };
    let owner = stand.cluster.owner();
    let edges = stand.edges();
    // The owner hears nobody and nobody hears it; then the next one is not heard, and hears.
    let cut: Vec<Edge> = edges.iter().filter(|(from, to)| *from == owner || *to == owner).cloned().collect();
    stand.in_state(&cut);
    let owner = stand.cluster.owner();
    let dumb: Vec<Edge> = edges.iter().filter(|(from, _)| *from == owner).cloned().collect();
    stand.in_state(&dumb);
    let owner = stand.cluster.owner();
    stand.power(std::slice::from_ref(&owner), std::slice::from_ref(&owner));
    stand.freeze("site-ip", 0.5);
    stand.freeze("site-ip", 3.0);
    stand.say("cases");
}

#[test]
fn the_orders_are_all_there_are() {
    let names: Vec<String> = ["a", "b", "c"].map(Into::into).into();
    assert_eq!(orders(&names).len(), 6);
    // One, two and three that lose power: 3 · 1 + 3 · 2 · 2 + 6 · 6.
    assert_eq!(power_orders(&names).len(), 51);
}

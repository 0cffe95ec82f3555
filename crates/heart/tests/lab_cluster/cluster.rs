//! A cluster in a lab: its files, its daemons, its witnesses, and what it says of itself.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    env,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use heart_lab::{Event, Lab, MachineState, Outage, Probe, Question, Stamp, Watch, milliseconds};
use heart_model::NodeName;
use heart_node::core::{Request, Response, StatusView};

/// The address that the cluster keeps, unless a test says otherwise.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
/// Longest that anything here may take; far more than it does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing has to happen where nothing may.
pub(crate) const QUIET: Duration = Duration::from_secs(2);
/// Where the answerer listens, which runs on every node and is no part of the cluster.
const ANSWER_PORT: u16 = 7000;
const WEB_PORT: u16 = 80;
/// How often the watch asks.
const WATCH_EVERY: Duration = Duration::from_millis(2);
/// Between two looks at something that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(30);
/// The key of every cluster here.
pub(crate) const KEY: &str = "55555555555555555555555555555555";
/// Silence that a client may see where nothing happened: this machine has other things to do, too.
const JITTER: Duration = Duration::from_millis(60);
pub(crate) const LOG: &str = "/var/log/heart.log";
/// One line for every start of the service.
const STARTS: &str = "/var/log/site-starts";
/// Starts the daemon where it is configured: at every boot but the very first.
const START: &str = "test -e /etc/heart/heart.toml || exit 0; \
                     exec heart daemon --config /etc/heart/heart.toml >> /var/log/heart.log 2>&1";
/// What most tests keep running: an address, and a web server that counts its starts.
const SITE: &str = r#"
[resource.site-ip]
agent = "ip"
address = "10.77.0.100/24"
failovers_max = 1000

[resource.site]
agent = "process"
command = ["/bin/sh", "-c", "date +%s.%N >> /var/log/site-starts; exec /run/lab/bin/heart lab-http 80"]
failures_max = 3
failovers_max = 1000

[group.web]
members = ["site-ip", "site"]
"#;
/// The address of [`SITE`] where that is of the other family.
const ADDRESS_ON_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100);

pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGTERM: i32 = 15;

/// Describes a cluster before it starts.
pub(crate) struct Plan {
    nodes: usize,
    /// Lines below a node's addresses, by its number.
    of_node: BTreeMap<usize, String>,
    /// Further tables.
    tables: String,
    resources: String,
    address: IpAddr,
    /// A file of the host that all nodes share as a disk.
    disk: Option<PathBuf>,
    /// A folder of the host that all nodes share.
    folder: Option<PathBuf>,
    /// Whether nodes have addresses on both networks.
    links: usize,
    serves: bool,
}

/// What a cluster of this many nodes has, unless a test says otherwise.
pub(crate) fn plan(nodes: usize) -> Plan {
    Plan {
        nodes,
        of_node: BTreeMap::new(),
        tables: String::new(),
        resources: SITE.into(),
        address: ADDRESS.into(),
        disk: None,
        folder: None,
        links: 2,
        serves: true,
    }
}

/// A running cluster. Tests that need one take turns.
pub(crate) struct Cluster {
    pub(crate) lab: Lab,
    /// Asks the answerer on the address, every 2 ms.
    pub(crate) address: Probe,
    /// Asks the service.
    pub(crate) page: Probe,
    pub(crate) watch: Watch,
    plan: Plan,
    /// Overlaps were looked for.
    judged: Cell<bool>,
    _turn: MutexGuard<'static, ()>,
}

/// How things were at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    at: Stamp,
    /// Node and epoch of every resource.
    placement: BTreeMap<String, (Option<String>, u64)>,
    /// Starts of the service, by node.
    starts: BTreeMap<String, usize>,
}

impl Plan {
    /// Further tables: `[timing]`, `[link.NAME]`.
    pub(crate) fn tables(mut self, text: &str) -> Plan {
        self.tables += text;
        self
    }

    pub(crate) fn of_node(mut self, number: usize, line: &str) -> Plan {
        self.of_node.insert(number, line.into());
        self
    }

    /// Other resources; the address may still be among them.
    pub(crate) fn resources(mut self, text: &str) -> Plan {
        self.resources = text.into();
        self
    }

    /// The group goes to these nodes, in this order, if it may.
    pub(crate) fn prefers(mut self, nodes: &[&str]) -> Plan {
        self.resources += &format!("prefers = {nodes:?}\n");
        self
    }

    /// The same site, on an address of the other family.
    pub(crate) fn on_ipv6(mut self) -> Plan {
        self.address = ADDRESS_ON_IPV6.into();
        self.resources(&SITE.replace("10.77.0.100/24", &format!("{ADDRESS_ON_IPV6}/64")))
    }

    /// All nodes share this file as a disk.
    pub(crate) fn disk(mut self, file: &Path) -> Plan {
        self.disk = Some(file.into());
        self
    }

    /// All nodes share this folder.
    pub(crate) fn folder(mut self, folder: &Path) -> Plan {
        self.folder = Some(folder.into());
        self
    }

    /// That many unicast links.
    pub(crate) fn links(mut self, links: usize) -> Plan {
        self.links = links;
        self
    }

    /// There is nothing a client could ask.
    pub(crate) fn serves_nothing(mut self) -> Plan {
        self.serves = false;
        self
    }

    fn configuration(&self) -> String {
        let mut text = String::from("[cluster]\nname = \"lab\"\n");
        for number in 1..=self.nodes {
            let addresses: Vec<String> =
                (0..self.links).map(|link| format!("\"10.{}.0.{number}\"", 77 + link)).collect();
            text += &format!("\n[node.n{number}]\naddresses = [{}]\n", addresses.join(", "));
            text += self.of_node.get(&number).map_or("", String::as_str);
        }
        text + "\n" + &self.tables + "\n" + &self.resources
    }

    /// Starts the lab and gives every node its files, but starts no daemon. Nothing where namespaces
    /// are not permitted.
    pub(crate) fn prepare(self) -> Option<Cluster> {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let builder = Lab::builder().nodes(self.nodes).program(Path::new(env!("CARGO_BIN_EXE_heart")));
        let builder = builder.on_boot(&["sh", "-c", START]).answer_on(self.address, ANSWER_PORT);
        let builder = self.disk.iter().fold(builder, |builder, file| builder.disk(file));
        let builder = self.folder.iter().fold(builder, |builder, folder| builder.folder(folder));
        let lab = match builder.start() {
            Ok(lab) => lab,
            Err(error) if format!("{error:#}").contains("cannot make namespaces") => {
                assert!(env::var_os("HEART_LAB_REQUIRED").is_none(), "{error:#}");
                eprintln!("skipped: {error:#}");
                return None;
            }
            Err(error) => panic!("{error:#}"),
        };
        let question =
            Question { gap: Duration::from_millis(20), ..Question::udp(self.address, ANSWER_PORT) };
        let address = Probe::start(&lab, &question).unwrap();
        let page = Probe::start(&lab, &Question::http(self.address, WEB_PORT)).unwrap();
        let watch = Watch::start(&lab, self.address, WATCH_EVERY).unwrap();
        let cluster =
            Cluster { lab, address, page, watch, plan: self, judged: Cell::new(false), _turn: turn };
        for name in cluster.names() {
            cluster.configure(&name, &cluster.plan.configuration(), KEY);
        }
        Some(cluster)
    }

    /// Starts everything and waits until it serves and all nodes are online.
    pub(crate) fn start(self) -> Option<Cluster> {
        let cluster = self.prepare()?;
        let began = Stamp::now();
        cluster.names().iter().for_each(|name| cluster.start_daemon(name));
        if cluster.plan.serves {
            let first = cluster.page.await_up(PATIENCE).unwrap();
            cluster.address.await_up(PATIENCE).unwrap();
            // Who is never seen to have it would never be seen to have it twice.
            cluster.is_seen_on_the_wire();
            println!("{first} served after {}", milliseconds(Stamp::now().since(began)));
        }
        cluster.settled();
        Some(cluster)
    }
}

impl Cluster {
    pub(crate) fn names(&self) -> Vec<String> {
        self.lab.nodes().map(Into::into).collect()
    }

    /// Writes the configuration and the key.
    pub(crate) fn configure(&self, node: &str, text: &str, key: &str) {
        let node = self.lab.node(node);
        node.shell("mkdir -p /etc/heart && umask 077 && : > /etc/heart/key").unwrap();
        node.write("/etc/heart/key", key).unwrap();
        node.write("/etc/heart/heart.toml", text).unwrap();
    }

    /// What all nodes are configured with.
    pub(crate) fn configuration(&self) -> String {
        self.plan.configuration()
    }

    pub(crate) fn start_daemon(&self, node: &str) {
        self.lab.node(node).spawn(&["sh", "-c", START]).unwrap();
    }

    /// The nodes that have power.
    pub(crate) fn up(&self) -> Vec<String> {
        let machines = self.lab.status().unwrap().machines;
        let names = self.names();
        let is_up = |name: &String| {
            machines.iter().any(|machine| machine.name == *name && machine.state == MachineState::Up)
        };
        names.into_iter().filter(is_up).collect()
    }

    /// Asks one node, the only place that knows how.
    pub(crate) fn ask(&self, node: &str, request: &Request) -> Result<Response> {
        let question = serde_json::to_string(request)?;
        let output = self.lab.node(node).exec(&["timeout", "12", "heart", "ask", &question])?;
        ensure!(output.exit.is_success(), "{node} does not answer: {}", output.stderr.trim());
        serde_json::from_str(output.stdout.trim())
            .with_context(|| format!("what {node} answers: {}", output.stdout))
    }

    /// Asks until it is accepted: the leader may just have changed.
    pub(crate) fn accepted(&self, node: &str, request: &Request) {
        Cluster::until(&format!("{request:?} is accepted"), || match self.ask(node, request) {
            Ok(Response::Accepted { .. }) => Ok(()),
            other => bail!("{other:?}"),
        });
    }

    /// Sends a node to standby, or ends that.
    pub(crate) fn stand_by(&self, name: &str, standby: bool) {
        let node = NodeName::new(name).unwrap();
        let request = if standby { Request::Standby { node } } else { Request::Resume { node } };
        let asked = self.others(name).remove(0);
        self.accepted(&asked, &request);
        Cluster::until("it is known", || {
            let state = self.view()?.nodes[name].state.clone();
            ensure!((state == "standby") == standby, "{name} is {state}");
            Ok(())
        });
    }

    pub(crate) fn view_of(&self, node: &str) -> Result<StatusView> {
        match self.ask(node, &Request::Status)? {
            Response::Status(view) => Ok(*view),
            other => bail!("{node} answers {other:?}"),
        }
    }

    /// The view of a node that knows the leader.
    pub(crate) fn view(&self) -> Result<StatusView> {
        self.view_among(&self.up())
    }

    fn view_among(&self, nodes: &[String]) -> Result<StatusView> {
        let mut last = None;
        for name in nodes {
            match self.view_of(name) {
                Ok(view) if view.leader.is_some() && view.quorum => return Ok(view),
                other => last = Some(other),
            }
        }
        bail!("no node knows a leader: {last:?}")
    }

    /// Looks over and over until `look` finds what it looks for; its complaint is the test's.
    pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Result<T>) -> T {
        Cluster::until_within(PATIENCE, what, look)
    }

    /// The same for what takes its time.
    pub(crate) fn until_within<T>(wait: Duration, what: &str, mut look: impl FnMut() -> Result<T>) -> T {
        let deadline = Stamp::now().after(wait);
        loop {
            match look() {
                Ok(found) => return found,
                Err(error) if deadline.remaining().is_zero() => {
                    panic!("waited {wait:?} in vain until {what}: {error:#}")
                }
                Err(_) => pass(LOOK_EVERY),
            }
        }
    }

    /// Waits until all nodes that have power are online and every resource runs.
    pub(crate) fn settled(&self) -> StatusView {
        let up = self.up();
        Cluster::until("everything runs", || {
            let view = self.view()?;
            for name in &up {
                let state = &view.nodes[name].state;
                let takes_part = matches!(state.as_str(), "online" | "standby" | "sick");
                ensure!(takes_part, "{name} is {state}");
            }
            for (name, resource) in &view.resources {
                ensure!(resource.state == "running", "{name} is {}: {:?}", resource.state, view.problems);
            }
            Ok(view)
        })
    }

    /// Who has the address.
    pub(crate) fn owner(&self) -> String {
        let view = self.settled();
        view.resources["site-ip"].node.clone().unwrap()
    }

    pub(crate) fn others(&self, than: &str) -> Vec<String> {
        self.names().into_iter().filter(|name| name != than).collect()
    }

    /// How often the service was started, on the nodes that are up.
    pub(crate) fn starts(&self) -> BTreeMap<String, usize> {
        self.up().into_iter().map(|name| (name.clone(), self.starts_on(&name))).collect()
    }

    fn starts_on(&self, name: &str) -> usize {
        self.lab.node(name).read(STARTS).map_or(0, |text| text.lines().count())
    }

    /// How things are, once everything runs.
    pub(crate) fn mark(&self) -> Mark {
        let placement = placement(self.settled());
        Mark { at: Stamp::now(), placement, starts: self.starts() }
    }

    /// How things are without one node, which does not answer.
    pub(crate) fn mark_without(&self, node: &str) -> Mark {
        self.mark_on(&self.others(node))
    }

    /// How things are as these nodes see it, once everything runs.
    pub(crate) fn mark_on(&self, nodes: &[String]) -> Mark {
        let view = Cluster::until("everything runs", || {
            let view = self.view_among(nodes)?;
            for (name, resource) in &view.resources {
                ensure!(resource.state == "running", "{name} is {}: {:?}", resource.state, view.problems);
            }
            Ok(view)
        });
        let starts = nodes.iter().map(|name| (name.clone(), self.starts_on(name))).collect();
        Mark { at: Stamp::now(), placement: placement(view), starts }
    }

    /// Since the mark nothing moved, nothing was started again, and the client noticed nothing.
    pub(crate) fn nothing_happened(&self, before: &Mark) {
        self.nothing_moved(before);
        self.no_outage(before);
    }

    /// Since the mark the client always got an answer from the address.
    pub(crate) fn no_outage(&self, before: &Mark) {
        let outages = self.outages(before.at);
        assert!(outages.is_empty(), "the client noticed: {outages:?}");
    }

    pub(crate) fn nothing_moved(&self, before: &Mark) {
        let after = self.mark();
        assert_eq!(before.placement, after.placement, "something moved");
        for (name, count) in &before.starts {
            let now = after.starts.get(name).unwrap_or(count);
            assert_eq!(count, now, "the service was started again on {name}");
        }
    }

    /// Since the mark these nodes have kept what they had.
    pub(crate) fn kept(&self, before: &Mark, by: &[String]) {
        let after = self.mark();
        for (name, place) in &before.placement {
            if place.0.as_ref().is_some_and(|node| by.contains(node)) {
                assert_eq!(Some(place), after.placement.get(name), "{name} moved");
            }
        }
    }

    /// What the client missed since then, on the address; a machine that is busy is no outage.
    pub(crate) fn outages(&self, since: Stamp) -> Vec<Outage> {
        self.address.outages_since(since).into_iter().filter(is_real).collect()
    }

    /// Waits for the first outage that ends after `since`, and prints it.
    pub(crate) fn outage(&self, what: &str, since: Stamp) -> Outage {
        let outage = self.address.await_that(PATIENCE, "an outage is over", |events| {
            events.iter().find_map(|event| match event {
                Event::Outage(outage) if outage.to >= since && is_real(outage) => Some(outage.clone()),
                _ => None,
            })
        });
        let outage = outage.unwrap();
        println!(
            "{what}: the address was silent for {}, {} → {}",
            milliseconds(outage.length()),
            outage.before,
            outage.after
        );
        outage
    }

    /// Waits until another node answers than before, and prints how long nobody did; returns who
    /// answered before and who does now. What is handed over in order may be too quick for an outage.
    pub(crate) fn handed_over(&self, what: &str, since: Stamp) -> (String, String) {
        let moved = self.address.await_that(PATIENCE, "another node answers", |events| {
            events.iter().find_map(|event| match event {
                Event::Moved { at, from, to } if *at >= since => Some((from.clone(), to.clone())),
                _ => None,
            })
        });
        let (from, to) = moved.unwrap();
        let silent = self.address.outages_since(since).iter().map(Outage::length).max();
        let silent = silent.map_or_else(|| "less than 20 ms".into(), |length| milliseconds(length).clone());
        println!("{what}: the address was silent for {silent}, {from} → {to}");
        (from, to)
    }

    /// Never did two nodes have the address.
    pub(crate) fn no_overlap(&self) {
        self.judged.set(true);
        let overlaps = self.watch.overlaps().unwrap();
        assert!(overlaps.is_empty(), "two nodes had the address: {overlaps:?}");
    }

    /// Waits until the watch sees who has the address, and only one; returns it.
    pub(crate) fn is_seen_on_the_wire(&self) -> String {
        Cluster::until("the watch sees who has the address", || {
            let owners: Vec<String> = self.watch.owners().into_iter().collect();
            let [owner] = &owners[..] else { bail!("{owners:?} answer for {}", self.plan.address) };
            Ok(owner.clone())
        })
    }

    /// The names of Heart's processes that run on a node.
    pub(crate) fn processes(&self, node: &str) -> Vec<String> {
        let list = "cat /proc/[0-9]*/status 2>/dev/null | grep -E '^(Name|State):' || true";
        let text = self.lab.node(node).shell(list).unwrap();
        let mut names = Vec::new();
        let mut name = "";
        for line in text.lines() {
            match line.split_once(':') {
                Some(("Name", of)) => name = of.trim(),
                // One that was killed keeps its name until its parent has looked at it.
                Some(("State", state)) if name.starts_with("heart-") && !state.trim().starts_with('Z') => {
                    names.push(name.to_owned());
                }
                _ => {}
            }
        }
        names.sort();
        names
    }

    /// What the daemons of a node wrote.
    pub(crate) fn log(&self, node: &str) -> String {
        self.lab.node(node).read(LOG).unwrap_or_default()
    }

    /// Who is heard on which links, as a node says.
    pub(crate) fn heard_by(&self, node: &str) -> Result<BTreeSet<String>> {
        let view = self.view_of(node)?;
        Ok(view
            .nodes
            .into_iter()
            .filter(|(_, one)| one.links.contains(&true))
            .map(|(name, _)| name)
            .collect())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.judged.get(), "a test forgot to look for overlaps");
            return;
        }
        eprintln!("sightings: {:?}", self.watch.sightings());
        for name in self.up() {
            match self.view_of(&name) {
                Ok(view) => eprintln!(
                    "{name} says: leader {:?}, term {}, quorum {}, {:?}, next {:?}, nodes {:?}",
                    view.leader, view.term, view.quorum, view.problems, view.next, view.nodes
                ),
                Err(error) => eprintln!("{name} says: {error:#}"),
            }
        }
        // Of who has got furthest.
        let timelines =
            self.up().into_iter().filter_map(|name| match self.ask(&name, &Request::Log { limit: 40 }) {
                Ok(Response::Log { timeline }) => Some(timeline),
                _ => None,
            });
        let timeline = timelines.max_by_key(|timeline| timeline.last().map(|happened| happened.index));
        for happened in timeline.unwrap_or_default() {
            eprintln!("{} {} {:?}", happened.index.0, happened.at, happened.what);
        }
        for name in self.names() {
            match self.lab.node(&name).exec(&["tail", "-n", "40", LOG]) {
                Ok(output) => eprintln!("the log of {name} ends with:\n{}", output.stdout),
                Err(error) => eprintln!("{name}: {error:#}"),
            }
        }
    }
}

/// Node and epoch of every resource.
fn placement(view: StatusView) -> BTreeMap<String, (Option<String>, u64)> {
    view.resources.into_iter().map(|(name, one)| (name, (one.node, one.epoch))).collect()
}

/// Whether a client missed something, or this machine had other things to do than to ask.
fn is_real(outage: &Outage) -> bool {
    outage.length().saturating_sub(outage.stalled) > JITTER
}

/// Lets time pass: for tests that claim that nothing happens meanwhile.
pub(crate) fn pass(time: Duration) {
    let deadline = Stamp::now().after(time);
    while !deadline.remaining().is_zero() {
        std::thread::park_timeout(deadline.remaining());
    }
}

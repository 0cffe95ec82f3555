//! What cores say to each other, and what people ask them.

use heart_model::{
    BootId, Copies, Duration, FenceReport, Guard, HealthFact, Intent, Inventory, Name, NodeName, Order,
    PingFacts, Plan, Reason, Report, ResourceName, Session, Spec, Status,
};
use serde::{Deserialize, Serialize};

use crate::ledger::Happened;

/// A message between two cores. Messages of the log travel beside these, in their own encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// From the leader: do this.
    Order(Order),
    /// To the leader: how an order ended.
    Report(Report),
    /// To the leader: all that this node has.
    Inventory {
        /// In which session.
        session: Session,
        /// What.
        all: Vec<Inventory>,
    },
    /// To the leader: a resource changed.
    Changed(Inventory),
    /// To the leader: my promise to this session, whose takeover I appended, has run out.
    Over {
        /// Of which node.
        node: NodeName,
        /// Which session.
        session: Session,
    },
    /// To the leader: how my attempt to switch a node off ended.
    Fenced(FenceReport),
    /// This node had itself let in to the storage that others could shut it out from.
    LetIn {
        /// For this session of it.
        session: Session,
        /// How many attempts against it the log counted then.
        attempts: u32,
    },
    /// To the leader: all that this node is sick with, or was until a moment ago.
    Health {
        /// In which session.
        session: Session,
        /// Each of them.
        facts: Vec<HealthFact>,
    },
    /// To the leader: the watchdog of this node is armed, which the log does not know of this session yet.
    Watched {
        /// In which session.
        session: Session,
        /// By which configuration.
        digest: u64,
    },
    /// To the leader: which ping targets this node reaches.
    Pings {
        /// In which session.
        session: Session,
        /// What is known of them.
        pings: PingFacts,
    },
    /// A person said that the cluster shall begin without these voters.
    Found {
        /// Which.
        without: Vec<NodeName>,
        /// The digest of the file of the node that was asked.
        digest: u64,
    },
    /// Between nodes that are half of the voters, and of who comes back to them.
    Half(OfHalf),
    /// To the leader: somebody asked this here.
    Ask {
        /// Names the question.
        id: u64,
        /// What was asked.
        request: Request,
    },
    /// From the leader: the answer.
    Answer {
        /// Names the question.
        id: u64,
        /// What to say.
        response: Response,
    },
}

/// What is said where nothing can be agreed on (SAFETY rules 17 and 18).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfHalf {
    /// To a node with the log of another history: this one went on from these, without some of their voters.
    WentOn {
        /// Its number.
        era: u64,
        /// The numbers that it had before.
        parents: Vec<u64>,
        /// The sender leads it, and whoever is told is nobody there.
        #[serde(default)]
        without_you: bool,
    },
    /// To the others of half of the voters: agree to nothing for so long, as devices are told meanwhile that may hit
    /// whoever you would agree with.
    Hold {
        /// In which history.
        era: u64,
        /// For how long.
        lasts: Duration,
    },
    /// I agree to nothing for so long.
    Held {
        /// In which history.
        era: u64,
    },
    /// No device is told any more.
    Release {
        /// In which history.
        era: u64,
    },
    /// To the others of half of the voters: I go on from this history, if you give up your vote in it.
    StandBack {
        /// Which history.
        era: u64,
        /// A person says so: that not everything is known that has to be is no reason to refuse.
        by_word: bool,
        /// You have no log: nothing that you had is counted on.
        lost: bool,
    },
    /// I have given up my vote in this history, also if I lose power.
    StoodBack {
        /// Which history.
        era: u64,
    },
}

/// What people ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Request {
    /// How everything is.
    Status,
    /// Why a resource is where it is, or is not.
    Why {
        /// Which.
        resource: ResourceName,
    },
    /// What happened, newest last.
    Log {
        /// At most so many entries.
        limit: usize,
    },
    /// All that planning starts from.
    Picture,
    /// Move a resource, with its group.
    Move {
        /// Which.
        resource: ResourceName,
        /// Where to; anywhere else if not said.
        to: Option<NodeName>,
    },
    /// Call off the move of a resource, or of its group.
    Cancel {
        /// Which.
        resource: ResourceName,
    },
    /// Run nothing on a node.
    Standby {
        /// Which.
        node: NodeName,
    },
    /// Let a node run things again.
    Resume {
        /// Which.
        node: NodeName,
    },
    /// This cluster has a ticket from now on, or has it no more.
    Ticket {
        /// Which.
        ticket: Name,
        /// Whether it has it.
        held: bool,
    },
    /// Begin a cluster that never ran without voters that never ran in it.
    Found {
        /// Which.
        without: Vec<NodeName>,
    },
    /// Go on without voters that are off for certain, where too few are left to agree on that.
    TakeOver {
        /// All voters that are not heard.
        without: Vec<NodeName>,
        /// Who says that they are off.
        who: String,
        /// It was made sure that they are: otherwise only what is at stake is said.
        sure: bool,
    },
    /// Switch a node off: again, if that was given up.
    Fence {
        /// Which.
        node: NodeName,
        /// Who wants it.
        #[serde(default)]
        who: String,
        /// Although it is heard.
        #[serde(default)]
        anyway: bool,
        /// It is to get power again.
        #[serde(default)]
        reboot: bool,
    },
    /// Give a node power.
    Unfence {
        /// Which.
        node: NodeName,
        /// Who wants it.
        who: String,
    },
    /// Try the devices now by which the node that is asked could switch others off, without doing anything.
    Prove {
        /// Those of which node; of all if not said.
        node: Option<NodeName>,
    },
    /// A person answers for it that a lost node is off.
    ConfirmOff {
        /// Which.
        node: NodeName,
        /// Which life of it; the last one that is known to the node that is asked, if not said.
        #[serde(default)]
        boot: Option<BootId>,
        /// Who.
        who: String,
    },
    /// Take things over again, and run them again on nodes that were lost over and over.
    Release {
        /// A resource, a group or a node; everything if not said.
        name: Option<Name>,
    },
    /// Forget failures.
    Forgive {
        /// Of what; of everything if not said.
        resource: Option<ResourceName>,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Response {
    /// How everything is.
    Status(Box<StatusView>),
    /// Why.
    Why {
        /// The causes, first cause first.
        reasons: Vec<Reason>,
        /// What will be done about it, as far as planned.
        next: Vec<String>,
        /// What makes taking it over safe; only of what runs.
        #[serde(default)]
        guarded: Option<Guarded>,
        /// What the node that answers waits for, if it can agree with nobody.
        #[serde(default)]
        stuck: Option<String>,
    },
    /// All that planning starts from.
    Picture {
        /// What should be.
        spec: Box<Spec>,
        /// What is.
        status: Box<Status>,
    },
    /// What happened.
    Log {
        /// Oldest first.
        timeline: Vec<Happened>,
    },
    /// It was agreed on and will be done.
    Accepted {
        /// What, for people.
        text: String,
    },
    /// It will not be done.
    Refused {
        /// Why.
        error: String,
        /// What to do.
        hint: String,
    },
}

/// What makes taking over one resource safe, and what that means in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// Its guard.
    pub guard: Guard,
    /// On how many nodes it runs at once, if on several.
    pub copies: Option<Copies>,
    /// One of these is promoted.
    pub promotable: bool,
    /// Nothing goes on by itself when a node is lost: it is one of two voters, and nothing decides between them.
    pub by_person: bool,
    /// It waits for more than that where it runs, as it was started under another guard: see
    /// [`crate::ledger::Grant::guard`].
    #[serde(default)]
    pub changed: bool,
}

impl Guarded {
    /// That of a resource, or of what a node can be granted of it.
    #[must_use]
    pub fn of(spec: &Spec, name: &ResourceName) -> Option<Guarded> {
        let of = name.copy().map_or(name.as_str(), |(of, _)| of);
        let (name, resource) = spec.resources.get_key_value(of)?;
        Some(Guarded {
            guard: resource.guard,
            copies: spec.copies_of(name),
            promotable: resource.promotable,
            by_person: spec.voters().count() == 2 && spec.nodes.len() == 2 && !spec.halves_go_on(),
            changed: false,
        })
    }
}

/// The state of the cluster as one node sees it, completed by the leader where there is one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Name of the cluster.
    pub cluster: String,
    /// The node that answered.
    pub node: String,
    /// The leader, if one is heard.
    pub leader: Option<String>,
    /// The term.
    pub term: u64,
    /// Whether a quorum of voters takes part.
    pub quorum: bool,
    /// How many voters there are, and how many are heard.
    pub voters: (usize, usize),
    /// Every node.
    pub nodes: std::collections::BTreeMap<String, NodeView>,
    /// Every resource.
    pub resources: std::collections::BTreeMap<String, ResourceView>,
    /// What people asked for.
    pub intents: Vec<Intent>,
    /// What the node that answered did not take from the network.
    #[serde(default)]
    pub refused: RefusedView,
    /// What is wrong, worst first.
    pub problems: Vec<String>,
    /// What will happen next.
    pub next: Vec<String>,
    /// The facts and the plan they led to; only the leader has them.
    pub planned: Option<(Status, Plan)>,
}

/// Datagrams that a node did not take since it booted, by reason; see [`crate::frame::Rejected`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedView {
    /// Dropped by the kernel: not of this cluster's nodes, or more than there was room for.
    pub by_kernel: u64,
    /// No frames.
    pub not_a_frame: u64,
    /// Longer than frames are.
    pub too_long: u64,
    /// Of another cluster.
    pub other_cluster: u64,
    /// Of a version that this node does not speak.
    pub unknown: u64,
    /// From who is not in the configuration.
    pub stranger: u64,
    /// This node's own, come back.
    pub own: u64,
    /// Seen before.
    pub replayed: u64,
    /// Came over one link after they came over another: no reason to worry.
    pub copies: u64,
    /// Sealed with another key, or changed on the way.
    pub forged: u64,
    /// The forged ones, by the node whose they seem to be.
    pub forged_as: std::collections::BTreeMap<String, u64>,
    /// Of a life of a node that is over, or not known to be the present one.
    pub old_boot: u64,
}

/// One node, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeView {
    /// `online`, `joining`, `lost`, `absent`, `standby`, `sick`, …
    pub state: String,
    /// Whether it votes.
    pub voter: bool,
    /// Whether the node that answered hears it, link by link.
    pub links: Vec<bool>,
    /// Milliseconds that its lease still lasts; only of the node that answered.
    pub lease_ms: Option<u64>,
    /// What the node that answered found of the devices that switch this one off; none of its own.
    #[serde(default)]
    pub devices: Vec<DeviceView>,
    /// What it is sick with, or was until a moment ago: a sentence each, with figures and what to do.
    #[serde(default)]
    pub sick: Vec<String>,
    /// Which ping targets it does not reach: a sentence, with what to do.
    #[serde(default)]
    pub pings: Vec<String>,
}

/// A device by which the node that answered could switch another one off, for people. Times are in milliseconds
/// since 1970 by the wall clock of that node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceView {
    /// Its agent, with the outlet if it has one: `fence_apc (outlet 3)`.
    pub device: String,
    /// The level that it belongs to, from 1.
    pub level: usize,
    /// What was found last: `on`, `off` or `well` (it cannot say) if it is of use; `unusable`, `without_node` (it does
    /// not know the node) or `wrong` (it says *off* of a node that is heard) if not; `untried` before the first time.
    pub state: String,
    /// When it was found to be of use for the last time.
    pub proven: Option<u64>,
    /// When it was tried for the last time.
    pub tried: Option<u64>,
    /// Since when it is found to be of no use.
    pub failing_since: Option<u64>,
    /// What was tried, what was found and what to do, if it is of no use.
    pub message: Option<String>,
    /// It is being tried, or about to be because somebody asked for it, or it is not yet clear what its answer says.
    pub asked: bool,
}

/// One resource, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResourceView {
    /// `running`, `starting`, `stopping`, `failed`, `stopped`, `stuck`.
    pub state: String,
    /// Where, if somebody holds it.
    pub node: Option<String>,
    /// Its epoch.
    pub epoch: u64,
    /// Since when, in milliseconds since 1970 by the leader's wall clock.
    pub since: Option<u64>,
    /// The agent that runs it.
    pub agent: String,
    /// Its group, if it is in one.
    pub group: Option<String>,
    /// It does not say in time how it is, because its machine is stalled; how.
    #[serde(default)]
    pub slow: Option<String>,
    /// Failures by node.
    pub failures: std::collections::BTreeMap<String, u32>,
    /// Why it is where it is, in a sentence.
    pub why: Option<String>,
    /// It does not run because it shall not now: that is as it should be.
    #[serde(default)]
    pub rests: bool,
    /// The last move that somebody asked for, if it ended before it was done: the entry of the log that
    /// ended it, and why, in a sentence.
    #[serde(default)]
    pub move_ended: Option<(u64, String)>,
}

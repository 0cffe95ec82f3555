//! What goes into the pulse and what comes out.

use heart_model::{BootId, LogIndex, Moment, NodeId, SessionNumber, Term, Timing};

use crate::frame::{ClusterKey, Datagram};

/// A member of the cluster, as the pulse needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: NodeId,
    /// Whether the configuration file lets it vote: voters send their beats to everybody, others
    /// to the voters.
    pub voter: bool,
}

/// What a pulse is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node.
    pub me: NodeId,
    /// All nodes, this one too, in order of their numbers. A node's place is its *slot*.
    pub members: Vec<Member>,
    /// How many links there are.
    pub links: usize,
    /// How fast to react.
    pub timing: Timing,
    /// The cluster's key.
    pub key: ClusterKey,
    /// A digest of the configuration file.
    pub digest: u64,
}

/// What reaches the pulse.
#[derive(Debug)]
pub enum Event<'a> {
    /// The time asked for by [`Action::WakeAt`] has come.
    Wake,
    /// A datagram came in over a link. It is opened in place.
    Datagram {
        /// Over which link.
        link: usize,
        /// What.
        bytes: &'a mut [u8],
    },
    /// The core changed something that others should hear of soon.
    Poke,
}

/// What the pulse asks of the world.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send this over a link to every node that [`super::Pulse::sends_to`].
    Beat {
        /// Over which link.
        link: usize,
        /// What.
        datagram: Datagram,
    },
    /// Send this over all links to one node: it was passed on through us.
    Forward {
        /// To whom: a slot.
        to: usize,
        /// What.
        datagram: Datagram,
    },
    /// Hand this to the core: a piece of the stream of a node whose boot is known to speak now.
    Deliver {
        /// From whom.
        from: NodeId,
        /// In which life.
        boot: BootId,
        /// What.
        body: Datagram,
    },
    /// Tell the core that what is known of a node has changed.
    Sight(Sighting),
    /// The lease was renewed, or is over: the board has it.
    Lease,
    /// A quorum of voters stands behind this node again: whoever could lead may stand for election at once.
    Backed,
    /// Step again no later than this.
    WakeAt(Moment),
}

/// What is known of one node. Slots are places in [`Settings::members`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The node's slot.
    pub slot: usize,
    /// Heard within lost-after; `None` if it was never heard.
    pub heard: Option<bool>,
    /// It hears us, too.
    pub both_ways: bool,
    /// When we sent a beat of ours that this life of it has answered: the newest, when that was first told or as long as
    /// the core is in doubt ([`crate::board::Board::doubted`]).
    pub answered: Option<Moment>,
    /// The life in which it was heard last.
    pub boot: BootId,
    /// The session it said it is in.
    pub session: SessionNumber,
    /// What it tells of itself; see [`crate::board::flag`].
    pub flags: u64,
    /// It leads, with authority.
    pub leads: bool,
    /// Its term.
    pub term: Term,
    /// The leader it hears with authority.
    pub follows: Option<NodeId>,
    /// Term and place of its last log entry.
    pub log: (Term, LogIndex),
    /// The nodes it hears both ways: a set of slots.
    pub hears: u64,
    /// The links it is heard over: a set of places.
    pub links: u64,
    /// The digest of its configuration file.
    pub digest: u64,
    /// The history its log belongs to; zero while it has none.
    pub era: u64,
    /// How often it had to begin its log anew; zero while it has no identity.
    pub incarnation: u32,
}

/// How well a node is heard over one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkView {
    /// When the last beat came in over it.
    pub heard_at: Option<Moment>,
    /// How many beats came in over it in this life of ours.
    pub beats: u64,
}

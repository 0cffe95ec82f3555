//! The log, reduced to what decides who may go on, and what follows from it.

use crate::bounds::{Node, PLACES};

/// Where a configuration of voters begins: the term and the place of its entry.
pub type Configuration = (u8, u8);

/// A history that begins by force: which, and from which it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Forced {
    /// Its number.
    pub era: u8,
    /// The one it goes on from.
    pub parent: u8,
    /// Who goes on.
    pub node: u8,
    /// Under which incarnation.
    pub incarnation: u8,
    /// The last boot of each voter that is left out; zero for nobody.
    pub without: [u8; PLACES],
    /// Nothing is proven of those: the tie-break sided with this half.
    pub by_tie_break: bool,
    /// A person says that they are off.
    pub by_word: bool,
}

/// What an entry changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A leader begins.
    Elected(u8),
    /// Who votes, by incarnation; zero for who does not.
    Voters([u8; PLACES]),
    /// Every voter has durably applied this configuration.
    Settle(Configuration),
    /// This boot of this node takes part.
    Admit(u8, u8),
    /// The resource is this node's, in this boot; who held it is taken over.
    Grant(u8, u8),
    /// The first node may have this boot of the second one switched off.
    Right(u8, u8, u8),
    /// The attempt at this node is over; whether it is off.
    Fenced(u8, bool),
    /// The history goes on without some voters.
    Force(Forced),
}

/// An entry with the term of its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The term.
    pub term: u8,
    /// What it changes.
    pub change: Change,
}

/// What a log leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The history.
    pub era: u8,
    /// Those it went on from, one bit each.
    pub parents: u32,
    /// Those of them from which it went on by a person's word.
    pub overruled: u32,
    /// Who votes, by incarnation.
    pub voters: [u8; PLACES],
    /// Where that began.
    pub configuration: Configuration,
    /// The configuration that all know.
    pub settled: Option<Configuration>,
    /// The boot of each node that takes part; zero for none.
    pub session: [u8; PLACES],
    /// The last boot of each node that took part.
    pub last: [u8; PLACES],
    /// The boot of each node that is proven off; zero for none.
    pub off: [u8; PLACES],
    /// Who may have each node switched off: node and boot.
    pub right: [Option<(u8, u8)>; PLACES],
    /// Who has the resource: node and boot.
    pub grant: Option<(u8, u8)>,
    /// Whether nobody is taken in under an open right to fire (rule 12).
    pub bars_targets: bool,
    /// The boot of each node that was taken over while it held the resource, and may still run it; zero for none.
    pub until_gone: [u8; PLACES],
}

impl Ledger {
    /// How many votes are a majority.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.voters.iter().filter(|votes| **votes > 0).count() / 2 + 1
    }

    /// Who votes.
    pub fn voting(&self) -> impl Iterator<Item = Node> + '_ {
        (0..PLACES).filter(|&node| self.voters[node] > 0)
    }

    /// Whether everybody knows who votes.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled == Some(self.configuration)
    }

    /// Adds what the entry at this place, from 1, changes; what does not hold changes nothing.
    pub fn apply(&mut self, place: u8, entry: &Entry) {
        match entry.change {
            Change::Elected(_) => {}
            Change::Voters(voters) => (self.voters, self.configuration) = (voters, (entry.term, place)),
            Change::Settle(configuration) => self.settled = Some(configuration),
            Change::Admit(node, boot) => self.admit(usize::from(node), boot),
            Change::Grant(node, boot) => self.hand_over(node, boot),
            Change::Right(by, node, boot) => {
                let node = usize::from(node);
                if self.session[node] == 0 && self.right[node].is_none() && self.off[node] != boot {
                    self.right[node] = Some((by, self.session[usize::from(by)]));
                }
            }
            Change::Fenced(node, off) => {
                let node = usize::from(node);
                self.right[node] = None;
                if off {
                    self.is_off(node, self.last[node]);
                }
            }
            Change::Force(forced) => self.force(place, entry.term, &forced),
        }
    }

    fn admit(&mut self, node: Node, boot: u8) {
        if (self.right[node].is_some() && self.bars_targets) || self.off[node] == boot {
            return;
        }
        // A newer boot shows that what the last one held is over; in the same one everything was let go before (rule 8).
        if self.session[node] != boot {
            self.grant.take_if(|(holder, _)| usize::from(*holder) == node);
            self.until_gone[node] = 0;
        }
        (self.session[node], self.last[node], self.off[node]) = (boot, boot, 0);
    }

    fn hand_over(&mut self, node: u8, boot: u8) {
        if self.session[usize::from(node)] != boot {
            return;
        }
        if let Some((holder, held)) = self.grant.filter(|(holder, _)| *holder != node) {
            self.take_over(usize::from(holder), held);
            self.until_gone[usize::from(holder)] = held;
        }
        self.grant = Some((node, boot));
    }

    fn take_over(&mut self, node: Node, boot: u8) {
        if self.session[node] == boot {
            self.session[node] = 0;
        }
    }

    fn is_off(&mut self, node: Node, boot: u8) {
        self.off[node] = boot;
        if self.until_gone[node] == boot {
            self.until_gone[node] = 0;
        }
    }

    fn force(&mut self, place: u8, term: u8, forced: &Forced) {
        self.parents |= 1 << self.era;
        self.overruled |= u32::from(forced.by_word) << self.era;
        self.era = forced.era;
        self.voters = [0; PLACES];
        self.voters[usize::from(forced.node)] = forced.incarnation;
        self.configuration = (term, place);
        self.settled = Some(self.configuration);
        if forced.by_tie_break {
            return;
        }
        for (node, &boot) in forced.without.iter().enumerate().filter(|(_, boot)| **boot > 0) {
            if self.session[node] == boot {
                self.take_over(node, boot);
                self.grant.take_if(|(holder, _)| usize::from(*holder) == node);
            }
            self.right[node] = None;
            self.is_off(node, boot);
        }
    }
}

//! Names under which things are found.
//!
//! Every history names its resource, and there is one for each resource on each node: a tree of names would be
//! searched from its root each time. Here a name leads to its place by a number that is made of it. Nothing
//! depends on the order of these numbers: what is kept is only ever asked by name.

use alloc::{string::String, vec::Vec};

use super::arena::{Node, NodeIx};

/// Things by name.
#[derive(Clone, Debug)]
pub(crate) struct Names<T> {
    entries: Vec<(String, T)>,
    /// For each number, one more than the place of an entry; 0 where there is none. A power of two of them, and
    /// never more than half of them taken.
    places: Vec<u32>,
}

/// FNV-1a.
fn number_of(name: &str) -> usize {
    let mix = |number: u64, byte: u8| (number ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let number = name.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    (number ^ (number >> 32)) as usize
}

impl<T> Default for Names<T> {
    fn default() -> Names<T> {
        Names { entries: Vec::new(), places: alloc::vec![0; 16] }
    }
}

impl<T> Names<T> {
    /// What has this name.
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.place_of(name).map(|place| &self.entries[place].1)
    }

    fn place_of(&self, name: &str) -> Option<usize> {
        let last = self.places.len() - 1;
        let mut at = number_of(name) & last;
        // Bounded: at most half of the places are taken.
        loop {
            let place = self.places[at].checked_sub(1)? as usize;
            if self.entries[place].0 == name {
                return Some(place);
            }
            at = (at + 1) & last;
        }
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether anything has this name.
    pub(crate) fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Gives a name to something; what had it before has it no more.
    pub(crate) fn insert(&mut self, name: String, thing: T) {
        match self.place_of(&name) {
            Some(place) => self.entries[place].1 = thing,
            None => self.add(name, thing),
        }
    }

    fn add(&mut self, name: String, thing: T) {
        if (self.entries.len() + 1) * 2 > self.places.len() {
            self.places = alloc::vec![0; self.places.len() * 2];
            for place in 0..self.entries.len() {
                self.enter(place);
            }
        }
        self.entries.push((name, thing));
        self.enter(self.entries.len() - 1);
    }

    fn enter(&mut self, place: usize) {
        let last = self.places.len() - 1;
        let mut at = number_of(&self.entries[place].0) & last;
        // Bounded: at most half of the places are taken.
        while self.places[at] != 0 {
            at = (at + 1) & last;
        }
        self.places[at] = place as u32 + 1;
    }
}

/// Nodes by id and by name, capitals or not.
pub(crate) struct NodeNames {
    ids: Names<NodeIx>,
    names: Names<NodeIx>,
    count: usize,
}

impl NodeNames {
    /// All nodes; of several with the same name the first has it.
    pub(crate) fn of(nodes: &[Node]) -> NodeNames {
        let mut all = NodeNames { ids: Names::default(), names: Names::default(), count: nodes.len() };
        for (node, place) in nodes.iter().zip(0_u32..) {
            for (names, name) in [(&mut all.ids, &node.id), (&mut all.names, &node.name)] {
                let name = name.to_ascii_lowercase();
                if !names.contains_key(&name) {
                    names.add(name, NodeIx(place));
                }
            }
        }
        all
    }

    /// Whether nodes have come since.
    pub(crate) fn is_old(&self, nodes: &[Node]) -> bool {
        self.count != nodes.len()
    }

    /// The node with this id.
    pub(crate) fn with_id(&self, id: &str) -> Option<NodeIx> {
        self.ids.get(&id.to_ascii_lowercase()).copied()
    }

    /// The node with this name.
    pub(crate) fn named(&self, name: &str) -> Option<NodeIx> {
        self.names.get(&name.to_ascii_lowercase()).copied()
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn what_was_named_last_is_found() {
        let mut names = Names::default();
        for number in 0..1000_u32 {
            names.insert(format!("name-{}", number % 700), number);
        }
        for number in 0..1000_u32 {
            let found = names.get(&format!("name-{number}")).copied();
            let wanted =
                if number < 300 { Some(number + 700) } else { Some(number).filter(|number| *number < 700) };
            assert_eq!(found, wanted, "{number}");
        }
        assert!(!names.contains_key("name"));
    }
}

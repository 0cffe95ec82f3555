//! The network of the world: who reaches whom, how long it takes, and what gets lost.

use std::rc::Rc;

use heart_model::NodeId;
use heart_node::frame::Kind;

use crate::{World, world::Happening};

impl World {
    pub(crate) fn send(&mut self, node: usize, to: usize, via: Option<usize>, bytes: &[u8]) {
        let machine = &self.machines[node];
        let sealed = machine.sealer.seal(Kind::Stream, machine.board.next_frame(), bytes);
        let Some(via) = via else { return self.transmit_all(node, to, sealed.bytes()) };
        let target: NodeId = self.machines[self.by_slot[node][to]].id;
        let body = [&target.0.to_le_bytes(), sealed.bytes()].concat();
        let relayed = machine.sealer.seal(Kind::Relay, machine.board.next_frame(), &body);
        self.transmit_all(node, via, relayed.bytes());
    }

    pub(crate) fn transmit_all(&mut self, from: usize, slot: usize, bytes: &[u8]) {
        let to = self.by_slot[from][slot];
        let links = self.settings.spec.nodes[&self.machines[from].name].addresses.len();
        let bytes: Rc<[u8]> = bytes.into();
        (0..links).for_each(|link| self.transmit(from, to, link, &bytes));
    }

    pub(crate) fn transmit(&mut self, from: usize, to: usize, link: usize, bytes: &Rc<[u8]>) {
        if self.cut.contains(&(from, to)) || self.chance.happens(self.settings.loss) {
            return;
        }
        let copies = 1 + u64::from(self.chance.happens(self.settings.doubles));
        for _ in 0..copies {
            let mut wait = self.chance.between(self.settings.delay.0, self.settings.delay.1);
            if self.chance.happens(self.settings.late.0) {
                wait += self.chance.below(self.settings.late.1);
            }
            let held = self.held.get(&(from, to)).copied().unwrap_or_default();
            self.push(self.now.max(held) + wait, Happening::Datagram { to, link, bytes: Rc::clone(bytes) });
        }
    }
}

//! Files that say something else from now on.

use heart_model::{Guard, Timing};

use super::{Rough, resource};
use crate::{Fault, World, ms};

/// What may be guarded by something else from now on: mostly what a fence guards at first.
const REGUARDED: [&str; 4] = ["disk", "disk", "site", "cache"];

impl Rough<'_> {
    /// Other nodes vote from now on; each hears of it in its own time. Sometimes those that shall vote no longer do not,
    /// and with one that does they are cut off from the rest (rule 2).
    pub(super) fn configure(&mut self, world: &mut World) {
        let nodes = self.names.len();
        let sizes: Vec<usize> = [1, 3, 5, 7].into_iter().filter(|&size| size <= nodes).collect();
        let unawares = self.chance.happens(600);
        // Two must lag behind, and one must not, for two configurations to make a quorum of a third.
        let size = if unawares && nodes > 4 {
            nodes - 2
        } else {
            sizes[self.chance.below(sizes.len() as u64) as usize]
        };
        let mut voters: Vec<usize> = (0..nodes).collect();
        while voters.len() > size {
            voters.remove(self.chance.below(voters.len() as u64) as usize);
        }
        world.schedule(self.at, Fault::Configure { voters: voters.iter().copied().collect() });
        let others: Vec<usize> = (0..nodes).filter(|node| !voters.contains(node)).collect();
        if !others.is_empty() && self.chance.happens(300) {
            let gone = others[self.chance.below(others.len() as u64) as usize];
            // Who took a quorum out of the files would have to put it in again.
            let first = world.voters();
            // What a fence guards waits for a person if its node is not in the file.
            let is_left = first.iter().filter(|place| **place != gone).count() > first.len() / 2;
            if is_left && !world.changes_guards() {
                world.schedule(self.at, Fault::Forget(gone));
            }
        }
        if self.chance.happens(250) {
            // Shorter promises, while longer ones still run (rule 2).
            let before = world.timing();
            let timing = Timing {
                heartbeat: before.heartbeat / 2,
                lost_after: before.lost_after / 2,
                let_go: before.let_go / 2,
            };
            world.schedule(self.at, Fault::Retime(timing));
        }
        for node in 0..nodes {
            let wait =
                if unawares { self.chance.below(ms(50)) } else { self.chance.below(self.lost_after * 2) };
            world.schedule(self.at + wait, Fault::KillCore(node));
        }
        if unawares {
            let begin = self.at + ms(60) + self.chance.below(self.lost_after);
            for &node in &others {
                world.schedule(begin, Fault::StallCore { node, lasts: self.lost_after * 12 });
            }
            let cut = begin + self.chance.below(self.lost_after * 8);
            let side: Vec<usize> = others.iter().copied().chain(voters.last().copied()).collect();
            for from in 0..nodes {
                for to in (0..nodes).filter(|to| side.contains(&from) != side.contains(to)) {
                    world.schedule(cut, Fault::Cut { from, to });
                }
            }
            self.at = cut;
        }
        self.at += self.edge();
    }

    /// Something else guards a resource. Each machine hears of it in its own time; what runs goes on as it was started.
    /// Mostly somebody is cut off a little later, who may be the one that runs it.
    pub(super) fn reguard(&mut self, world: &mut World) {
        let name = REGUARDED[self.chance.below(REGUARDED.len() as u64) as usize];
        let guard = [Guard::Lease, Guard::Fence][self.chance.below(2) as usize];
        world.schedule(self.at, Fault::Guard { resource: resource(name), guard });
        for node in 0..self.names.len() {
            let wait = self.chance.below(self.lost_after);
            world.schedule(self.at + wait, Fault::KillCore(node));
            self.ends = self.ends.max(self.at + wait);
        }
        if self.chance.happens(700) {
            let (node, at) = (self.node(), self.at + self.lost_after * 2 + self.edge());
            let mended = at + self.lost_after * 2 + self.edge();
            self.cut_off(world, at, node);
            self.mend(world, mended, node);
            self.ends = self.ends.max(mended);
        }
    }
}

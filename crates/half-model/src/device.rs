//! What devices can do that were told to switch a node off.

use crate::{
    act::Act,
    bounds::{Node, Rule, Setup},
    world::{Order, World},
};

impl World {
    pub(crate) fn acts_of_devices(&self, setup: &Setup, node: Node, acts: &mut Vec<Act>) {
        let Some(order) = self.orders[node] else { return };
        let machine = &self.machines[node];
        let other = usize::from(order.node);
        let is_there = machine.on && machine.boot == order.by_boot;
        let waits = self.lets_go_first(setup, node, &order);
        if self.machines[other].on && !order.acted && !waits {
            acts.push(Act::DeviceActs(node));
        }
        if !is_there {
            return acts.push(Act::DeviceOver(node));
        }
        // What came of a right is said in the log, by the leader.
        let is_heard = !order.right || (machine.leads && usize::from(machine.commit) == machine.log.len());
        if !is_heard {
            return;
        }
        if !self.machines[other].on {
            acts.push(Act::ReadBack(node));
        } else {
            if self.left.lies > 0 && !self.is_known_to_lie(node, &order) {
                acts.push(Act::Lies(node));
            }
            // A device that waits for the other half proves nothing only when that has had its chance.
            if self.left.refusals > 0 && !waits {
                acts.push(Act::Refuses(node));
            }
        }
    }

    /// Whether the device is not told yet, because the other half goes first if it can.
    pub(crate) fn lets_go_first(&self, setup: &Setup, node: Node, order: &Order) -> bool {
        let may_wait = !order.right && !order.acted && setup.obeys(Rule::Hesitate);
        may_wait && self.goes_before(setup, order.turn, node)
    }

    /// Whether that boot is heard: then it is not off, whatever a device says.
    fn is_known_to_lie(&self, node: Node, order: &Order) -> bool {
        let other = usize::from(order.node);
        self.hears(node, other) && self.machines[other].boot == order.boot
    }
}

//! What switches other nodes off, what tries whether that could be done, and which rights may still be used.

use std::{
    cell::Cell,
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use heart_agents::{LeaseView, clock, fence::Fencing, lease, wait::Bell};
use heart_model::{FenceDevice, FenceOrder, FenceProof, FenceRight, NODES_MAX, NodeName};

use super::{
    attempts::Attempts,
    proofs::{Proofs, Turns},
    silence,
};

/// Nodes that are heard again, and in which attempt they are not to be switched off any more.
#[derive(Debug, Default)]
pub(super) struct Spared(Mutex<BTreeMap<NodeName, u32>>);

impl Spared {
    pub(super) fn note(&self, node: NodeName, attempt: u32) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= NODES_MAX {
            // Nodes that are no more.
            all.clear();
        }
        all.insert(node, attempt);
    }

    fn has(&self, order: &FenceOrder) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&order.node) == Some(&order.attempt)
    }
}

/// Attempts, proofs, and whom attempts spare.
pub(super) fn begin(
    fencing: Fencing,
    disks: Vec<FenceDevice>,
    lease: &Arc<dyn LeaseView>,
) -> io::Result<(Attempts, Proofs, Arc<Spared>)> {
    let (fencing, turns, spared) =
        (Arc::new(fencing), Arc::new(Turns::default()), Arc::new(Spared::default()));
    withdraw(&fencing, disks)?;
    let (proving, right, users) = (Arc::clone(&fencing), Arc::clone(lease), Arc::clone(&turns));
    let sparing = Arc::clone(&spared);
    let carry_out = move |order: &FenceOrder, cancel: &Bell| {
        let is_begun = Cell::new(false);
        let has_right = || match order.right {
            // First the lease, then whose it is: a session begins without one.
            FenceRight::Agreed => {
                let may = !lease::remaining(&*right).is_zero()
                    && right.session().is_none_or(|session| order.is_of(session));
                // What one device was told may come late: then the others are told as well, and read back.
                let spares = !is_begun.get() && sparing.has(order);
                is_begun.set(is_begun.get() || may && !spares);
                may && !spares
            }
            FenceRight::Half => !clock::remaining(right.half_until()).is_zero(),
        };
        let outcome = users.attempt(|| fencing.carry_out(order, cancel, &has_right));
        silence::compared(order, outcome, cancel)
    };
    let prove = move |proof: &FenceProof, cancel: &Bell| proving.prove(&proof.device, &proof.node, cancel);
    Ok((Attempts::new(Arc::new(carry_out))?, Proofs::new(Arc::new(prove), turns)?, spared))
}

/// Withdraws what an earlier executor has told other nodes over disks. Nothing waits for it.
fn withdraw(fencing: &Arc<Fencing>, disks: Vec<FenceDevice>) -> io::Result<()> {
    if disks.is_empty() {
        return Ok(());
    }
    let fencing = Arc::clone(fencing);
    let forget = move || {
        let Ok(cancel) = Bell::new() else { return };
        for device in disks {
            if let Err(why) = fencing.forget(&device, &cancel) {
                tracing::warn!("what this node told others over {} stands there: {why}", device.name());
            }
        }
    };
    thread::Builder::new().name("heart-forget".into()).spawn(forget).map(drop)
}

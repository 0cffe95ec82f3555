//! A node that is told over a disk that all nodes share to reset itself.
//!
//! What may be concluded from what stands there is for [`heart_disk::pill`] to say; here it is read and written, each
//! time on a thread that can be given up.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use heart_disk::{
    Area, Slot,
    pill::{Pill, Times, Verdict, is_at_work, named},
    records::{Beat, Messages},
};
use heart_model::{DISK_USE_MAX, FenceDevice, FenceOrder, Finding, Moment, NodeName, Power};

use super::pause;
use crate::{
    clock,
    disk::{Claim, Disk, bounded},
    wait::Bell,
};

/// How often the slot of a node is looked at that was told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often in a row a slot is looked at to see that its node is at work.
const LOOKS: u32 = 4;

/// The messages that this process has told and not withdrawn. What else stands in this node's block is of an executor
/// that is no more: nobody waits for it, and it must not hit a node long after its right was another's.
static TOLD: Mutex<BTreeSet<(PathBuf, u64)>> = Mutex::new(BTreeSet::new());

/// Who uses a disk.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) cluster: String,
    pub(super) me: NodeName,
}

/// A node that was told, and what came of it so far.
pub(super) struct Told<'a> {
    device: &'a FenceDevice,
    order: &'a FenceOrder,
    member: Member,
    cancel: &'a Bell,
    path: PathBuf,
    slot: Slot,
    number: u64,
    since: Moment,
    pill: Pill,
}

impl<'a> Told<'a> {
    /// Tells it; `has_right` is asked just before.
    pub(super) fn tell(
        device: &'a FenceDevice,
        order: &'a FenceOrder,
        member: &Member,
        cancel: &'a Bell,
        has_right: &dyn Fn() -> bool,
    ) -> Result<Told<'a>, String> {
        let wrong = |why: String| format!("{} could not be told over {}: {why}", order.node, device.name());
        let path = PathBuf::from(device.disk().ok_or_else(|| wrong("no disk is named".into()))?);
        let (slot, first) = look_up(&path, member, &order.node, cancel).map_err(wrong)?;
        if !has_right() {
            return Err(wrong("this node has no lease any more, and another may have the right".into()));
        }
        let boots = named(order.boot, &first);
        let number =
            write(&path, member, cancel, move |messages, _| messages.tell(slot, boots)).map_err(wrong)?;
        let times = Times { look_every: LOOK_EVERY, longest: device.timeout };
        let (pill, since) = (Pill::new(times, order.boot, first), clock::now());
        Ok(Told { device, order, member: member.clone(), cancel, path, slot, number, since, pill })
    }

    /// The device, for people.
    pub(super) fn name(&self) -> String {
        self.device.name()
    }

    /// Waits until it is off, or until that will not be proven.
    pub(super) fn read_back(mut self) -> Result<(), String> {
        let node = &self.order.node;
        // Bounded by the longest time that is waited for anything.
        let verdict = loop {
            let beat = read_beat(&self.path, &self.member, self.slot, self.cancel);
            match self.pill.look(clock::now().shortest_since(self.since), beat) {
                Verdict::Wait if self.cancel.is_rung() => {
                    break Err("may do so unseen: nobody waited for what came of it".to_owned());
                }
                Verdict::Wait => {
                    pause(LOOK_EVERY, self.cancel);
                }
                Verdict::Off => break Ok(()),
                Verdict::Unproven(why) => break Err(why),
            }
        };
        let left = self.withdraw();
        verdict.map_err(|why| {
            let name = self.name();
            format!("{node} was told over {name} to reset itself; it {why}{left}. `heart disk show` says what stands there")
        })
    }

    /// Takes the message back: it must not be read once somebody else decides about the node. What to add to a failure.
    pub(super) fn withdraw(&self) -> String {
        let number = self.number;
        // Also where nobody waits any more: a bell of its own.
        let cancel = Bell::new();
        let done = match &cancel {
            Ok(cancel) => write(&self.path, &self.member, cancel, move |messages, told| {
                messages.withdraw(number);
                told.remove(&number);
                Ok(number)
            }),
            Err(error) => Err(error.to_string()),
        };
        done.map_or_else(|why| format!("; the message stands there still ({why})"), |_| String::new())
    }
}

/// Finds the slot of a node, and what stands there.
fn look_up(path: &Path, member: &Member, node: &NodeName, cancel: &Bell) -> Result<(Slot, Beat), String> {
    let (disk, path, member, node) = (path, path.to_owned(), member.clone(), node.clone());
    bounded(disk, DISK_USE_MAX, cancel, move || {
        let (disk, _) = Disk::open_as(&path, &member.cluster, &member.me)?;
        let slot = disk.slot_of(&node)?;
        Ok((slot, disk.read::<Beat>(Area::Beats, slot)?.record))
    })
}

fn read_beat(path: &Path, member: &Member, slot: Slot, cancel: &Bell) -> Result<Beat, String> {
    let (disk, path, member) = (path, path.to_owned(), member.clone());
    bounded(disk, DISK_USE_MAX, cancel, move || {
        let (disk, _) = Disk::open_as(&path, &member.cluster, &member.me)?;
        Ok(disk.read::<Beat>(Area::Beats, slot)?.record)
    })
}

/// Changes what this node tells others, and drops what nobody here has told.
fn write(
    path: &Path,
    member: &Member,
    cancel: &Bell,
    change: impl FnOnce(&mut Messages, &mut BTreeSet<u64>) -> Result<u64, String> + Send + 'static,
) -> Result<u64, String> {
    let (disk, path, member) = (path, path.to_owned(), member.clone());
    bounded(disk, DISK_USE_MAX, cancel, move || {
        let (disk, me) = Disk::open_as(&path, &member.cluster, &member.me)?;
        let _claim = Claim::wait(&path, Area::Messages, me, DISK_USE_MAX)?;
        let mut stands = disk.read::<Messages>(Area::Messages, me)?;
        let mut told: BTreeSet<u64> = {
            let all = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().filter(|(of, _)| *of == path).map(|(_, number)| *number).collect()
        };
        let mut messages = stands.record.clone();
        messages.all.retain(|message| told.contains(&message.number));
        let number = change(&mut messages, &mut told)?;
        told.extend(messages.all.iter().map(|message| message.number));
        // Before it is written: a write that fails may have been done.
        {
            let mut all = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|(of, _)| *of != path);
            all.extend(told.into_iter().map(|number| (path.clone(), number)));
        }
        disk.write(Area::Messages, me, &mut stands, messages)?;
        Ok(number)
    })
}

/// Withdraws what an earlier executor of this node has told and nobody waits for any more.
pub(super) fn forget(path: &Path, member: &Member, cancel: &Bell) -> Result<(), String> {
    write(path, member, cancel, |messages, _| Ok(messages.newest)).map(|_| ())
}

/// Whether a node could be told, without telling it anything: it has a slot, reads, and has a watchdog that is armed.
pub(super) fn prove(device: &FenceDevice, member: &Member, node: &NodeName, cancel: &Bell) -> Finding {
    let Some(path) = device.disk() else { return Finding::Unusable("no disk is named".into()) };
    let (slot, before) = match look_up(path.as_ref(), member, node, cancel) {
        Ok(found) => found,
        Err(why) => return Finding::Unusable(why),
    };
    for _ in 0..LOOKS {
        pause(LOOK_EVERY, cancel);
        let now = match read_beat(path.as_ref(), member, slot, cancel) {
            Ok(now) => now,
            Err(why) => return Finding::Unusable(why),
        };
        if is_at_work(&before, &now) {
            return match now.pledge {
                Some(_) => Finding::Ready(Power::On),
                None => Finding::WithoutNode(format!(
                    "{node} reads {path}, but its watchdog is not armed, so nothing proves that it is off if it hangs; \
                     the log of {node} says why"
                )),
            };
        }
    }
    Finding::WithoutNode(format!(
        "{node} did not write its slot on {path} for {} s: it is off, or it does not reach the disk; see \
         `heart disk show {path}` and the log of {node}",
        LOOKS * LOOK_EVERY.as_secs() as u32
    ))
}

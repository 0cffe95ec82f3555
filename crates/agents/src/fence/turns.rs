//! Whose turn it is to use a device: many let only one in at a time, and refuse the next one until that has left.
//!
//! Two attempts at nodes with outlets of one device would disturb each other, and one of them had to be made again. A
//! turn is waited for, but not for long: one that hangs must not keep another node from being switched off, so after a
//! quarter of the time that is left a device is used all the same. The rest has to do for a device that lets several in.

use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use heart_model::{FenceAgent, FenceDevice};

use crate::wait::Bell;

/// How often somebody who waits looks whether that is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What plug-ins are told beside which device it is: of which nodes.
const OF_PLUG_INS: [&str; 2] = ["hostlist", "hostname"];

/// The devices that are in use.
#[derive(Debug, Default)]
pub(super) struct Turns {
    in_use: Mutex<BTreeSet<String>>,
    left: Condvar,
}

/// The turn at one device; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    device: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.in_use().remove(&self.device);
        self.turns.left.notify_all();
    }
}

impl Turns {
    /// Waits until nobody else uses the device, for no longer than `most`, and no longer than it is wanted; then none.
    pub(super) fn take(&self, device: &FenceDevice, most: Duration, cancel: &Bell) -> Option<Turn<'_>> {
        let (device, end) = (which(device), Instant::now() + most);
        let mut in_use = self.in_use();
        while in_use.contains(&device) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || cancel.is_rung() {
                return None;
            }
            let waited = self.left.wait_timeout(in_use, left.min(LOOK_EVERY));
            in_use = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        in_use.insert(device.clone());
        drop(in_use);
        Some(Turn { turns: self, device })
    }

    fn in_use(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // One change at a time, which can be made whole or not at all.
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A device, whatever its outlet: the agent, and what that is told of where it is and how it lets us in.
fn which(device: &FenceDevice) -> String {
    let of_outlet = |name: &str| match device.agent {
        FenceAgent::External(_) => OF_PLUG_INS.contains(&name),
        FenceAgent::Program(_) | FenceAgent::Watchdog | FenceAgent::Disk => {
            FenceDevice::OUTLET.contains(&name)
        }
    };
    let told = device.parameters.iter().filter(|(name, _)| !of_outlet(name));
    told.fold(device.agent.to_string(), |all, (name, value)| all + &format!("\n{name}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::Value;

    fn device(agent: &str, told: &[(&str, &str)]) -> FenceDevice {
        FenceDevice {
            agent: FenceAgent::parse(agent).unwrap(),
            parameters: told
                .iter()
                .map(|(name, text)| ((*name).into(), Value::Text((*text).into())))
                .collect(),
            delay: Duration::ZERO,
            timeout: Duration::from_secs(20),
            timeout_is_least: false,
        }
    }

    #[test]
    fn outlets_of_one_device_take_turns() {
        let (turns, cancel) = (Turns::default(), Bell::new().unwrap());
        let take = |agent: &str, told: &[(&str, &str)]| {
            turns.take(&device(agent, told), Duration::from_millis(1), &cancel)
        };
        let first = take("fence_apc", &[("ip", "10.0.0.9"), ("plug", "1")]);
        assert!(first.is_some());
        assert!(take("fence_apc", &[("ip", "10.0.0.9"), ("plug", "2")]).is_none());
        assert!(take("fence_apc", &[("ip", "10.0.0.8"), ("plug", "2")]).is_some(), "another device");
        assert!(take("fence_apc_snmp", &[("ip", "10.0.0.9"), ("plug", "2")]).is_some(), "another way to it");
        drop(first);
        assert!(take("fence_apc", &[("ip", "10.0.0.9"), ("plug", "2")]).is_some());

        let plug_in = take("external/rackpdu", &[("pduip", "10.0.0.9"), ("hostlist", "ada")]);
        assert!(plug_in.is_some());
        assert!(take("external/rackpdu", &[("pduip", "10.0.0.9"), ("hostlist", "bob")]).is_none());
    }

    #[test]
    fn nobody_waits_for_what_is_not_wanted_any_more() {
        let (turns, cancel) = (Turns::default(), Bell::new().unwrap());
        let switch = device("fence_apc", &[]);
        let _first = turns.take(&switch, Duration::ZERO, &cancel).unwrap();
        cancel.ring();
        assert!(turns.take(&switch, Duration::from_secs(600), &cancel).is_none());
    }
}

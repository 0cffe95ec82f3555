//! Nodes that are told over a disk to reset themselves.

use heart_model::{FenceAgent, FenceDevice, NodeName, NodeSpec, Timing};
use std::collections::BTreeMap;

use super::{fence, missing_key, tie_break};
use crate::{
    Code, Mistake, Span,
    draft::{Draft, NodeDraft},
    tree::{Kind, Table, cut},
};

/// What a device of this kind can be told.
const KEYS: [&str; 3] = ["agent", "delay", FenceDevice::DISK];

/// Checks all devices that are disks, and fills in how long they take.
pub(super) fn fences(
    draft: &Draft,
    timing: &Timing,
    nodes: &mut BTreeMap<NodeName, NodeSpec>,
    mistakes: &mut Vec<Mistake>,
) {
    for node in &draft.nodes {
        for (table, at) in disks(node) {
            device(table, at, mistakes);
            watched(node, at, mistakes);
        }
    }
    let devices = nodes.values_mut().flat_map(|node| node.fence.iter_mut().flatten());
    for device in devices.filter(|device| device.agent == FenceAgent::Disk) {
        (device.timeout, device.timeout_is_least) = (timing.disk_fence(), true);
    }
}

/// The tables that say `agent = "disk"`.
fn disks(node: &NodeDraft) -> Vec<(&Table, Span)> {
    let is_disk = |table: &Table| {
        table
            .get("agent")
            .is_some_and(|entry| matches!(&entry.value.kind, Kind::Text(text) if text == "disk"))
    };
    // What is no table was reported where devices are read.
    let shape = node.fence.as_ref().map(|value| fence::shape(value, &mut Vec::new())).unwrap_or_default();
    shape.into_iter().flatten().filter(|(table, _)| is_disk(table)).collect()
}

fn device(table: &Table, at: Span, mistakes: &mut Vec<Mistake>) {
    for entry in table.entries.iter().filter(|entry| !KEYS.contains(&entry.key.as_str())) {
        let key = cut(&entry.key, 40);
        let hint = if entry.key == "timeout" {
            "how long it takes follows from `lost_after`: remove it".into()
        } else {
            format!("a disk takes `{}` and `delay`: remove it", FenceDevice::DISK)
        };
        mistakes.push(
            Mistake::at(Code::UnknownKey, entry.key_span, format!("`{key}` is not for a disk"))
                .label("means nothing here")
                .hint(hint),
        );
    }
    match table.get(FenceDevice::DISK).map(|entry| &entry.value) {
        None => {
            let way_out = format!("say which disk: {}", tie_break::DEVICE);
            mistakes.push(missing_key(FenceDevice::DISK, "fence", at, &way_out));
        }
        Some(value) => match &value.kind {
            Kind::Text(path) if tie_break::is_device(path) => {}
            Kind::Text(path) => mistakes.push(
                Mistake::at(
                    Code::InvalidPlace,
                    value.span,
                    format!("`{}` is no device file of a disk", cut(path, 60)),
                )
                .label("cannot be opened like this")
                .hint(tie_break::DEVICE),
            ),
            _ => mistakes.push(
                Mistake::at(Code::WrongType, value.span, "`device` is the path of a disk")
                    .label("no text")
                    .hint(tie_break::DEVICE),
            ),
        },
    }
}

/// A node that hangs does not read the disk either: only its watchdog proves that it is off then.
fn watched(node: &NodeDraft, at: Span, mistakes: &mut Vec<Mistake>) {
    let name = cut(&node.name.value, 40);
    if !node.never_paused.as_ref().is_some_and(|said| said.value) {
        mistakes.push(
            Mistake::at(Code::MayBePaused, at, format!("`{name}` may be paused, and does not read the disk meanwhile"))
                .label("proves nothing of a machine that may be paused")
                .hint(format!(
                    "a guest that its host pauses neither reads that it is to reset itself nor is reset by its watchdog. \
                     If `{name}` is a machine of its own, which is never paused, moved while it runs or put to sleep, \
                     write `never_paused = true` into `[node.{name}]`; have the hypervisor switch off a guest"
                )),
        );
    }
    if node.present.iter().any(|key| key == "watchdog") {
        return;
    }
    mistakes.push(
        Mistake::at(Code::NoWatchdog, at, format!("a disk cannot switch `{name}` off without a watchdog there"))
            .label("proves nothing of a node that hangs")
            .hint(format!(
                "a node that hangs, or is cut off from the disk, is reset by its watchdog and by nothing else: write \
                 `watchdog = \"/dev/watchdog0\"` into `[node.{name}]`"
            )),
    );
}

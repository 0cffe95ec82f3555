//! What resets a node on which Heart does not get on, and what others may conclude from that.

use std::collections::BTreeMap;

use heart_model::{Duration, FenceAgent, FenceDevice, Timing};

use super::fence;
use crate::{
    Code, Environment, Mistake, Span,
    draft::NodeDraft,
    tree::{Table, cut},
};

/// The device file of a node's watchdog, and whether somebody answers for it that the node is never paused.
pub(super) fn of(
    node: &NodeDraft,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) -> (Option<String>, bool) {
    let never_paused = node.never_paused.as_ref().filter(|said| said.value);
    if let Some(said) = never_paused
        && environment.guest().as_deref() == Some(node.name.value.as_str())
    {
        let name = cut(&node.name.value, 40);
        mistakes.push(
            Mistake::at(Code::PausedGuest, said.span, format!("`{name}` is a guest of a hypervisor"))
                .label("it is paused as soon as its host says so, and its watchdog with it")
                .hint(
                    "a guest that was paused, moved or restored goes on after others have started what it ran. Have the \
                     hypervisor switch it off (`fence`) and remove this; or see to it that its host never does any of that",
                ),
        );
    }
    (device(node, mistakes), never_paused.is_some())
}

/// The device of one node. Whether it is there only that node can tell, when it starts.
fn device(node: &NodeDraft, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let written = node.watchdog.as_ref()?;
    let path = written.value.as_str();
    let shown = cut(path, 60);
    if !path.starts_with('/') {
        mistakes.push(
            Mistake::at(Code::RelativePath, written.span, format!("`{shown}` is no whole path"))
                .label("does not begin with `/`")
                .hint("write the device file from the root on: `watchdog = \"/dev/watchdog0\"`"),
        );
        return None;
    }
    if path.contains(char::is_control) {
        mistakes.push(
            Mistake::at(Code::InvalidText, written.span, "`watchdog` has a control character in it")
                .label("an invisible character")
                .hint("write it anew without it"),
        );
        return None;
    }
    Some(path.into())
}

/// Whether others may count on a node's watchdog, if the file says that they do.
pub(super) fn judge(node: &NodeDraft, levels: &[Vec<(&Table, Span)>], mistakes: &mut Vec<Mistake>) {
    let name = cut(&node.name.value, 40);
    let mut places = Vec::new();
    for level in levels {
        let Some((_, at)) = level.iter().find(|(table, _)| fence::is_watchdog(table)) else { continue };
        places.push(*at);
        if level.len() > 1 {
            mistakes.push(
                Mistake::at(Code::WatchdogInLevel, *at, "a watchdog is a level of its own")
                    .label("nobody tells it, so it cannot be used together with others")
                    .hint(
                        "`fence = [[ONE, OTHER], { agent = \"watchdog\" }]` waits for the watchdog when the devices have \
                         failed",
                    ),
            );
        }
    }
    let Some(&at) = places.first() else { return };
    if node.watchdog.is_none() && !node.present.iter().any(|key| key == "watchdog") {
        mistakes.push(
            Mistake::at(Code::NoWatchdog, at, format!("`{name}` has no watchdog that could reset it"))
                .label("counts on a watchdog")
                .hint(format!("write `watchdog = \"/dev/watchdog0\"` into `[node.{name}]`")),
        );
    }
    if !node.never_paused.as_ref().is_some_and(|said| said.value) {
        mistakes.push(
            Mistake::at(Code::MayBePaused, at, format!("`{name}` may be paused, and its watchdog with it"))
                .label("proves nothing of a machine that may be paused")
                .hint(format!(
                    "nobody tells a watchdog anything: a node that is cut off lets go or is reset by it, and others start \
                     what it ran when that must have happened. A guest that its host pauses does neither. If `{name}` is a \
                     machine of its own, which is never paused, moved while it runs or put to sleep, write \
                     `never_paused = true` into `[node.{name}]`; have the hypervisor switch off a guest"
                )),
        );
    }
}

/// A node's own watchdog, as what fences it. How long is waited for it follows from the timing.
pub(super) fn as_fence(table: &Table, timing: &Timing, mistakes: &mut Vec<Mistake>) -> FenceDevice {
    for entry in table.entries.iter().filter(|entry| entry.key != "agent") {
        let key = cut(&entry.key, 40);
        let hint = match entry.key.as_str() {
            "delay" | "timeout" => format!(
                "remove it: how long is waited follows from `lost_after`, and is {} s here",
                timing.self_fence().as_secs()
            ),
            _ => "remove it: nobody tells a watchdog anything".into(),
        };
        mistakes.push(
            Mistake::at(Code::UnknownKey, entry.key_span, format!("a watchdog has no `{key}`"))
                .label("is not for the file to say")
                .hint(hint),
        );
    }
    FenceDevice {
        agent: FenceAgent::Watchdog,
        parameters: BTreeMap::new(),
        delay: Duration::ZERO,
        timeout: timing.self_fence(),
        timeout_is_least: false,
    }
}

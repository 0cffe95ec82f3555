//! What a node found of the devices by which it could switch others off.

use heart_node::core::{DeviceView, StatusView};

use super::{
    Look,
    text::{Tone, plain, span, table},
};

/// Most devices that are shown, unless all are asked for; those that are of no use come first.
const DEVICES_SHOWN_MAX: usize = 30;

/// The devices of one node, or of all, as rows; how many were left out unless `all`.
pub(super) fn rows(view: &StatusView, all: bool, look: &Look) -> (String, usize) {
    let mut shown: Vec<(&String, &DeviceView)> =
        view.nodes.iter().flat_map(|(name, node)| node.devices.iter().map(move |one| (name, one))).collect();
    let mut left_out = 0;
    if !all && shown.len() > DEVICES_SHOWN_MAX {
        left_out = shown.len() - DEVICES_SHOWN_MAX;
        shown.sort_by_key(|(_, one)| one.message.is_none());
        shown.truncate(DEVICES_SHOWN_MAX);
    }
    let has_levels = shown.iter().any(|(_, one)| one.level > 1);
    let row = |(name, one): (&String, &DeviceView)| {
        let level = if has_levels { format!("level {}", one.level) } else { String::new() };
        let (tone, state) = state(one, look);
        vec![
            (Tone::Normal, plain(name)),
            (Tone::Normal, plain(&one.device)),
            (Tone::Normal, level),
            (tone, state),
        ]
    };
    (table(look, &shown.into_iter().map(row).collect::<Vec<_>>()), left_out)
}

/// What a test of these found, whatever else is configured.
pub(crate) fn devices(view: &StatusView, look: &Look) -> String {
    rows(view, true, look).0
}

fn state(one: &DeviceView, look: &Look) -> (Tone, String) {
    let since = |at: u64| span(look.now_ms.saturating_sub(at) / 1000);
    let ago = |at: Option<u64>| at.map_or_else(String::new, |at| format!(" {} ago", since(at)));
    let lasts = one.failing_since.map_or_else(String::new, |at| format!(" for {}", since(at)));
    let (tone, mut text) = match one.state.as_str() {
        "untried" => (Tone::Faint, "not tried yet".to_owned()),
        "unusable" => (Tone::Bad, format!("not usable{lasts}")),
        "without_node" => (Tone::Bad, format!("does not know the node{lasts}")),
        "wrong" => (Tone::Bad, format!("says off{lasts}, and the node is heard")),
        state => (Tone::Good, format!("proven{}: {}", ago(one.tried), plain(state))),
    };
    if tone == Tone::Bad || one.state == "untried" {
        text +=
            &one.proven.map_or_else(String::new, |at| format!(", proven{} for the last time", ago(Some(at))));
    }
    if one.asked {
        text += ", is being tried";
    }
    (tone, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_node::core::NodeView;

    const NOW: u64 = 1_772_716_522_120;
    const MINUTES: u64 = 60_000;

    #[test]
    fn what_switches_nodes_off_is_shown_with_when_it_was_proven() {
        let look = Look { now_ms: NOW, width: 80, color: false, zone: |_| 3600 };
        let one = |device: &str, state: &str, minutes: u64| DeviceView {
            device: device.into(),
            level: 1,
            state: state.into(),
            proven: Some(NOW - minutes * MINUTES),
            tried: Some(NOW - minutes * MINUTES),
            ..DeviceView::default()
        };
        let why = "ada could not switch cyn off: fence_apc (outlet 3) was asked how cyn is, and answered `no route`";
        let failing = DeviceView {
            tried: Some(NOW - MINUTES),
            failing_since: Some(NOW - 3 * MINUTES),
            message: Some(why.into()),
            ..one("fence_apc (outlet 3)", "unusable", 120)
        };
        let wrong = DeviceView { level: 2, proven: None, asked: true, ..failing.clone() };
        let wrong = DeviceView { state: "wrong".into(), ..wrong };
        let untried = DeviceView { tried: None, level: 2, ..one("fence_ipmilan", "untried", 47) };
        let never = DeviceView { proven: None, ..untried.clone() };
        let has = |devices| NodeView { devices, ..NodeView::default() };
        let cyn = vec![failing, wrong, untried, never];
        let nodes =
            [("bob".into(), has(vec![one("fence_ipmilan", "on", 12)])), ("cyn".into(), has(cyn))].into();
        let view = StatusView { nodes, ..StatusView::default() };
        assert_eq!(
            devices(&view, &look),
            "  bob  fence_ipmilan         level 1  proven 12 min ago: on
  cyn  fence_apc (outlet 3)  level 1  not usable for 3 min, proven 2 h ago for the last time
  cyn  fence_apc (outlet 3)  level 2  says off for 3 min, and the node is heard, is being tried
  cyn  fence_ipmilan         level 2  not tried yet, proven 47 min ago for the last time
  cyn  fence_ipmilan         level 2  not tried yet
",
        );
    }
}

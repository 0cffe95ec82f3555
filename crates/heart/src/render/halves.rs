//! What an even number of voters comes to: which half goes on when they part, or when one dies.
//!
//! With an odd number there are no two halves, and nothing is said.

use heart_model::{Duration, FenceDevice, NodeSpec, Spec};
use heart_node::half::Turn;

use super::{
    Look,
    text::{Tone, list, paint, paragraph},
};

/// What decides between two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decides {
    Devices,
    TieBreak,
    Both,
    Neither,
}

/// How the two halves are spoken of.
struct Words {
    head: String,
    dies: &'static str,
    one: &'static str,
    other: &'static str,
    lost: &'static str,
    names: &'static str,
}

impl Words {
    fn of(voters: usize) -> Words {
        match voters {
            2 => Words {
                head: "If one of the two voters is lost".into(),
                dies: "one dies",
                one: "the one",
                other: "the other one",
                lost: "the lost one",
                names: "NODE",
            },
            _ => Words {
                head: format!("If {} of the {voters} voters are lost", voters / 2),
                dies: "one half dies",
                one: "the half",
                other: "the other half",
                lost: "the lost half",
                names: "NODE,NODE",
            },
        }
    }
}

/// Which of the four it is, and what that means.
pub(super) fn halves(spec: &Spec, look: &Look) -> String {
    let voters = spec.voters().count();
    if voters == 0 || !voters.is_multiple_of(2) {
        return String::new();
    }
    let words = Words::of(voters);
    let without: Vec<String> = spec
        .nodes
        .iter()
        .filter(|(_, node)| node.voter && !is_proven_off(node))
        .map(|(name, _)| name.to_string())
        .collect();
    let decides = match (without.is_empty(), spec.tie_break.is_some()) {
        (true, false) => Decides::Devices,
        (false, true) => Decides::TieBreak,
        (true, true) => Decides::Both,
        (false, false) => Decides::Neither,
    };
    let title = match decides {
        Decides::Devices => "devices for all, no tie-break".into(),
        Decides::TieBreak => "a tie-break, and not a device for each".into(),
        Decides::Both => "devices for all and a tie-break, which decides".into(),
        Decides::Neither if without.len() == voters => "neither devices nor a tie-break".into(),
        Decides::Neither => format!("no tie-break, and no device that proves {} off", list(&without)),
    };
    let (part, dies) = meaning(decides, spec, &words);
    let head = format!("{}: {title}", words.head);
    let mut out = format!("\n{}\n", paint(look, Tone::Head, &head));
    out += &paragraph(look, 2, Tone::Normal, &format!("they part: {part}"));
    out += &paragraph(look, 2, Tone::Normal, &format!("{}: {dies}", words.dies));
    if decides == Decides::Devices && !is_delayed(spec) {
        out += &paragraph(look, 2, Tone::Faint, &slow_devices(spec, &words));
    }
    out
}

/// What it means when the two halves part, and when one of them dies.
fn meaning(decides: Decides, spec: &Spec, words: &Words) -> (String, String) {
    let Words { one, other, lost, names, .. } = words;
    let command = format!("`heart takeover --peers-are-off {names}`");
    match decides {
        Decides::Devices => (
            format!(
                "{one} that runs more has {other} switched off at once, and goes on; {other} gives it {} for that",
                seconds(Turn::Second.hesitation(spec.timing.lost_after).as_millis())
            ),
            format!(
                "{one} that is left goes on once devices prove {lost} off; if they cannot, once a person says so: \
                 {command}"
            ),
        ),
        Decides::TieBreak => (
            format!("{one} that reaches the tie-break first goes on, and {other} lets go of what a lease guards"),
            format!(
                "{one} that is left goes on by the tie-break; if that is not reached, once a person says that {lost} \
                 is off: {command}"
            ),
        ),
        Decides::Both => (
            format!(
                "{one} that reaches the tie-break first goes on, and has {other} switched off where something waits \
                 for a fence"
            ),
            format!(
                "{one} that is left goes on by the tie-break. If that is not reached, it is no help that devices prove \
                 {lost} off, which may have gone on by the tie-break before: a person has to say so, {command}"
            ),
        ),
        Decides::Neither => (
            "neither goes on: both let go of what a lease guards, and what waits for a fence runs on where it runs"
                .into(),
            format!(
                "{one} that is left cannot tell that from a cut, and does the same until a person says that {lost} is \
                 off: {command}"
            ),
        ),
    }
}

/// A device that takes longer than the other half waits.
fn slow_devices(spec: &Spec, words: &Words) -> String {
    let [least, most] = [Turn::Second, Turn::Last].map(|turn| turn.hesitation(spec.timing.lost_after));
    let Words { one, other, .. } = words;
    format!(
        "note: if a device takes longer than {}, both may be off after they part. For such devices, give those that \
         switch off {one} that should win a `delay`: {} more than those of {other} take",
        seconds(least.as_millis()),
        seconds(most.as_millis())
    )
}

/// Whether one voter is switched off later than another one, by what the file says.
fn is_delayed(spec: &Spec) -> bool {
    let of = |node: &NodeSpec| -> Duration { node.fence.iter().flatten().map(|device| device.delay).sum() };
    let mut delays = spec.nodes.values().filter(|node| node.voter).map(of);
    let first = delays.next();
    delays.any(|delay| Some(delay) != first)
}

fn is_proven_off(node: &NodeSpec) -> bool {
    node.fence.iter().any(|level| FenceDevice::prove_off(level))
}

/// `2.6 s`.
fn seconds(milliseconds: u128) -> String {
    let (whole, tenths) = (milliseconds / 1000, milliseconds % 1000 / 100);
    if tenths == 0 { format!("{whole} s") } else { format!("{whole}.{tenths} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { now_ms: 0, width: usize::MAX, color: false, zone: |_| 0 };

    /// What is said of these nodes; each has the device that stands behind its name.
    #[track_caller]
    fn check(nodes: &[(&str, &str)], beside: &str, expected: &str) {
        let mut text = format!("[cluster]\nname = \"web\"\n{beside}\n");
        for (number, (name, fence)) in nodes.iter().enumerate() {
            text += &format!("[node.{name}]\naddresses = [\"10.0.0.{}\"]\nvoter = true\n", number + 1);
            if !fence.is_empty() {
                text += &format!("fence = {{ agent = \"fence_apc\", plug = {}{fence} }}\n", number + 1);
            }
        }
        let spec = heart_config::read("heart.toml", text.as_bytes(), &heart_config::NoEnvironment);
        let spec = spec.unwrap_or_else(|report| panic!("{}", report.render_text(false))).spec;
        let said = halves(&spec, &LOOK);
        assert!(said == expected, "said:\n{said}\nexpected:\n{expected}");
    }

    const DEVICE: &str = " ";
    const TIE_BREAK: &str = "[tie_break]\nwitness = \"10.9.0.1:6940\"";

    #[test]
    fn an_odd_number_has_no_halves() {
        check(&[("ada", "")], "", "");
        check(&[("ada", DEVICE), ("bob", DEVICE), ("cyn", "")], "", "");
    }

    #[test]
    fn halves_with_devices() {
        let lines = "
If one of the two voters is lost: devices for all, no tie-break
  they part: the one that runs more has the other one switched off at once, and goes on; the other one gives it 2.6 s for that
  one dies: the one that is left goes on once devices prove the lost one off; if they cannot, once a person says so: `heart takeover --peers-are-off NODE`
";
        let note = "  note: if a device takes longer than 2.6 s, both may be off after they part. For such devices, give those that switch off the one that should win a `delay`: 3.8 s more than those of the other one take\n";
        check(&[("ada", DEVICE), ("bob", DEVICE)], "", &[lines, note].concat());
        check(&[("ada", ", delay = \"20s\""), ("bob", DEVICE)], "", lines);
        let both = [("ada", ", delay = \"20s\""), ("bob", ", delay = \"20s\"")];
        check(&both, "", &[lines, note].concat());
        check(
            &[("ada", DEVICE), ("bob", DEVICE), ("cyn", DEVICE), ("dan", ", delay = \"20s\"")],
            "",
            "
If 2 of the 4 voters are lost: devices for all, no tie-break
  they part: the half that runs more has the other half switched off at once, and goes on; the other half gives it 2.6 s for that
  one half dies: the half that is left goes on once devices prove the lost half off; if they cannot, once a person says so: `heart takeover --peers-are-off NODE,NODE`
",
        );
    }

    #[test]
    fn halves_with_a_tie_break() {
        let expected = "
If one of the two voters is lost: a tie-break, and not a device for each
  they part: the one that reaches the tie-break first goes on, and the other one lets go of what a lease guards
  one dies: the one that is left goes on by the tie-break; if that is not reached, once a person says that the lost one is off: `heart takeover --peers-are-off NODE`
";
        check(&[("ada", ""), ("bob", "")], TIE_BREAK, expected);
        check(&[("ada", DEVICE), ("bob", "")], TIE_BREAK, expected);
    }

    #[test]
    fn halves_with_both() {
        check(
            &[("ada", DEVICE), ("bob", DEVICE)],
            TIE_BREAK,
            "
If one of the two voters is lost: devices for all and a tie-break, which decides
  they part: the one that reaches the tie-break first goes on, and has the other one switched off where something waits for a fence
  one dies: the one that is left goes on by the tie-break. If that is not reached, it is no help that devices prove the lost one off, which may have gone on by the tie-break before: a person has to say so, `heart takeover --peers-are-off NODE`
",
        );
    }

    #[test]
    fn halves_with_neither() {
        let lines = "
  they part: neither goes on: both let go of what a lease guards, and what waits for a fence runs on where it runs
  one dies: the one that is left cannot tell that from a cut, and does the same until a person says that the lost one is off: `heart takeover --peers-are-off NODE`
";
        let head = "\nIf one of the two voters is lost: ";
        check(&[("ada", ""), ("bob", "")], "", &[head, "neither devices nor a tie-break", lines].concat());
        let but = "no tie-break, and no device that proves bob off";
        check(&[("ada", DEVICE), ("bob", "")], "", &[head, but, lines].concat());
    }
}

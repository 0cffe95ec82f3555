//! What resets a node on which Heart does not get on: the file of its watchdog.

use crate::{Code, Mistake, draft::NodeDraft, tree::cut};

/// The device of one node. Whether it is there only that node can tell, when it starts.
pub(super) fn device(node: &NodeDraft, mistakes: &mut Vec<Mistake>) -> Option<String> {
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

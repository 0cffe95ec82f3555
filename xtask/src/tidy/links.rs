//! Every link in a document leads somewhere.

use std::path::{Component, Path, PathBuf};

use super::File;

pub(crate) fn check(file: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for target in targets(line) {
            let path = target.split('#').next().unwrap_or_default();
            let is_ours = !path.is_empty() && !path.contains(':');
            if is_ours && !exists(&from_root(&file.path, path)) {
                complaints.push(format!("{}:{}: `{target}` leads nowhere", file.path, number + 1));
            }
        }
    }
    complaints
}

/// What stands in the parentheses of `[text](target)`.
fn targets(line: &str) -> Vec<&str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.trim())
        .collect()
}

/// A path as seen from `file`, from the root of the repository.
fn from_root(file: &str, link: &str) -> String {
    let mut path = PathBuf::new();
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    for part in folder.join(link).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_from_its_own_folder() {
        let text = "see [a](../b.md#part) and [c](d.md), [web](https://example.org), [here](#x)";
        let file = File { path: "docs/a.md".into(), text: text.into() };
        assert!(check(&file, |path| ["b.md", "docs/d.md"].contains(&path)).is_empty());
        assert_eq!(check(&file, |path| path == "b.md"), ["docs/a.md:1: `d.md` leads nowhere"]);
    }
}

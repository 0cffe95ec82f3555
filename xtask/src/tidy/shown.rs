//! A test that a document names is there.

use super::File;

/// The document in which tests are named.
const DOCUMENT: &str = "docs/failure-modes.md";
/// Words of this many parts or more are names of tests.
const PARTS_MIN: usize = 4;

pub(crate) fn check(files: &[File]) -> Vec<String> {
    let Some(document) = files.iter().find(|file| file.path == DOCUMENT) else { return Vec::new() };
    let mut complaints = Vec::new();
    for (number, line) in document.text.lines().enumerate() {
        let quoted = line.split('`').skip(1).step_by(2);
        for name in quoted.filter(|word| is_test(word)) {
            let wanted = format!("fn {name}(");
            if !files.iter().any(|file| file.is_rust() && file.text.contains(&wanted)) {
                complaints.push(format!("{DOCUMENT}:{}: there is no test `{name}`", number + 1));
            }
        }
    }
    complaints
}

fn is_test(word: &str) -> bool {
    let of_names = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    word.bytes().all(of_names) && word.split('_').count() >= PARTS_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_there() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files = [
            file(DOCUMENT, "| a | `an_owner_that_is_lost`, `nobody_is_ever_told` with `delay` |"),
            file("a.rs", "#[test]\nfn an_owner_that_is_lost() {}"),
        ];
        assert_eq!(check(&files), ["docs/failure-modes.md:1: there is no test `nobody_is_ever_told`"]);
    }
}

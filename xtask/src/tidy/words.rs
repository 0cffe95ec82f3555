//! Words that must not be in the repository: unfinished business, and names of some machine.

use super::File;

/// Written apart, so that this file does not contain them.
const UNFINISHED: [(&str, &str); 5] =
    [("TO", "DO"), ("FIX", "ME"), ("todo", "!("), ("unimple", "mented!("), ("XX", "X ")];
/// Folders and hosts of the machines that people develop on.
const MACHINES: [(&str, &str); 7] = [
    ("/wor", "k/"),
    ("/far", "m/"),
    ("/hom", "e/"),
    ("crates.io", "/api"),
    ("index.crates", ".io"),
    ("registry.npm", "js"),
    ("pypi", ".org"),
];

pub(crate) fn check(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let place = format!("{}:{}", file.path, number + 1);
        for (a, b) in UNFINISHED {
            if has_word(line, &format!("{a}{b}")) {
                complaints.push(format!("{place}: `{a}{b}`: finish it, or write an issue"));
            }
        }
        for (a, b) in MACHINES {
            if has_word(line, &format!("{a}{b}")) {
                complaints.push(format!("{place}: `{a}{b}` is a name of some machine, not of this project"));
            }
        }
    }
    complaints
}

/// Whether `word` stands in `line` and is not the end of a longer word or path.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> usize {
        check(&File { path: "x".into(), text: text.into() }).len()
    }

    #[test]
    fn unfinished_words_and_machines_are_found() {
        assert_eq!(complaints(&format!("// TO{}: later\nlet a = todo{};", "DO", "!()")), 2);
        assert_eq!(complaints(&format!("cd /wor{}dir", "k/")), 1);
        assert_eq!(complaints("METODOLOGY, target/wor, my/work/x, mastodon!(x)"), 0);
    }
}

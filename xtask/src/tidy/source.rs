//! What the source of a crate may contain.

use super::File;

/// Crates that must not touch the world: no clock, file, socket, process, thread, chance.
const PURE: [&str; 5] = ["model", "config", "scheduler", "node", "disk"];
/// Pure crates whose dependencies allow the compiler to prove it.
const NO_STD: [&str; 3] = ["model", "scheduler", "disk"];
/// Addresses of `std::net` are plain data; its sockets are not.
const IMPURE: [&str; 15] = [
    "std::fs",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "ToSocketAddrs",
    "std::process",
    "std::thread",
    "std::env",
    "std::os",
    "Instant::now",
    "SystemTime",
    "HashMap",
    "HashSet",
    "getrandom",
    "std::io",
];

pub(crate) fn check(file: &File) -> Vec<String> {
    let code = code_only(&file.text);
    let mut complaints = Vec::new();
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let is_pure = PURE.iter().any(|pure| file.path.starts_with(&format!("crates/{pure}/src/")));
    for (number, line) in code.lines().enumerate() {
        let place = format!("{}:{}", file.path, number + 1);
        if has_token(line, "unsafe") && !name.starts_with("sys") {
            complaints.push(format!("{place}: `unsafe` outside a file called sys….rs: wrap the call there"));
        }
        for impure in IMPURE.iter().filter(|impure| is_pure && has_token(line, impure)) {
            complaints.push(format!("{place}: `{impure}` in a pure crate: let the caller pass it in"));
        }
        let opens =
            ["#[allow(", "#![allow(", "#[expect(", "#![expect("].iter().any(|open| line.contains(open));
        if opens && !attribute(&code, number).contains("reason") {
            complaints.push(format!("{place}: an exception without `reason = …`"));
        }
    }
    complaints
}

/// The pure crates begin with `#![no_std]` where they can.
pub(crate) fn check_no_std(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for name in NO_STD {
        let path = format!("crates/{name}/src/lib.rs");
        let proven =
            files.iter().any(|file| file.path == path && code_only(&file.text).contains("#![no_std]"));
        if !proven {
            complaints.push(format!("{path}: needs `#![no_std]`: the compiler shall prove that it is pure"));
        }
    }
    complaints
}

/// An attribute that opens on this line, to its end.
fn attribute(code: &str, line: usize) -> String {
    let rest: Vec<&str> = code.lines().skip(line).collect();
    let rest = rest.join("\n");
    rest.split(")]").next().unwrap_or_default().to_owned()
}

/// Whether `token` stands in `line`, not as a part of a longer word.
fn has_token(line: &str, token: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(token).any(|(at, _)| {
        !is_word(line[..at].chars().next_back()) && !is_word(line[at + token.len()..].chars().next())
    })
}

/// What the reader is inside of.
enum Inside {
    Code,
    LineComment,
    BlockComment(u32),
    Text,
    /// A raw text, and how many `#` end it.
    Raw(usize),
}

/// The code of a Rust file: comments and texts become spaces, lines stay where they are.
pub(crate) fn code_only(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut inside = Inside::Code;
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let (next, length, keep) = match inside {
            Inside::Code => from_code(rest, at.checked_sub(1).map(|before| characters[before])),
            Inside::LineComment if rest[0] == '\n' => (Inside::Code, 1, false),
            Inside::LineComment => (Inside::LineComment, 1, false),
            Inside::BlockComment(depth) => match rest {
                ['*', '/', ..] if depth == 1 => (Inside::Code, 2, false),
                ['*', '/', ..] => (Inside::BlockComment(depth - 1), 2, false),
                ['/', '*', ..] => (Inside::BlockComment(depth + 1), 2, false),
                _ => (Inside::BlockComment(depth), 1, false),
            },
            Inside::Text => match rest {
                ['\\', _, ..] => (Inside::Text, 2, false),
                ['"', ..] => (Inside::Code, 1, true),
                _ => (Inside::Text, 1, false),
            },
            Inside::Raw(hashes) => {
                let ends = rest[0] == '"' && rest.iter().skip(1).take_while(|&&c| c == '#').count() >= hashes;
                if ends { (Inside::Code, 1 + hashes, false) } else { (Inside::Raw(hashes), 1, false) }
            }
        };
        for &character in &rest[..length.min(rest.len())] {
            code.push(if keep || character == '\n' { character } else { ' ' });
        }
        (inside, at) = (next, at + length);
    }
    code
}

fn from_code(rest: &[char], before: Option<char>) -> (Inside, usize, bool) {
    match rest {
        ['/', '/', ..] => (Inside::LineComment, 2, false),
        ['/', '*', ..] => (Inside::BlockComment(1), 2, false),
        ['"', ..] => (Inside::Text, 1, true),
        ['r', '"' | '#', ..] if !before.is_some_and(|c| c.is_alphanumeric() && c != 'b' || c == '_') => {
            let hashes = rest.iter().skip(1).take_while(|&&c| c == '#').count();
            // `r#name` is a name, not a text.
            if rest.get(1 + hashes) == Some(&'"') {
                (Inside::Raw(hashes), 2 + hashes, false)
            } else {
                (Inside::Code, 1, true)
            }
        }
        // A character, not the name of a lifetime.
        ['\'', '\\', ..] => {
            let length = rest.iter().skip(3).take_while(|&&c| c != '\'').count() + 4;
            (Inside::Code, length, false)
        }
        ['\'', _, '\'', ..] => (Inside::Code, 3, false),
        _ => (Inside::Code, 1, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check(&File { path: path.into(), text: text.into() })
    }

    #[test]
    fn comments_and_texts_are_no_code() {
        let text = "a /* b /* c */ d */ e // f\n\"g \\\" h\" 'i' '\\'' 'static r#\"j \" k\"# l";
        let words: Vec<String> = code_only(text).split_whitespace().map(Into::into).collect();
        assert_eq!(words, ["a", "e", "\"", "\"", "'static", "l"]);
        assert_eq!(code_only("x\n/*\n*/\ny").lines().count(), 4);
    }

    #[test]
    fn unsafe_stays_in_its_files() {
        assert_eq!(complaints("crates/lab/src/a.rs", "unsafe { x() }").len(), 1);
        assert!(complaints("crates/lab/src/sys.rs", "unsafe { x() }").is_empty());
        assert!(complaints("crates/lab/src/a.rs", "// unsafe\n#![deny(unsafe_code)] \"unsafe\"").is_empty());
    }

    #[test]
    fn pure_crates_do_not_reach_out() {
        let text = "use std::net::IpAddr;\nuse std::fs;\nlet now = Instant::now();";
        assert_eq!(complaints("crates/node/src/a.rs", text).len(), 2);
        assert!(complaints("crates/node/tests/a.rs", text).is_empty());
        assert!(complaints("crates/lab/src/a.rs", text).is_empty());
    }

    #[test]
    fn exceptions_have_reasons() {
        assert_eq!(complaints("a.rs", "#[allow(dead_code)]\nfn a() {}").len(), 1);
        assert!(
            complaints("a.rs", "#[expect(\n    dead_code,\n    reason = \"x\"\n)]\nfn a() {}").is_empty()
        );
    }

    #[test]
    fn no_std_is_asked_for() {
        let lib =
            |name: &str, text: &str| File { path: format!("crates/{name}/src/lib.rs"), text: text.into() };
        let files =
            [lib("model", "//! x\n#![no_std]"), lib("disk", "#![no_std]"), lib("scheduler", "// #![no_std]")];
        assert_eq!(check_no_std(&files).len(), 1);
    }
}

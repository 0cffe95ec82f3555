//! Files and functions stay short: a ratchet.
//!
//! What is too long today is listed with its length, and may only become shorter. So nothing new
//! grows over the limit, and nobody has to mend old code to change a line of it.

use std::collections::BTreeMap;

use super::{File, source::code_only};

/// The list of exceptions: `LINES PATH` for a file, `LINES PATH NAME` for a function.
pub(crate) const EXCEPTIONS: &str = "xtask/too-long.txt";
const FILE_MAX: usize = 600;
const FUNCTION_MAX: usize = 70;

pub(crate) fn check(files: &[File], exceptions: &str) -> Vec<String> {
    let mut listed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut complaints = Vec::new();
    for line in exceptions.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once(' ').map(|(number, thing)| (number.parse(), thing)) {
            Some((Ok(lines), thing)) => drop(listed.insert(thing, lines)),
            _ => complaints.push(format!("{EXCEPTIONS}: `{line}` is not `LINES PATH [FUNCTION]`")),
        }
    }
    let is_source =
        |file: &&File| file.is_rust() && file.path.contains("/src/") && !file.path.ends_with("tests.rs");
    let sources = files.iter().filter(is_source);
    for (thing, lines, limit) in sources.flat_map(lengths) {
        match listed.remove(thing.as_str()) {
            None if lines > limit => {
                complaints.push(format!("{thing}: {lines} lines; {limit} are enough for one idea"));
            }
            Some(allowed) if lines > allowed => {
                complaints.push(format!(
                    "{thing}: grew from {allowed} to {lines} lines, over the limit of {limit}"
                ));
            }
            Some(allowed) if lines < allowed => {
                complaints
                    .push(format!("{thing}: only {lines} lines now; say so in {EXCEPTIONS} (was {allowed})"));
            }
            None | Some(_) => {}
        }
    }
    complaints.extend(listed.keys().map(|thing| format!("{EXCEPTIONS}: there is no `{thing}` any more")));
    complaints
}

/// The file and its functions, with their lines and limits; unit tests at its end do not count.
fn lengths(file: &File) -> Vec<(String, usize, usize)> {
    let code = code_only(&file.text);
    let code = code.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut found = vec![(file.path.clone(), code.lines().count(), FILE_MAX)];
    found.extend(
        functions(code)
            .into_iter()
            .map(|(name, lines)| (format!("{} {name}", file.path), lines, FUNCTION_MAX)),
    );
    // A name that several functions share stands for the longest of them.
    found.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    found.dedup_by(|a, b| a.0 == b.0);
    found
}

/// The names and lengths of all functions that have a body.
fn functions(code: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = !code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let rest = &code[at + 3..];
        let name = &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(0)];
        let Some(open) = rest.find(['{', ';']).filter(|_| starts_word && !name.is_empty()) else { continue };
        if rest[open..].starts_with('{') {
            found.push((name, rest[..open + body(&rest[open..])].lines().count()));
        }
    }
    found
}

/// The length of a block that begins with its opening brace.
fn body(block: &str) -> usize {
    let mut depth = 0;
    for (at, character) in block.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    block.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(lines: usize) -> File {
        let text = format!("fn short() {{}}\nfn long() {{\n{}}}\n", "    x();\n".repeat(lines - 2));
        File { path: "crates/a/src/a.rs".into(), text }
    }

    #[test]
    fn the_limit_is_a_ratchet() {
        let thing = "crates/a/src/a.rs long";
        for (lines, exceptions, minds) in [
            (70, String::new(), 0),
            (71, String::new(), 1),
            (80, format!("80 {thing}"), 0),
            (81, format!("80 {thing}"), 1),
            (79, format!("80 {thing}"), 1),
            (70, "90 crates/a/src/gone.rs".into(), 1),
            (70, "nonsense".into(), 1),
        ] {
            let complaints = check(&[file(lines)], &exceptions);
            assert_eq!(complaints.len(), minds, "{lines} {exceptions}: {complaints:?}");
        }
    }

    #[test]
    fn long_files_are_found_and_their_tests_forgiven() {
        let mut long = file(10);
        long.text += &"// x\n".repeat(600);
        assert_eq!(check(&[long], "").len(), 1);
        let mut tested = file(10);
        tested.text += &format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "// x\n".repeat(900));
        assert!(check(&[tested], "").is_empty());
    }
}

//! What we build from: licences that ask for nothing we do not give, from the registry only.
//!
//! `deny.toml` says the same to cargo-deny, which knows more (advisories, bans) but takes minutes
//! to install; so this is checked everywhere and that where it is present.

use crate::metadata::Package;

const ALLOWED: [&str; 12] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(crate) fn check(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        if package.source.as_ref().is_some_and(|source| source != REGISTRY) {
            complaints.push(format!("{name}: comes from {:?}, not from the registry", package.source));
        }
        match &package.license {
            Some(licence) if is_allowed(licence) => {}
            Some(licence) => complaints.push(format!("{name}: licence `{licence}` is not on our list")),
            None => complaints.push(format!("{name}: names no licence")),
        }
    }
    complaints
}

/// Whether we may choose our way through an SPDX expression. A slash is an old way to write OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let (allowed, rest) = either(&tokens);
    allowed && rest.is_empty()
}

fn either<'a, 'b>(tokens: &'b [&'a str]) -> (bool, &'b [&'a str]) {
    let (mut allowed, mut rest) = both(tokens);
    while let ["OR", after @ ..] = rest {
        let (next, after) = both(after);
        (allowed, rest) = (allowed || next, after);
    }
    (allowed, rest)
}

fn both<'a, 'b>(tokens: &'b [&'a str]) -> (bool, &'b [&'a str]) {
    let (mut allowed, mut rest) = one(tokens);
    while let ["AND", after @ ..] = rest {
        let (next, after) = one(after);
        (allowed, rest) = (allowed && next, after);
    }
    (allowed, rest)
}

fn one<'a, 'b>(tokens: &'b [&'a str]) -> (bool, &'b [&'a str]) {
    match tokens {
        ["(", inside @ ..] => match either(inside) {
            (allowed, [")", rest @ ..]) => (allowed, rest),
            (_, rest) => (false, rest),
        },
        [licence, "WITH", exception, rest @ ..] => {
            (ALLOWED.contains(&format!("{licence} WITH {exception}").as_str()), rest)
        }
        [licence, rest @ ..] => (ALLOWED.contains(licence), rest),
        [] => (false, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_read_as_it_is_meant() {
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("MIT/Apache-2.0", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR Apache-2.0) AND GPL-2.0", false),
            ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true),
            ("GPL-2.0 WITH Classpath-exception-2.0", false),
            ("(MIT", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression), expected, "{expression}");
        }
    }
}

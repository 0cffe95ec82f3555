//! Mistakes of form, in words that say what to do.

use toml_parser::{Expected, ParseError};

use crate::{Code, Mistake, Span};

/// What the parser says, what we say, and the way out.
const WORDS: &[(&str, &str, &str)] = &[
    ("string values must be quoted", "a text has to stand in quotes", "write it as \"…\""),
    ("unclosed table", "this header has no closing bracket", "end it with `]`"),
    ("unclosed array table", "this header has no closing brackets", "end it with `]`"),
    ("unclosed array", "this list is never closed", "end it with `]`"),
    ("unclosed inline table", "this table is never closed", "end it with `}`"),
    (
        "missing comma between array elements",
        "two items of a list stand side by side",
        "put a comma between them",
    ),
    ("missing comma between key-value pairs", "two entries stand side by side", "put a comma between them"),
    ("extra comma in array", "there is a comma too many", "remove one of them"),
    ("extra comma in inline table", "there is a comma too many", "remove one of them"),
    ("key with no value", "this key has no value", "write `key = value`, or put a `#` before a remark"),
    ("missing value for key", "this key has no value", "write a value after the `=`"),
    ("missing value", "a value is missing", "write one"),
    (
        "missing assignment between key-value pairs",
        "there is no `=` between key and value",
        "write `key = value`",
    ),
    ("extra `=`", "there is an `=` too many", "remove one of them"),
    ("extra assignment between key-value pairs", "there is an `=` too many", "remove one of them"),
    ("invalid unquoted key", "this key has characters that need quotes", "put the key in quotes: \"…\""),
    ("unquoted keys cannot be empty", "a key is missing", "write a name there"),
    (
        "unexpected leading zero",
        "a number does not begin with a zero",
        "remove the zero, or put it in quotes if it is a text",
    ),
    (
        "invalid comment character",
        "a remark has a character that cannot stand in text",
        "remove it; it may be invisible",
    ),
    (
        "carriage return must be followed by newline",
        "there is a lone carriage return",
        "end the line with a newline; a lone one hides text",
    ),
    (
        "invalid key-value pair",
        "this is neither `key = value` nor `[table]`",
        "put a `#` before it if it is a remark",
    ),
    (
        "unexpected key or value",
        "something stands behind the value",
        "begin a new line before it, or put a `#` before a remark",
    ),
    ("unexpected content", "this does not belong here", "remove it, or put a `#` before a remark"),
];

/// What the parser found, in our words.
pub(crate) fn explain(text: &str, fault: &ParseError) -> Mistake {
    let description = fault.description();
    let place = fault.unexpected().or(fault.context());
    let at = place.map_or(Span::new(text.len(), text.len()), |place| Span::new(place.start(), place.end()));
    if description.contains("quote") && fault.expected().is_some_and(expects_quote) {
        return Mistake::at(Code::Syntax, at, "a text is never closed")
            .label("it should have ended here")
            .hint("put the closing quote at its end");
    }
    let known = WORDS.iter().find(|(said, _, _)| description == *said);
    match known {
        Some((_, message, hint)) => Mistake::at(Code::Syntax, at, *message).label("here").hint(*hint),
        None => Mistake::at(Code::Syntax, at, description)
            .label("here")
            .maybe_hint(fault.expected().map(expected)),
    }
}

fn expects_quote(expected: &'static [Expected]) -> bool {
    expected.iter().any(|one| matches!(one, Expected::Literal("\"" | "'" | "\"\"\"" | "'''")))
}

fn expected(expected: &'static [Expected]) -> String {
    let words: Vec<String> = expected
        .iter()
        .map(|one| match one {
            Expected::Literal("\n") => "the end of the line".into(),
            Expected::Literal(literal) => format!("`{}`", literal.escape_debug()),
            Expected::Description(words) => (*words).into(),
            _ => "something else".into(),
        })
        .collect();
    match words.as_slice() {
        [] => "nothing should stand there".into(),
        words => format!("it expects {}", words.join(" or ")),
    }
}

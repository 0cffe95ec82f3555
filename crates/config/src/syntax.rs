//! Mistakes of form, in words that say what to do.

use toml_parser::{Expected, ParseError};

use crate::{Code, Mistake, Span, tree::cut};

/// What is said of a key or a comma with nothing behind it.
pub(crate) const NO_VALUE: &str = "missing value";

/// What the parser says, what we say, and the way out.
const WORDS: &[(&str, &str, &str)] = &[
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
    (
        "key with no value",
        "there is no `=` behind this key",
        "write `key = value`, or put a `#` before a remark",
    ),
    ("missing value for key", "this key has no value", "write a value after the `=`"),
    (NO_VALUE, "a value is missing", "write one behind the `=`, or remove the key"),
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

/// Where a fault is.
pub(crate) fn place(text: &str, fault: &ParseError) -> Span {
    let place = fault.unexpected().or(fault.context());
    place.map_or(Span::new(text.len(), text.len()), |place| Span::new(place.start(), place.end()))
}

/// What the parser found, in our words, and the lines it found it on. The first fault of a line
/// is said; those behind it mostly follow from it.
pub(crate) fn explain(text: &str, faults: &[ParseError]) -> (Vec<Mistake>, Vec<Span>) {
    let mut places: Vec<(Span, &ParseError)> =
        faults.iter().map(|fault| (place(text, fault), fault)).collect();
    places.sort_by_key(|(at, _)| at.start);
    let (mut mistakes, mut lines) = (Vec::new(), Vec::<Span>::new());
    for (at, fault) in places {
        if lines.last().is_some_and(|line| at.start < line.end) {
            continue;
        }
        lines.push(line_of(text, at.start));
        mistakes.push(say(text, at, fault));
    }
    (mistakes, lines)
}

/// The line around a place, with its end.
fn line_of(text: &str, at: usize) -> Span {
    let bytes = text.as_bytes();
    let at = at.min(bytes.len());
    let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let end = bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end);
    Span::new(start, end + 1)
}

/// A list or a table in braces that begins at `start` and is never closed.
pub(crate) fn unclosed(text: &str, start: usize) -> Mistake {
    let (message, closing) = match text.as_bytes().get(start) {
        Some(b'{') => ("this table is never closed", "}"),
        _ => ("this list is never closed", "]"),
    };
    Mistake::at(Code::Syntax, Span::new(start, start + 1), message)
        .label("opened here")
        .hint(format!("end it with `{closing}`"))
}

fn say(text: &str, at: Span, fault: &ParseError) -> Mistake {
    let description = fault.description();
    let mistake = |message: &str, hint: &str| Mistake::at(Code::Syntax, at, message).label("here").hint(hint);
    if description == "missing escaped value" {
        return mistake(
            "a backslash begins a special character, and this is none",
            "write `\\\\` for a backslash, or put the text in single quotes",
        );
    }
    if fault.expected().is_some_and(expects_quote) {
        return mistake("a text is never closed", "put the closing quote at its end");
    }
    if description == "invalid unquoted key" && text[at.start..].starts_with(':') {
        return mistake("there is a colon where an `=` belongs", "write `key = value`");
    }
    if description == "string values must be quoted" {
        let found = cut(text.get(at.start..at.end).unwrap_or_default(), 40);
        return mistake("a text has to stand in quotes", &format!("write it as \"{found}\""));
    }
    match WORDS.iter().find(|(said, _, _)| description == *said) {
        Some((_, message, hint)) => mistake(message, hint),
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

//! A TOML document as a tree in which everything knows its place in the text.

use crate::Span;

/// A table: keys with values, in the order in which they were written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// Its header, its key, or the braces around it.
    pub(crate) span: Span,
    pub(crate) entries: Vec<Entry>,
}

impl Table {
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Value>),
    Table(Table),
    /// A number with a point: nothing here takes one.
    Float,
    /// A date or a time, as written: only the dates of a time take one.
    Date(String),
    /// A mistake was reported already.
    Broken,
}

impl Kind {
    /// What it is, for people.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Kind::Text(_) => "a text",
            Kind::Integer(_) => "a number",
            Kind::Boolean(_) => "`true` or `false`",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
            Kind::Float => "a number with a point",
            Kind::Date(_) => "a date or a time",
            Kind::Broken => "unreadable",
        }
    }
}

/// At most `most` characters of a text that goes into a message, without control characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = text.chars().take(most).map(plain).collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

//! Takes a table apart, key by key: the right types, and nothing left over.

use crate::{
    Code, Mistake, Written,
    tree::{Entry, Kind, Table, Value, cut},
    words,
};

/// A table that is being read. Every key that is asked for counts as known; [`Keys::finish`]
/// reports the others.
pub(crate) struct Keys<'t, 'm> {
    table: &'t Table,
    /// The table's name, for messages: `[node.ada]`.
    place: String,
    known: Vec<&'static str>,
    mistakes: &'m mut Vec<Mistake>,
}

impl<'t, 'm> Keys<'t, 'm> {
    pub(crate) fn new(table: &'t Table, place: String, mistakes: &'m mut Vec<Mistake>) -> Keys<'t, 'm> {
        Keys { table, place, known: Vec::new(), mistakes }
    }

    /// The value of `key`, whatever it is. One that is broken was reported already.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'t Value> {
        self.known.push(key);
        self.table.get(key).map(|entry| &entry.value)
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Option<Written<String>> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::Text(text) => Some(Written { value: text.clone(), span: value.span }),
            _ => self.wrong(key, value, "a text in quotes"),
        }
    }

    /// A length of time, still as text.
    pub(crate) fn duration(&mut self, key: &'static str) -> Option<Written<String>> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::Text(text) => Some(Written { value: text.clone(), span: value.span }),
            _ => self.wrong(key, value, TAKES_DURATION),
        }
    }

    pub(crate) fn integer(&mut self, key: &'static str) -> Option<Written<i64>> {
        let value = self.value(key)?;
        match value.kind {
            Kind::Integer(number) => Some(Written { value: number, span: value.span }),
            _ => self.wrong(key, value, "a whole number"),
        }
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Option<Written<bool>> {
        let value = self.value(key)?;
        match value.kind {
            Kind::Boolean(truth) => Some(Written { value: truth, span: value.span }),
            _ => self.wrong(key, value, "`true` or `false`, without quotes"),
        }
    }

    /// A list of texts; a single text counts as a list of one. Nothing if an item is of another
    /// type: its neighbours cannot be told apart from first, second, third any more.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Written<Vec<Written<String>>>> {
        let value = self.value(key)?;
        let items = match &value.kind {
            Kind::List(items) => items.as_slice(),
            Kind::Text(_) => std::slice::from_ref(value),
            _ => return self.wrong(key, value, "a list of texts"),
        };
        let mut text = |item: &Value| match &item.kind {
            Kind::Text(text) => Some(Written { value: text.clone(), span: item.span }),
            _ => self.wrong(key, item, "a list of texts"),
        };
        let texts: Vec<Option<Written<String>>> = items.iter().map(&mut text).collect();
        Some(Written { value: texts.into_iter().collect::<Option<_>>()?, span: value.span })
    }

    pub(crate) fn table(&mut self, key: &'static str) -> Option<&'t Table> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::Table(table) => Some(table),
            _ => self.wrong(key, value, "a table"),
        }
    }

    fn wrong<T>(&mut self, key: &str, value: &Value, takes: &str) -> Option<T> {
        wrong_type(self.mistakes, key, value, takes);
        None
    }

    /// What nobody asked for.
    pub(crate) fn rest(&self) -> impl Iterator<Item = &'t Entry> {
        self.table.entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str()))
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self) {
        let left: Vec<&Entry> = self.rest().collect();
        for entry in left {
            let key = cut(&entry.key, 40);
            let mistake =
                Mistake::at(Code::UnknownKey, entry.key_span, format!("`{}` has no key `{key}`", self.place))
                    .label("unknown key");
            let hint = match (&entry.value.kind, words::meant(&entry.key, &self.known)) {
                (_, Some(word)) => format!("did you mean `{word}`?"),
                (Kind::Table(below), None) => dotted_name(&self.place, &entry.key, below),
                (_, None) => format!("the keys are {}", words::list(&self.known, "and")),
            };
            self.mistakes.push(mistake.hint(hint));
        }
    }
}

/// A name with points in it, such as that of a machine, reads as a table in a table.
fn dotted_name(place: &str, key: &str, mut below: &Table) -> String {
    let Some((kind, name)) = place.trim_matches(['[', ']']).split_once('.') else {
        return format!("`{place}` has no tables in it");
    };
    let mut name = format!("{name}.{key}");
    while let [Entry { key, value: Value { kind: Kind::Table(table), .. }, .. }] = below.entries.as_slice() {
        name = format!("{name}.{key}");
        below = table;
    }
    format!("a name with points needs quotes: `[{kind}.\"{}\"]`", cut(&name, 63))
}

/// What a key for a length of time takes.
pub(crate) const TAKES_DURATION: &str = "a length of time in quotes, such as \"500ms\"";

/// Reports a value of the wrong type.
pub(crate) fn wrong_type(mistakes: &mut Vec<Mistake>, key: &str, value: &Value, takes: &str) {
    if matches!(value.kind, Kind::Broken) {
        return;
    }
    let said = Mistake::at(Code::WrongType, value.span, format!("`{key}` takes {takes}"))
        .label(format!("this is {}", value.kind.noun()));
    mistakes.push(said.maybe_hint(retype(value, takes)));
}

/// How the value would have to be written, where that is plain to see.
fn retype(value: &Value, takes: &str) -> Option<String> {
    let takes_text = takes.starts_with("a text") || takes.starts_with("a list of texts");
    match &value.kind {
        Kind::Integer(number) if takes == TAKES_DURATION => {
            Some(format!("say the unit: \"{number}ms\" or \"{number}s\"?"))
        }
        Kind::Integer(number) if takes_text => Some(format!("put it in quotes: \"{number}\"")),
        Kind::Boolean(truth) if takes_text => Some(format!("put it in quotes: \"{truth}\"")),
        Kind::Float | Kind::Date if takes_text => Some("put it in quotes".into()),
        Kind::Text(text) if takes.starts_with('`') && matches!(text.as_str(), "true" | "false") => {
            Some(format!("without quotes: {text}"))
        }
        Kind::Text(text) if takes.starts_with("a whole") && text.parse::<i64>().is_ok() => {
            Some(format!("without quotes: {text}"))
        }
        Kind::Text(_)
        | Kind::Integer(_)
        | Kind::Boolean(_)
        | Kind::List(_)
        | Kind::Table(_)
        | Kind::Float
        | Kind::Date
        | Kind::Broken => None,
    }
}

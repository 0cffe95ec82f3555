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

    /// A list of texts and whole numbers, or one of them alone; numbers as text.
    pub(crate) fn parts(&mut self, key: &'static str) -> Option<Written<Vec<Written<String>>>> {
        let value = self.value(key)?;
        let items = match &value.kind {
            Kind::List(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        };
        let mut part = |item: &Value| match &item.kind {
            Kind::Text(text) => Some(Written { value: text.clone(), span: item.span }),
            Kind::Integer(number) => Some(Written { value: number.to_string(), span: item.span }),
            _ => self.wrong(key, item, "texts and whole numbers, alone or in a list"),
        };
        let parts: Vec<Option<Written<String>>> = items.iter().map(&mut part).collect();
        Some(Written { value: parts.into_iter().collect::<Option<_>>()?, span: value.span })
    }

    /// A date, with or without a time of the day, as text.
    pub(crate) fn date(&mut self, key: &'static str) -> Option<Written<String>> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::Text(text) | Kind::Date(text) => Some(Written { value: text.clone(), span: value.span }),
            _ => self.wrong(key, value, "a date, such as \"2026-12-24\" or \"2026-12-24 18:00\""),
        }
    }

    /// Whole numbers under names that nobody here chose.
    pub(crate) fn amounts(&mut self, key: &'static str) -> Option<Written<Amounts>> {
        let value = self.value(key)?;
        let Kind::Table(table) = &value.kind else { return self.wrong(key, value, TAKES_AMOUNTS) };
        if table.entries.is_empty() {
            let nothing = Mistake::at(Code::EmptyList, value.span, format!("`{key}` names nothing"));
            let hint = format!("write something such as `{key} = {{ memory = 8 }}`, or remove it");
            self.report(nothing.label("nothing in it").hint(hint));
        }
        let mut amounts = Amounts::new();
        for entry in &table.entries {
            let Kind::Integer(number) = entry.value.kind else {
                wrong_type(self.mistakes, &entry.key, &entry.value, TAKES_AMOUNT);
                continue;
            };
            let name = Written { value: entry.key.clone(), span: entry.key_span };
            amounts.push((name, Written { value: number, span: entry.value.span }));
        }
        Some(Written { value: amounts, span: value.span })
    }

    pub(crate) fn table(&mut self, key: &'static str) -> Option<&'t Table> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::Table(table) => Some(table),
            _ => self.wrong(key, value, "a table"),
        }
    }

    /// Where mistakes go, for tables within this one.
    pub(crate) fn mistakes(&mut self) -> &mut Vec<Mistake> {
        self.mistakes
    }

    pub(crate) fn report(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Reports a value of the wrong type; there is nothing then.
    pub(crate) fn wrong<T>(&mut self, key: &str, value: &Value, takes: &str) -> Option<T> {
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

/// Numbers by name, such as what a node has to give.
pub(crate) type Amounts = Vec<(Written<String>, Written<i64>)>;

/// What a key for numbers by name takes.
const TAKES_AMOUNTS: &str = "a table of whole numbers, such as { memory = 8 }";
/// What each of them is.
const TAKES_AMOUNT: &str = "a whole number, in a unit that is the same everywhere";

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
        Kind::Float | Kind::Date(_) if takes_text => Some("put it in quotes".into()),
        Kind::Text(text) if takes.starts_with('`') && matches!(text.as_str(), "true" | "false") => {
            Some(format!("without quotes: {text}"))
        }
        Kind::Text(text) if takes.starts_with("a whole") && text.parse::<i64>().is_ok() => {
            Some(format!("without quotes: {text}"))
        }
        Kind::Text(_) | Kind::Float if takes == TAKES_AMOUNT => Some(
            "choose one unit for all nodes and resources, and write the number alone: 8 for 8 GiB".into(),
        ),
        Kind::Text(_)
        | Kind::Integer(_)
        | Kind::Boolean(_)
        | Kind::List(_)
        | Kind::Table(_)
        | Kind::Float
        | Kind::Date(_)
        | Kind::Broken => None,
    }
}

//! What was written of where, with what and when: a part of the first stage.

use crate::{
    Code, Mistake, Span, Written,
    draft::place,
    keys::Keys,
    tree::{Entry, Kind, Table, cut},
};

/// A list of names as written.
pub(crate) type Texts = Written<Vec<Written<String>>>;

/// What a resource or a group says of its place and time.
#[derive(Debug, Default)]
pub(crate) struct WishesDraft {
    pub(crate) prefers: Option<Texts>,
    pub(crate) avoids: Option<Texts>,
    pub(crate) never: Option<Texts>,
    pub(crate) with: Option<Texts>,
    pub(crate) after: Option<Texts>,
    pub(crate) copies: Option<Written<CopiesDraft>>,
    pub(crate) during: Option<Texts>,
    pub(crate) ticket: Option<Written<String>>,
    pub(crate) at: Vec<InsteadDraft>,
    /// The keys of these that are there, whether readable or not, and where their values are.
    pub(crate) said: Vec<(&'static str, Span)>,
}

/// What stands for `copies`.
#[derive(Debug)]
pub(crate) enum CopiesDraft {
    Number(i64),
    Word(String),
}

/// A table `[resource.NAME.at.TIME]`.
#[derive(Debug)]
pub(crate) struct InsteadDraft {
    pub(crate) time: Written<String>,
    pub(crate) prefers: Option<Texts>,
    pub(crate) avoids: Option<Texts>,
    pub(crate) never: Option<Texts>,
    pub(crate) is_empty: bool,
}

/// A table `[time.NAME]`.
#[derive(Debug)]
pub(crate) struct TimeDraft {
    pub(crate) name: Written<String>,
    pub(crate) weekdays: Option<Texts>,
    pub(crate) days: Option<Texts>,
    pub(crate) months: Option<Texts>,
    pub(crate) hours: Option<Texts>,
    pub(crate) from: Option<Written<String>>,
    pub(crate) until: Option<Written<String>>,
    pub(crate) is_empty: bool,
}

/// The keys by which resources and groups wish, in the order in which they are printed.
pub(crate) const WISH_KEYS: &[&str] =
    &["prefers", "avoids", "never", "with", "after", "copies", "during", "ticket", "at"];

/// Reads the wishes in a table of a resource or a group, whose other keys somebody else reads.
pub(crate) fn read(keys: &mut Keys<'_, '_>, table: &Table, owner: &str) -> WishesDraft {
    let said = WISH_KEYS.iter().filter_map(|key| Some((*key, table.get(key)?.value.span))).collect();
    WishesDraft {
        prefers: keys.texts("prefers"),
        avoids: keys.texts("avoids"),
        never: keys.texts("never"),
        with: keys.texts("with"),
        after: keys.texts("after"),
        copies: copies(keys),
        during: keys.texts("during"),
        ticket: keys.text("ticket"),
        at: at(keys, owner),
        said,
    }
}

fn copies(keys: &mut Keys<'_, '_>) -> Option<Written<CopiesDraft>> {
    let value = keys.value("copies")?;
    let copies = match &value.kind {
        Kind::Integer(number) => CopiesDraft::Number(*number),
        Kind::Text(text) => CopiesDraft::Word(text.clone()),
        _ => return keys.wrong("copies", value, "\"all\" or a whole number"),
    };
    Some(Written { value: copies, span: value.span })
}

fn at(keys: &mut Keys<'_, '_>, owner: &str) -> Vec<InsteadDraft> {
    let Some(value) = keys.value("at") else { return Vec::new() };
    let table = match &value.kind {
        Kind::Table(table) => table,
        Kind::Broken => return Vec::new(),
        other => {
            let message = "`at` is a table with the name of a time in it";
            let found = Mistake::at(Code::WrongType, value.span, message);
            let hint = format!(
                "write a header such as `[{owner}.at.night]`, and below it what is wished then; to run at that \
                 time only, write `during`"
            );
            keys.report(found.label(format!("this is {}", other.noun())).hint(hint));
            return Vec::new();
        }
    };
    let mut instead = Vec::new();
    for entry in &table.entries {
        match &entry.value.kind {
            Kind::Table(below) => instead.push(instead_of(entry, below, keys, owner)),
            Kind::Broken => {}
            _ => {
                let key = cut(&entry.key, 40);
                let message = "`at` has no keys, only tables with the name of a time";
                keys.report(
                    Mistake::at(Code::UnknownKey, entry.key_span, message)
                        .label(format!("when is `{key}` to count?"))
                        .hint(format!(
                            "write a header with a time, such as `[{owner}.at.night]`, and put it below"
                        )),
                );
            }
        }
    }
    instead
}

fn instead_of(entry: &Entry, table: &Table, keys: &mut Keys<'_, '_>, owner: &str) -> InsteadDraft {
    let place = format!("[{owner}.at.{}]", cut(&entry.key, 40));
    let mut keys = Keys::new(table, place, keys.mistakes());
    let draft = InsteadDraft {
        time: Written { value: entry.key.clone(), span: entry.key_span },
        prefers: keys.texts("prefers"),
        avoids: keys.texts("avoids"),
        never: keys.texts("never"),
        is_empty: table.entries.is_empty(),
    };
    keys.finish();
    draft
}

/// Reads a table `[time.NAME]`.
pub(crate) fn time(name: Written<String>, table: &Table, mistakes: &mut Vec<Mistake>) -> TimeDraft {
    let mut keys = Keys::new(table, place("time", &name), mistakes);
    let draft = TimeDraft {
        weekdays: keys.parts("weekdays"),
        days: keys.parts("days"),
        months: keys.parts("months"),
        hours: keys.parts("hours"),
        from: keys.date("from"),
        until: keys.date("until"),
        is_empty: table.entries.is_empty(),
        name,
    };
    keys.finish();
    draft
}

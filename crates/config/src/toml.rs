//! Text to tree. The grammar is `toml_parser`'s; here its events become tables.
//!
//! Reading goes on after a mistake, so that the next one is found too. Nothing here recurses while
//! it reads: how deep a text may nest is [`DEPTH_MAX`], whatever the stack.

use std::{borrow::Cow, collections::BTreeMap};

use toml_parser::{
    ErrorSink, ParseError, Source, Span as Place,
    decoder::{Encoding, ScalarKind},
    parser::{EventReceiver, ValidateWhitespace, parse_document},
};

use crate::{
    Code, Mistake, Span, syntax,
    tree::{Entry, Kind, Table, Value, cut},
};

/// How many tables and lists may lie in one another. A configuration needs five.
pub(crate) const DEPTH_MAX: usize = 16;
/// Most mistakes of form that are reported; after so many, the text is something else.
const REPORTED_MAX: usize = 50;
/// Most faults that the parser may find; several of them can be one mistake.
const FAULTS_MAX: usize = 200;

/// A text that was taken apart.
pub(crate) struct Parsed {
    pub(crate) root: Table,
    /// What is wrong with its form.
    pub(crate) mistakes: Vec<Mistake>,
    /// Parts of the text that were perhaps read as something else than what was meant: what seems
    /// to be wrong there otherwise may be a consequence.
    pub(crate) doubtful: Vec<Span>,
}

/// Reads a text. What is broken is left out of the tree and reported.
pub(crate) fn parse(text: &str) -> Parsed {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut builder = Builder::new(source);
    let mut faults = Vec::new();
    let mut sink = |fault: ParseError| {
        if faults.len() < FAULTS_MAX {
            faults.push(fault);
        }
    };
    parse_document(&tokens, &mut ValidateWhitespace::new(&mut builder, source), &mut sink);
    let mut mistakes = builder.mistakes;
    let mut doubtful = Vec::new();
    if let Some(start) = builder.unclosed {
        mistakes.retain(|mistake| mistake.span.is_none_or(|span| span.start < start));
        faults.retain(|fault| syntax::place(text, fault).start < start);
        mistakes.push(syntax::unclosed(text, start));
        doubtful.push(Span::new(start, text.len() + 1));
    }
    let (said, lines) = syntax::explain(text, &faults);
    mistakes.extend(said);
    mistakes.truncate(REPORTED_MAX);
    doubtful.extend(lines);
    Parsed { root: nest(&mut builder.tables, 0), mistakes, doubtful }
}

/// How a table came to be, which decides who may add to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Named on the way to another table's header.
    Implied,
    /// By its own header.
    Header,
    /// By a key with points, or in braces: complete where it stands.
    Closed,
}

/// A table under construction. Values that are tables are kept as numbers of tables.
struct Growing {
    span: Span,
    origin: Origin,
    depth: usize,
    entries: Vec<(String, Span, Item)>,
    index: BTreeMap<String, usize>,
}

enum Item {
    Value(Value),
    Table(usize),
}

struct Key {
    text: String,
    span: Span,
}

/// A list or a table in braces that is not closed yet, with the key it belongs to.
struct Frame {
    start: usize,
    path: Vec<Key>,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    Table(usize),
}

struct Builder<'t> {
    source: Source<'t>,
    tables: Vec<Growing>,
    /// The table that keys go into.
    here: usize,
    frames: Vec<Frame>,
    /// Brackets and braces that are open, those beyond [`DEPTH_MAX`] too.
    open: usize,
    path: Vec<Key>,
    /// Where the header began that is being read.
    header: Option<usize>,
    /// Where the first bracket or brace is that is never closed.
    unclosed: Option<usize>,
    mistakes: Vec<Mistake>,
}

/// The name of a table, for messages.
fn shown(path: &[Key]) -> String {
    let keys: Vec<String> = path.iter().take(DEPTH_MAX).map(|key| cut(&key.text, 40)).collect();
    keys.join(".")
}

fn span(place: Place) -> Span {
    Span::new(place.start(), place.end())
}

impl<'t> Builder<'t> {
    fn new(source: Source<'t>) -> Builder<'t> {
        let mut builder = Builder {
            source,
            tables: Vec::new(),
            here: 0,
            frames: Vec::new(),
            open: 0,
            path: Vec::new(),
            header: None,
            unclosed: None,
            mistakes: Vec::new(),
        };
        builder.grow(Span::default(), Origin::Header, 0);
        builder
    }

    fn report(&mut self, mistake: Mistake) {
        if self.mistakes.len() < REPORTED_MAX {
            self.mistakes.push(mistake);
        }
    }

    fn grow(&mut self, span: Span, origin: Origin, depth: usize) -> usize {
        self.tables.push(Growing { span, origin, depth, entries: Vec::new(), index: BTreeMap::new() });
        self.tables.len() - 1
    }

    fn too_deep(&mut self, at: Span) {
        self.report(
            Mistake::at(
                Code::TooDeep,
                at,
                format!("more than {DEPTH_MAX} tables or lists lie in one another"),
            )
            .label("this is one too many")
            .hint("a configuration needs five levels at most: is this the right file?"),
        );
    }

    /// The table below `parent` that `key` names; made if it is not there. Nothing, and a mistake,
    /// if the key has another value.
    fn descend(&mut self, parent: usize, key: &Key, made: Origin) -> Option<usize> {
        if let Some(&position) = self.tables[parent].index.get(&key.text) {
            let (_, first, item) = &self.tables[parent].entries[position];
            let first = *first;
            if let Item::Table(table) = *item {
                return Some(table);
            }
            self.report(
                Mistake::at(
                    Code::DuplicateKey,
                    key.span,
                    format!("`{}` is a value already, it cannot be a table too", cut(&key.text, 40)),
                )
                .label("used as a table here")
                .related(first, "written as a value here"),
            );
            return None;
        }
        let depth = self.tables[parent].depth + 1;
        if depth > DEPTH_MAX {
            self.too_deep(key.span);
            return None;
        }
        let table = self.grow(key.span, made, depth);
        self.add(parent, key, Item::Table(table));
        Some(table)
    }

    fn add(&mut self, parent: usize, key: &Key, item: Item) {
        let parent = &mut self.tables[parent];
        parent.index.insert(key.text.clone(), parent.entries.len());
        parent.entries.push((key.text.clone(), key.span, item));
    }

    /// A header begins; whatever is still open was never closed, and was reported as such.
    fn begin_header(&mut self, at: Place) {
        self.frames.clear();
        self.open = 0;
        self.path.clear();
        self.header = Some(at.start());
    }

    /// A header was read: keys go into its table from now on. If it cannot be one, they go into
    /// a table of no document, so that what follows is still looked through for mistakes of form.
    fn open_table(&mut self, header: Span) {
        let path = std::mem::take(&mut self.path);
        let detached = self.grow(header, Origin::Closed, 1);
        self.here = detached;
        let Some((last, parents)) = path.split_last() else { return };
        let mut table = 0;
        for key in parents {
            match self.descend(table, key, Origin::Implied) {
                Some(below) => table = below,
                None => return,
            }
        }
        let fresh = !self.tables[table].index.contains_key(&last.text);
        let Some(table) = self.descend(table, last, Origin::Header) else { return };
        if !fresh && self.tables[table].origin != Origin::Implied {
            let name = shown(&path);
            // What is in it goes nowhere: that it is there twice is said once.
            self.report(
                Mistake::at(Code::DuplicateTable, header, format!("the table `[{name}]` is written twice"))
                    .label("again here")
                    .hint("put everything into one of them, or rename one")
                    .related(self.tables[table].span, "first here"),
            );
            return;
        }
        self.tables[table].span = header;
        self.tables[table].origin = Origin::Header;
        self.here = table;
    }

    /// A value is complete: it goes into the innermost open list or table.
    fn place(&mut self, value: Value, table: Option<usize>) {
        match self.frames.last_mut().map(|frame| &mut frame.content) {
            Some(Content::List(items)) => {
                let value = match table {
                    Some(table) => {
                        Value { span: value.span, kind: Kind::Table(nest(&mut self.tables, table)) }
                    }
                    None => value,
                };
                items.push(value);
            }
            Some(Content::Table(into)) => {
                let into = *into;
                self.insert(into, value, table);
            }
            None => self.insert(self.here, value, table),
        }
    }

    fn insert(&mut self, mut into: usize, value: Value, table: Option<usize>) {
        let path = std::mem::take(&mut self.path);
        let Some((last, parents)) = path.split_last() else { return };
        for key in parents {
            match self.descend(into, key, Origin::Closed) {
                Some(below) => into = below,
                None => return,
            }
        }
        if let Some(&position) = self.tables[into].index.get(&last.text) {
            let first = self.tables[into].entries[position].1;
            self.report(
                Mistake::at(
                    Code::DuplicateKey,
                    last.span,
                    format!("`{}` is written twice in one table", cut(&last.text, 40)),
                )
                .label("again here")
                .hint("keep one of the two")
                .related(first, "first here"),
            );
            return;
        }
        let item = table.map_or(Item::Value(value), Item::Table);
        self.add(into, last, item);
    }

    fn open_frame(&mut self, at: Place, content: impl FnOnce(&mut Self) -> Content) -> bool {
        self.open += 1;
        let depth = self.open + self.tables[self.here].depth;
        if depth > DEPTH_MAX {
            // Said once; the brackets within are skipped unseen.
            self.too_deep(span(at));
            return false;
        }
        let path = std::mem::take(&mut self.path);
        let content = content(self);
        self.frames.push(Frame { start: at.start(), path, content });
        true
    }

    fn close_frame(&mut self, at: Place) {
        let refused = self.open > self.frames.len();
        self.open = self.open.saturating_sub(1);
        if refused {
            return self.place(Value { span: span(at), kind: Kind::Broken }, None);
        }
        let Some(frame) = self.frames.pop() else { return };
        if at.is_empty() {
            // The parser closes it for us. The outermost comes last, and is the one to be named.
            self.unclosed = Some(frame.start);
        }
        self.path = frame.path;
        let span = Span::new(frame.start, at.end());
        match frame.content {
            Content::List(items) => self.place(Value { span, kind: Kind::List(items) }, None),
            Content::Table(table) => {
                self.tables[table].span = span;
                self.place(Value { span, kind: Kind::Broken }, Some(table));
            }
        }
    }

    fn value(&mut self, at: Place, encoding: Option<Encoding>, error: &mut dyn ErrorSink) -> Value {
        let mut failed = false;
        let mut text = Cow::Borrowed("");
        let raw = self.source.input().get(at.start()..at.end()).unwrap_or_default();
        let raw = toml_parser::Raw::new_unchecked(raw, encoding, at);
        let kind = raw.decode_scalar(&mut text, &mut |fault: ParseError| {
            failed = true;
            error.report_error(fault);
        });
        let kind = match kind {
            _ if failed => Kind::Broken,
            ScalarKind::String => Kind::Text(text.into_owned()),
            ScalarKind::Boolean(value) => Kind::Boolean(value),
            ScalarKind::DateTime => Kind::Date(text.into_owned()),
            ScalarKind::Float => Kind::Float,
            ScalarKind::Integer(radix) => match i64::from_str_radix(&text, radix.value()) {
                Ok(number) => Kind::Integer(number),
                Err(_) => {
                    self.report(
                        Mistake::at(Code::NumberRange, span(at), "this number is beyond all bounds")
                            .label("more than 64 bits"),
                    );
                    Kind::Broken
                }
            },
        };
        Value { span: span(at), kind }
    }
}

impl EventReceiver for Builder<'_> {
    fn std_table_open(&mut self, at: Place, _error: &mut dyn ErrorSink) {
        self.begin_header(at);
    }

    fn std_table_close(&mut self, at: Place, _error: &mut dyn ErrorSink) {
        if let Some(start) = self.header.take() {
            self.open_table(Span::new(start, at.end()));
        }
    }

    fn array_table_open(&mut self, at: Place, _error: &mut dyn ErrorSink) {
        self.begin_header(at);
    }

    fn array_table_close(&mut self, at: Place, _error: &mut dyn ErrorSink) {
        let Some(start) = self.header.take() else { return };
        let header = Span::new(start, at.end());
        let name = shown(&self.path);
        self.report(
            Mistake::at(Code::ListOfTables, header, "double brackets make a list of tables")
                .label("nothing in this file is one")
                .hint(format!("write `[{name}]`")),
        );
        self.open_table(header);
    }

    fn inline_table_open(&mut self, at: Place, _error: &mut dyn ErrorSink) -> bool {
        self.open_frame(at, |builder| {
            let depth = builder.open + builder.tables[builder.here].depth;
            Content::Table(builder.grow(span(at), Origin::Closed, depth))
        })
    }

    fn inline_table_close(&mut self, at: Place, _error: &mut dyn ErrorSink) {
        self.close_frame(at);
    }

    fn array_open(&mut self, at: Place, _error: &mut dyn ErrorSink) -> bool {
        self.open_frame(at, |_| Content::List(Vec::new()))
    }

    fn array_close(&mut self, at: Place, _error: &mut dyn ErrorSink) {
        self.close_frame(at);
    }

    fn simple_key(&mut self, at: Place, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let raw = self.source.input().get(at.start()..at.end()).unwrap_or_default();
        let mut text = Cow::Borrowed("");
        toml_parser::Raw::new_unchecked(raw, encoding, at).decode_key(&mut text, error);
        self.path.push(Key { text: text.into_owned(), span: span(at) });
    }

    fn scalar(&mut self, at: Place, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        if at.is_empty() {
            // The parser puts a value where there is none.
            error.report_error(ParseError::new(syntax::NO_VALUE).with_unexpected(at));
            return self.place(Value { span: span(at), kind: Kind::Broken }, None);
        }
        let value = self.value(at, encoding, error);
        self.place(value, None);
    }

    fn newline(&mut self, at: Place, _error: &mut dyn ErrorSink) {
        // A header ends with its line, closed or not: what follows belongs to it.
        if let Some(start) = self.header.take() {
            self.open_table(Span::new(start, at.start()));
        }
        // A key that never got its value must not become part of the next one.
        if self.frames.is_empty() {
            self.path.clear();
        }
    }
}

/// Makes a tree of table `number`. Recursion is bounded: nothing nests beyond [`DEPTH_MAX`].
fn nest(tables: &mut Vec<Growing>, number: usize) -> Table {
    let span = tables[number].span;
    let entries = std::mem::take(&mut tables[number].entries);
    let entry = |(key, key_span, item)| {
        let value = match item {
            Item::Value(value) => value,
            Item::Table(below) => {
                let span = tables[below].span;
                Value { span, kind: Kind::Table(nest(tables, below)) }
            }
        };
        Entry { key, key_span, value }
    };
    Table { span, entries: entries.into_iter().map(entry).collect() }
}

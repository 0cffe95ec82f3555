//! A document that remembers what was not understood.

use std::{cell::RefCell, collections::BTreeMap};

use roxmltree::{Document, Node};

use super::Note;

/// An element.
pub(super) type Element<'d> = Node<'d, 'd>;

/// Most lines of a report; the rest is counted.
const NOTES_MAX: usize = 1000;

/// A document, its elements by id, and what was passed over in it.
pub(super) struct Reader<'d> {
    document: &'d Document<'d>,
    /// By kind of element and id.
    by_id: BTreeMap<(&'d str, &'d str), Element<'d>>,
    /// Place in bytes, and what is said of it.
    notes: RefCell<Vec<(usize, String)>>,
    /// How many were too many.
    more: RefCell<usize>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(document: &'d Document<'d>) -> Reader<'d> {
        let mut by_id = BTreeMap::new();
        for element in document.descendants().filter(Node::is_element) {
            if let Some(id) = element.attribute("id") {
                by_id.entry((element.tag_name().name(), id)).or_insert(element);
            }
        }
        Reader { document, by_id, notes: RefCell::default(), more: RefCell::default() }
    }

    /// The element of this kind that has this id.
    pub(super) fn by_id(&self, kind: &'d str, id: &'d str) -> Option<Element<'d>> {
        self.by_id.get(&(kind, id)).copied()
    }

    /// The element itself, or that which its `id-ref` speaks of.
    pub(super) fn referred(&self, element: Element<'d>) -> Option<Element<'d>> {
        let Some(id) = element.attribute("id-ref") else { return Some(element) };
        let kind = element.tag_name().name();
        let found = self.by_id(kind, id).filter(|found| !found.has_attribute("id-ref"));
        if found.is_none() {
            self.note_at(element, "id-ref", format!("no <{kind}> has the id `{id}`; it is left out"));
        }
        found
    }

    /// Says what is to be said of an element.
    pub(super) fn note(&self, element: Element<'d>, message: impl Into<String>) {
        self.note_byte(element.range().start, message.into());
    }

    /// Says what is to be said of an attribute.
    pub(super) fn note_at(&self, element: Element<'d>, attribute: &str, message: impl Into<String>) {
        let attribute = element.attributes().find(|candidate| candidate.name() == attribute);
        let place = attribute.map_or(element.range().start, |attribute| attribute.range().start);
        self.note_byte(place, message.into());
    }

    fn note_byte(&self, place: usize, message: String) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() < NOTES_MAX {
            notes.push((place, message));
        } else {
            *self.more.borrow_mut() += 1;
        }
    }

    /// Says that an element is not known here.
    pub(super) fn unknown(&self, element: Element<'d>) {
        let parent = element.parent_element().map_or("", |parent| parent.tag_name().name());
        let name = element.tag_name().name();
        self.note(element, format!("<{name}> is not known in <{parent}>; it is left out"));
    }

    /// Says of all attributes but these that they are not known.
    pub(super) fn known(&self, element: Element<'d>, attributes: &[&str]) {
        for attribute in element.attributes() {
            if !attributes.contains(&attribute.name()) && attribute.namespace().is_none() {
                let name = element.tag_name().name();
                let message = format!("`{}` is not known in <{name}>; it is left out", attribute.name());
                self.note_byte(attribute.range().start, message);
            }
        }
    }

    /// Says of all elements inside but these that they are not known.
    pub(super) fn known_children(&self, element: Element<'d>, kinds: &[&str]) {
        for child in children(element) {
            if !kinds.contains(&child.tag_name().name()) {
                self.unknown(child);
            }
        }
    }

    /// The value of an attribute, if it is there and can be read; `what` says what it should be.
    pub(super) fn parsed<T>(
        &self,
        element: Element<'d>,
        attribute: &str,
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = element.attribute(attribute)?;
        let value = parse(text);
        if value.is_none() {
            self.note_at(element, attribute, format!("`{attribute}` is `{text}`, which is not {what}"));
        }
        value
    }

    /// Everything that was passed over, in the order of the document.
    pub(super) fn report(&self) -> Vec<Note> {
        let mut notes = self.notes.borrow().clone();
        notes.sort();
        notes.dedup();
        let more = *self.more.borrow();
        if more > 0 {
            let end = self.document.input_text().len();
            notes.push((end, format!("{more} more things were not understood")));
        }
        let places = Places::of(self.document.input_text());
        let note = |(place, message)| {
            let (line, column) = places.position(place);
            Note { line, column, message }
        };
        notes.into_iter().map(note).collect()
    }
}

/// The elements inside of an element.
pub(super) fn children<'d>(element: Element<'d>) -> impl Iterator<Item = Element<'d>> + use<'d> {
    element.children().filter(Node::is_element)
}

/// The elements of one kind inside of an element.
pub(super) fn named<'d>(
    element: Element<'d>,
    kind: &'static str,
) -> impl Iterator<Item = Element<'d>> + use<'d> {
    children(element).filter(move |child| child.tag_name().name() == kind)
}

/// Where lines begin, so that a place is found without a walk through the text.
struct Places<'t> {
    text: &'t str,
    lines: Vec<usize>,
}

impl<'t> Places<'t> {
    fn of(text: &'t str) -> Places<'t> {
        let ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Places { text, lines }
    }

    fn position(&self, place: usize) -> (u32, u32) {
        let line = self.lines.partition_point(|&start| start <= place).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..place).map_or(0, |before| before.chars().count()) + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

//! Mistakes as people and programs read them.

use std::fmt::Write as _;

use annotate_snippets::{
    Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
    renderer::DecorStyle,
};
use serde::Serialize;

use crate::{Mistake, Severity, Span};

/// Most mistakes that are written out; the rest is counted.
const WRITTEN_MAX: usize = 100;
/// Longest line that is shown, in bytes.
const LINE_MAX: usize = 2000;

/// Everything that is wrong with one file, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    file: String,
    text: String,
    mistakes: Vec<Mistake>,
}

/// A place as people count: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Position {
    line: usize,
    column: usize,
}

#[derive(Serialize)]
struct Document<'r> {
    file: &'r str,
    errors: usize,
    warnings: usize,
    mistakes: Vec<Row<'r>>,
}

#[derive(Serialize)]
struct Row<'r> {
    file: &'r str,
    line: Option<usize>,
    column: Option<usize>,
    end: Option<Position>,
    severity: String,
    code: &'static str,
    message: &'r str,
    label: &'r str,
    hint: Option<&'r str>,
    related: Vec<Related<'r>>,
}

#[derive(Serialize)]
struct Related<'r> {
    line: usize,
    column: usize,
    end: Position,
    message: &'r str,
}

impl Report {
    /// A report about `text`, which `file` holds.
    pub(crate) fn new(file: &str, text: &str, mut mistakes: Vec<Mistake>) -> Report {
        mistakes.sort_by_key(|mistake| mistake.span.map(|span| span.start));
        mistakes.dedup();
        Report { file: file.into(), text: text.into(), mistakes }
    }

    /// Every mistake, in the order of the text; those about the whole file come first.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    /// Whether there is nothing to report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// How many mistakes are of this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.mistakes.iter().filter(|mistake| mistake.severity() == severity).count()
    }

    /// The report for people: every mistake with its line, and how many there are.
    #[must_use]
    pub fn render_text(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let lines = Lines::of(&self.text);
        let mut text = String::new();
        for mistake in self.mistakes.iter().take(WRITTEN_MAX) {
            let groups = self.groups(mistake, &lines);
            let _ = writeln!(text, "{}\n", renderer.render(&groups));
        }
        if let Some(more) = self.mistakes.len().checked_sub(WRITTEN_MAX).filter(|more| *more > 0) {
            let _ = writeln!(text, "… and {more} more\n");
        }
        if !self.is_empty() {
            let _ = writeln!(text, "{}", self.summary());
        }
        text
    }

    /// How many of which, in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let errors = (errors > 0).then(|| crate::words::count(errors, "error", "errors"));
        let warnings = (warnings > 0).then(|| crate::words::count(warnings, "warning", "warnings"));
        let parts: Vec<String> = errors.into_iter().chain(warnings).collect();
        match parts.as_slice() {
            [] => format!("{}: no mistakes", self.file),
            _ => format!("{}: {}", self.file, parts.join(", ")),
        }
    }

    /// The report for programs. Keys are only ever added.
    #[must_use]
    pub fn to_json(&self) -> String {
        let lines = Lines::of(&self.text);
        let document = Document {
            file: &self.file,
            errors: self.count(Severity::Error),
            warnings: self.count(Severity::Warning),
            mistakes: self.mistakes.iter().map(|mistake| self.row(mistake, &lines)).collect(),
        };
        // Texts and numbers under fixed keys: there is nothing in it that JSON cannot say.
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }

    fn row<'r>(&'r self, mistake: &'r Mistake, lines: &Lines<'_>) -> Row<'r> {
        let start = mistake.span.map(|span| lines.position(span.start));
        let related = |(span, message): &'r (Span, String)| {
            let start = lines.position(span.start);
            Related { line: start.line, column: start.column, end: lines.position(span.end), message }
        };
        Row {
            file: &self.file,
            line: start.map(|start| start.line),
            column: start.map(|start| start.column),
            end: mistake.span.map(|span| lines.position(span.end)),
            severity: mistake.severity().to_string(),
            code: mistake.code.as_str(),
            message: &mistake.message,
            label: &mistake.label,
            hint: mistake.hint.as_deref(),
            related: mistake.related.iter().map(related).collect(),
        }
    }

    fn snippet<'r>(&'r self, window: &Window<'r>) -> Snippet<'r, Annotation<'r>> {
        Snippet::source(window.text).path(self.file.as_str()).line_start(window.line).fold(false)
    }

    fn groups<'r>(&'r self, mistake: &'r Mistake, lines: &Lines<'r>) -> Vec<Group<'r>> {
        let level = match mistake.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(mistake.message.as_str()).id(mistake.code.as_str());
        let mut group = match mistake.span {
            None => title.element(Origin::path(self.file.as_str())),
            Some(span) => match lines.window(span) {
                Some(window) => {
                    let label =
                        AnnotationKind::Primary.span(window.span.clone()).label(mistake.label.as_str());
                    let beside = mistake.related.iter().filter_map(|(span, text)| {
                        let other = lines.window(*span).filter(|other| other.line == window.line)?;
                        Some(AnnotationKind::Context.span(other.span).label(text.as_str()))
                    });
                    title.element(self.snippet(&window).annotation(label).annotations(beside))
                }
                None => {
                    let Position { line, column } = lines.position(span.start);
                    title.element(Origin::path(self.file.as_str()).line(line).char_column(column))
                }
            },
        };
        for (span, text) in &mistake.related {
            let here = mistake.span.and_then(|span| lines.window(span)).map(|window| window.line);
            if let Some(window) = lines.window(*span).filter(|window| Some(window.line) != here) {
                let label = AnnotationKind::Context.span(window.span.clone()).label(text.as_str());
                group = group.element(self.snippet(&window).annotation(label));
            }
        }
        let mut groups = vec![group];
        if let Some(hint) = &mistake.hint {
            let hint = Level::HELP.with_name("hint").secondary_title(normalize_untrusted_str(hint));
            groups.push(Group::with_title(hint));
        }
        groups
    }
}

/// The lines of a text, to find places in it.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

/// The line that a place is on, to be shown.
struct Window<'t> {
    text: &'t str,
    line: usize,
    span: std::ops::Range<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Lines<'t> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Lines { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// The nearest place at or before `at` that is between two characters.
    fn settle(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// The line of a place, counted from 0. The end of a text that ends with a newline belongs to
    /// its last line: there is nothing to see on the empty one behind.
    fn line(&self, at: usize) -> usize {
        let line = self.starts.partition_point(|start| *start <= at) - 1;
        let behind = line > 0 && at == self.text.len() && self.starts[line] == at;
        if behind { line - 1 } else { line }
    }

    fn content(&self, line: usize) -> (usize, &'t str) {
        let start = self.starts[line];
        let end = self.starts.get(line + 1).copied().unwrap_or(self.text.len());
        (start, self.text[start..end].trim_end_matches(['\n', '\r']))
    }

    fn position(&self, at: usize) -> Position {
        let at = self.settle(at);
        let line = self.line(at);
        let (start, content) = self.content(line);
        let before = &self.text[start..at.min(start + content.len())];
        Position { line: line + 1, column: before.chars().count() + 1 }
    }

    /// The first line of a place; nothing if it is too long to be shown.
    fn window(&self, span: Span) -> Option<Window<'t>> {
        let line = self.line(self.settle(span.start));
        let (start, content) = self.content(line);
        if content.len() > LINE_MAX {
            return None;
        }
        let within = |at: usize| self.settle(at).clamp(start, start + content.len()) - start;
        let (from, to) = (within(span.start), within(span.end));
        Some(Window { text: content, line: line + 1, span: from..to.max(from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let lines = Lines::of("ab\nä€c\r\nlast\n");
        for (at, line, column) in
            [(0, 1, 1), (2, 1, 3), (3, 2, 1), (4, 2, 1), (5, 2, 2), (8, 2, 3), (11, 3, 1), (16, 3, 5)]
        {
            assert_eq!(lines.position(at), Position { line, column }, "{at}");
        }
        assert_eq!(Lines::of("").position(0), Position { line: 1, column: 1 });
        assert_eq!(Lines::of("").position(9), Position { line: 1, column: 1 });
    }
}

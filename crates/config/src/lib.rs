//! Text to specification, with every mistake at its place.
//!
//! A configuration is one TOML file. [`read`] turns it into a [`Spec`] in two stages: first into
//! exactly what was written, each part with its place; then into what is meant, with every default
//! filled in and every name resolved. Neither stage stops at the first mistake, so that one look
//! at the report is enough. [`print()`] writes a specification back.
//!
//! Parameters of the built-in agents stand beside the keys that every resource has. Those of
//! other agents, whose names we do not choose, stand in a table `parameters` of their own.
//!
//! The text alone decides; what only the machine can tell (is that file there?) is asked of an
//! [`Environment`]. Nothing here opens a file.

mod check;
pub mod cib;
mod draft;
mod duration;
mod environment;
mod hours;
mod keys;
mod mistake;
mod print;
mod report;
mod syntax;
mod toml;
mod tree;
mod wishes;
mod words;

pub use check::GuardChosen;
pub use environment::{Environment, FileFacts, FolderFacts, Found, NoEnvironment};
pub use mistake::{Code, Mistake, Severity, Span, Written};
pub use print::print;
pub use report::Report;

use std::collections::BTreeMap;

use heart_model::{CONFIGURATION_BYTES_MAX, ResourceName, Spec};

/// A configuration without errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// What it says.
    pub spec: Spec,
    /// What is allowed but perhaps not what was meant; may be empty.
    pub warnings: Report,
    /// Who chose the guard of each resource.
    pub guards: BTreeMap<ResourceName, GuardChosen>,
    /// The text it was read from, without a byte order mark.
    pub text: String,
}

/// Reads a configuration.
///
/// `file_name` is used in messages only. Whoever reads a file should stop after
/// [`CONFIGURATION_BYTES_MAX`] + 1 bytes: more is refused without a look at it.
///
/// # Errors
/// Every mistake there is, warnings too, if at least one of them is an error.
pub fn read(file_name: &str, bytes: &[u8], environment: &dyn Environment) -> Result<Checked, Report> {
    let text = text_of(file_name, bytes)?;
    let toml::Parsed { root, mut mistakes, doubtful } = toml::parse(text);
    let broken = !mistakes.is_empty();
    if root.entries.is_empty() && !broken {
        let empty = Mistake::of_file(Code::Empty, "nothing is written in this file").hint(LEAST);
        return Err(Report::new(file_name, text, vec![empty]));
    }
    let mut said = Vec::new();
    let draft = draft::Draft::read(&root, &mut said);
    let spec = check::check(&draft, environment, &mut said);
    // First things first: what seems to be absent may only be unreadable, and what seems to be
    // wrong on a line that is broken may be something else.
    let in_doubt = |at: usize| doubtful.iter().any(|part| (part.start..part.end).contains(&at));
    said.retain(|mistake| {
        let absent = broken && mistake.code.is_about_absence();
        let doubted = mistake.span.is_some_and(|span| in_doubt(span.start));
        !absent && !doubted
    });
    mistakes.extend(said);
    let report = Report::new(file_name, text, mistakes);
    match spec {
        Some(spec) if !broken => {
            let guards = check::chosen(&draft, &spec);
            Ok(Checked { spec, warnings: report, guards, text: text.into() })
        }
        _ => Err(report),
    }
}

/// The least that a configuration consists of.
const LEAST: &str = "write at least `[cluster]` with `name = \"web\"`, and `[node.ada]` with \
    `addresses = [\"10.0.0.1\"]`";

fn text_of<'b>(file_name: &str, bytes: &'b [u8]) -> Result<&'b str, Report> {
    if bytes.len() > CONFIGURATION_BYTES_MAX {
        let most = CONFIGURATION_BYTES_MAX / (1024 * 1024);
        let message = format!("the file is larger than {most} MiB, and no configuration is");
        let large = Mistake::of_file(Code::TooLarge, message).hint("is this the right file?");
        return Err(Report::new(file_name, "", vec![large]));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let wide = Mistake::of_file(Code::NotText, "the file is text in UTF-16").hint("save it as UTF-8");
        return Err(Report::new(file_name, "", vec![wide]));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|fault| {
        let start = fault.valid_up_to();
        let text = String::from_utf8_lossy(bytes);
        let end = text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
        let byte = bytes.get(start).copied().unwrap_or_default();
        let message = format!("the byte 0x{byte:02x} is not text in UTF-8");
        let mistake = Mistake::at(Code::NotText, Span::new(start, end), message)
            .label("no character")
            .hint("save the file as UTF-8; letters beyond ASCII may come from an old encoding");
        Report::new(file_name, &text, vec![mistake])
    })
}

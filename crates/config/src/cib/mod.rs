//! The configuration and state of a Pacemaker cluster, from its CIB.
//!
//! A CIB is one XML document: what is wanted, what the nodes say of themselves, and what was done on them.
//! [`read`] understands schemas 1 to 4, with the names that things have today and those that they had
//! before. It says of everything that it passes over where that stands and why: what the other cluster
//! manager would quietly ignore is not lost quietly here.
//!
//! It reads and does not judge. No rule is evaluated, no default filled in; only what is mere notation
//! is resolved: templates, references by `id-ref`, tags, and patterns of resource names.
//!
//! Left out on purpose, because it does not bear on what should run where: access rights (`acls`), alerts,
//! and how and by whom a CIB was written.

mod constraints;
mod dates;
mod locations;
mod operations;
mod reader;
mod references;
mod resources;
mod rules;
mod sets;
mod status;
mod words;

use std::fmt;

use heart_model::policy::{Cluster, FencingLevel, FencingTarget, Node, NodeKind, Score, State};
use roxmltree::{Document, ParsingOptions};

pub use dates::{date, date_text};

use reader::{Element, Reader, children};
use references::Names;

/// More bytes than any CIB has.
pub const CIB_BYTES_MAX: usize = 512 * 1024 * 1024;
/// More elements, texts and comments than any CIB has.
const PARTS_MAX: u32 = 20_000_000;

/// What a CIB says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// What is wanted.
    pub cluster: Cluster,
    /// What is.
    pub state: State,
    /// What was not understood, in the order in which it stands there.
    pub report: Vec<Note>,
}

/// Something that was passed over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Its line, from 1.
    pub line: u32,
    /// Its column, from 1.
    pub column: u32,
    /// What it is, and what was done about it.
    pub message: String,
}

/// Why a file cannot be read as a CIB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CibMistake {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What was found.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Note {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl fmt::Display for CibMistake {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for CibMistake {}

/// Reads a CIB. `name` is used in messages only.
///
/// # Errors
/// What keeps it from being read at all: it is no text, no XML, or another document.
pub fn read(name: &str, bytes: &[u8]) -> Result<Imported, Vec<CibMistake>> {
    let mistake = |line, column, message: String, hint: &str| {
        vec![CibMistake { file: name.to_owned(), line, column, message, hint: hint.to_owned() }]
    };
    if bytes.len() > CIB_BYTES_MAX {
        let most = CIB_BYTES_MAX / (1024 * 1024);
        let message = format!("the file is larger than {most} MiB, and no CIB is");
        return Err(mistake(1, 1, message, "is this the right file?"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|fault| {
        let before = String::from_utf8_lossy(&bytes[..fault.valid_up_to()]);
        let line = before.matches('\n').count() as u32 + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) as u32 + 1;
        let message = "there is a byte that is no text in UTF-8".to_owned();
        mistake(line, column, message, "save the file as UTF-8")
    })?;
    let options = ParsingOptions { nodes_limit: PARTS_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| {
        let (at, message) = (error.pos(), format!("this is not XML: {error}"));
        mistake(at.row, at.col, message, "`cibadmin --query` prints a CIB that can be read")
    })?;
    let root = document.root_element();
    if root.tag_name().name() != "cib" {
        let at = document.text_pos_at(root.range().start);
        let message = format!("the document is <{}>, not <cib>", root.tag_name().name());
        return Err(mistake(at.row, at.col, message, "`cibadmin --query` prints a whole CIB"));
    }
    Ok(whole(&Reader::new(&document), root))
}

/// The whole document.
fn whole(reader: &Reader<'_>, root: Element<'_>) -> Imported {
    reader.known(
        root,
        &[
            "have-quorum",
            "dc-uuid",
            "execution-date",
            "no-quorum-panic",
            "crm_feature_set",
            "validate-with",
            "epoch",
            "num_updates",
            "admin_epoch",
            "cib-last-written",
            "update-origin",
            "update-client",
            "update-user",
            "remote-tls-port",
            "remote-clear-port",
            "generated",
            "num_peers",
            "ccm_transition",
            "cib_feature_revision",
            "ignore_dtd",
            "debug_source",
            "request_update",
            "cib-debug-origin",
        ],
    );
    let (mut cluster, mut state) = (Cluster::default(), State::default());
    for part in children(root) {
        match part.tag_name().name() {
            "configuration" => configuration(reader, part, &mut cluster),
            "status" => status::read(reader, part, &mut state),
            _ => reader.unknown(part),
        }
    }
    let option = |name: &str| cluster.options.iter().find_map(|set| set.values.get(name));
    state.watchdog = option("have-watchdog").and_then(|text| words::switch(text)) == Some(true);
    state.quorum = reader.parsed(root, "have-quorum", "yes or no", words::switch) == Some(true);
    let had_quorum = |text: &str| words::switch(text) == Some(true) || words::count(text) > Some(0);
    state.had_quorum = root.attribute("no-quorum-panic").is_some_and(had_quorum);
    state.leader = root.attribute("dc-uuid").filter(|id| !id.is_empty()).map(str::to_owned);
    state.now = reader.parsed(root, "execution-date", "seconds since 1970", |text| text.parse().ok());
    Imported { cluster, state, report: reader.report() }
}

fn configuration(reader: &Reader<'_>, configuration: Element<'_>, cluster: &mut Cluster) {
    reader.known(configuration, &["id"]);
    let names = Names::of(reader, configuration);
    for part in children(configuration) {
        match part.tag_name().name() {
            "crm_config" => options(reader, part, cluster),
            "nodes" => nodes(reader, part, cluster),
            "resources" => resources::read(reader, part, &mut cluster.resources),
            "constraints" => constraints::read(reader, &names, part, &mut cluster.constraints),
            "rsc_defaults" => cluster.resource_defaults.extend(sets::all(reader, part, "meta_attributes")),
            "op_defaults" => cluster.operation_defaults.extend(sets::all(reader, part, "meta_attributes")),
            "fencing-topology" => fencing_levels(reader, part, cluster),
            // They are in the names already.
            "tags" | "acls" | "alerts" => {}
            _ => reader.unknown(part),
        }
    }
    cluster.tags = names.tags();
}

/// Options of the cluster. The set with the name that all tools use goes before all others.
fn options(reader: &Reader<'_>, config: Element<'_>, cluster: &mut Cluster) {
    let mut options = sets::all(reader, config, "cluster_property_set");
    for set in &mut options {
        if set.id == "cib-bootstrap-options" {
            set.score = Score::INFINITY;
        }
    }
    cluster.options.extend(options);
}

fn nodes(reader: &Reader<'_>, nodes: Element<'_>, cluster: &mut Cluster) {
    for node in children(nodes) {
        if node.tag_name().name() != "node" {
            reader.unknown(node);
            continue;
        }
        reader.known(node, &["id", "uname", "type", "score", "description"]);
        reader.known_children(node, &["instance_attributes", "utilization"]);
        let Some(name) = node.attribute("uname").or_else(|| node.attribute("id")) else {
            reader.note(node, "a node has no name; it is left out");
            continue;
        };
        let kind = match node.attribute("type") {
            None | Some("member" | "normal") => NodeKind::Member,
            Some("ping") => NodeKind::Ping,
            Some("remote") => NodeKind::Remote,
            Some(other) => {
                reader.note_at(
                    node,
                    "type",
                    format!("`{other}` is no kind of node; it is taken for a member"),
                );
                NodeKind::Member
            }
        };
        cluster.nodes.push(Node {
            id: node.attribute("id").unwrap_or(name).to_owned(),
            name: name.to_owned(),
            kind,
            score: reader.parsed(node, "score", "a score", words::score).unwrap_or_default(),
            attributes: sets::all(reader, node, "instance_attributes"),
            utilization: sets::all(reader, node, "utilization"),
        });
    }
}

fn fencing_levels(reader: &Reader<'_>, topology: Element<'_>, cluster: &mut Cluster) {
    for level in children(topology) {
        if level.tag_name().name() != "fencing-level" {
            reader.unknown(level);
            continue;
        }
        let all = ["id", "target", "target-pattern", "target-attribute", "target-value", "index", "devices"];
        reader.known(level, &all);
        let text = |name| level.attribute(name).map(str::to_owned);
        let by_attribute = || text("target-attribute").zip(text("target-value"));
        let target = text("target")
            .map(FencingTarget::Node)
            .or_else(|| text("target-pattern").map(FencingTarget::Pattern))
            .or_else(|| by_attribute().map(|(name, value)| FencingTarget::Attribute(name, value)));
        let index =
            level.attribute("index").and_then(words::count).and_then(|index| u32::try_from(index).ok());
        let (Some(target), Some(index)) = (target, index) else {
            reader.note(
                level,
                "a level of fencing says not for which node, or which level it is; it is left out",
            );
            continue;
        };
        let devices = level.attribute("devices").unwrap_or_default().split(',').map(str::trim);
        let devices = devices.filter(|device| !device.is_empty()).map(str::to_owned).collect();
        cluster.fencing_levels.push(FencingLevel { target, index, devices });
    }
}

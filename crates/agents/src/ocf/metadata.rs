//! How an OCF agent describes itself: XML, read with bounds.

use heart_model::{AgentInfo, AgentRef, FenceParameter, Guard, ParameterInfo, ParameterKind};
use roxmltree::{Document, Node, ParsingOptions};

/// Longest description that is read.
const TEXT_MAX: usize = 256 * 1024;
/// Most parts that a description may have; the largest known has some 2,000.
const PARTS_MAX: u32 = 20_000;
/// Most parameters of one agent.
const PARAMETERS_MAX: usize = 512;

/// Reads the answer to `meta-data`.
pub(super) fn read(agent: AgentRef, text: &str) -> Result<AgentInfo, String> {
    let document = parse(text)?;
    let root = document.root_element();
    Ok(AgentInfo {
        agent,
        summary: words(root, "shortdesc"),
        description: words(root, "longdesc"),
        parameters: parameters(root),
        // What it does is not known, so nothing less than proof will do.
        guard: Guard::Fence,
        promotes: promotes(root),
    })
}

/// What agents call the action that only looks whether what they are told makes sense.
pub(crate) const VALIDATE: &str = "validate-all";

/// What somebody else's agent says of itself that describes itself in the same words, such as a fence agent.
pub(crate) struct Other {
    /// What it can be told.
    pub parameters: Vec<FenceParameter>,
    /// How many seconds it says that the action takes which was asked for.
    pub takes: Option<u64>,
    /// Nodes do an action of it by themselves when they start. Fence agents say so that cut a node off from a fabric,
    /// such as a network of disks, and leave it its power.
    pub automatic: bool,
    /// It has an action that only looks whether what it is told makes sense.
    pub validates: bool,
}

/// Reads what a fence agent says of itself, and of one action.
pub(crate) fn read_other(text: &str, action: &str) -> Result<Other, String> {
    let document = parse(text)?;
    let root = document.root_element();
    let timeouts = actions(root).filter(|node| node.attribute("name") == Some(action));
    let takes = timeouts.filter_map(|node| seconds(node.attribute("timeout")?)).max();
    let automatic = actions(root).any(|node| node.attribute("automatic") == Some("1"));
    let validates = actions(root).any(|node| node.attribute("name") == Some(VALIDATE));
    let parameters = written(root).filter_map(|node| {
        Some(FenceParameter {
            info: parameter(node)?,
            former: node.attribute("obsoletes").map(str::to_owned),
            outdated: node.attribute("deprecated").is_some(),
        })
    });
    Ok(Other { parameters: parameters.collect(), takes, automatic, validates })
}

/// A parameter of which nothing is known but its name.
pub(crate) fn named(name: &str) -> FenceParameter {
    let (name, summary, kind) = (name.to_owned(), String::new(), ParameterKind::Text);
    let info = ParameterInfo { name, summary, kind, required: false, default: None };
    FenceParameter { info, former: None, outdated: false }
}

/// Reads a number of seconds, with or without its unit; nothing else is written in descriptions.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    text.strip_suffix('s').unwrap_or(text).trim_end().parse().ok()
}

fn parse(text: &str) -> Result<Document<'_>, String> {
    if text.len() > TEXT_MAX {
        return Err(format!("its description is longer than {TEXT_MAX} bytes"));
    }
    // Most agents name a document type, which is not followed.
    let options = ParsingOptions { allow_dtd: true, nodes_limit: PARTS_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text.trim_start(), options)
        .map_err(|error| format!("its description is no XML: {error}"))?;
    let root = document.root_element();
    if !root.has_tag_name("resource-agent") {
        return Err(format!("its description is about a `{}`", root.tag_name().name()));
    }
    Ok(document)
}

fn parameters(root: Node<'_, '_>) -> Vec<ParameterInfo> {
    written(root).filter_map(parameter).collect()
}

fn written<'a, 'input>(root: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    root.children()
        .filter(|node| node.has_tag_name("parameters"))
        .flat_map(|node| node.children())
        .filter(|node| node.has_tag_name("parameter"))
        .take(PARAMETERS_MAX)
}

/// Whether one of its actions is to promote.
fn promotes(root: Node<'_, '_>) -> bool {
    actions(root).any(|node| node.attribute("name") == Some("promote"))
}

fn actions<'a, 'input>(root: Node<'a, 'input>) -> impl Iterator<Item = Node<'a, 'input>> {
    let all = root.children().filter(|node| node.has_tag_name("actions"));
    all.flat_map(|node| node.children()).filter(|node| node.has_tag_name("action"))
}

fn parameter(node: Node<'_, '_>) -> Option<ParameterInfo> {
    let content = node.children().find(|child| child.has_tag_name("content"));
    let kind = match content.and_then(|content| content.attribute("type")) {
        Some("boolean") => ParameterKind::Boolean,
        Some("integer") => ParameterKind::Integer,
        Some("select") => ParameterKind::OneOf(
            content
                .into_iter()
                .flat_map(|content| content.children())
                .filter_map(|option| option.attribute("value").map(str::to_owned))
                .take(PARAMETERS_MAX)
                .collect(),
        ),
        Some(_) | None => ParameterKind::Text,
    };
    Some(ParameterInfo {
        name: node.attribute("name")?.to_owned(),
        summary: words(node, "shortdesc"),
        kind,
        required: matches!(node.attribute("required"), Some("1" | "true")),
        default: content.and_then(|content| content.attribute("default")).map(str::to_owned),
    })
}

/// The text of the first child with this name, without the white space around it.
fn words(node: Node<'_, '_>, name: &str) -> String {
    let child = node.children().find(|child| child.has_tag_name(name));
    child.and_then(|child| child.text()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> AgentRef {
        AgentRef::Ocf { provider: "heartbeat".into(), kind: "Test".into() }
    }

    #[test]
    fn a_description_is_read() {
        let text = r#"<?xml version="1.0"?><!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
            <resource-agent name="Test"><version>1.0</version>
            <longdesc lang="en"> Long. </longdesc><shortdesc lang="en">Short.</shortdesc>
            <parameters>
            <parameter name="ip" unique="1" required="1"><longdesc>x</longdesc><shortdesc>IP</shortdesc>
              <content type="string" default=""/></parameter>
            <parameter name="count"><content type="integer" default="3"/></parameter>
            <parameter name="how"><content type="select"><option value="a"/><option value="b"/></content></parameter>
            </parameters></resource-agent>"#;
        let info = read(agent(), text).unwrap();
        assert_eq!((info.summary.as_str(), info.description.as_str()), ("Short.", "Long."));
        let found: Vec<_> =
            info.parameters.iter().map(|p| (p.name.as_str(), p.required, p.default.as_deref())).collect();
        assert_eq!(found, [("ip", true, Some("")), ("count", false, Some("3")), ("how", false, None)]);
        assert_eq!(info.parameters[2].kind, ParameterKind::OneOf(vec!["a".into(), "b".into()]));
    }

    #[test]
    fn who_can_promote_says_so_among_its_actions() {
        let with = |actions: &str| format!("<resource-agent><actions>{actions}</actions></resource-agent>");
        for (actions, promotes) in [
            ("<action name=\"start\"/><action name=\"promote\" timeout=\"9s\"/>", true),
            ("<action name=\"start\"/>", false),
            ("<other name=\"promote\"/>", false),
        ] {
            assert_eq!(read(agent(), &with(actions)).unwrap().promotes, promotes, "{actions}");
        }
    }

    #[test]
    fn an_action_may_say_how_long_it_takes() {
        for (actions, takes) in [
            ("<action name=\"off\" timeout=\"90s\"/><action name=\"on\" timeout=\"5\"/>", Some(90)),
            ("<action name=\"off\" timeout=\"90\"/>", Some(90)),
            ("<action name=\"off\" timeout=\"soon\"/>", None),
            ("<action name=\"off\"/>", None),
        ] {
            let text = format!("<resource-agent><actions>{actions}</actions></resource-agent>");
            assert_eq!(read_other(&text, "off").unwrap().takes, takes, "{actions}");
        }
    }

    #[test]
    fn who_cuts_nodes_off_from_a_fabric_says_so() {
        for (actions, automatic) in [
            ("<action name=\"on\" on_target=\"1\" automatic=\"1\"/><action name=\"off\"/>", true),
            ("<action name=\"on\" automatic=\"0\"/><action name=\"off\"/>", false),
        ] {
            let text = format!("<resource-agent><actions>{actions}</actions></resource-agent>");
            assert_eq!(read_other(&text, "off").unwrap().automatic, automatic, "{actions}");
        }
    }

    #[test]
    fn a_parameter_may_have_a_former_name_and_an_action_may_only_look() {
        let text = r#"<resource-agent><parameters>
            <parameter name="ip" required="1" obsoletes="ipaddr"/>
            <parameter name="ipaddr" required="1" deprecated="1"/>
            <parameter name="plug" required="1"/></parameters>
            <actions><action name="off"/><action name="validate-all"/></actions></resource-agent>"#;
        let said = read_other(text, "off").unwrap();
        assert!(said.validates && !read_other("<resource-agent/>", "off").unwrap().validates);
        let found: Vec<_> = said
            .parameters
            .iter()
            .map(|one| (one.info.name.as_str(), one.former.as_deref(), one.outdated))
            .collect();
        assert_eq!(found, [("ip", Some("ipaddr"), false), ("ipaddr", None, true), ("plug", None, false)]);
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for (text, said) in [
            ("", "no XML"),
            ("<a", "no XML"),
            ("<fence/>", "about a `fence`"),
            (&"x".repeat(TEXT_MAX + 1), "longer than"),
            (&format!("<resource-agent>{}</resource-agent>", "<a/>".repeat(30_000)), "no XML"),
        ] {
            assert!(read(agent(), text).unwrap_err().contains(said), "{said}");
        }
    }
}

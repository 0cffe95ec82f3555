//! What is read from CIBs: `whole.xml` has a bit of everything, `passed_over.xml` what cannot be used.

#[path = "survive/cib.rs"]
mod survive;

use std::{collections::BTreeMap, fs, path::Path};

use heart_config::cib::{Imported, read};
use heart_model::policy::{
    AttributeSet, Body, Combine, Compare, Constraint, Digests, Discovery, FencingTarget, JoinState, NodeKind,
    OperationStatus, OrderKind, Resource, ResourceSet, Role, Score, Span, Test, ValueSource, Verb, Where,
};
use proptest::{collection, prelude::*, sample};

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cib").join(name)).unwrap()
}

fn whole() -> Imported {
    let imported = read("whole.xml", text("whole.xml").as_bytes()).unwrap();
    assert_eq!(imported.report, [], "all of it is understood");
    imported
}

fn resource<'i>(imported: &'i Imported, id: &str) -> &'i Resource {
    let mut todo: Vec<&Resource> = imported.cluster.resources.iter().collect();
    while let Some(resource) = todo.pop() {
        if resource.id == id {
            return resource;
        }
        match &resource.body {
            Body::Primitive(_) => {}
            Body::Group(members) => todo.extend(members),
            Body::Clone(inner) => todo.push(inner),
            Body::Bundle(bundle) => todo.extend(bundle.inner.as_deref()),
        }
    }
    panic!("no resource {id}")
}

fn constraints<'i>(imported: &'i Imported, wanted: &str) -> Vec<&'i Constraint> {
    let id = |constraint: &Constraint| match constraint {
        Constraint::Location(location) => location.id.clone(),
        Constraint::Colocation(colocation) => colocation.id.clone(),
        Constraint::ColocationSets(colocation) => colocation.id.clone(),
        Constraint::Order(order) => order.id.clone(),
        Constraint::OrderSets(order) => order.id.clone(),
        Constraint::Ticket(ticket) => ticket.id.clone(),
    };
    imported.cluster.constraints.iter().filter(|constraint| id(constraint) == wanted).collect()
}

fn values(named: &[(&str, &str)]) -> BTreeMap<String, String> {
    named.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn all_values(sets: &[AttributeSet]) -> Vec<BTreeMap<String, String>> {
    sets.iter().map(|set| set.values.clone()).collect()
}

#[test]
fn the_cluster_and_its_nodes_are_read() {
    let Imported { cluster, state, .. } = whole();
    assert_eq!(cluster.options.len(), 2);
    assert_eq!(cluster.options[0].values, values(&[("fencing-enabled", "false")]));
    assert_eq!(cluster.options[1].score, Score::INFINITY, "the usual set goes first");
    assert_eq!(cluster.options[1].values, values(&[("fencing-enabled", "true"), ("have-watchdog", "true")]));
    assert_eq!((state.quorum, state.watchdog, state.had_quorum), (true, true, false));
    assert_eq!((state.leader.as_deref(), state.now), (Some("1"), Some(1_767_225_600)));
    let kinds: Vec<_> = cluster.nodes.iter().map(|node| (node.name.as_str(), node.kind)).collect();
    assert_eq!(kinds, [("ada", NodeKind::Member), ("bob", NodeKind::Member), ("eve", NodeKind::Ping)]);
    assert_eq!(cluster.nodes[1].score, Score::new(5));
    assert_eq!(all_values(&cluster.nodes[0].attributes), [values(&[("rack", "north")])]);
    assert_eq!(all_values(&cluster.nodes[0].utilization), [values(&[("memory", "2048")])]);
    let targets: Vec<_> = cluster.fencing_levels.iter().map(|level| level.target.clone()).collect();
    let attribute = FencingTarget::Attribute("rack".into(), "north".into());
    assert_eq!(targets, [FencingTarget::Node("ada".into()), FencingTarget::Pattern("b.*".into()), attribute]);
    assert_eq!(cluster.fencing_levels[0].devices, ["one", "two"]);
    assert_eq!(cluster.tags["webs"], ["web-1", "web-2"]);
}

#[test]
fn templates_give_what_a_resource_does_not_say_itself() {
    let imported = whole();
    let web = resource(&imported, "web-1");
    let Body::Primitive(agent) = &web.body else { panic!("{web:?}") };
    assert_eq!((agent.class.as_str(), agent.agent_type.as_str()), ("ocf", "apache"));
    assert_eq!(all_values(&web.meta), [values(&[("priority", "9")]), values(&[("priority", "1")])]);
    let operations: Vec<_> = web.operations.iter().map(|op| (op.id.as_str(), op.every_ms)).collect();
    assert_eq!(operations, [("web-1-monitor", 20_000), ("template-start", 0)]);
    let monitor = &web.operations[0];
    assert_eq!(
        (monitor.role, &monitor.options.values),
        (Some(Role::Started), &values(&[("on-fail", "block")]))
    );
    assert_eq!(all_values(&monitor.parameters), [values(&[("OCF_CHECK_LEVEL", "10")])]);
}

#[test]
fn sets_are_shared_and_may_have_rules() {
    let imported = whole();
    let (web, address) = (resource(&imported, "web-2"), resource(&imported, "address"));
    assert_eq!(web.parameters, address.parameters, "by reference");
    let set = &web.parameters[0];
    assert_eq!((set.score, &set.values), (Score::new(3), &values(&[("port", "80")])));
    let rule = set.rule.as_ref().unwrap();
    assert_eq!(rule.combine, Combine::Any);
    let [Test::DateParts(parts), Test::Date(span), Test::Rule(nested)] = &rule.tests[..] else {
        panic!("{rule:?}")
    };
    assert_eq!(parts.parts["weekdays"], (Some(1), Some(5)));
    assert_eq!(parts.parts["hours"], (Some(9), None));
    assert_eq!(*span, Span { from: Some(1_767_225_600), until: Some(1_769_904_000), open: false });
    assert!(matches!(&nested.tests[..], [Test::Attribute { compare: Compare::Defined, .. }]));
    let server = resource(&imported, "server");
    let told = values(&[("listen", "80"), ("stonith-timeout", "kept")]);
    assert_eq!(all_values(&server.parameters), [told], "what agents are told keeps its name");
    let defaults = |sets: &[AttributeSet]| sets[0].rule.clone().unwrap().tests;
    let resources = defaults(&imported.cluster.resource_defaults);
    assert!(matches!(&resources[..], [Test::Agent { provider: None, class: Some(_), .. }]));
    let operations = defaults(&imported.cluster.operation_defaults);
    assert!(matches!(&operations[..], [Test::Operation { every_ms: Some(10_000), .. }]));
}

#[test]
fn old_words_become_the_present_ones() {
    let imported = whole();
    let database = resource(&imported, "database");
    assert!(matches!(database.body, Body::Clone(_)));
    let meta = [values(&[("promotable", "true")]), values(&[("promoted-max", "2")])];
    assert_eq!(all_values(&database.meta), meta);
    assert_eq!(resource(&imported, "db").operations[0].role, Some(Role::Promoted));
    assert_eq!(resource(&imported, "ping").operations, resource(&imported, "db").operations);
}

#[test]
fn bundles_are_read_as_written() {
    let imported = whole();
    let Body::Bundle(bundle) = &resource(&imported, "box").body else { panic!("no bundle") };
    assert_eq!(bundle.technology, "docker");
    assert_eq!(
        bundle.container.values,
        values(&[("image", "box:1"), ("promoted-max", "1"), ("replicas", "3")])
    );
    assert_eq!(bundle.network.as_ref().unwrap().values, values(&[("ip-range-start", "192.0.2.10")]));
    assert_eq!(all_values(&bundle.ports), [values(&[("port", "80")])]);
    assert_eq!(all_values(&bundle.storage), [values(&[("source-dir", "/srv"), ("target-dir", "/data")])]);
    assert_eq!(bundle.inner.as_ref().unwrap().id, "inner");
}

#[test]
fn locations_are_read_each_for_one_resource() {
    let imported = whole();
    let locations = |id: &str| -> Vec<_> {
        let of = |constraint: &&Constraint| match constraint {
            Constraint::Location(location) => location.clone(),
            other => panic!("{other:?}"),
        };
        constraints(&imported, id).iter().map(of).collect()
    };
    let node = |node: &str, score| Where::Node { node: node.into(), score };
    let [plain] = &locations("l-node")[..] else { panic!("one") };
    assert_eq!((&plain.at, plain.discovery), (&node("ada", Score::INFINITY), Discovery::Exclusive));
    let [by_rule] = &locations("l-rule")[..] else { panic!("one") };
    let Where::Rules(rules) = &by_rule.at else { panic!("{by_rule:?}") };
    assert_eq!(rules[0].score_attribute.as_deref(), Some("weight"));
    assert_eq!((by_rule.role, rules[0].role), (Some(Role::Promoted), Some(Role::Promoted)));
    let names = |id: &str| locations(id).into_iter().map(|location| location.resource).collect::<Vec<_>>();
    assert_eq!(names("l-pattern"), ["web-1", "web-2"]);
    assert_eq!(names("l-inverse"), ["stack"]);
    assert_eq!(names("l-tag"), ["web-1", "web-2"]);
    let Where::Rules(rules) = &locations("l-pattern")[1].at else { panic!("by rules") };
    let Test::Attribute { name, source, .. } = &rules[0].rule.tests[0] else { panic!("an attribute") };
    assert_eq!((name.as_str(), *source), ("wants-2-of-web-2", ValueSource::Parameter));
}

#[test]
fn colocations_are_read() {
    let imported = whole();
    let [Constraint::Colocation(plain)] = constraints(&imported, "c-plain")[..] else { panic!("one") };
    assert_eq!((plain.dependent.as_str(), plain.primary.as_str()), ("stack", "database"));
    assert_eq!((plain.dependent_role, plain.primary_role), (None, Some(Role::Promoted)));
    assert_eq!((plain.influence, plain.node_attribute.as_deref()), (Some(false), Some("rack")));
    let [Constraint::Colocation(instance)] = constraints(&imported, "c-instance")[..] else { panic!("one") };
    assert_eq!((instance.primary.as_str(), instance.score), ("ping:1", Score::NEVER));
    let sets = |id: &str| match constraints(&imported, id)[..] {
        [Constraint::ColocationSets(colocation)] => colocation.sets.clone(),
        _ => panic!("one"),
    };
    let members = |sets: &[ResourceSet]| sets.iter().map(|set| set.members.clone()).collect::<Vec<_>>();
    assert_eq!(members(&sets("c-tag")), [vec!["web-1", "web-2"], vec!["stack"]]);
    assert_eq!(sets("c-tag")[0].sequential, Some(false));
    assert_eq!(members(&sets("c-set")), [vec!["database"], vec!["web-2", "web-1"]]);
    assert_eq!(sets("c-set")[0].role, Some(Role::Unpromoted));
}

#[test]
fn orders_and_tickets_are_read() {
    let imported = whole();
    let [Constraint::Order(plain)] = constraints(&imported, "o-plain")[..] else { panic!("one") };
    assert_eq!((plain.first_action, plain.then_action), (Verb::Promote, Verb::Start));
    assert_eq!((plain.kind, plain.symmetrical), (OrderKind::Mandatory, Some(false)));
    let [Constraint::Order(scored)] = constraints(&imported, "o-score")[..] else { panic!("one") };
    assert_eq!((scored.kind, scored.require_all), (OrderKind::Optional, Some(false)));
    let [Constraint::OrderSets(template)] = constraints(&imported, "o-template")[..] else { panic!("one") };
    assert_eq!(template.kind, OrderKind::Serialize);
    assert_eq!(template.sets[0].members, ["web-1", "web-2"]);
    assert_eq!(template.sets[0].action, Some(Verb::Start));
    let [Constraint::OrderSets(sets)] = constraints(&imported, "o-set")[..] else { panic!("one") };
    assert_eq!((sets.sets[0].action, sets.sets[0].require_all), (Some(Verb::Stop), Some(false)));
    assert_eq!(sets.sets[0].members, ["web-1", "web-2"]);
    assert_eq!(constraints(&imported, "t-plain").len(), 1);
    assert_eq!(constraints(&imported, "t-set").len(), 2, "one for each resource");
}

#[test]
fn what_is_and_what_was_done_is_read() {
    let state = whole().state;
    let [ada, bob, guest] = &state.nodes[..] else { panic!("three") };
    assert_eq!((ada.member, ada.process), (Some(1_767_225_000), Some(1_767_225_001)));
    assert_eq!((ada.join, ada.expected_up), (Some(JoinState::Member), Some(true)));
    assert_eq!(all_values(&ada.attributes), [values(&[("pingd", "100")])]);
    assert_eq!((bob.member, bob.process, bob.expected_up), (Some(0), Some(0), Some(false)));
    assert!(guest.remote && guest.fenced && guest.in_maintenance);
    let [history] = &ada.history[..] else { panic!("one") };
    assert_eq!((history.resource.as_str(), history.locked_at), ("db", Some(1_767_225_002)));
    let [start, monitor] = &history.operations[..] else { panic!("two") };
    assert_eq!((start.status, start.answer, start.expected), (OperationStatus::Done, 0, Some(0)));
    assert_eq!((start.call, start.transition.clone()), (12, Some((5, 4, "0b7e".into()))));
    assert_eq!((start.changed_at, start.exit_reason.as_deref()), (Some(1_767_225_003), None));
    let none = Some("f2317cad3d54cec5d7d7aa7d0bf35cf8".to_owned());
    let digests = Digests {
        all: none.clone(),
        restart: none,
        restart_names: Some(vec!["state".into(), "port".into()]),
        public: None,
        secret_names: vec!["password".into()],
        feature_set: Some("3.19.0".into()),
    };
    assert_eq!(start.digests, digests);
    assert_eq!((monitor.status, monitor.answer, monitor.expected), (OperationStatus::Pending, 193, Some(8)));
    assert_eq!((monitor.every_ms, monitor.call, monitor.exit_reason.as_deref()), (7000, -1, Some("slow")));
    let paris = &state.tickets["paris"];
    assert_eq!((paris.granted, paris.standby, paris.last_granted), (true, false, Some(1_767_225_005)));
    assert_eq!(paris.attributes["owner"], "me");
}

#[test]
fn what_is_passed_over_is_said_with_its_place() {
    let imported = read("passed_over.xml", text("passed_over.xml").as_bytes()).unwrap();
    let said: Vec<String> = imported.report.iter().map(ToString::to_string).collect();
    let wanted = [
        "1:6: `have-quorum` is `maybe`, which is not yes or no",
        "2:18: `colour` is not known in <configuration>; it is left out",
        "5:47: `interval` is `soon`, which is not a length of time",
        "5:63: `role` is `leader`, which is not a role",
        "6:30: no <instance_attributes> has the id `nowhere`; it is left out",
        "8:7: the resource has no agent; it is left out",
        "8:25: there is no template `missing`",
        "9:7: the group has no members; it is left out",
        "10:7: there is nothing that it could be a clone of; it is left out",
        "11:7: <gadget> is not known in <resources>; it is left out",
        "14:37: there is no node `nobody`",
        "14:51: `score` is `red`, which is not a score",
        "15:29: there is no resource `gone`; the location is left out",
        "15:40: there is no node `nobody`",
        "16:29: `(` is no pattern, and the location is left out: found open group without closing ')'",
        "16:45: there is no node `nobody`",
        "17:7: the location says not where; it is left out",
        "18:38: there is no resource `gone`; the constraint is left out",
        "19:7: `then` is not said; the constraint is left out",
        "20:7: it is not said which ticket is needed; the constraint is left out",
        "24:27: `in_ccm` is `perhaps`, which is not yes or no, or a time",
        "24:44: `join` is `half`, which is not how far a node has joined",
    ];
    assert_eq!(said, wanted, "{said:#?}");
    let ids: Vec<_> = imported.cluster.resources.iter().map(|resource| resource.id.as_str()).collect();
    assert_eq!(ids, ["a"]);
    assert_eq!(imported.cluster.constraints.len(), 1);
}

#[test]
fn what_is_no_cib_is_an_error_with_its_place() {
    for (bytes, place, message) in [
        (&b""[..], (1, 1), "this is not XML"),
        (b"<cib>\n  <configuration>\n</cib>", (3, 1), "this is not XML"),
        (b"<?xml version=\"1.0\"?>\n<pacemaker/>", (2, 1), "the document is <pacemaker>, not <cib>"),
        (b"<cib>\n\xff</cib>", (2, 1), "no text in UTF-8"),
        (b"<!DOCTYPE x [<!ENTITY a \"b\">]><cib/>", (1, 1), "this is not XML"),
    ] {
        let mistakes = read("cib.xml", bytes).unwrap_err();
        let [mistake] = &mistakes[..] else { panic!("{mistakes:?}") };
        assert_eq!((mistake.line, mistake.column), place, "{mistake}");
        assert!(mistake.message.contains(message), "{mistake}");
        assert!(mistake.to_string().starts_with("cib.xml:") && !mistake.hint.is_empty());
    }
}

#[test]
fn depth_does_no_harm() {
    let nested = |open: &str, close: &str| open.repeat(50_000) + &close.repeat(50_000);
    let groups = nested("<group id='g'>", "</group>");
    let rules = nested("<rule>", "</rule>");
    for inside in [
        groups.clone(),
        format!("<configuration><resources>{groups}</resources></configuration>"),
        format!(
            "<configuration><rsc_defaults><meta_attributes>{rules}</meta_attributes></rsc_defaults></configuration>"
        ),
    ] {
        survive::cib(format!("<cib>{inside}</cib>").as_bytes());
    }
}

const PIECES: &[&str] = &[
    "<",
    ">",
    "/>",
    "</",
    "\"",
    "'",
    "=",
    "&",
    "&amp;",
    "&#0;",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "\0",
    "é",
    "\u{1f600}",
    " id=\"x\"",
    " id-ref=\"x\"",
    " score=\"-INFINITY\"",
    " interval=\"99999999999999h\"",
    " start=\"9999-12-31\"",
    " hours=\"1-\"",
    " rsc-pattern=\"!(a*)*\"",
    " value=\"%9\"",
    " in_ccm=\"-1\"",
    " transition-key=\"1:2:3\"",
    "<rule id=\"x\">",
    "</rule>",
    "<primitive id=\"x\" class=\"ocf\" type=\"y\" template=\"x\">",
    "</primitive>",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn no_bytes_do_harm(bytes in collection::vec(any::<u8>(), 0..400)) {
        survive::cib(&bytes);
    }

    /// A real one, with pieces cut out and others put in.
    #[test]
    fn no_change_to_a_cib_does_harm(
        changes in collection::vec((any::<sample::Index>(), 0..40_usize, sample::select(PIECES)), 1..6),
        base in sample::select(vec!["whole.xml", "passed_over.xml"]),
    ) {
        let mut bytes = text(base).into_bytes();
        for (at, cut, piece) in changes {
            let start = at.index(bytes.len());
            let end = (start + cut).min(bytes.len());
            bytes.splice(start..end, piece.bytes());
        }
        survive::cib(&bytes);
    }

    /// Attribute values of a real one, replaced: it stays XML, so that all of it is read.
    #[test]
    fn no_value_does_harm(
        changes in collection::vec((any::<sample::Index>(), "[!-%'-;=?-~ ]{0,12}"), 1..12),
        base in sample::select(vec!["whole.xml", "passed_over.xml"]),
    ) {
        let text = text(base);
        let mut parts: Vec<String> = text.split('"').map(str::to_owned).collect();
        for (at, value) in changes {
            let place = at.index(parts.len() / 2) * 2 + 1;
            parts[place] = value;
        }
        survive::cib(parts.join("\"").as_bytes());
    }
}

//! Incidents as text: above the line what happens, below it what the scheduler says.
//!
//! `REWRITE=1` writes what it says now; the difference is for review.

mod common;

use std::{fmt::Write as _, fs, path::PathBuf};

use common::{World, node, resource, word};
use heart_model::{
    Activity, Ailment, Copies, Gathering, Guard, Hours, Instead, Intent, NodeName, NodeState, Plan,
    StepAction, WhenSick,
};

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_incident_ends_as_it_is_written() {
    let files = files();
    assert!(files.len() >= 80, "only {} scenarios", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let played = play(&text);
        if played == text {
            continue;
        }
        if std::env::var_os("REWRITE").is_some() {
            fs::write(&path, played).unwrap();
        } else {
            wrong.push(format!("{}\n--- written\n{text}--- said\n{played}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} differ; REWRITE=1 writes them anew\n{}", wrong.len(), wrong.join("\n"));
}

/// Plays a scenario and gives it back with what was said.
fn play(text: &str) -> String {
    let mut world = World::new(&[]);
    let mut played = Vec::new();
    for block in text.split("\n\n").map(str::trim_end).filter(|block| !block.is_empty()) {
        let happens = block.split("\n----").next().unwrap();
        for line in happens.lines().filter(|line| !line.starts_with('#')) {
            happen(&mut world, line);
        }
        played.push(format!("{happens}\n----\n{}", say(&world.plan())));
    }
    played.join("\n")
}

fn say(plan: &Plan) -> String {
    let mut said = String::new();
    for (position, step) in plan.steps.iter().enumerate() {
        let what = match step.action {
            StepAction::Stop => format!("stop {} on {}", step.resource, step.node),
            StepAction::Start => format!("start {} on {}", step.resource, step.node),
            StepAction::TakeOver => format!("take {} over to {}", step.resource, step.node),
        };
        let after: Vec<String> = step.after.iter().map(|before| (before + 1).to_string()).collect();
        let after = if after.is_empty() { String::new() } else { format!("   after {}", after.join(", ")) };
        let _ = writeln!(said, "{}. {what}{after}", position + 1);
    }
    for (intent, because) in &plan.ended {
        let Intent::Move { resource, .. } = intent else { panic!("{intent:?} ended") };
        let _ = writeln!(said, "the move of {resource} {because}");
    }
    for (name, place) in &plan.placement {
        let place = place.as_ref().map_or("nowhere".into(), |node| format!("on {node}"));
        let _ = writeln!(said, "{name} {place}");
        for reason in &plan.reasons[name] {
            let _ = writeln!(said, "    {reason}");
        }
    }
    said
}

/// What one line says.
fn happen(world: &mut World, line: &str) {
    let (line, message) = line.split_once(": ").unwrap_or((line, ""));
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["nodes", names @ ..] => *world = World::new(names),
        ["resource", name, options @ ..] => {
            let (guard, limit, prefers) = options_of(options);
            world.add(name, guard, limit, &prefers);
        }
        ["group", name, "=", rest @ ..] => {
            let end = rest.iter().position(|word| *word == "prefers").unwrap_or(rest.len());
            let members: Vec<_> = rest[..end].iter().map(|name| resource(name)).collect();
            world.group(name, &members, &options_of(&rest[end..]).2);
        }
        _ if configure(world, &words) => {}
        ["the", "file", "drops", name] => {
            world.spec.resources.remove(&resource(name));
            world.spec.groups.retain(|_, group| {
                group.members.retain(|member| member.as_str() != *name);
                !group.members.is_empty()
            });
        }
        ["the", "file", "drops", "node", name] => drop(world.spec.nodes.remove(&node(name))),
        ["the", "cluster", "has", "just", "begun"] => {
            let resources = world.spec.resources.keys().cloned().collect();
            world.status.gathering = Some(Gathering { resources, left_ms: 600 });
        }
        ["the", "cluster", "waits", "no", "longer"] => world.status.gathering = None,
        ["the", "quorum", "is", how] => world.status.quorum = *how == "back",
        ["move", name, "away"] => ask(world, name, None),
        ["move", name, "to", to] => ask(world, name, Some(node(to))),
        ["the", "move", "is", "over"] => {
            world.status.intents.retain(|intent| !matches!(intent, Intent::Move { .. }));
        }
        [name, "goes", "into", "standby"] => world.status.intents.push(Intent::Standby { node: node(name) }),
        [name, "leaves", "standby"] => {
            let standby = Intent::Standby { node: node(name) };
            world.status.intents.retain(|intent| *intent != standby);
        }
        ["all", "is", "carried", "out"] => carry_out(world, usize::MAX),
        [number, "steps", "are", "carried", "out"] => carry_out(world, number.parse().unwrap()),
        [name, "runs", "on", place] => each(world, name, |world, member| {
            world.grant(member, &node(place), Activity::Running);
        }),
        [name, "fails"] => world.fail_with(name, message),
        [name, "failed", times, "times", "on", place] => {
            let status = world.status.resources.entry(resource(name)).or_default();
            status.failures.insert(node(place), times.parse().unwrap());
        }
        ["the", "failures", "of", name, "are", "forgotten"] => {
            world.status.resources.get_mut(&resource(name)).unwrap().failures.clear();
        }
        [name, "is", "stuck"] => world.become_(&resource(name), Activity::Stuck(message.into())),
        [name, "is", "starting"] => world.become_(&resource(name), Activity::Starting),
        [name, "is", "stopping"] => world.become_(&resource(name), Activity::Stopping),
        [name, "falls", "sick"] => world.sicken(&node(name), Ailment::DiskFull),
        [name, "is", "well", "again"] => {
            world.status.nodes.get_mut(&node(name)).unwrap().sick.clear();
        }
        [targets, "targets", "are", "pinged"] => world.ping(targets.parse().unwrap()),
        [name, "reaches", count] => {
            let count = count.parse().unwrap();
            world.reaches(&node(name), count, count);
        }
        [name, "reaches", least, "to", most] => {
            world.reaches(&node(name), least.parse().unwrap(), most.parse().unwrap());
        }
        ["nothing", "is", "agreed", "on", "without", "the", "sick"] => world.status.bound_to_sick = true,
        ["sickness", "is", "only", "reported"] => world.spec.cluster.when_sick = WhenSick::Report,
        [name, "boots"] => world.boot(&node(name)),
        [name, "is", state] => world.set(&node(name), state_of(state)),
        _ => panic!("nobody knows what `{line}` means"),
    }
}

/// What one line says of the file, if it says something of the file.
fn configure(world: &mut World, words: &[&str]) -> bool {
    let names = |names: &[&str]| names.iter().map(|name| word(name)).collect();
    match words {
        ["it", "is", time] => world.status.now = Some(MONDAY + 60 * i64::from(minutes(time))),
        [name, "lasts", "from", from, "to", to] => {
            let hours = Hours { times: vec![(minutes(from), minutes(to))], ..Hours::default() };
            world.spec.times.insert(word(name), hours);
        }
        ["the", "ticket", name, "is", how] => {
            let ticket = Intent::Ticket { ticket: word(name) };
            world.status.intents.retain(|intent| *intent != ticket);
            world.status.intents.extend((*how == "here").then_some(ticket));
        }
        [name, "has", amount, what] if world.spec.nodes.contains_key(*name) => {
            let capacity = &mut world.spec.nodes.get_mut(*name).unwrap().capacity;
            capacity.insert(word(what), amount.parse().unwrap());
        }
        [name, "needs", "the", "ticket", ticket] => world.wishes(name).ticket = Some(word(ticket)),
        [name, "needs", amount, what] => {
            let needs = &mut world.spec.resources.get_mut(*name).unwrap().needs;
            needs.insert(word(what), amount.parse().unwrap());
        }
        [name, "prefers", nodes @ ..] => {
            world.wishes(name).prefers = nodes.iter().map(|name| node(name)).collect();
        }
        [name, "avoids", others @ ..] => {
            world.wishes(name).avoids = others.iter().map(|name| world.other(name)).collect();
        }
        [name, "is", "never", "with" | "on", others @ ..] => {
            world.wishes(name).never = others.iter().map(|name| world.other(name)).collect();
        }
        [name, "goes", "with", others @ ..] => world.wishes(name).with = names(others),
        [name, "starts", "after", others @ ..] => world.wishes(name).after = names(others),
        [name, "runs", "during", times @ ..] => world.wishes(name).during = names(times),
        [name, "has", "copies", "on", "all", "nodes"] => world.wishes(name).copies = Some(Copies::All),
        [name, "has", number, "copies"] => {
            world.wishes(name).copies = Some(Copies::Of(number.parse().unwrap()));
        }
        [name, "is", "promotable"] => world.spec.resources.get_mut(*name).unwrap().promotable = true,
        ["during", time, name, "prefers", nodes @ ..] => {
            let prefers = Some(nodes.iter().map(|name| node(name)).collect());
            world.wishes(name).at.insert(word(time), Instead { prefers, ..Instead::default() });
        }
        ["during", time, name, "is", "never", "on", nodes @ ..] => {
            let never = Some(nodes.iter().map(|name| world.other(name)).collect());
            world.wishes(name).at.insert(word(time), Instead { never, ..Instead::default() });
        }
        _ => return false,
    }
    true
}

/// Midnight of a Monday: 23 November 2026.
const MONDAY: i64 = 1_795_392_000;

/// Minutes since midnight.
fn minutes(time: &str) -> u32 {
    let (hours, minutes) = time.split_once(':').expect("a time is HH:MM");
    hours.parse::<u32>().unwrap() * 60 + minutes.parse::<u32>().unwrap()
}

fn options_of(mut words: &[&str]) -> (Guard, u32, Vec<NodeName>) {
    let (mut guard, mut limit, mut prefers) = (Guard::Lease, 3, Vec::new());
    loop {
        words = match words {
            [] => return (guard, limit, prefers),
            ["guard", "fence", rest @ ..] => {
                guard = Guard::Fence;
                rest
            }
            ["guard", "none", rest @ ..] => {
                guard = Guard::None;
                rest
            }
            ["limit", number, rest @ ..] => {
                limit = number.parse().unwrap();
                rest
            }
            ["prefers", names @ ..] => {
                prefers = names.iter().map(|name| node(name)).collect();
                &[]
            }
            [other, ..] => panic!("nobody knows what `{other}` means"),
        };
    }
}

fn state_of(word: &str) -> NodeState {
    match word {
        "lost" => NodeState::Lost,
        "fenced" => NodeState::Fenced,
        "absent" => NodeState::Absent,
        "joining" => NodeState::Joining,
        "leaving" => NodeState::Leaving,
        "online" => NodeState::Online,
        _ => panic!("nobody knows the state `{word}`"),
    }
}

fn each(world: &mut World, name: &str, what: impl Fn(&mut World, &heart_model::ResourceName)) {
    for member in world.members(name) {
        what(world, &member);
    }
}

fn ask(world: &mut World, name: &str, to: Option<NodeName>) {
    let first = world.members(name).remove(0);
    let from = world.holder(&first).expect("it runs").0.clone();
    world.status.intents.push(Intent::Move { resource: first, from, to });
}

fn carry_out(world: &mut World, most: usize) {
    for step in world.plan().steps.iter().take(most) {
        world.perform(step).unwrap();
    }
}

impl World {
    fn fail_with(&mut self, name: &str, message: &str) {
        let name = resource(name);
        self.fail(&name, message);
    }
}

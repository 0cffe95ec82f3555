//! What happened, for people.

use core::fmt::Write as _;

use crate::{
    act::Act,
    bounds::{Node, Setup},
    log::{Change, Forced},
    world::{By, World, cable},
};

const NAMES: [&str; 4] = ["ada", "bob", "cyn", "dan"];

fn name(node: Node) -> &'static str {
    NAMES[node]
}

fn names(of: impl Iterator<Item = Node>) -> String {
    let all: Vec<&str> = of.map(name).collect();
    if all.is_empty() { "nobody".into() } else { all.join(", ") }
}

fn change(change: &Change) -> String {
    let short = |node: &u8| name(usize::from(*node));
    match change {
        Change::Elected(node) => format!("that {} leads", short(node)),
        Change::Voters(voters) => format!("that {} vote", names((0..4).filter(|&node| voters[node] > 0))),
        Change::Settle((term, place)) => format!("that everybody knows the voters of {term}.{place}"),
        Change::Admit(node, boot) => format!("that boot {boot} of {} takes part", short(node)),
        Change::Grant(node, boot) => format!("that the resource is {}'s, in boot {boot}", short(node)),
        Change::Right(by, node, boot) => {
            format!("that {} may have boot {boot} of {} switched off", short(by), short(node))
        }
        Change::Fenced(node, true) => format!("that {} is off", short(node)),
        Change::Fenced(node, false) => format!("that {} may not be off", short(node)),
        Change::Force(Forced { era, parent, .. }) => format!("that history {era} goes on from {parent}"),
    }
}

fn cables(cut: u8) -> String {
    let pairs = (0..4).flat_map(|one| (one + 1..4).map(move |other| (one, other)));
    let cut = pairs.filter(|&(one, other)| cut & cable(one, other) != 0);
    let all: Vec<String> = cut.map(|(one, other)| format!("{}-{}", name(one), name(other))).collect();
    if all.is_empty() { "all cables are mended".into() } else { format!("cut: {}", all.join(", ")) }
}

/// One thing that happens, in words.
#[must_use]
pub fn words(act: &Act) -> String {
    match *act {
        Act::PowerCut(node) => format!("{} loses power", name(node)),
        Act::Boot(node) => format!("{} boots", name(node)),
        Act::LoseDisk(node) => format!("{} loses its disk", name(node)),
        Act::LayDown(node) => format!("the disk of {} takes nothing: it lays its log down", name(node)),
        Act::LaidDown(node) => format!("the disk of {} takes that it laid its log down", name(node)),
        Act::Cables(cut) => cables(cut),
        Act::StepDown(node) => format!("{} steps down", name(node)),
        Act::Elect(node) => format!("{} is elected", name(node)),
        Act::Propose(node, of) => format!("{} appends {}", name(node), change(&of)),
        Act::Append(node, other) => format!("{} appends what {} has", name(other), name(node)),
        Act::Commit(node) => format!("what {} has is agreed on", name(node)),
        Act::TakeIn(node, other) => format!("{} takes {} in anew", name(node), name(other)),
        Act::FallBehind(node) => {
            format!("{} hears that others went on without it, and drops its log", name(node))
        }
        Act::Start(node) => format!("{} starts the resource", name(node)),
        Act::PromiseOver(voter, node) => format!("{}'s promise to {} runs out", name(voter), name(node)),
        Act::Fire(node, other) => format!("{} has {} switched off, by its right", name(node), name(other)),
        Act::KeepStill(node, other) => format!("{} keeps still for {}", name(other), name(node)),
        Act::HoldOver(node, of) => format!("{} keeps still for {} no longer", name(node), name(of)),
        Act::Tell(node, other) => format!("{}, as half, has {} switched off", name(node), name(other)),
        Act::DeviceActs(node) => format!("the device that {} had told switches off", name(node)),
        Act::ReadBack(node) => format!("{} reads back: off", name(node)),
        Act::Lies(node) => format!("the device says to {} that it is off, and lies", name(node)),
        Act::Refuses(node) => format!("the device proves nothing to {}", name(node)),
        Act::DeviceOver(node) => format!("the device that {} had told acts no more", name(node)),
        Act::GoOn(node, By::Proof) => format!("{} may go on: the others are off", name(node)),
        Act::GoOn(node, By::Word) => {
            format!("{} may go on: a person says that the others are off", name(node))
        }
        Act::GoOn(node, By::TieBreak) => format!("{} may go on: the tie-break says so", name(node)),
        Act::WrongWord(node) => {
            format!("a person says to {} that the others are off, and is wrong", name(node))
        }
        Act::StandBack(node, other) => format!("{} gives up its vote for {}", name(other), name(node)),
        Act::Force(node) => format!("{} goes on as the only voter", name(node)),
        Act::Look(node) => format!("{} looks at the tie-break", name(node)),
        Act::Claim(node) => format!("{} asks the tie-break to side with it", name(node)),
        Act::ClaimOnceMore(node) => format!("{} has to ask the tie-break once more", name(node)),
        Act::GiveBack(node, _) => format!("{} gives the tie-break back", name(node)),
        Act::SetStanding(node, standing) => {
            let named = names((0..4).filter(|of| standing.named & 1 << of != 0));
            format!("{} asks the tie-break to name {named}", name(node))
        }
        Act::Land(node) => format!("what {} asked of the tie-break arrives there", name(node)),
    }
}

/// All that happened, a line each, and how it ended.
#[must_use]
pub fn tell(setup: &Setup, steps: &[(World, Option<Act>)]) -> String {
    let mut text = String::new();
    for (place, act) in steps.iter().filter_map(|(_, act)| act.as_ref()).enumerate() {
        let _ = writeln!(text, "{:4}. {}", place + 1, words(act));
    }
    let Some((world, _)) = steps.last() else { return text };
    for (node, machine) in world.machines.iter().enumerate() {
        let ledger = world.ledger(setup, node);
        let power = if machine.on { format!("boot {}", machine.boot) } else { "off".into() };
        let runs = if machine.runs { ", runs the resource" } else { "" };
        let log = match machine.lost {
            true => "no log".to_owned(),
            false => format!(
                "history {}, {} of {} entries agreed on, voters {}",
                ledger.era,
                machine.commit,
                machine.log.len(),
                names(ledger.voting())
            ),
        };
        let _ = writeln!(text, "      {}: {power}, {log}{runs}", name(node));
    }
    text
}

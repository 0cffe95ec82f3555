//! `heart-clusters run --count N [--seed FIRST] [--tier T] [--asked-each N]` and `heart-clusters replay SEED [--tier T]`.

use std::{
    collections::BTreeMap,
    panic,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use heart_clusters::{
    Situation,
    claims::{self, ASKED_EACH, Broken, Claim, Failures, Questions},
    grow::{self, Tier},
    show, shrink,
};

const USAGE: &str = "usage: heart-clusters run --count N [--seed FIRST] [--tier 1..4] [--asked-each N]
       heart-clusters replay SEED [--tier 1..4] [--whole]";
/// How many failures are told of one claim.
const TOLD_MAX: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |flag: &str| {
        let place = words.iter().position(|word| *word == flag)?;
        words.get(place + 1)?.parse::<u64>().ok()
    };
    let tier = number("--tier").and_then(Tier::numbered);
    let asked_each = number("--asked-each").unwrap_or(ASKED_EACH);
    // A panic is a claim that does not hold; it is told of as one.
    panic::set_hook(Box::new(|_| {}));
    match words.as_slice() {
        ["run", ..] => match number("--count") {
            Some(count) => run(count, number("--seed").unwrap_or(1), tier, asked_each),
            None => usage(),
        },
        ["replay", seed, ..] => match seed.parse() {
            Ok(seed) => replay(seed, tier.unwrap_or_else(|| Tier::of_seed(seed)), words.contains(&"--whole")),
            Err(_) => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Checks one seed; which cluster it was, if a claim does not hold.
fn check(seed: u64, tier: Tier, asked_each: u64) -> Result<(), Box<(Situation, Broken)>> {
    panic::catch_unwind(|| claims::of_seed(seed, tier, asked_each)).unwrap_or_else(|_| {
        let wild = grow::wild(seed, tier);
        let panics = is_broken(&wild, Claim::Decides, Looked::Wild);
        let situation = if panics { wild } else { grow::calm(seed, tier) };
        let what = "it panics".to_owned();
        Err(Box::new((situation, Broken { claim: Claim::Decides, round: 1, what })))
    })
}

/// What is looked at in a cluster.
#[derive(Clone, Copy, PartialEq)]
enum Looked {
    /// The claims that hold in any.
    Wild,
    /// Those of clusters in which nothing was in trouble.
    Calm,
    /// What is named as the cause of something.
    Causes,
}

/// Whether this claim does not hold in a cluster.
fn is_broken(situation: &Situation, claim: Claim, looked: Looked) -> bool {
    broken(situation, looked).is_some_and(|broken| broken.claim == claim)
}

fn broken(situation: &Situation, looked: Looked) -> Option<Broken> {
    let checked = panic::catch_unwind(|| match looked {
        Looked::Wild => claims::check(situation),
        Looked::Calm => claims::rests(situation, Failures::All),
        Looked::Causes => claims::explained(situation, Questions::All),
    });
    checked.unwrap_or_else(|_| Some(Broken { claim: Claim::Decides, round: 1, what: "it panics".to_owned() }))
}

fn replay(seed: u64, tier: Tier, whole: bool) -> ExitCode {
    let Err(found) = check(seed, tier, 1) else {
        println!("cluster {seed}, {tier:?}: every claim holds");
        if whole {
            tell(&grow::wild(seed, tier));
        }
        return ExitCode::SUCCESS;
    };
    let (situation, found) = *found;
    println!("cluster {seed}, {tier:?}: {found}");
    let looked = match found.claim {
        Claim::Explained => Looked::Causes,
        _ if situation == grow::calm(seed, tier) => Looked::Calm,
        _ => Looked::Wild,
    };
    if whole {
        tell(&situation);
        return ExitCode::FAILURE;
    }
    let smaller = shrink::shrink(&situation, |smaller| is_broken(smaller, found.claim, looked));
    if let Some(broken) = broken(&smaller, looked) {
        println!("made smaller: {broken}");
    }
    tell(&smaller);
    ExitCode::FAILURE
}

/// Prints a cluster, and what is decided in it, plan after plan.
fn tell(situation: &Situation) {
    println!("{}", show::situation(situation));
    let mut situation = situation.clone();
    for round in 1..=claims::ROUNDS_MAX {
        let Ok(outcome) =
            panic::catch_unwind(|| heart_scheduler::engine::decide(&situation.cluster, &situation.state))
        else {
            println!("round {round}: the engine panics");
            return;
        };
        println!("round {round}\n{}", show::outcome(&outcome));
        if outcome.actions.is_empty() {
            return;
        }
        situation = heart_clusters::run::carry_out(&situation, &outcome);
    }
}

fn run(count: u64, first: u64, tier: Option<Tier>, asked_each: u64) -> ExitCode {
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut failed: BTreeMap<Claim, Vec<(u64, Tier, String)>> = BTreeMap::new();
    std::thread::scope(|scope| {
        let worker = || {
            let mut seen = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first.saturating_add(count) {
                    return seen;
                }
                let tier = tier.unwrap_or_else(|| Tier::of_seed(seed));
                if let Err(found) = check(seed, tier, asked_each) {
                    seen.push((found.1.claim, (seed, tier, found.1.to_string())));
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            for (claim, seen) in worker.join().expect("a worker only counts") {
                failed.entry(claim).or_default().push(seen);
            }
        }
    });
    let mut sum = 0;
    for (claim, seeds) in &mut failed {
        seeds.sort_by_key(|(seed, _, _)| *seed);
        sum += seeds.len() as u64;
        println!("{claim:?} does not hold in {} clusters", seeds.len());
        for (seed, tier, what) in seeds.iter().take(TOLD_MAX) {
            let tier = *tier as u64 + 1;
            let what: String = what.chars().take(200).collect();
            println!("  {what}\n    replay with: heart-clusters replay {seed} --tier {tier}");
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{count} clusters from seed {first} in {seconds:.1} s ({:.0} a second)",
        count as f64 / seconds.max(f64::MIN_POSITIVE)
    );
    println!("{} passed, {sum} failed", count - sum);
    if sum == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

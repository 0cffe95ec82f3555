//! `heart-sim run|table|digest --worlds N [--seed S] [--step K]` and `heart-sim replay SEED`.

use heart_sim::{
    chaos::{self, Outcome},
    family,
};
use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

const USAGE: &str = "\
usage: heart-sim run --worlds N [--seed FIRST] [--step EVERY]     whether every claim holds
       heart-sim table --worlds N [--seed FIRST] [--step EVERY]   what each family of worlds costs
       heart-sim digest --worlds N [--seed FIRST] [--step EVERY]  each world in one number: two programs that print
                                                                  the same simulate the same
       heart-sim replay SEED                                      what happens in a world";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |flag: &str| {
        let place = words.iter().position(|word| *word == flag)?;
        words.get(place + 1)?.parse::<u64>().ok()
    };
    let seeds = number("--worlds").map(|worlds| Seeds {
        worlds,
        first: number("--seed").unwrap_or(1),
        step: number("--step").unwrap_or(1).max(1),
    });
    match (words.as_slice(), seeds) {
        (["run", ..], Some(seeds)) => run(seeds),
        (["table", ..], Some(seeds)) => table(seeds),
        (["digest", ..], Some(seeds)) => digest(seeds),
        (["replay", seed], _) => seed.parse().map_or_else(|_| usage(), replay),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn replay(seed: u64) -> ExitCode {
    let outcome = chaos::run(seed, true);
    outcome.story.iter().for_each(|line| println!("{line}"));
    match outcome.broken {
        None => {
            println!("world {seed}: every claim held");
            ExitCode::SUCCESS
        }
        Some(broken) => {
            println!("world {seed}: {broken}");
            ExitCode::FAILURE
        }
    }
}

/// Every `step`th world from `first` on: some kinds of worlds come with every so manyth seed.
#[derive(Clone, Copy)]
struct Seeds {
    worlds: u64,
    first: u64,
    step: u64,
}

/// A world that was played.
struct Played {
    seed: u64,
    /// What it came to; none if a node panicked. Its story is kept by nobody.
    outcome: Option<Outcome>,
    /// What it cost one processor.
    seconds: f64,
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How long this thread has had a processor; nothing where the kernel does not tell.
fn seconds_used() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Plays worlds on all processors; by seed.
fn play(seeds: Seeds, keep_notes: bool) -> Vec<Played> {
    let next = AtomicU64::new(0);
    let worker = || {
        let mut played = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= seeds.worlds {
                return played;
            }
            let seed = seeds.first + place * seeds.step;
            let began = seconds_used();
            let outcome = std::panic::catch_unwind(|| chaos::run(seed, keep_notes));
            let outcome = outcome.ok().map(|outcome| Outcome { story: Vec::new(), ..outcome });
            played.push(Played { seed, outcome, seconds: seconds_used() - began });
        }
    };
    let mut all: Vec<Played> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads()).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker only counts")).collect()
    });
    all.sort_unstable_by_key(|played| played.seed);
    all
}

fn run(seeds: Seeds) -> ExitCode {
    let began = Instant::now();
    let all = play(seeds, false);
    let seconds = began.elapsed().as_secs_f64();
    let what = |played: &Played| match &played.outcome {
        Some(outcome) => outcome.broken.as_ref().map(ToString::to_string),
        None => Some("a node panicked".into()),
    };
    let failed: Vec<(u64, String)> =
        all.iter().filter_map(|played| Some((played.seed, what(played)?))).collect();
    for (seed, what) in failed.iter().take(20) {
        println!("world {seed}: {what}\n  replay with: heart-sim replay {seed}");
    }
    let outcomes = || all.iter().filter_map(|played| played.outcome.as_ref());
    let node_seconds = outcomes().map(|outcome| outcome.node_time).sum::<u128>() as f64 / 1e9;
    let events: u64 = outcomes().map(|outcome| outcome.events).sum();
    let starts: u64 = outcomes().map(|outcome| outcome.starts).sum();
    let rate = node_seconds / seconds / threads() as f64;
    let Seeds { worlds, first, .. } = seeds;
    println!(
        "{worlds} worlds from seed {first}: {node_seconds:.0} node-seconds, {events} events, {starts} starts in \
         {seconds:.1} s ({rate:.0} node-seconds a second per core)"
    );
    println!("{} passed, {} failed", worlds - failed.len() as u64, failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the worlds of a family cost.
#[derive(Default)]
struct Cost {
    worlds: u64,
    seconds: f64,
    node_seconds: f64,
    events: u64,
}

impl Cost {
    fn add(&mut self, played: &Played) {
        self.worlds += 1;
        self.seconds += played.seconds;
        if let Some(outcome) = &played.outcome {
            self.node_seconds += outcome.node_time as f64 / 1e9;
            self.events += outcome.events;
        }
    }

    fn row(&self, name: &str, all: &Cost) {
        let each = |sum: f64| sum / self.worlds as f64;
        println!(
            "| {name} | {:.1} % | {:.4} | {:.1} % | {:.0} | {:.0} |",
            self.worlds as f64 * 100.0 / all.worlds as f64,
            each(self.seconds),
            self.seconds * 100.0 / all.seconds,
            each(self.node_seconds),
            each(self.events as f64),
        );
    }
}

fn table(seeds: Seeds) -> ExitCode {
    let (mut families, mut all) = (BTreeMap::<&str, Cost>::new(), Cost::default());
    for played in play(seeds, false) {
        families.entry(family::name_of(played.seed)).or_default().add(&played);
        all.add(&played);
    }
    println!(
        "| family | of all worlds | core-seconds each | of all time | node-seconds each | events each |"
    );
    println!("|---|---|---|---|---|---|");
    families.iter().for_each(|(name, cost)| cost.row(name, &all));
    all.row("all", &all);
    ExitCode::SUCCESS
}

fn digest(seeds: Seeds) -> ExitCode {
    for Played { seed, outcome, .. } in play(seeds, true) {
        match outcome {
            Some(outcome) => println!("{seed} {:016x}", outcome.fingerprint),
            None => println!("{seed} panicked"),
        }
    }
    ExitCode::SUCCESS
}

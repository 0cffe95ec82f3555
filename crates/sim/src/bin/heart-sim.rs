//! `heart-sim run --worlds N [--seed S] [--step K]` and `heart-sim replay SEED`.

use heart_sim::chaos;
use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

const USAGE: &str =
    "usage: heart-sim run --worlds N [--seed FIRST] [--step EVERY]\n       heart-sim replay SEED";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |flag: &str| {
        let place = words.iter().position(|word| *word == flag)?;
        words.get(place + 1)?.parse::<u64>().ok()
    };
    match words.as_slice() {
        ["run", ..] => match number("--worlds") {
            Some(worlds) => run(worlds, number("--seed").unwrap_or(1), number("--step").unwrap_or(1).max(1)),
            None => usage(),
        },
        ["replay", seed] => seed.parse().map_or_else(|_| usage(), replay),
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
fn run(worlds: u64, first: u64, step: u64) -> ExitCode {
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (mut failed, mut node_time, mut events, mut starts) = (Vec::new(), 0u128, 0u64, 0u64);
    std::thread::scope(|scope| {
        let worker = || {
            let mut seen = (Vec::new(), 0u128, 0u64, 0u64);
            loop {
                let seed = next.fetch_add(step, Ordering::Relaxed);
                if seed >= first + worlds * step {
                    return seen;
                }
                let outcome = std::panic::catch_unwind(|| chaos::run(seed, false));
                match outcome {
                    Ok(outcome) => {
                        seen.1 += outcome.node_time;
                        seen.2 += outcome.events;
                        seen.3 += outcome.starts;
                        seen.0.extend(outcome.broken.map(|broken| (seed, broken.to_string())));
                    }
                    Err(_) => seen.0.push((seed, "a node panicked".into())),
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            let seen = worker.join().expect("a worker only counts");
            failed.extend(seen.0);
            node_time += seen.1;
            events += seen.2;
            starts += seen.3;
        }
    });
    failed.sort();
    for (seed, what) in failed.iter().take(20) {
        println!("world {seed}: {what}\n  replay with: heart-sim replay {seed}");
    }
    let (seconds, node_seconds) = (began.elapsed().as_secs_f64(), node_time as f64 / 1e9);
    let rate = node_seconds / seconds / threads as f64;
    println!(
        "{worlds} worlds from seed {first}: {node_seconds:.0} node-seconds, {events} events, {starts} starts in \
         {seconds:.1} s ({rate:.0} node-seconds a second per core)"
    );
    println!("{} passed, {} failed", worlds - failed.len() as u64, failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

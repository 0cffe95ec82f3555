//! How long the policy engine takes, and how much memory.
//!
//! ```text
//! cargo bench -p heart-scheduler                 the table
//! cargo bench -p heart-scheduler -- --svg FILE   how it grows, as a drawing
//! ```
//!
//! Each line is measured in a process of its own, which builds the cluster, plans it several times, and says
//! the median. *Wall* is what the clock says, *CPU* what the thread ran by the scheduler's own accounting:
//! on a machine that does something else as well, the second is the one to look at. *Peak* is the most memory
//! the process has had; *input* is what it had before it planned, which is the description of the cluster.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench looks at the clock, and runs each measurement in a process of its own"
)]

mod shapes;

use std::{
    env, fs,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use heart_scheduler::engine;
use shapes::{Shape, Size};

/// One line of the table.
#[derive(Clone, Copy)]
struct Line {
    name: &'static str,
    shape: Shape,
    size: Size,
    /// How long it may take: milliseconds.
    bar_ms: u32,
}

const fn line(
    name: &'static str,
    shape: Shape,
    nodes: usize,
    resources: usize,
    probed: bool,
    bar_ms: u32,
) -> Line {
    Line { name, shape, size: Size { nodes, resources, probed }, bar_ms }
}

const LINES: [Line; 18] = [
    line("groups", Shape::Groups, 32, 1_000, true, 50),
    line("lost", Shape::NodeLost, 32, 1_000, true, 50),
    line("clones", Shape::Clones, 32, 1_000, true, 50),
    line("groups", Shape::Groups, 100, 1_000, true, 150),
    line("lost", Shape::NodeLost, 100, 1_000, true, 150),
    line("clones", Shape::Clones, 100, 1_000, true, 150),
    line("groups", Shape::Groups, 100, 10_000, false, 1_000),
    line("lost", Shape::NodeLost, 100, 10_000, false, 1_000),
    line("clones", Shape::Clones, 100, 10_000, false, 1_000),
    line("groups", Shape::Groups, 1_000, 10_000, false, 5_000),
    line("lost", Shape::NodeLost, 1_000, 10_000, false, 5_000),
    line("clones", Shape::Clones, 1_000, 10_000, false, 5_000),
    line("probes", Shape::Probes, 32, 1_000, true, 500),
    line("begin", Shape::Begin, 32, 1_000, false, 50),
    line("begin", Shape::Begin, 100, 10_000, false, 1_000),
    line("groups", Shape::Groups, 100, 10_000, true, 1_000),
    line("lost", Shape::NodeLost, 100, 10_000, true, 1_000),
    line("clones", Shape::Clones, 100, 10_000, true, 1_000),
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["measure", name, nodes, resources, probed] => {
            let known = LINES.iter().find(|line| line.name == *name);
            let (Some(line), Ok(nodes), Ok(resources)) = (known, nodes.parse(), resources.parse()) else {
                return ExitCode::FAILURE;
            };
            measure(line.shape, Size { nodes, resources, probed: *probed == "true" });
        }
        only => table(only),
    }
    ExitCode::SUCCESS
}

fn table(only: &[&str]) {
    println!("shape   nodes  resources  probed  actions   wall ms    CPU ms   bar ms  peak MB  input MB");
    for line in LINES {
        let Size { nodes, resources, probed } = line.size;
        let words = [line.name, &format!("{nodes}x{resources}")].map(str::to_owned);
        if !only.iter().all(|only| words.iter().any(|word| word == only)) {
            continue;
        }
        let Some(found) = in_a_process(line.name, line.size) else {
            println!("{:<7} {nodes:>5} {resources:>10}  failed", line.name);
            continue;
        };
        println!(
            "{:<7} {nodes:>5} {resources:>10} {:>7} {:>8} {:>9} {:>9} {:>8} {:>8} {:>9}",
            line.name,
            if probed { "yes" } else { "no" },
            found[0],
            found[1],
            found[2],
            line.bar_ms,
            found[3],
            found[4]
        );
    }
}

/// Measures one line in a process of its own; what it said.
fn in_a_process(name: &str, size: Size) -> Option<Vec<String>> {
    let Size { nodes, resources, probed } = size;
    let me = env::current_exe().ok()?;
    let words =
        ["measure", name, &nodes.to_string(), &resources.to_string(), &probed.to_string()].map(str::to_owned);
    let output = Command::new(me).args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    (words.len() == 5).then_some(words)
}

/// Plans one cluster several times and prints: actions, wall and CPU time, memory.
fn measure(shape: Shape, size: Size) {
    let (cluster, state) = shapes::cluster(shape, size);
    let input = memory("VmRSS");
    let begin = Instant::now();
    let (mut walls, mut cpus) = (Vec::new(), Vec::new());
    let mut actions = 0;
    while walls.len() < 3 || (walls.len() < 25 && begin.elapsed() < Duration::from_secs(2)) {
        let (wall, cpu) = (Instant::now(), cpu_time());
        let outcome = engine::decide(&cluster, &state);
        cpus.push(cpu_time() - cpu);
        walls.push(wall.elapsed());
        actions = outcome.actions.len();
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1000.0
    };
    println!(
        "{actions} {:.1} {:.1} {} {}",
        median(&mut walls),
        median(&mut cpus),
        memory("VmHWM") / 1024,
        input / 1024
    );
}

/// How long this thread has run.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// A line of what the kernel says of the memory of this process: kilobytes.
fn memory(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

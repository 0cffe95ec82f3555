//! How long the policy engine takes, and how much memory.
//!
//! ```text
//! cargo bench -p heart-scheduler                      the table
//! cargo bench -p heart-scheduler -- groups 32x1000    only lines with these words
//! cargo bench -p heart-scheduler -- --growth FILE     how it grows: points, and a drawing of them in FILE
//! ```
//!
//! Each line is measured in processes of their own, which build the cluster and plan it several times. *Wall*
//! is the median of what the clock says, *CPU* what the thread ran on average by the kernel's accounting: on a
//! machine that does something else as well, the second is the one to look at. *Again* is the same for a
//! monitor that fails, or is well again, when everything else is planned already; in brackets how often
//! everything was decided anew. *Peak* is the most memory the first process has had; *input* is what it had
//! before it planned, which is the description of the cluster.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a bench looks at the clock, and runs each measurement in a process of its own"
)]

mod drawing;
mod shapes;

use std::{
    env, fs,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use heart_scheduler::engine::{self, Planner, planner::News};
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

const LINES: [Line; 19] = [
    line("groups", Shape::Groups, 32, 1_000, true, 50),
    line("lost", Shape::NodeLost, 32, 1_000, true, 50),
    line("clones", Shape::Clones, 32, 1_000, true, 50),
    line("groups", Shape::Groups, 100, 1_000, true, 150),
    line("lost", Shape::NodeLost, 100, 1_000, true, 150),
    line("clones", Shape::Clones, 100, 1_000, true, 150),
    line("groups", Shape::Groups, 100, 10_000, false, 1_000),
    line("lost", Shape::NodeLost, 100, 10_000, false, 1_000),
    line("clones", Shape::Clones, 100, 10_000, false, 1_000),
    line("groups", Shape::Groups, 100, 10_000, true, 1_000),
    line("lost", Shape::NodeLost, 100, 10_000, true, 1_000),
    line("clones", Shape::Clones, 100, 10_000, true, 1_000),
    line("groups", Shape::Groups, 1_000, 10_000, false, 5_000),
    line("lost", Shape::NodeLost, 1_000, 10_000, false, 5_000),
    line("clones", Shape::Clones, 1_000, 10_000, false, 5_000),
    line("probes", Shape::Probes, 32, 1_000, true, 500),
    line("begin", Shape::Begin, 32, 1_000, false, 50),
    line("begin", Shape::Begin, 100, 10_000, false, 1_000),
    line("begin", Shape::Begin, 1_000, 10_000, false, 5_000),
];

/// The shapes whose growth is drawn.
const GROWING: [&str; 3] = ["groups", "lost", "clones"];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [what @ ("measure" | "again"), name, nodes, resources, probed] => {
            let known = LINES.iter().find(|line| line.name == *name);
            let (Some(line), Ok(nodes), Ok(resources)) = (known, nodes.parse(), resources.parse()) else {
                return ExitCode::FAILURE;
            };
            let size = Size { nodes, resources, probed: *probed == "true" };
            match *what {
                "measure" => measure(line.shape, size),
                _ => again(line.shape, size),
            }
            ExitCode::SUCCESS
        }
        ["--growth", file] => growth(file),
        only => table(only),
    }
}

fn table(only: &[&str]) -> ExitCode {
    println!(
        "shape   nodes  resources  probed  actions  wall ms   CPU ms  bar ms  peak MB  input MB    again, wall / CPU ms"
    );
    let mut missing = false;
    for line in LINES {
        let Size { nodes, resources, probed } = line.size;
        let words = [line.name.to_owned(), format!("{nodes}x{resources}")];
        if !only.iter().all(|only| words.iter().any(|word| word == only)) {
            continue;
        }
        let found = in_a_process("measure", line.name, line.size);
        let again = in_a_process("again", line.name, line.size);
        let (Some(found), Some(again)) = (found, again) else {
            println!("{:<7} {nodes:>5} {resources:>10}  failed", line.name);
            missing = true;
            continue;
        };
        let again = format!("{} / {} ({} of {})", again[2], again[3], again[0], again[1]);
        println!(
            "{:<7} {nodes:>5} {resources:>10} {:>7} {:>8} {:>8} {:>8} {:>7} {:>8} {:>9} {again:>24}",
            line.name,
            if probed { "yes" } else { "no" },
            found[0],
            found[1],
            found[2],
            line.bar_ms,
            found[3],
            found[4],
        );
    }
    if missing { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Measures how time grows with resources and with nodes, prints the points and draws them.
fn growth(file: &str) -> ExitCode {
    let by_resources = [250, 500, 1_000, 2_000, 4_000, 8_000].map(|resources| (100, resources));
    let by_nodes = [16, 32, 64, 125, 250, 500, 1_000].map(|nodes| (nodes, 2_000));
    let mut panels = Vec::new();
    for (title, sizes, by) in
        [("resources, on 100 nodes", &by_resources[..], 1), ("nodes, with 2,000 resources", &by_nodes[..], 0)]
    {
        let mut curves = Vec::new();
        for name in GROWING {
            let mut points = Vec::new();
            for &(nodes, resources) in sizes {
                let size = Size { nodes, resources, probed: false };
                let Some(found) = in_a_process("measure", name, size) else { return ExitCode::FAILURE };
                println!("{name:<7} {nodes:>5} {resources:>6} wall {:>8} CPU {:>8}", found[1], found[2]);
                let milliseconds = found[2].parse().unwrap_or(0.0);
                points.push(([nodes, resources][by] as f64, milliseconds));
            }
            curves.push(drawing::Curve { name, points });
        }
        panels.push(drawing::Panel { title, curves });
    }
    match fs::write(file, drawing::svg(&panels)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {file}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures something in a process of its own; the five words that it said.
fn in_a_process(what: &str, name: &str, size: Size) -> Option<Vec<String>> {
    let Size { nodes, resources, probed } = size;
    let me = env::current_exe().ok()?;
    let words = [what, name, &nodes.to_string(), &resources.to_string(), &probed.to_string()];
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
    let mut walls = Vec::new();
    let mut actions = 0;
    let cpu = cpu_time();
    while walls.len() < 3 || (walls.len() < 50 && begin.elapsed() < Duration::from_secs(2)) {
        let wall = Instant::now();
        let outcome = engine::plan(&cluster, &state);
        walls.push(wall.elapsed());
        actions = outcome.actions.len();
    }
    let cpu = (cpu_time() - cpu).as_secs_f64() * 1000.0 / walls.len() as f64;
    let (peak, input) = (memory("VmHWM") / 1024, input / 1024);
    println!("{actions} {:.1} {cpu:.1} {peak} {input}", median(&mut walls));
}

/// Plans one cluster, and plans again as one thing after the other fails and is well again; prints: how often
/// everything was decided, how often at all, the median of wall time, and CPU time on average.
fn again(shape: Shape, size: Size) {
    let (cluster, state) = shapes::cluster(shape, size);
    let mut planner = Planner::new(cluster, state);
    let now = planner.state().now;
    let begin = Instant::now();
    let mut walls = Vec::new();
    let cpu = cpu_time();
    let before = planner.runs();
    for node in (0..size.nodes).cycle().take(100) {
        if walls.len() >= 10 && begin.elapsed() > Duration::from_secs(2) {
            break;
        }
        let Some((well, failed)) = shapes::failure(planner.state(), node) else { break };
        for history in [failed, well] {
            let wall = Instant::now();
            let _ = planner.learn(now, node, News::History(history));
            walls.push(wall.elapsed());
        }
    }
    let cpu = (cpu_time() - cpu).as_secs_f64() * 1000.0 / (walls.len().max(1)) as f64;
    let whole = planner.runs().whole - before.whole;
    println!("{whole} {} {:.2} {cpu:.2} 0", walls.len(), median(&mut walls));
}

/// In milliseconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
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

//! How long it takes to look at every loss of one node, and of two at once.
//!
//! ```text
//! cargo bench -p heart-scheduler --bench what_if                     the table
//! cargo bench -p heart-scheduler --bench what_if -- groups 32x1000   only lines with these words
//! ```
//!
//! Losses are looked at on as many cores as there are, as `heart what-if` does it. *Wall* is what the clock
//! says, *CPU* what all threads ran by the kernel's accounting. *Down* is how many losses leave something
//! down, *why* how many reasons were found for that, each of them proven.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a bench looks at the clock")]

mod shapes;

use std::{
    env, fs,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use heart_model::policy::{Cluster, State};
use heart_scheduler::engine::survive::{Enough, Loss, Question, Survey};
use shapes::{Shape, Size};

/// Name, shape, nodes, resources, whether all was probed, and how long it may take: seconds.
type Line = (&'static str, Shape, usize, usize, bool, Option<u32>);

const LINES: [Line; 5] = [
    ("groups", Shape::Groups, 32, 1_000, false, Some(10)),
    ("groups", Shape::Groups, 32, 1_000, true, Some(10)),
    ("clones", Shape::Clones, 32, 1_000, true, Some(10)),
    ("pinned", Shape::Pinned, 32, 1_000, true, Some(10)),
    ("groups", Shape::Groups, 100, 1_000, true, None),
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    println!("shape   nodes  resources  probed  losses  down   why  wall s   CPU s  bar s");
    for (name, shape, nodes, resources, probed, bar) in LINES {
        let known = [name.to_owned(), format!("{nodes}x{resources}")];
        if !words.iter().all(|word| known.contains(word)) {
            continue;
        }
        let (cluster, state) = shapes::cluster(shape, Size { nodes, resources, probed });
        let wall = Instant::now();
        let (losses, cpu) = all(&cluster, &state);
        let wall = wall.elapsed();
        let down = losses.iter().filter(|loss| !loss.is_survived()).count();
        let why: usize = losses.iter().map(|loss| loss.because.len()).sum();
        println!(
            "{name:<7} {nodes:>5} {resources:>10} {:>7} {:>7} {down:>5} {why:>5} {:>7.1} {:>7.1} {:>6}",
            if probed { "yes" } else { "no" },
            losses.len(),
            wall.as_secs_f64(),
            cpu.as_secs_f64(),
            bar.map_or_else(|| "–".to_owned(), |bar| bar.to_string()),
        );
    }
    ExitCode::SUCCESS
}

/// Looks at all losses, then asks why; and how long the threads have run.
fn all(cluster: &Cluster, state: &State) -> (Vec<Loss>, Duration) {
    let begin = cpu_time();
    let survey = Survey::new(cluster, state, Enough::Majority);
    let wanted = survey.losses(true);
    let begun = cpu_time() - begin;
    let (mut losses, lost) = in_parallel(&survey, wanted.len(), |survey, place| survey.lose(&wanted[place]));
    let questions = survey.questions(&losses);
    let (answers, asked) = in_parallel(&survey, questions.len(), |survey, place| {
        let Question { loss, resource } = &questions[place];
        survey.why(&wanted[*loss], resource)
    });
    for (question, answer) in questions.iter().zip(answers) {
        losses[question.loss].because.extend(answer);
    }
    (losses, begun + lost + asked)
}

/// Does so many things on as many cores as there are; what came of them in their order, and how long it ran.
fn in_parallel<T: Send>(
    survey: &Survey<'_>,
    count: usize,
    work: impl Fn(&mut Survey<'_>, usize) -> T + Sync,
) -> (Vec<T>, Duration) {
    let next = AtomicUsize::new(0);
    let worker = || {
        let (mut survey, mut done) = (survey.clone(), Vec::new());
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= count {
                return (done, cpu_time());
            }
            done.push((place, work(&mut survey, place)));
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (mut all, mut cpu) = (Vec::new(), Duration::ZERO);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            let (done, ran) = worker.join().expect("a worker only asks the engine");
            all.extend(done);
            cpu += ran;
        }
    });
    all.sort_by_key(|(place, _)| *place);
    (all.into_iter().map(|(_, one)| one).collect(), cpu)
}

/// How long this thread has run.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

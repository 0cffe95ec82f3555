//! `cargo xtask test-machines`: what namespaces cannot show, on virtual machines with kernels, power and watchdogs of
//! their own.
//!
//! Outside of the ordinary run: it needs QEMU, about 2 GB below `VMB_CACHE`, and minutes. The machines are those of
//! the test bench beside this project (`../shared/vm`), which says what it installs and where.

mod bench;
mod stories;
mod ties;
mod view;

use std::time::Instant;

use anyhow::{Result, bail};

use bench::Bench;

/// Obeys `test-machines [STORY...]`, or `--list`.
pub(crate) fn run(names: &[&str]) -> Result<bool> {
    if names == ["--list"] {
        stories::ALL.iter().for_each(|story| println!("{:26} {}", story.name, story.about));
        return Ok(true);
    }
    if let Some(unknown) = names.iter().find(|name| stories::ALL.iter().all(|story| story.name != **name)) {
        bail!("no story is called `{unknown}`: `cargo xtask test-machines --list` names them");
    }
    let built = Bench::prepare()?;
    let (mut passed, mut failed) = (0, 0);
    for story in stories::ALL.iter().filter(|story| names.is_empty() || names.contains(&story.name)) {
        let began = Instant::now();
        let tell = |bench: Bench| (story.tell)(&bench).map_err(|why| why.context(bench.last_words()));
        let outcome = built.up(story.fence).and_then(tell);
        let took = began.elapsed().as_secs();
        match outcome {
            Ok(said) => {
                passed += 1;
                println!("ok      {:26} {took:3} s  {said}", story.name);
            }
            Err(why) => {
                failed += 1;
                println!("FAILED  {:26} {took:3} s  {why:#}", story.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

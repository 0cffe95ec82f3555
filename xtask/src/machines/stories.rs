//! What happens to the machines, and what must be true of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{
    bench::{Bench, Fence, NODES, SCSI_DISK, scsi_key},
    ties,
};

/// One story.
pub(super) struct Story {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) fence: Fence,
    /// Tells it; what was measured.
    pub(super) tell: fn(&Bench) -> Result<String>,
}

pub(super) const ALL: [Story; 12] = [
    Story {
        name: "power-switch",
        about: "the owner loses power; its switch proves it, and another takes everything",
        fence: Fence::Switch,
        tell: power_is_lost,
    },
    Story {
        name: "power-bmc",
        about: "the same with fence_ipmilan and a management controller",
        fence: Fence::Bmc,
        tell: power_is_lost,
    },
    Story {
        name: "watchdog-stopped",
        about: "all of Heart on the owner is stopped: its watchdog resets it, and nothing else does",
        fence: Fence::Watchdog,
        tell: heart_is_stopped,
    },
    Story {
        name: "watchdog-panic",
        about: "the owner's kernel panics: its watchdog resets it",
        fence: Fence::Watchdog,
        tell: the_kernel_panics,
    },
    Story {
        name: "disk-cut-off",
        about: "the owner is cut off and reads on the shared disk that it is to reset itself",
        fence: Fence::Disk,
        tell: the_owner_is_cut_off,
    },
    Story {
        name: "cut-off",
        about: "the owner is cut off and switched off",
        fence: Fence::Switch,
        tell: the_owner_is_cut_off,
    },
    Story {
        name: "cut-off-bmc",
        about: "the owner runs and is cut off from the others; its management controller ends that life",
        fence: Fence::Bmc,
        tell: a_controller_ends_who_is_cut_off,
    },
    Story {
        name: "scsi-cut-off",
        about: "the owner is cut off, and fence_scsi takes its registration on a shared SCSI disk away",
        fence: Fence::Scsi,
        tell: the_owner_loses_its_registration,
    },
    Story {
        name: "file-tie-break",
        about: "of two, one goes on by a file over NFS 4: power, cuts, and a server that is gone or stands still",
        fence: Fence::TieBreak(ties::FOUR),
        tell: |bench| ties::a_file_decides(bench, ties::FOUR),
    },
    Story {
        name: "file-tie-break-3",
        about: "the same over NFS 3",
        fence: Fence::TieBreak(ties::THREE),
        tell: |bench| ties::a_file_decides(bench, ties::THREE),
    },
    Story {
        name: "paused",
        about: "the owner is paused for 1 to 20 seconds, and its clock with it",
        fence: Fence::Switch,
        tell: |bench| stands_still(bench, "pause"),
    },
    Story {
        name: "stalled",
        about: "the owner stands still for 1 to 20 seconds, and its clock goes on",
        fence: Fence::Switch,
        tell: |bench| stands_still(bench, "stall"),
    },
];

fn others(owner: &str) -> Vec<&'static str> {
    NODES.into_iter().filter(|node| *node != owner).collect()
}

pub(super) fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}

/// Everything is on another node, and nobody answers for the address again who had it before.
fn has_moved(bench: &Bench, owner: &str, since: Instant) -> Result<String> {
    let next = bench.settled(&others(owner))?;
    Ok(format!("on {next} after {}", seconds(since)))
}

fn power_is_lost(bench: &Bench) -> Result<String> {
    let owner = bench.settled(&NODES)?;
    let watch = bench.watch()?;
    let since = Instant::now();
    bench.tell(&["off", &owner])?;
    let moved = has_moved(bench, &owner, since)?;
    let view = bench.view(others(&owner)[0])?;
    ensure!(view.state(&owner) == "fenced", "{owner} is {}: {}", view.state(&owner), view.problems());
    one_after_the_other(&watch.answers()?)?;
    bench.tell(&["on", &owner])?;
    Bench::until("it is back", || {
        let view = bench.view(others(&owner)[0])?;
        ensure!(view.state(&owner) == "online", "{owner} is {}", view.state(&owner));
        Ok(())
    })?;
    let stays = bench.settled(&others(&owner)).context("its return moved something")?;
    Ok(format!("{moved}; it came back, and everything stays on {stays}"))
}

fn heart_is_stopped(bench: &Bench) -> Result<String> {
    resets_itself(bench, "sleep 0.2; pkill -STOP \"^heart-\"")
}

fn the_kernel_panics(bench: &Bench) -> Result<String> {
    resets_itself(bench, "sleep 0.2; echo 0 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger")
}

/// Something happens on the owner that it does not survive: it begins another life, without anybody else.
fn resets_itself(bench: &Bench, line: &str) -> Result<String> {
    let owner = bench.settled(&NODES)?;
    let (boot, watch, since) = (bench.boot(&owner)?, bench.watch()?, Instant::now());
    bench.takes_away(&owner, line)?;
    let moved = has_moved(bench, &owner, since)?;
    one_after_the_other(&watch.answers()?)?;
    Bench::until("it begins another life", || {
        let now = bench.boot(&owner)?;
        ensure!(now != boot, "it is the same life");
        Ok(())
    })?;
    Ok(format!("{moved}; it has begun another life within {}", seconds(since)))
}

fn the_owner_is_cut_off(bench: &Bench) -> Result<String> {
    let owner = bench.settled(&NODES)?;
    let (watch, since) = (bench.watch()?, Instant::now());
    for other in others(&owner) {
        bench.tell(&["cut", &owner, other])?;
        bench.tell(&["cut", other, &owner])?;
    }
    let moved = has_moved(bench, &owner, since)?;
    one_after_the_other(&watch.answers()?)?;
    Ok(moved)
}

/// The owner is cut off and runs on, so that what proves it off has to switch it off; when all is mended it is given power
/// and takes nothing back.
fn a_controller_ends_who_is_cut_off(bench: &Bench) -> Result<String> {
    let owner = bench.settled(&NODES)?;
    let is_on = || bench.tell(&["power", &owner]).map(|said| said.trim() == "on");
    let boot = bench.boot(&owner)?;
    ensure!(is_on()?, "{owner} has no power before anything has happened");
    let moved = the_owner_is_cut_off(bench)?;
    ensure!(!is_on()?, "others have taken everything, and {owner} has power");
    let next = bench.owner(&others(&owner))?;
    let view = bench.view(&next)?;
    ensure!(view.state(&owner) == "fenced", "{owner} is {}: {}", view.state(&owner), view.problems());
    bench.tell(&["heal"])?;
    bench.on(&next, &format!("heart unfence {owner}"))?;
    Bench::until("it is back", || {
        let view = bench.view(&next)?;
        ensure!(view.state(&owner) == "online", "{owner} is {}: {}", view.state(&owner), view.problems());
        Ok(())
    })?;
    ensure!(bench.boot(&owner)? != boot, "{owner} is back in the life that was proven off");
    let stays = bench.settled(&NODES)?;
    ensure!(stays == next, "the return of {owner} moved everything from {next} to {stays}");
    Ok(format!(
        "{moved}; {owner} has no power; `heart unfence` gave it some, and everything stays on {stays}"
    ))
}

/// The owner is cut off, and what proves that others may go on is that it can write no more; it has power all the time.
fn the_owner_loses_its_registration(bench: &Bench) -> Result<String> {
    let owner = bench.settled(&NODES)?;
    let writes = |node: &str| {
        let line = format!(
            "dd if=/dev/zero of={SCSI_DISK} bs=4096 count=1 oflag=direct 2>/dev/null && echo yes || echo no"
        );
        bench.on(node, &line).map(|said| said.contains("yes"))
    };
    ensure!(writes(&owner)?, "{owner} is registered and cannot write");
    let moved = the_owner_is_cut_off(bench)?;
    let next = bench.owner(&others(&owner))?;
    let keys = bench.on(&next, &format!("sg_persist -n -i -k {SCSI_DISK}"))?;
    ensure!(!keys.contains(&scsi_key(&owner)), "{owner} is still registered: {keys}");
    bench.tell(&["heal"])?;
    ensure!(!writes(&owner)?, "{owner} has no registration and writes");
    ensure!(writes(&next)?, "{next} cannot write");
    let view = bench.view(&next)?;
    let said = format!("{owner} is {}: {}", view.state(&owner), view.problems());
    // Only its next life may be let in again.
    bench.tell(&["reset", &owner])?;
    bench.use_scsi(&owner)?;
    Bench::until("it is back", || {
        let view = bench.view(&next)?;
        ensure!(view.state(&owner) == "online", "{owner} is {}: {}", view.state(&owner), view.problems());
        Ok(())
    })?;
    ensure!(writes(&owner)?, "{owner} takes part and cannot write");
    Ok(format!("{moved}; it writes no more; heard again, {said}; reset it has itself registered and is back"))
}

/// The owner stands still for ever longer: shorter than its lease nothing happens, longer and another has everything,
/// and it takes nothing back.
fn stands_still(bench: &Bench, how: &str) -> Result<String> {
    let mut said = Vec::new();
    for lasts in ["0.2", "1", "5", "20"] {
        let owner = bench.settled(&NODES)?;
        let (watch, since) = (bench.watch()?, Instant::now());
        bench.tell(&[how, &owner, lasts])?;
        // What it does when it wakes up is done by then.
        Bench::pass(Duration::from_secs(3));
        let now = bench.settled(&NODES)?;
        let answers = watch.answers()?;
        ensure!(!answers.is_empty(), "nobody has answered for the address");
        let returned = returns(&answers);
        ensure!(lasts != "0.2" || now == owner, "{lasts} s moved everything from {owner} to {now}");
        ensure!(returned <= 1, "for {lasts} s: {answers:?} answered in turn");
        said.push(format!(
            "{lasts} s: {} ({}{})",
            if now == owner { "nothing moved" } else { "moved" },
            seconds(since),
            if returned == 1 { ", it answered once more when it woke up" } else { "" }
        ));
        for node in NODES {
            bench.tell(&["on", node]).ok();
        }
        Bench::until("all are back", || {
            let view = bench.view(&now)?;
            let missing: Vec<&str> = NODES.into_iter().filter(|node| view.state(node) != "online").collect();
            ensure!(missing.is_empty(), "{missing:?} are not: {}", view.problems());
            Ok(())
        })?;
    }
    Ok(said.join("; "))
}

/// How often somebody answers again after another one did.
fn returns(answers: &[String]) -> usize {
    answers.iter().enumerate().filter(|(place, answer)| answers[..*place].contains(answer)).count()
}

/// Nobody answers for the address again after another one did.
pub(super) fn one_after_the_other(answers: &[String]) -> Result<()> {
    ensure!(!answers.is_empty(), "nobody has answered for the address");
    ensure!(returns(answers) == 0, "two have answered for the address in turn: {answers:?}");
    Ok(())
}

//! Two machines that nothing can switch off, and a file that a third one serves them over NFS: it decides between them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{
    bench::{Bench, PATIENCE, Watch},
    stories::{one_after_the_other, seconds},
};

/// The machines of the cluster.
pub(super) const PAIR: [&str; 2] = ["n1", "n2"];
/// The tie-break, where the two have mounted what the third one serves.
pub(super) const FILE: &str = "/mnt/tie/heart/web";
/// How it is mounted: what clients ask for by themselves, and the older one.
pub(super) const FOUR: &str = "vers=4.2";
pub(super) const THREE: &str = "vers=3,nolock";
/// How long one look or one change may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How often each node looks at it, and how long emulated machines may need beside that.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(10 + 8);
/// Longer than all attempts take that are let hang.
const GONE_FOR: Duration = Duration::from_secs(45);
/// How long `heart status` may need on a machine that is emulated.
const ANSWERED_WITHIN: Duration = Duration::from_secs(8);
/// How often the two race.
const RACES: usize = 2;
/// What is told as long as it fails.
const FAILS: &str = "cannot decide between two halves";

/// Has the kernel of n3 serve a folder over NFS as servers do by default: what root writes belongs to nobody.
pub(super) const SERVE: &str = "set -e; mkdir -p /srv/tie/heart; chown nobody:nogroup /srv/tie/heart; \
    chmod 700 /srv/tie/heart; mountpoint -q /proc/fs/nfsd || modprobe nfsd; \
    echo \"/srv/tie *(rw,fsid=1,no_subtree_check)\" >/etc/exports; systemctl start nfs-server; exportfs -ra";
/// What stands in the file, as the server has it: under the highest number.
const VALUE: &str = "cat /srv/tie/heart/web.$(ls /srv/tie/heart | sed -n \"s/^web[.]\\([0-9]*\\)$/\\1/p\" | sort -n | tail -n 1)";
/// The process that runs, in which life of it.
const RUNS: &str = "pgrep -of \"while :; do sleep 1\"";

/// The tie-break's part of the cluster's file. Two need each other's promises: a machine that is emulated on a busy one
/// stands still for longer than a lease otherwise, and lets go because of that alone.
pub(super) fn table() -> String {
    let timeout = TIMEOUT.as_secs();
    format!("[timing]\nlost_after = \"2s\"\n\n[tie_break]\nfile = \"{FILE}\"\ntimeout = \"{timeout}s\"\n\n")
}

/// Gives a machine the folder of n3; as most do, it waits for the server for as long as that takes.
pub(super) fn mount(bench: &Bench, node: &str, options: &str) -> Result<()> {
    let line = format!(
        "mkdir -p /mnt/tie; mountpoint -q /mnt/tie || mount -t nfs -o hard,{options} n3:/srv/tie /mnt/tie; \
         test -d /mnt/tie/heart"
    );
    Bench::until("the folder of n3 is mounted", || bench.on(node, &line).map(drop))
}

fn other(node: &str) -> &'static str {
    PAIR[usize::from(node == PAIR[0])]
}

/// Whether a node says that the tie-break fails, and how long it took to say anything.
fn fails(bench: &Bench, node: &str) -> Result<(bool, Duration)> {
    let asked = Instant::now();
    let view = bench.view(node)?;
    Ok((view.problems().contains(FAILS), asked.elapsed()))
}

/// Both take part, reach the tie-break, and it lets either of them go on.
fn is_whole(bench: &Bench) -> Result<String> {
    Bench::until("both take part, and the tie-break names both", || {
        for node in PAIR {
            let view = bench.view(node)?;
            ensure!(view.state(other(node)) == "online" && view.has_leader(), "{}", view.problems());
            ensure!(!view.problems().contains(FAILS), "{node} says: {}", view.problems());
        }
        let value = bench.on("n3", VALUE)?;
        ensure!(PAIR.iter().all(|node| value.contains(&format!("\"{node}\""))), "n3 has: {value}");
        Ok(())
    })?;
    bench.settled(&PAIR)
}

pub(super) fn a_file_decides(bench: &Bench, options: &str) -> Result<String> {
    let said = [
        the_owner_loses_power(bench, options).context("the owner lost power")?,
        two_race(bench).context("the two were cut off from each other")?,
        the_server_is_gone(bench).context("the server was stopped")?,
        the_server_stands_still(bench).context("the server stood still")?,
    ];
    Ok(said.join("; "))
}

/// The other one goes on, says why, and takes it in again.
fn the_owner_loses_power(bench: &Bench, options: &str) -> Result<String> {
    let owner = is_whole(bench)?;
    let (watch, since) = (bench.watch()?, Instant::now());
    bench.tell(&["off", &owner])?;
    let next = bench.settled(&[other(&owner)])?;
    let took = seconds(since);
    one_after_the_other(&watch.answers()?)?;
    let log = bench.on(&next, "heart log")?;
    ensure!(
        log.contains(&format!("goes on without {owner} (by the tie-break")),
        "it does not say why: {log}"
    );
    let why = bench.on(&next, "heart why address")?;
    ensure!(why.contains(&format!("runs on {next}")), "{why}");
    let told = bench.view(&next)?.problems();
    ensure!(told.contains(&format!("{owner} is lost")), "{next} says: {told}");
    bench.tell(&["on", &owner])?;
    mount(bench, &owner, options)?;
    let stays = is_whole(bench)?;
    ensure!(stays == next, "its return moved everything to {stays}");
    Ok(format!("power: on {next} after {took}"))
}

/// They hear each other again, and the one that went on has everything; who that is.
fn heal(bench: &Bench, watch: Watch, went_on: &str) -> Result<String> {
    bench.tell(&["heal"])?;
    let stays = is_whole(bench)?;
    one_after_the_other(&watch.answers()?)?;
    ensure!(
        stays == went_on,
        "{went_on} went on, and when they heard each other again {stays} had everything"
    );
    Ok(stays)
}

/// Who goes on, while the two do not hear each other; the other one says that it may not.
fn one_goes_on(bench: &Bench) -> Result<&'static str> {
    let went_on = Bench::until("one of them goes on", || {
        PAIR.into_iter()
            .find(|node| bench.owner(&[node]).is_ok_and(|owner| owner == *node))
            .context("neither")
    })?;
    let waits = other(went_on);
    Bench::until("the other one says that it may not", || {
        let view = bench.view(waits)?;
        ensure!(!view.has_leader(), "{waits} goes on as well as {went_on}");
        let told = view.problems();
        ensure!(told.contains("the tie-break does not let this half go on"), "{waits} says: {told}");
        Ok(())
    })?;
    Ok(went_on)
}

/// They do not hear each other and reach the file: one goes on each time, and nobody else answers for the address.
fn two_race(bench: &Bench) -> Result<String> {
    let mut said = Vec::new();
    for _ in 0..RACES {
        let owner = is_whole(bench)?;
        let (watch, since) = (bench.watch()?, Instant::now());
        bench.tell(&["cut", PAIR[0], PAIR[1]])?;
        bench.tell(&["cut", PAIR[1], PAIR[0]])?;
        let went_on = one_goes_on(bench)?;
        let took = seconds(since);
        let stays = heal(bench, watch, went_on)?;
        said.push(format!("{} after {took}", if stays == owner { "the owner" } else { "the other one" }));
    }
    Ok(format!("cut: {}", said.join(", ")))
}

/// Nothing that runs is touched, both say so in time and answer, and say when it is back.
fn the_server_is_gone(bench: &Bench) -> Result<String> {
    let owner = is_whole(bench)?;
    let (runs, watch) = (bench.on(&owner, RUNS)?, bench.watch()?);
    bench.on("n3", "systemctl stop nfs-server")?;
    let (since, mut told, mut longest) = (Instant::now(), Vec::new(), Duration::ZERO);
    while since.elapsed() < GONE_FOR {
        for node in PAIR {
            let (says, took) = fails(bench, node)?;
            longest = longest.max(took);
            if says && told.iter().all(|(known, _)| *known != node) {
                ensure!(
                    since.elapsed() < LOOKED_AT_WITHIN + TIMEOUT,
                    "{node} said it after {}",
                    seconds(since)
                );
                told.push((node, seconds(since)));
            }
        }
    }
    ensure!(told.len() == PAIR.len(), "not both said that the tie-break fails: {told:?}");
    ensure!(longest < ANSWERED_WITHIN, "`heart status` took {longest:?}");
    bench.on("n3", "systemctl start nfs-server")?;
    let back = Instant::now();
    let stays = is_whole(bench)?;
    ensure!(stays == owner && bench.on(&owner, RUNS)? == runs, "what ran on {owner} was touched");
    let answered = watch.answers()?;
    ensure!(answered.len() == 1, "{answered:?} answered for the address");
    Ok(format!(
        "server stopped: told by {}, status within {:.1} s, nothing touched, reached again after {}",
        told.iter().map(|(node, after)| format!("{node} after {after}")).collect::<Vec<_>>().join(" and "),
        longest.as_secs_f64(),
        seconds(back)
    ))
}

/// As long as it does, neither goes on. What both asked for hangs meanwhile, and comes to the server all at once.
fn the_server_stands_still(bench: &Bench) -> Result<String> {
    is_whole(bench)?;
    bench.tell(&["pause", "n3"])?;
    let since = Instant::now();
    bench.tell(&["cut", PAIR[0], PAIR[1]])?;
    bench.tell(&["cut", PAIR[1], PAIR[0]])?;
    for node in PAIR {
        Bench::until("it lets go and says why", || {
            let view = bench.view(node)?;
            ensure!(!view.has_leader(), "{node} still goes on");
            let told = view.problems();
            ensure!(told.contains("the tie-break cannot say who goes on"), "{node} says: {told}");
            Ok(())
        })?;
    }
    let (told, watch) = (seconds(since), bench.watch()?);
    Bench::pass(PATIENCE / 6);
    let answered = watch.answers()?;
    ensure!(answered.is_empty(), "{answered:?} answered for the address, and nothing had decided");
    let watch = bench.watch()?;
    bench.tell(&["cont", "n3"])?;
    let back = Instant::now();
    let went_on = one_goes_on(bench)?;
    let took = seconds(back);
    heal(bench, watch, went_on)?;
    Ok(format!("server paused and both cut: neither, told within {told}; {went_on} {took} after it went on"))
}

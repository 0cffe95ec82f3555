//! The story of the demonstration, act by act. Every act ends when what should happen has
//! happened, or fails at its deadline.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    cluster::{self, ADDRESS, NODES, View, WEB_PORT},
    screen::Screen,
};
use crate::{CLIENT, Lab, Probe, Question, Stamp, Watch, milliseconds};

/// Longest that the cluster may take to bring the service up, or back.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long nothing may happen for "nothing happened" to be said.
const QUIET: Duration = Duration::from_secs(2);
/// How long a picture stands before the story goes on, for people.
const PICTURE: Duration = Duration::from_secs(3);
/// How often the cluster is asked how it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often the nodes are asked whether they have the address.
const WATCH_EVERY: Duration = Duration::from_millis(2);

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Start,
    PowerCut,
    Partition,
}

impl Measure {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Measure::Start => "start",
            Measure::PowerCut => "power_cut",
            Measure::Partition => "partition",
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Measure::Start => "from starting the daemons to the first page",
            Measure::PowerCut => "without the page when its node lost power",
            Measure::Partition => "without the page when its node was cut off",
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) measured: Vec<(Measure, Duration)>,
    /// How often two nodes had the address at the same time; nothing if that was not watched.
    pub(crate) overlaps: Option<usize>,
    pub(crate) problems: Vec<String>,
    pub(crate) seconds: f64,
}

/// Everything the story needs.
pub(crate) struct Stage<'a> {
    lab: &'a Lab,
    screen: Screen,
    page: Probe,
    watch: Watch,
}

impl<'a> Stage<'a> {
    pub(crate) fn set(lab: &'a Lab, screen: Screen) -> Result<Stage<'a>> {
        let page = Probe::start(lab, &Question::http(IpAddr::V4(ADDRESS), WEB_PORT))?;
        let watch = Watch::start(lab, IpAddr::V4(ADDRESS), WATCH_EVERY)?;
        Ok(Stage { lab, screen, page, watch })
    }

    /// The whole story.
    pub(crate) fn play(&mut self, report: &mut Report) -> Result<()> {
        let first = self.start(report).context("bringing the service up")?;
        self.power_cut(report, &first).context("losing the active node")?;
        self.back_again(&first).context("getting the lost node back")?;
        self.partition(report).context("cutting the network")?;
        let overlaps = self.watch.overlaps()?;
        report.overlaps = Some(overlaps.len());
        for overlap in overlaps {
            let owners: Vec<String> = overlap.owners.into_iter().collect();
            report.problems.push(format!("{} had the address at the same time", owners.join(" and ")));
        }
        Ok(())
    }

    /// Act one: the cluster forms and the service comes up.
    fn start(&mut self, report: &mut Report) -> Result<String> {
        self.screen.tell("Three machines have power. Their daemons start.");
        let began = Stamp::now();
        cluster::start(self.lab)?;
        let first = self.until(PATIENCE, "the page is served", |stage, _| stage.page.answering())?;
        let up =
            self.page.await_that(Duration::ZERO, "the page is served", |events| match events.first() {
                Some(crate::Event::Up { at, .. }) => Some(*at),
                _ => None,
            })?;
        report.measured.push((Measure::Start, up.since(began)));
        self.screen.tell(&format!("After {} {first} serves the page.", milliseconds(up.since(began))));
        self.until(PATIENCE, "all nodes are online", |_, view| view?.all_online().then_some(()))?;
        self.pause()?;
        Ok(first)
    }

    /// Act two: the active node loses power, another takes over.
    fn power_cut(&mut self, report: &mut Report, active: &str) -> Result<()> {
        let cut = self.lab.power_cut(active)?;
        self.screen.tell(&format!("{active} loses power."));
        let outage = self.until(PATIENCE, "another node serves the page", |stage, _| outage(stage, cut))?;
        ensure!(outage.after != active, "{active} has no power and serves the page");
        report.measured.push((Measure::PowerCut, outage.length()));
        let length = milliseconds(outage.length());
        self.screen
            .tell(&format!("The client missed the page for {length}; now {} serves it.", outage.after));
        self.pause()
    }

    /// Act three: the lost node returns; nothing moves, nothing restarts.
    fn back_again(&mut self, lost: &str) -> Result<()> {
        let before = self.settled()?;
        let booted = self.lab.boot(lost)?;
        self.screen.tell(&format!("{lost} gets its power back."));
        self.until(PATIENCE, "it is online again", |_, view| view?.all_online().then_some(()))?;
        self.nothing_happens(&before, booted)?;
        self.screen.tell(&format!("{lost} is back. Nothing moved, nothing restarted."));
        self.pause()
    }

    /// Act four: the active node is cut off from the others and the client, and then no more.
    fn partition(&mut self, report: &mut Report) -> Result<()> {
        let active = self.page.await_up(PATIENCE)?;
        let mut majority: Vec<&str> = NODES.into_iter().filter(|&name| name != active).collect();
        majority.push(CLIENT);
        let cut = self.lab.partition(&[&[&active], &majority])?;
        self.screen.tell(&format!("The network is cut: {active} on one side, everybody else on the other."));
        let outage = self.until(PATIENCE, "the majority serves the page", |stage, _| outage(stage, cut))?;
        ensure!(outage.after != active, "{active} is cut off and serves the page");
        report.measured.push((Measure::Partition, outage.length()));
        let length = milliseconds(outage.length());
        self.screen.tell(&format!("The client missed the page for {length}; {active} had let go before.",));
        self.pause()?;
        let before = self.settled()?;
        let healed = self.lab.heal()?;
        self.screen.tell("The network heals.");
        self.until(PATIENCE, "all nodes are online", |_, view| view?.all_online().then_some(()))?;
        self.nothing_happens(&before, healed)?;
        self.screen.tell("Everybody is back. Nothing moved, nothing restarted.");
        self.pause()
    }

    /// The cluster's view once everything runs.
    fn settled(&mut self) -> Result<View> {
        self.until(PATIENCE, "everything runs", |_, view| {
            let runs = |view: &&View| view.resources.values().all(|resource| resource.state == "running");
            view.filter(runs).cloned()
        })
    }

    /// For a while nothing changes: no outage since `since`, every resource where it was.
    fn nothing_happens(&mut self, before: &View, since: Stamp) -> Result<()> {
        let until = Stamp::now().after(QUIET);
        let after = self.until(QUIET + PATIENCE, "a quiet time is over", |_, view| {
            view.filter(|_| until.remaining().is_zero()).cloned()
        })?;
        let outages = self.page.outages_since(since);
        ensure!(outages.is_empty(), "the client missed the page for {}", milliseconds(outages[0].length()));
        let (old, new) = (before.placement(), after.placement());
        ensure!(old == new, "a resource moved or restarted: was {old:?}, is {new:?}");
        Ok(())
    }

    /// Looks at everything, and shows it, until `look` finds what it looks for.
    fn until<T>(
        &mut self,
        wait: Duration,
        what: &str,
        mut look: impl FnMut(&Stage<'a>, Option<&View>) -> Option<T>,
    ) -> Result<T> {
        let deadline = Stamp::now().after(wait);
        loop {
            let view = cluster::view(self.lab);
            self.screen.draw(&self.lab.status()?, view.as_ref().ok(), self.page.answering().as_deref());
            if let Some(found) = look(self, view.as_ref().ok()) {
                return Ok(found);
            }
            if deadline.remaining().is_zero() {
                let said = view.map_or_else(|error| format!("{error:#}"), |view| format!("{view:?}"));
                anyhow::bail!("waited {wait:?} in vain until {what}; the cluster says: {said}");
            }
            // Whatever the client notices ends the wait early.
            let known = self.page.events().len();
            let _ = self.page.await_that(LOOK_EVERY, "the client notices something", |events| {
                (events.len() > known).then_some(())
            });
        }
    }

    /// Lets people look.
    fn pause(&mut self) -> Result<()> {
        if !self.screen.is_live() {
            return Ok(());
        }
        let until = Stamp::now().after(PICTURE);
        self.until(PICTURE * 2, "the picture was seen", |_, _| until.remaining().is_zero().then_some(()))
    }
}

fn outage(stage: &Stage<'_>, since: Stamp) -> Option<crate::Outage> {
    stage.page.outages_since(since).into_iter().next()
}

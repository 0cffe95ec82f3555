//! Agents of the Open Cluster Framework, as distributions ship them, unmodified.
//!
//! An agent is a program: `OCF_ROOT/resource.d/PROVIDER/TYPE ACTION`. Parameters are environment
//! variables, the answer is an exit code, and a line on standard error says why. We set what
//! version 1.1 of the interface asks for, and what agents have come to expect from Pacemaker.

pub(crate) mod metadata;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use heart_model::{AGENT_MESSAGE_MAX, AgentInfo, AgentRef, Guard, Outcome, ResourceName};

use crate::{
    agent::{Agent, Job, Stop},
    begun::{self, Begun, Which},
    cgroup,
    run::{self, End, Ended, SEARCH_PATH},
    sys,
    wait::Bell,
};

/// Where distributions put agents.
pub const OCF_ROOT: &str = "/usr/lib/ocf";
/// What agents put before the reason for a failure.
const REASON: &str = "ocf-exit-reason:";
/// How long an agent may take to describe itself.
const DESCRIBE_WITHIN: Duration = Duration::from_secs(20);
/// How long processes that were killed may take to be gone.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// One OCF agent.
#[derive(Clone, Debug)]
pub struct OcfAgent {
    root: PathBuf,
    provider: String,
    kind: String,
    node: String,
    run_dir: PathBuf,
}

impl OcfAgent {
    /// The agent `ocf:PROVIDER:KIND` below `root`, on the node of this name. What it begins is written down in
    /// `run_dir`.
    ///
    /// # Errors
    /// When there is no such agent on this machine.
    pub fn new(
        root: PathBuf,
        provider: &str,
        kind: &str,
        node: &str,
        run_dir: PathBuf,
    ) -> Result<OcfAgent, String> {
        let [provider, kind, node] = [provider, kind, node].map(str::to_owned);
        let agent = OcfAgent { root, provider, kind, node, run_dir };
        let path = agent.path();
        if path.is_file() {
            Ok(agent)
        } else {
            Err(format!(
                "this node has no agent ocf:{}:{}: {} is missing (Debian: package resource-agents)",
                agent.provider,
                agent.kind,
                path.display()
            ))
        }
    }

    fn path(&self) -> PathBuf {
        self.root.join("resource.d").join(&self.provider).join(&self.kind)
    }

    fn command(&self, action: &str) -> Command {
        let mut command = Command::new(self.path());
        command
            .arg(action)
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .env("LC_ALL", "C")
            .env("OCF_ROOT", &self.root)
            .env("OCF_RA_VERSION_MAJOR", "1")
            .env("OCF_RA_VERSION_MINOR", "1")
            .env("OCF_RESOURCE_TYPE", &self.kind)
            .env("OCF_RESOURCE_PROVIDER", &self.provider)
            .env("__OCF_ACTION", action);
        command
    }

    /// One action on one resource.
    fn command_for(&self, action: &str, interval: Duration, job: &Job<'_>) -> Command {
        let mut command = self.command(action);
        command
            .env("OCF_RESOURCE_INSTANCE", instance(job.resource))
            .env("OCF_RESKEY_CRM_meta_name", action)
            .env("OCF_RESKEY_CRM_meta_interval", interval.as_millis().to_string())
            .env("OCF_RESKEY_CRM_meta_on_node", &self.node)
            .env("OCF_RESKEY_crm_feature_set", "3.16.2")
            .env("HEART_EPOCH", job.epoch.to_string())
            .env("HEART_SESSION", job.session.to_string());
        if job.spec.promotable {
            // What agents ask when they want to know whether one of several may be promoted.
            for name in
                ["promoted_max", "promoted_node_max", "master_max", "master_node_max", "clone_node_max"]
            {
                command.env(format!("OCF_RESKEY_CRM_meta_{name}"), "1");
            }
            command.env("OCF_RESKEY_CRM_meta_promotable", "true");
        }
        let left = job.deadline.saturating_duration_since(Instant::now());
        command.env("OCF_RESKEY_CRM_meta_timeout", left.as_millis().to_string());
        for (name, value) in &job.spec.parameters {
            command.env(format!("OCF_RESKEY_{name}"), value.to_string());
        }
        command
    }

    /// What was begun for a resource and may not have ended.
    fn begun(&self, job: &Job<'_>) -> Begun {
        Begun::of(&self.run_dir, job.resource)
    }

    /// Runs one action on one resource; its exit code as an outcome.
    fn act(&self, action: &str, interval: Duration, job: &Job<'_>) -> Outcome {
        let mut command = self.command_for(action, interval, job);
        let begun = self.begun(job);
        let entered = match begun.enter() {
            Ok(entered) => entered,
            Err(error) => return Outcome::Failed(format!("`{action}` was not begun: {error}")),
        };
        // Without groups a stop that fails has one means less.
        let group = match action {
            "start" | "promote" => cgroup::create(instance(job.resource)).ok(),
            _ => None,
        };
        let group = group.map(|(path, procs)| {
            sys::join_group(&mut command, procs);
            path
        });
        let before = entered.write_down(&mut command, action);
        let ended = run::run(command, job.deadline, job.cancel);
        if matches!(&ended, Ok(Ended { end: End::Exit(_), .. }))
            && let Err(error) = begun.leave(&before)
        {
            tracing::warn!("{}: `{action}` has ended, and counts as not ended: {error}", job.resource);
        }
        group.iter().for_each(|path| cgroup::remove(path));
        match ended {
            Ok(ended) if action == "monitor" && is_promotion(job) => promoted(&ended),
            Ok(ended) => outcome(&ended),
            Err(error) => Outcome::Unable(format!("cannot run {}: {error}", self.path().display())),
        }
    }
}

/// After a stop, "not running" is the answer we hoped for.
fn or_done(outcome: Outcome) -> Outcome {
    if outcome == Outcome::NotRunning { Outcome::Done } else { outcome }
}

/// What is left of earlier operations, or why that cannot be said.
fn failed(why: impl std::fmt::Display) -> Outcome {
    Outcome::Failed(why.to_string())
}

impl OcfAgent {
    fn ask_to_stop(&self, job: &Job<'_>) -> Outcome {
        or_done(self.act(if is_promotion(job) { "demote" } else { "stop" }, Duration::ZERO, job))
    }

    /// The same with as much time as at first, and nobody who is in a hurry.
    fn ask_to_stop_again(&self, job: &Job<'_>) -> Outcome {
        let Ok(cancel) = Bell::new() else {
            return failed("it cannot be asked once more to stop it: no descriptor is to be had");
        };
        let deadline = Instant::now() + job.spec.timeouts.stop;
        self.ask_to_stop(&Job { deadline, cancel: &cancel, ..*job })
    }

    /// Kills what was begun before and has not ended.
    ///
    /// # Errors
    /// What does not end, or why that cannot be said.
    fn end_what_was_begun(&self, job: &Job<'_>) -> Result<(), Outcome> {
        let remains = self.begun(job).end(Which::All, Instant::now() + KILLED_WITHIN).map_err(failed)?;
        if remains.is_empty() { Ok(()) } else { Err(failed(begun::explain(&remains))) }
    }

    /// An agent knows nothing of what an earlier operation has not finished: it may say that nothing runs, and a moment
    /// later that does. So what was begun is killed before it is asked, and if something of it was left it is asked
    /// again when that has gone.
    fn try_stop(&self, job: &Job<'_>) -> Result<(), Outcome> {
        let begun = self.begun(job);
        let hung = self.end_what_was_begun(job).is_err();
        let group = match is_promotion(job) {
            true => None,
            false => cgroup::find(instance(job.resource)).map_err(failed)?,
        };
        let left = begun.has_start().map_err(failed)?.then_some(group.as_deref()).flatten();
        let left = left.filter(|group| cgroup::is_populated(group).unwrap_or(true));
        let mut outcome = self.ask_to_stop(job);
        if let Some(group) = group.as_deref().filter(|_| !outcome.is_done()) {
            outcome = self.stop_by_force(job, group, outcome);
        }
        if outcome.is_done() && (hung || left.is_some()) {
            if let Some(group) = left {
                cgroup::kill_and_bury_all(group, Instant::now() + KILLED_WITHIN).map_err(|error| {
                    failed(format!("what an unfinished start of it has left remains: {error}"))
                })?;
            }
            self.end_what_was_begun(job)?;
            outcome = self.ask_to_stop_again(job);
        }
        if !outcome.is_done() {
            return Err(outcome);
        }
        self.end_what_was_begun(job)?;
        begun.forget().map_err(failed)?;
        group.iter().for_each(|group| cgroup::remove(group));
        Ok(())
    }

    /// The agent could not stop it: what it started is killed, and then it is asked to stop it once more, with as much
    /// time as before.
    fn stop_by_force(&self, job: &Job<'_>, group: &Path, failed: Outcome) -> Outcome {
        let resource = job.resource;
        match cgroup::kill_and_bury_all(group, Instant::now() + KILLED_WITHIN) {
            // Nothing of it runs, or nothing that this node has started: the agent knew what it said.
            Ok(false) => failed,
            Ok(true) => {
                tracing::warn!(
                    "{resource}: its agent could not stop it ({failed}); its processes were killed, and it is asked \
                     once more"
                );
                self.ask_to_stop_again(job)
            }
            Err(error) => {
                tracing::warn!(
                    "{resource}: its agent could not stop it ({failed}), and its processes remain: {error}"
                );
                failed
            }
        }
    }
}

/// The name by which an agent knows what it runs: on one node, that of the resource is enough for a copy, and
/// what is promoted is the copy.
fn instance(resource: &ResourceName) -> &str {
    resource.copy().map_or(resource.as_str(), |(of, _)| of)
}

/// Whether a job is not about a copy but about its being promoted.
fn is_promotion(job: &Job<'_>) -> bool {
    job.spec.promotable && job.resource.copy().is_none()
}

/// OCF agent API 1.1: a monitor answers 8 for what runs promoted, 0 for what runs and is not, 9 for what has failed
/// while it was promoted. To who asks for the promotion, what only runs is not there.
fn promoted(ended: &Ended) -> Outcome {
    match ended.end {
        End::Exit(0) => Outcome::NotRunning,
        _ => outcome(ended),
    }
}

/// OCF agent API 1.1, exit status codes: what each of them means for us.
fn outcome(ended: &Ended) -> Outcome {
    let why = reason(ended);
    match ended.end {
        End::Exit(0 | 8) => Outcome::Done,
        End::Exit(7) => Outcome::NotRunning,
        // Wrong arguments, not implemented, not permitted, not installed: here, not everywhere.
        End::Exit(2..=5) => Outcome::Unable(why),
        End::Exit(6) => Outcome::Misconfigured(why),
        End::Exit(_) | End::Signal(_) => Outcome::Failed(why),
        End::Cut => Outcome::TimedOut,
    }
}

/// Why: the reason the agent gave, else the last thing it said, else its exit code.
fn reason(ended: &Ended) -> String {
    let given = ended.errors.lines().rev().find_map(|line| line.split_once(REASON)).map(|(_, reason)| reason);
    let short = |text: &str| text.trim().chars().take(AGENT_MESSAGE_MAX / 4).collect();
    let text: Option<String> = given.map(short).or_else(|| ended.last_words(AGENT_MESSAGE_MAX / 4));
    let text = text.unwrap_or_else(|| "it did not say why".to_owned());
    match ended.end {
        End::Exit(code) => format!("{text} (exit code {code})"),
        End::Signal(signal) => format!("{text} (killed by signal {signal})"),
        End::Cut => text,
    }
}

impl Agent for OcfAgent {
    fn start(&self, job: &Job<'_>) -> Outcome {
        if job.spec.guard == Guard::Lease {
            return Outcome::Misconfigured(
                "what an OCF agent starts does not end with a lease by itself: give it the guard `fence`, or `none`"
                    .to_owned(),
            );
        }
        if let Err(outcome) = self.end_what_was_begun(job) {
            return outcome;
        }
        if let Err(error) = self.begun(job).forget() {
            return failed(error);
        }
        self.act(if is_promotion(job) { "promote" } else { "start" }, Duration::ZERO, job)
    }

    fn stop(&self, job: &Job<'_>, _how: Stop) -> Outcome {
        self.try_stop(job).err().unwrap_or(Outcome::Done)
    }

    fn status(&self, job: &Job<'_>) -> Outcome {
        self.act("monitor", job.spec.timeouts.status_every, job)
    }

    fn adopt(&self, job: &Job<'_>) -> Outcome {
        // What an earlier executor was at: nobody hears any more how that ends. What hangs is seen to by a stop.
        let begun = self.begun(job);
        let ended = begun.end(Which::Led, Instant::now() + KILLED_WITHIN);
        // An interval of nothing is a probe: agents are lenient with what is missing then.
        let outcome = self.act("monitor", Duration::ZERO, job);
        let forgotten = if outcome.is_done() { begun.forget_unled() } else { Ok(()) };
        for error in [ended.err(), forgotten.err()].into_iter().flatten() {
            tracing::warn!("{}: {error}", job.resource);
        }
        outcome
    }

    fn info(&self) -> Result<AgentInfo, String> {
        let never = Bell::new().map_err(|error| error.to_string())?;
        let ended = run::run(self.command("meta-data"), Instant::now() + DESCRIBE_WITHIN, &never)
            .map_err(|error| format!("cannot run {}: {error}", self.path().display()))?;
        if ended.end != End::Exit(0) {
            return Err(format!("{} does not describe itself: {}", self.path().display(), reason(&ended)));
        }
        let agent = AgentRef::Ocf { provider: self.provider.clone(), kind: self.kind.clone() };
        metadata::read(agent, &ended.output).map_err(|why| format!("{}: {why}", self.path().display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_have_meanings() {
        for (end, wanted) in [
            (End::Exit(0), "done"),
            (End::Exit(1), "failed: disk on fire (exit code 1)"),
            (End::Exit(2), "not possible on this node: disk on fire (exit code 2)"),
            (End::Exit(5), "not possible on this node: disk on fire (exit code 5)"),
            (End::Exit(6), "wrongly configured: disk on fire (exit code 6)"),
            (End::Exit(7), "not running"),
            (End::Exit(8), "done"),
            (End::Exit(9), "failed: disk on fire (exit code 9)"),
            (End::Signal(9), "failed: disk on fire (killed by signal 9)"),
            (End::Cut, "gave no answer in time"),
        ] {
            let errors = "INFO: so\nocf-exit-reason:disk on fire\nmore\n".to_owned();
            let ended = Ended { end, output: String::new(), errors };
            assert_eq!(outcome(&ended).to_string(), wanted);
        }
    }
}

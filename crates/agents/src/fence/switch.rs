//! One device, ready to be used on one node.
//!
//! There are two kinds of programs. Those of fence-agents read lines `name=value` from their standard input, what to
//! do among them, and answer with an exit code: 0 for done or *on*, 2 for *off*, anything else for *I do not know*.
//! Plug-ins of cluster-glue get their parameters as environment variables, and what to do as a word. They can say
//! whether the device is well, but not whether a node is off: after an `off` that they say has been done, this has
//! to do.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use heart_model::{AGENT_MESSAGE_MAX, FenceAgent, FenceDevice, FenceParameter, NodeName, Value};

use super::{
    Places,
    description::{Description, Descriptions},
    pause,
    turns::{Turn, Turns},
};
use crate::{
    ocf::metadata,
    run::{self, End, Ended, SEARCH_PATH},
    wait::Bell,
};

/// Longest last line of a program that is repeated to people.
const LAST_WORDS_MAX: usize = AGENT_MESSAGE_MAX / 8;
/// Longest secret, in bytes.
const SECRET_MAX: u64 = 4096;
/// Where plug-ins of cluster-glue have helpers of theirs.
const GLUE_PATH: &str = "/usr/share/cluster-glue";
/// What makes the helper by which plug-ins say why something failed say it to us, and not to a log of its own.
const GLUE_SAYS: [(&str, &str); 3] =
    [("HA_LOGD", "no"), ("HA_LOGFACILITY", "none"), ("HA_LOGFILE", "/dev/stderr")];
/// How long an agent may take to describe itself, if nothing of that is needed to use it.
const DESCRIBE_MAX: Duration = Duration::from_secs(5);
/// How long an agent may take to say what it can be told, if nothing else is asked of it.
const ASK_MAX: Duration = Duration::from_secs(10);
/// What programs of fence-agents say last, whatever is wrong: what is wrong stands before that.
const SAYS_NOTHING: [&str; 2] = ["Please use '-h' for usage", "validate-all failed"];
/// What only we say.
const OURS: [&str; 3] = ["action", "option", "nodename"];

/// What a device answered when it was asked how the node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    On,
    Off,
    /// It is of a kind that cannot say, and it is well.
    Well,
    /// Anything else; what, as the end of a sentence.
    Unclear(String),
}

/// What a device is told to do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Off,
    On,
}

impl Act {
    /// As programs of both kinds are told it.
    fn word(self) -> &'static str {
        match self {
            Act::Off => "off",
            Act::On => "on",
        }
    }
}

/// How a program is told what it has to know.
enum Told {
    /// Lines on its standard input.
    Lines(String),
    /// Variables of its environment.
    Variables(Vec<(String, String)>),
}

/// One device, ready to be used on one node.
pub(super) struct Switch<'a> {
    device: &'a FenceDevice,
    node: &'a NodeName,
    cancel: &'a Bell,
    program: PathBuf,
    told: Told,
    /// What must not be repeated, whatever a program says.
    secrets: Vec<String>,
    /// The program can look whether what it is told makes sense.
    validates: bool,
    /// All of the device's time.
    given: Duration,
    /// What is left of it.
    left: Duration,
}

impl<'a> Switch<'a> {
    /// Finds the program and all that it has to be told.
    pub(super) fn new(
        device: &'a FenceDevice,
        node: &'a NodeName,
        places: &Places,
        descriptions: &Descriptions,
        cancel: &'a Bell,
    ) -> Result<Switch<'a>, String> {
        if let Some(no_proof) = device.no_proof() {
            let (does, instead) = (no_proof.does, no_proof.instead);
            return Err(format!("{} cannot prove that {node} is off: it {does}; {instead}", device.agent));
        }
        let program = find(&device.agent, places)?;
        let (told, secrets, left) = (Told::Lines(String::new()), Vec::new(), device.timeout);
        let (validates, given) = (false, left);
        let mut switch = Switch { device, node, cancel, program, told, secrets, validates, given, left };
        for (name, value) in &device.parameters {
            can_be_told(&device.agent, name, value)?;
        }
        let parameters = device.parameters.iter().map(|(name, value)| (name.clone(), value.to_string()));
        switch.told = match device.agent {
            FenceAgent::External(_) => {
                // Some take it from there which node is meant, and the file does not say that (`OURS`).
                let whom = ("nodename".to_owned(), node.to_string());
                Told::Variables(parameters.chain([whom]).collect())
            }
            FenceAgent::Program(_) | FenceAgent::Watchdog => Told::Lines(switch.lines(descriptions)?),
            FenceAgent::Disk => return Err(format!("{} is no program", device.name())),
        };
        Ok(switch)
    }

    /// The device and its outlet, for people.
    pub(super) fn name(&self) -> String {
        self.device.name()
    }

    /// Tells it to switch the node; why that was of no use, for people.
    pub(super) fn tell(&mut self, act: Act) -> Result<(), String> {
        if matches!(self.told, Told::Variables(_)) {
            self.knows_node()?;
        }
        let why = match self.act(act.word()) {
            Ok(ended) if ended.end == End::Exit(0) => return Ok(()),
            Ok(ended) => self.ended(&ended),
            Err(why) => why,
        };
        let (name, node) = (self.name(), self.node);
        Err(format!("{name} was told to switch {node} {}, and {why}; {}", act.word(), self.way_out()))
    }

    /// Has the program look whether what it is told makes sense, if it can: the device is not asked. Why it does not, for
    /// people.
    pub(super) fn validate(&mut self) -> Result<(), String> {
        if !self.validates {
            return Ok(());
        }
        let why = match self.act(metadata::VALIDATE) {
            Ok(ended) if ended.end == End::Exit(0) => return Ok(()),
            Ok(ended) => self.ended(&ended),
            Err(why) => why,
        };
        let (name, node, agent) = (self.name(), self.node, &self.device.agent);
        Err(format!(
            "{name} was asked whether what it is told of {node} makes sense (`{}`), and {why}; correct `fence` in \
             `[node.{node}]`: `heart check` compares it with what {agent} says that it takes",
            metadata::VALIDATE
        ))
    }

    /// Asks it how the node is.
    pub(super) fn ask(&mut self) -> Answer {
        match (self.act("status"), &self.told) {
            (Ok(Ended { end: End::Exit(0), .. }), Told::Lines(_)) => Answer::On,
            (Ok(Ended { end: End::Exit(2), .. }), Told::Lines(_)) => Answer::Off,
            (Ok(Ended { end: End::Exit(0), .. }), Told::Variables(_)) => Answer::Well,
            (Ok(ended), _) => Answer::Unclear(self.ended(&ended)),
            (Err(why), _) => Answer::Unclear(why),
        }
    }

    /// Asks it how the node is, when it is our turn.
    pub(super) fn ask_in_turn(&mut self, turns: &Turns) -> Answer {
        let _turn = self.turn(turns);
        self.ask()
    }

    /// Waits until nobody else uses the device, for a quarter of what is left of its time at most.
    pub(super) fn turn<'t>(&mut self, turns: &'t Turns) -> Option<Turn<'t>> {
        let begun = Instant::now();
        let turn = turns.take(self.device, self.left / 4, self.cancel);
        self.left = self.left.saturating_sub(begun.elapsed());
        turn
    }

    /// Whether it is of a kind that can say that a node is off.
    pub(super) fn says_off(&self) -> bool {
        matches!(self.told, Told::Lines(_))
    }

    /// Whether it answers and lets us in, whatever it knows of the node.
    pub(super) fn is_well(&mut self) -> bool {
        let asked = match self.told {
            Told::Lines(_) => "monitor",
            Told::Variables(_) => "status",
        };
        self.has_time() && self.act(asked).is_ok_and(|ended| ended.end == End::Exit(0))
    }

    /// Asks a plug-in which nodes it can switch: some use what they were told, whoever is meant.
    pub(super) fn knows_node(&mut self) -> Result<(), String> {
        let (agent, node) = (&self.device.agent, self.node);
        let why = match self.act("gethosts") {
            Ok(ended) if ended.end == End::Exit(0) => {
                let hosts = || ended.output.split_whitespace();
                if hosts().any(|host| host.eq_ignore_ascii_case(node.as_str())) {
                    return Ok(());
                }
                let hosts: String =
                    hosts().collect::<Vec<_>>().join(", ").chars().take(LAST_WORDS_MAX).collect();
                format!("named {}", if hosts.is_empty() { "none" } else { &hosts })
            }
            Ok(ended) => self.ended(&ended),
            Err(why) => why,
        };
        Err(format!(
            "{agent} was asked which nodes it can switch off, and {why}: tell it that it is for {node}, as \
             `hostname = \"{node}\"` or `hostlist = \"{node}\"`"
        ))
    }

    /// Whether something is left of its time.
    pub(super) fn has_time(&self) -> bool {
        !self.left.is_zero() && !self.cancel.is_rung()
    }

    /// Waits before it is asked again; false if there is no time for another question.
    pub(super) fn pause(&mut self, length: Duration) -> bool {
        if self.left <= length {
            self.left = Duration::ZERO;
        } else {
            self.left = self.left.saturating_sub(pause(length, self.cancel).max(length));
        }
        self.has_time()
    }

    /// Why nothing is proven although it was told, for people.
    pub(super) fn unproven(&self, act: Act, why: &str) -> String {
        let (name, node, word) = (self.name(), self.node, act.word());
        if self.cancel.is_rung() {
            return format!("{name} was told to switch {node} {word}, and nobody waited for what came of it");
        }
        format!(
            "{name} said that it had switched {node} {word}, but {why}, until its {:?} were over; {}",
            self.given,
            self.way_out()
        )
    }

    /// Why it could not be used on the node if it had to be, for people.
    pub(super) fn unusable(&self, why: &str) -> String {
        format!("{} was asked how {} is, and {why}; {}", self.name(), self.node, self.way_out())
    }

    fn way_out(&self) -> String {
        match &self.device.agent {
            FenceAgent::Program(name) => format!(
                "see that the device is reachable from here, lets us in and has {} on this outlet (try `{name} \
                 --action=status …` by hand), or raise its `timeout`",
                self.node
            ),
            FenceAgent::External(name) => format!(
                "see that the device is reachable from here and lets us in (try `stonith -t external/{name} … -lS` \
                 by hand), or raise its `timeout`"
            ),
            FenceAgent::Disk => "`heart disk show` says what stands there".into(),
            FenceAgent::Watchdog => "nobody but its own node can use it".to_owned(),
        }
    }

    /// What became of a program, as the end of a sentence.
    fn ended(&self, ended: &Ended) -> String {
        let said = match ended.last_words_but(&SAYS_NOTHING, LAST_WORDS_MAX) {
            Some(said) => format!("answered `{}`", self.without_secrets(said)),
            None => "did not say why".to_owned(),
        };
        match ended.end {
            End::Exit(code) => format!("{said} (exit code {code})"),
            End::Signal(signal) => format!("{said} (killed by signal {signal})"),
            End::Cut if self.cancel.is_rung() => "nobody waited for its answer".to_owned(),
            End::Cut => format!("gave no answer within its {:?}", self.given),
        }
    }

    fn without_secrets(&self, said: String) -> String {
        self.secrets.iter().fold(said, |said, secret| said.replace(secret, "***"))
    }

    /// Lets the program do one thing, within what is left of the device's time.
    fn act(&mut self, action: &str) -> Result<Ended, String> {
        self.act_within(action, self.left)
    }

    fn act_within(&mut self, action: &str, most: Duration) -> Result<Ended, String> {
        let mut command = Command::new(&self.program);
        command.env_clear().current_dir("/");
        let input = match &self.told {
            Told::Lines(lines) => {
                command.env("PATH", SEARCH_PATH);
                format!("action={action}\n{lines}")
            }
            Told::Variables(variables) => {
                command.envs(variables.iter().map(|(name, value)| (name, value)));
                of_plug_in(&mut command, action);
                if [Act::Off, Act::On].iter().any(|act| act.word() == action) {
                    command.arg(self.node.as_str());
                }
                String::new()
            }
        };
        command.env("LC_ALL", "C");
        let begun = Instant::now();
        let ended = run::run_whole(command, &input, begun + self.left.min(most), self.cancel);
        self.left = self.left.saturating_sub(begun.elapsed());
        ended.map_err(|error| format!("{} cannot be run: {error}", self.program.display()))
    }

    /// What a program of fence-agents is told beside what to do.
    fn lines(&mut self, descriptions: &Descriptions) -> Result<String, String> {
        let parameters = &self.device.parameters;
        let has_outlet = FenceDevice::OUTLET.iter().any(|name| parameters.contains_key(*name));
        let needed = !has_outlet || parameters.keys().any(|name| name.ends_with("_file"));
        let description = if needed {
            self.description(descriptions, self.left)?
        } else {
            // It can do without, as it could if it said nothing of that.
            self.description(descriptions, DESCRIBE_MAX).unwrap_or_default()
        };
        if description.of_fabric && !self.device.shuts_out() {
            return Err(format!(
                "{} says of itself that it cuts a node off from a fabric and leaves it its power, and from what is not \
                 known: nothing would be proven. Use a device that cuts {}'s power",
                self.device.agent, self.node
            ));
        }
        if self.device.timeout_is_least {
            let more = description.takes(self.device).min(self.device.longest()).saturating_sub(self.given);
            (self.given, self.left) = (self.given + more, self.left + more);
        }
        self.validates = description.validates;
        let known = description.parameters;
        let mut lines = String::new();
        for (name, value) in parameters {
            let is_its_own = known.iter().any(|one| one.info.name == *name);
            let (name, value) = match (name.strip_suffix("_file"), value) {
                (Some(plain), Value::Text(path)) if !is_its_own => {
                    let secret = first_line(Path::new(path), plain)?;
                    self.secrets.push(secret.clone());
                    (plain, secret)
                }
                (_, value) => (name.as_str(), value.to_string()),
            };
            lines += &format!("{name}={value}\n");
        }
        let wanted = FenceDevice::OUTLET
            .iter()
            .find(|name| known.iter().any(|one| one.info.name == **name && one.info.required));
        if let Some(outlet) = wanted.filter(|_| !has_outlet) {
            lines += &format!("{outlet}={}\n", self.node);
        }
        Ok(lines)
    }

    fn description(&mut self, descriptions: &Descriptions, most: Duration) -> Result<Description, String> {
        let program = self.program.clone();
        descriptions.of(&program, || {
            let why = match self.act_within("metadata", most) {
                Ok(ended) if ended.end == End::Exit(0) => return Ok(ended.output),
                Ok(ended) => self.ended(&ended),
                Err(why) => why,
            };
            Err(format!(
                "{} was asked to describe itself, and {why}: see that it is whole on this node",
                program.display()
            ))
        })
    }
}

/// What every plug-in of cluster-glue finds around it.
fn of_plug_in(command: &mut Command, action: &str) {
    command.envs(GLUE_SAYS).env("PATH", format!("{SEARCH_PATH}:{GLUE_PATH}")).arg(action);
}

/// What an agent says that it can be told, whatever its device and its node; blocks for [`ASK_MAX`] at most.
pub(super) fn parameters(
    agent: &FenceAgent,
    places: &Places,
    cancel: &Bell,
) -> Result<Vec<FenceParameter>, String> {
    let program = find(agent, places)?;
    let deadline = Instant::now() + ASK_MAX;
    let ask = |word: &str| {
        let mut command = Command::new(&program);
        command.env_clear().current_dir("/").env("LC_ALL", "C");
        let input = match agent {
            FenceAgent::External(_) => {
                of_plug_in(&mut command, word);
                String::new()
            }
            _ => {
                command.env("PATH", SEARCH_PATH);
                format!("action={word}\n")
            }
        };
        let ended = run::run_whole(command, &input, deadline, cancel);
        let ended = ended.map_err(|error| format!("cannot be run: {error}"))?;
        match (&ended.end, ended.last_words(LAST_WORDS_MAX)) {
            (End::Exit(0), _) => Ok(ended.output),
            (End::Cut, _) => Err(format!("gave no answer within {ASK_MAX:?}")),
            (_, Some(said)) => Err(format!("answered `{said}`")),
            (_, None) => Err("did not say why".into()),
        }
    };
    if !matches!(agent, FenceAgent::External(_)) {
        return Ok(metadata::read_other(&ask("metadata")?, "off")?.parameters);
    }
    // What it says in one way need not be all that it says in the other.
    let parts = ask("getinfo-xml")?;
    let parts = format!("<resource-agent>{parts}</resource-agent>");
    let mut known = metadata::read_other(&parts, "off")?.parameters;
    for name in ask("getconfignames")?.split_whitespace() {
        if !known.iter().any(|one| one.info.name == name) {
            known.push(metadata::named(name));
        }
    }
    Ok(known)
}

/// Where the program of an agent is.
pub(super) fn find(agent: &FenceAgent, places: &Places) -> Result<PathBuf, String> {
    let (folders, name, package) = match agent {
        FenceAgent::Program(name) => (places.programs.as_slice(), name, "fence-agents"),
        FenceAgent::External(name) => (std::slice::from_ref(&places.external), name, "cluster-glue"),
        FenceAgent::Disk => return Err(format!("{agent} is no program")),
        FenceAgent::Watchdog => {
            return Err("a watchdog is told nothing: its own node alone can use it".into());
        }
    };
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        format!(
            "{agent} is not on this node: it is not in {} (Debian: package {package})",
            folders.join(", ")
        )
    })
}

/// Checks again what was checked when the file was read, perhaps by another version: whoever can smuggle in a line
/// says what is done.
fn can_be_told(agent: &FenceAgent, name: &str, value: &Value) -> Result<(), String> {
    let of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let is_name = !name.is_empty() && name.chars().all(of_names) && !OURS.contains(&name);
    let is_line = match value {
        Value::Text(text) => !text.contains(char::is_control),
        Value::Integer(_) | Value::Boolean(_) => true,
        Value::List(_) | Value::Table(_) => false,
    };
    match (is_name, is_line) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("{agent} cannot be told `{}`: remove it", name.escape_debug())),
        (true, false) => Err(format!("{agent} cannot be told this `{name}`: write one line, or a number")),
    }
}

/// The first line of the file of a secret.
fn first_line(path: &Path, name: &str) -> Result<String, String> {
    let wrong = |why: String| {
        format!(
            "cannot take `{name}` from {}: {why}; write it into the first line of this file, on this node too, \
             readable by root alone",
            path.display()
        )
    };
    // What is no file may never come to its end.
    let is_file = fs::metadata(path).map_err(|error| wrong(error.to_string()))?.is_file();
    if !is_file {
        return Err(wrong("it is no file".to_owned()));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(SECRET_MAX + 1).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    let line = text.lines().next().unwrap_or_default();
    match line {
        "" => Err(wrong("its first line is empty".to_owned())),
        line if line.len() as u64 > SECRET_MAX => {
            Err(wrong(format!("its first line is longer than {SECRET_MAX} bytes")))
        }
        line if line.contains(char::is_control) => Err(wrong("it has a control character in it".to_owned())),
        line => Ok(line.to_owned()),
    }
}

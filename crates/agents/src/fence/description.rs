//! How programs of fence-agents describe themselves: asked once, and again when a program has changed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use heart_model::{Duration, FenceDevice, FenceParameter};

use crate::ocf::metadata::{self, Other};

/// Most descriptions that are kept; beyond, all are asked for anew.
const DESCRIPTIONS_MAX: usize = 64;

/// Parameters that together say how long an action takes, in seconds: to log in, to hear from a shell, to wait, and
/// to see the power change.
const TIMES: [&str; 4] = ["login_timeout", "shell_timeout", "power_wait", "power_timeout"];
/// No single time that an agent says counts for more.
const SECONDS_MAX: u64 = 86_400;

/// What one program says of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Description {
    /// What it can be told.
    pub(super) parameters: Arc<[FenceParameter]>,
    /// How many seconds it says that switching off takes.
    off: Option<u64>,
    /// It says that it cuts nodes off from a fabric, and leaves them their power.
    pub(super) of_fabric: bool,
    /// It can look whether what it is told makes sense, without talking to the device.
    pub(super) validates: bool,
}

impl Description {
    /// How long it says that switching off takes, with what it is told of that.
    pub(super) fn takes(&self, device: &FenceDevice) -> Duration {
        let of = |name: &str| {
            let told = device.parameters.get(name).map(ToString::to_string);
            let known = &self.parameters.iter().find(|one| one.info.name == name)?.info;
            let seconds = metadata::seconds(told.as_ref().or(known.default.as_ref())?)?;
            Some(seconds.min(SECONDS_MAX))
        };
        let sum: u64 = TIMES.into_iter().filter_map(of).sum();
        Duration::from_secs(sum.max(self.off.unwrap_or_default().min(SECONDS_MAX)))
    }
}

impl From<Other> for Description {
    fn from(said: Other) -> Description {
        let Other { parameters, takes, automatic, validates } = said;
        Description { parameters: parameters.into(), off: takes, of_fabric: automatic, validates }
    }
}

/// The descriptions that were asked for, each with when its program was written.
#[derive(Debug, Default)]
pub(super) struct Descriptions(Mutex<BTreeMap<PathBuf, (SystemTime, Description)>>);

impl Descriptions {
    /// What the program at `path` can be told; `ask` gets its own words.
    pub(super) fn of(
        &self,
        path: &Path,
        ask: impl FnOnce() -> Result<String, String>,
    ) -> Result<Description, String> {
        let written = fs::metadata(path).and_then(|file| file.modified()).ok();
        let known = self.0.lock().expect("no holder of this lock can panic").get(path).cloned();
        if let Some((at, description)) = known
            && Some(at) == written
        {
            return Ok(description);
        }
        let said =
            metadata::read_other(&ask()?, "off").map_err(|why| format!("{}: {why}", path.display()))?;
        let description = Description::from(said);
        if let Some(written) = written {
            let mut all = self.0.lock().expect("no holder of this lock can panic");
            if all.len() >= DESCRIPTIONS_MAX {
                all.clear();
            }
            all.insert(path.to_owned(), (written, description.clone()));
        }
        Ok(description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heart_model::{FenceAgent, Value};

    fn description(parameters: &[(&str, &str)], off: &str) -> Description {
        let one = |(name, default): &(&str, &str)| {
            format!("<parameter name=\"{name}\"><content type=\"string\" default=\"{default}\"/></parameter>")
        };
        let parameters: String = parameters.iter().map(one).collect();
        let actions = format!("<actions><action name=\"off\" timeout=\"{off}\"/></actions>");
        let text = format!("<resource-agent><parameters>{parameters}</parameters>{actions}</resource-agent>");
        metadata::read_other(&text, "off").unwrap().into()
    }

    #[test]
    fn an_agent_says_how_long_it_takes() {
        let usual =
            [("login_timeout", "5"), ("shell_timeout", "3"), ("power_timeout", "20"), ("power_wait", "0")];
        for (parameters, told, off, takes) in [
            (&usual[..], None, "", 28),
            (&usual[..], None, "45s", 45),
            (&usual[..], Some(("power_timeout", Value::Integer(150))), "45s", 158),
            (&usual[..], Some(("power_timeout", Value::Text("2m".into()))), "", 8),
            (&[], Some(("power_timeout", Value::Integer(150))), "", 0),
            (&[("power_timeout", "99999999999999999999")], None, "", 0),
            (&[("power_timeout", "9999999999")], None, "", SECONDS_MAX),
            (&[], None, "9999999999", SECONDS_MAX),
        ] {
            let device = FenceDevice {
                agent: FenceAgent::parse("fence_test").unwrap(),
                parameters: told.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
                delay: Duration::ZERO,
                timeout: Duration::from_secs(60),
                timeout_is_least: true,
            };
            let found = description(parameters, off).takes(&device);
            assert_eq!(found, Duration::from_secs(takes), "{parameters:?} {told:?} {off}");
        }
    }
}

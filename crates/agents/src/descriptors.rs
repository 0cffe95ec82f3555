//! How many descriptors this process may have.

use std::{process::Command, sync::OnceLock};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::sys;

/// The limit that this process was started with.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Allows this process as many descriptors as it may have: it holds one for each service that runs, and there may be
/// thousands. What it starts has the limit that it had itself ([`as_before`]): programs are slow, or break, with more.
pub(crate) fn raise() {
    let before = *BEFORE.get_or_init(|| getrlimit(Resource::Nofile));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, ..before }) {
        tracing::warn!("this process may have only {:?} descriptors: {error}", before.current);
    }
}

/// Lets a command begin its life with as many descriptors as this process was allowed at first.
pub fn as_before(command: &mut Command) {
    if let Some(before) = BEFORE.get() {
        sys::limit_descriptors(command, *before);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{run, wait::Bell};

    #[test]
    fn this_process_may_have_many_and_what_it_starts_as_many_as_before() {
        let at_first = Rlimit { current: Some(512), ..getrlimit(Resource::Nofile) };
        setrlimit(Resource::Nofile, at_first).unwrap();
        raise();
        raise();
        assert_eq!(getrlimit(Resource::Nofile).current, at_first.maximum);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -n"]);
        let ended =
            run::run(command, Instant::now() + Duration::from_secs(20), &Bell::new().unwrap()).unwrap();
        assert_eq!(ended.output.trim(), "512");
    }
}

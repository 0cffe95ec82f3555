//! What can be done on one machine of a lab.

use anyhow::Result;

use crate::{
    Lab, Stamp,
    lab::{ANSWER_TIME_MAX, owned},
    message::{CommandLine, Request, Target},
    process::{Output, Process},
};

/// One machine of a lab.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) name: String,
}

impl Node<'_> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts a program; nothing is read from it unless its streams are taken.
    ///
    /// # Errors
    /// When the machine is off or frozen, or there is no such program.
    pub fn spawn(&self, words: &[&str]) -> Result<Process> {
        self.spawn_with(words, &[])
    }

    /// Starts a program with further environment variables.
    ///
    /// # Errors
    /// As [`Node::spawn`].
    pub fn spawn_with(&self, words: &[&str], environment: &[(&str, &str)]) -> Result<Process> {
        let environment = environment.iter().map(|&(key, value)| (key.into(), value.into())).collect();
        Process::start(self, CommandLine { words: owned(words), environment })
    }

    /// Runs a program to its end and returns what it wrote.
    ///
    /// # Errors
    /// When it cannot be started, or does not end within a minute.
    pub fn exec(&self, words: &[&str]) -> Result<Output> {
        self.spawn(words)?.output(ANSWER_TIME_MAX)
    }

    /// Runs a line of shell to its end and returns what it wrote; a failing line is an error.
    ///
    /// # Errors
    /// When it fails, with what it wrote to its standard error.
    pub fn shell(&self, line: &str) -> Result<String> {
        let output = self.exec(&["sh", "-c", line])?;
        anyhow::ensure!(
            output.exit.is_success(),
            "on {}: `{line}` ended with {}: {}",
            self.name,
            output.exit,
            output.stderr.trim()
        );
        Ok(output.stdout)
    }

    /// Writes a file, making the directories it needs.
    ///
    /// # Errors
    /// When the machine refuses.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let script = "mkdir -p \"$(dirname \"$1\")\" && cat > \"$1\"";
        let output = self.spawn(&["sh", "-c", script, "sh", path])?.feed(text.as_bytes(), ANSWER_TIME_MAX)?;
        anyhow::ensure!(
            output.exit.is_success(),
            "cannot write {path} on {}: {}",
            self.name,
            output.stderr.trim()
        );
        Ok(())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn read(&self, path: &str) -> Result<String> {
        let output = self.exec(&["cat", "--", path])?;
        anyhow::ensure!(
            output.exit.is_success(),
            "cannot read {path} on {}: {}",
            self.name,
            output.stderr.trim()
        );
        Ok(output.stdout)
    }

    /// Sends a signal to processes of this machine.
    ///
    /// # Errors
    /// When there are none.
    pub fn signal(&self, target: Target, signal: i32) -> Result<Stamp> {
        self.lab.fault(&Request::Signal { machine: self.name.clone(), target, signal })
    }

    /// Kills the processes with this name, as `/proc/PID/comm` has it, and waits for their end.
    ///
    /// # Errors
    /// When there are none.
    pub fn kill(&self, name: &str) -> Result<Stamp> {
        self.signal(Target::Name(name.into()), libc::SIGKILL)
    }
}

//! The command line: one module for each command, with its words, its help and its code.

mod ask;
mod check;
mod confirm_off;
mod daemon;
mod disk;
mod fence;
mod forgive;
mod found;
mod log;
mod r#move;
mod release;
mod reload;
mod resume;
mod simulate;
mod standby;
mod status;
mod takeover;
mod ticket;
mod unfence;
mod version;
mod what_if;
mod why;
mod witness;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{
    client::{Client, SOCKET},
    failure::Failure,
};

/// Options that every command has stand behind its own.
const LAST: usize = 100;

/// What every help ends with.
const EXIT_CODES: &str = "\
Exit codes:
  0  done, or answered
  1  refused, or something is wrong with what was asked about
  2  the command line cannot be read
  3  no daemon answered

Every error says what to do about it.";

/// Keeps services running when machines fail.
#[derive(Debug, Parser)]
#[command(name = "heart", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Ask the daemon that listens there
    #[arg(
        long,
        global = true,
        env = "HEART_SOCKET",
        hide_env_values = true,
        default_value = SOCKET,
        value_name = "PATH",
        display_order = LAST
    )]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Daemon(daemon::Options),
    Witness(witness::Options),
    Status(status::Options),
    Why(why::Options),
    Log(log::Options),
    Move(r#move::Options),
    Standby(standby::Options),
    Resume(resume::Options),
    Forgive(forgive::Options),
    Release(release::Options),
    Ticket(ticket::Options),
    Found(found::Options),
    Fence(fence::Options),
    Unfence(unfence::Options),
    ConfirmOff(confirm_off::Options),
    Takeover(takeover::Options),
    Reload(reload::Options),
    Disk(disk::Options),
    Check(check::Options),
    Simulate(simulate::Options),
    WhatIf(what_if::Options),
    /// Make nodes out of namespaces on this machine, and break them
    Lab(heart_lab::Cli),
    /// See a cluster on this machine survive what is done to it
    Demo(heart_lab::DemoOptions),
    Version(version::Options),
    #[command(hide = true)]
    Ask(ask::Options),
}

/// Obeys a command line.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let client = Client::new(&cli.socket);
    let outcome: Result<ExitCode, Failure> = match cli.command {
        Command::Daemon(options) => Ok(daemon::run(options)),
        Command::Witness(options) => Ok(witness::run(options)),
        Command::Status(options) => status::run(&options, &client),
        Command::Why(options) => why::run(&options, &client),
        Command::Log(options) => log::run(&options, &client),
        Command::Move(options) => r#move::run(&options, &client),
        Command::Standby(options) => standby::run(options, &client),
        Command::Resume(options) => resume::run(options, &client),
        Command::Forgive(options) => forgive::run(options, &client),
        Command::Release(options) => release::run(options, &client),
        Command::Ticket(options) => ticket::run(options, &client),
        Command::Found(options) => found::run(options, &client),
        Command::Fence(options) => fence::run(options, &client),
        Command::Unfence(options) => unfence::run(options, &client),
        Command::ConfirmOff(options) => confirm_off::run(options, &client),
        Command::Takeover(options) => takeover::run(options, &client),
        Command::Reload(options) => reload::run(&options, &cli.socket),
        Command::Disk(options) => disk::run(&options),
        Command::Check(options) => check::run(&options),
        Command::Simulate(options) => simulate::run(&options),
        Command::WhatIf(options) => what_if::run(&options, &client),
        Command::Lab(options) => Ok(heart_lab::cli(options)),
        Command::Demo(options) => Ok(heart_lab::demo(options)),
        Command::Version(options) => version::run(options),
        Command::Ask(options) => ask::run(&options, &client),
    };
    outcome.unwrap_or_else(|failure| failure.report())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_says_what_it_is_for() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}

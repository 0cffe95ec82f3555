//! temp
use std::process::ExitCode;
use clap::{Args, Command, FromArgMatches, Parser};
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = heart_lab::hidden_main(&arguments) { return code; }
    if let Some(code) = heart_daemon::hidden_main(&arguments) { return code; }
    match arguments.first().map(String::as_str) {
        Some("daemon") => { let mut p = heart_daemon::setup::Places::default();
            let mut it = arguments[1..].iter(); while let Some(a) = it.next() { let v = it.next().unwrap(); match a.as_str() { "--config" => p.config = v.into(), "--state" => p.state = v.into(), "--run" => p.run = v.into(), _ => p.node = Some(v.into()) } }
            heart_daemon::daemon(&p) }
        Some("ask") => { use std::io::{Write, Read}; let mut s = std::os::unix::net::UnixStream::connect("/run/heart/heart.sock").unwrap(); s.write_all(arguments[1].as_bytes()).unwrap(); s.write_all(b"\n").unwrap(); let mut o = String::new(); s.read_to_string(&mut o).unwrap(); println!("{o}"); ExitCode::SUCCESS }
        Some("status") => { use std::io::{Write, Read}; let mut s = std::os::unix::net::UnixStream::connect("/run/heart/heart.sock").unwrap(); s.write_all(b"{\"ask\":\"status\"}\n").unwrap(); let mut o = String::new(); s.read_to_string(&mut o).unwrap(); println!("{o}"); ExitCode::SUCCESS }
        Some("demo") => { let command = heart_lab::DemoOptions::augment_args(Command::new("demo")); let m = command.get_matches_from(arguments); heart_lab::demo(heart_lab::DemoOptions::from_arg_matches(&m).unwrap()) }
        _ => heart_lab::cli(heart_lab::Cli::parse_from(&arguments)),
    }
}

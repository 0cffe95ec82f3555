//! `heart why`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use heart_model::{NodeName, ResourceName};
use heart_node::core::{Request, Response};
use heart_scheduler::engine::explain;

use super::simulate;
use crate::{
    client::{Client, unexpected},
    failure::Failure,
    output, render,
};

/// Say why a resource is where it is, or is not
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  heart why site                        why it is where it is, or nowhere
  heart why site on ada                 why it is there, or why it is not
  heart why not site on ada             the same
  heart why db on ada --in cib.xml      the same of a cluster that a file describes")]
pub(crate) struct Options {
    /// Which resource, and of which node it is asked: `site`, `site on ada`
    #[arg(required = true, num_args = 1..=4, value_name = "RESOURCE [on NODE]")]
    question: Vec<String>,
    /// Ask about the cluster that this file describes, not about the one that runs
    #[arg(long = "in", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Say it as if it were that time (UTC), such as `2026-07-24 09:30:00`
    #[arg(short = 't', long, value_name = "TIME", value_parser = simulate::time, requires = "file")]
    now: Option<i64>,
}

/// Says why.
pub(crate) fn run(options: &Options, client: &Client) -> Result<ExitCode, Failure> {
    let words: Vec<&str> = options.question.iter().map(String::as_str).collect();
    let (resource, node) = match words.as_slice() {
        ["not", resource, "on", node] | [resource, "on", node] => (*resource, Some(*node)),
        ["not", resource] | [resource] => (*resource, None),
        _ => {
            let what = format!("`{}` is no question", words.join(" "));
            return Err(Failure::problem(what, "ask `heart why RESOURCE` or `heart why RESOURCE on NODE`"));
        }
    };
    match &options.file {
        Some(_) => in_file(options, resource, node),
        None => of_the_cluster(client, resource, node),
    }
}

fn of_the_cluster(client: &Client, resource: &str, node: Option<&str>) -> Result<ExitCode, Failure> {
    let wrong = |error| Failure::problem(format!("{error}"), "`heart status` shows the names");
    let resource = ResourceName::parse(resource).map_err(wrong)?;
    let node = node.map(NodeName::new).transpose().map_err(wrong)?;
    match client.ask(&Request::Why { resource: resource.clone() })? {
        Response::Why { mut reasons, next, guarded, stuck } => {
            if let Some(node) = &node {
                render::about_node(&mut reasons, node);
            }
            // Of one node was asked, not of what happens when it is lost.
            let guarded = guarded.filter(|_| node.is_none());
            let answer = render::Answer { reasons: &reasons, next: &next, guarded, stuck: stuck.as_deref() };
            output::print(&render::why(resource.as_str(), answer, &output::look()))?;
            Ok(ExitCode::SUCCESS)
        }
        other => Err(unexpected(&other)),
    }
}

fn in_file(options: &Options, name: &str, node: Option<&str>) -> Result<ExitCode, Failure> {
    let Some(file) = &options.file else {
        return Err(Failure::problem("no file is named", "name it: `--in FILE`"));
    };
    let imported = simulate::described(file, options.now)?;
    let resources = explain::primitives(&imported.cluster, name);
    if resources.is_empty() {
        return Err(Failure::problem(
            format!("{} knows no resource `{name}`", file.display()),
            format!("`heart simulate {}` shows what there is", file.display()),
        ));
    }
    let mut text = String::new();
    for resource in resources {
        let answer = explain::why(&imported.cluster, &imported.state, &resource, node);
        let explanation = answer.map_err(|unknown| {
            let what = match unknown {
                explain::Unknown::Resource(resource) => format!("no resource `{resource}`"),
                explain::Unknown::Node(node) => format!("no node `{node}`"),
            };
            let nodes: Vec<&str> = imported.cluster.nodes.iter().map(|node| node.name.as_str()).collect();
            Failure::problem(
                format!("{} knows {what}", file.display()),
                format!("its nodes are: {}", nodes.join(", ")),
            )
        })?;
        if !text.is_empty() {
            text.push('\n');
        }
        text += &render::explanation(&explanation, &imported.cluster, &output::look());
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

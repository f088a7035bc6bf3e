//! `handler-host`: a Kubernetes operator host whose handlers are WebAssembly components.

mod anew;
mod arguments;
mod client;
mod compile;
mod crd;
mod diff;
mod handlers;
mod inspect;
mod memory;
mod module;
mod probes;
mod proxy;
mod push;
mod rbac;
#[cfg(test)]
mod reference;
mod render;
mod run;
mod serve;
mod summary;
mod telemetry;
mod traces;
mod unified;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    proxy::tolerate_no_proxy();
    let outcome = match Arguments::parse().command {
        Command::Run(arguments) => {
            memory::keep_little();
            run::run(*arguments)
        }
        Command::Diff(arguments) => Ok(diff::diff(&arguments)),
        Command::Render(arguments) => render::render(&arguments),
        Command::Inspect(arguments) => inspect::inspect(&arguments),
        Command::Compile(arguments) => compile::compile(&arguments),
        Command::Push(arguments) => push::push(&arguments),
        Command::Crd(arguments) => crd::crd(&arguments),
        Command::Rbac(arguments) => rbac::rbac(&arguments),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut command, "handler-host", &mut text);
            telemetry::print(&String::from_utf8_lossy(&text))
                .map(|()| ExitCode::SUCCESS)
                .map_err(anyhow::Error::from)
        }
    };
    outcome.unwrap_or_else(|error| {
        telemetry::complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

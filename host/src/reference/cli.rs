use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory as _};

use super::{cell, expect};
use crate::arguments::Arguments;

#[test]
fn the_reference_of_the_commands_is_up_to_date() {
    let mut program = Arguments::command();
    program.build();
    let mut page = "\
# Commands

<!-- Made by `just docs` from what `handler-host --help` says. -->

"
    .to_owned();
    let about = program.get_long_about().unwrap_or_default();
    let _ = writeln!(page, "{about}\n");
    for command in commands(&program) {
        let (name, about) = (command.get_name(), command.get_about().unwrap_or_default());
        let _ = writeln!(
            page,
            "- [`handler-host {name}`](#handler-host-{name}): {about}"
        );
    }
    for command in commands(&program) {
        write_command(&mut page, command);
    }
    expect("cli.md", &page);
}

fn commands(program: &Command) -> impl Iterator<Item = &Command> {
    let commands = program.get_subcommands();
    commands.filter(|command| command.get_name() != "help")
}

fn write_command(page: &mut String, command: &Command) {
    let name = command.get_name();
    let about = command.get_about().unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let _ = write!(
        page,
        "\n## `handler-host {name}`\n\n{about}.\n\n```text\n{usage}\n```\n"
    );
    let (positional, options): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(|argument| argument.get_id() != "help")
        .partition(|argument| argument.is_positional());
    if !(positional.is_empty() && options.is_empty()) {
        page.push_str("\n| argument | default | meaning |\n|---|---|---|\n");
        for argument in positional.into_iter().chain(options) {
            write_argument(page, argument);
        }
    }
    if let Some(help) = command.get_after_long_help() {
        write_help(page, &help.to_string());
    }
}

/// What stands below the arguments: prose, and indented lines as they are.
fn write_help(page: &mut String, help: &str) {
    let is_indented = |line: &&str| line.starts_with("  ");
    let lines: Vec<_> = help.lines().filter(|line| !line.is_empty()).collect();
    for part in lines.chunk_by(|one, other| is_indented(one) && is_indented(other)) {
        let text = part.join("\n");
        let _ = match part {
            [line, ..] if is_indented(line) => write!(page, "\n```text\n{text}\n```\n"),
            [_, ..] | [] => write!(page, "\n{text}\n"),
        };
    }
}

fn write_argument(page: &mut String, argument: &Arg) {
    let takes_a_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let defaults = argument.get_default_values().iter();
    let defaults = defaults.filter(|_| takes_a_value);
    let defaults = defaults.filter(|value| !value.is_empty());
    let defaults: Vec<_> = defaults
        .map(|value| format!("`{}`", value.display()))
        .collect();
    let mut default = defaults.join(", ");
    let help = argument.get_long_help().or(argument.get_help());
    let mut help = help.unwrap_or_default().to_string();
    // Some defaults are no value, and stand at the end of the first paragraph.
    if let Some((before, behind)) = help.split_once(" [default: ")
        && let Some((words, after)) = behind.split_once(']')
    {
        default = words.to_owned();
        help = format!("{before}{after}");
    }
    let help: Vec<_> = help
        .split("\n\n")
        .map(|it| it.trim_end_matches('.'))
        .collect();
    let mut meaning = help.join(". ");
    let values = argument.get_possible_values();
    if takes_a_value && !values.is_empty() {
        let values = values.iter().map(|value| match value.get_help() {
            Some(help) => format!("`{}`: {help}", value.get_name()),
            None => format!("`{}`", value.get_name()),
        });
        let _ = write!(
            meaning,
            ". One of {}",
            values.collect::<Vec<_>>().join("; ")
        );
    }
    let (name, default, meaning) = (cell(&spelt(argument)), cell(&default), cell(&meaning));
    let _ = writeln!(page, "| {name} | {default} | {meaning} |");
}

/// How it is typed: `-m, --module FILE`.
fn spelt(argument: &Arg) -> String {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let mut spelt = [short, long]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ");
    let takes_a_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    if takes_a_value {
        for name in argument.get_value_names().unwrap_or_default() {
            let gap = if spelt.is_empty() { "" } else { " " };
            let _ = write!(spelt, "{gap}{name}");
        }
    }
    format!("`{spelt}`")
}

//! The command line: one file per command.
//!
//! Data goes to stdout, remarks and errors to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or
//! configuration. Commands on what is stored are questions to the admin API (`plane`): to a server, or to the same
//! operations in this process, as operator, so that rules, audit and change feed hold for them too.

mod args;
mod assertion_keys;
mod audit;
mod check;
mod completions;
mod demo;
mod error;
mod explain;
mod groups;
mod init;
mod invitations;
mod keys;
mod man;
mod migrate;
mod names;
mod open;
mod openapi;
mod orgs;
mod output;
mod permissions;
mod plane;
mod presets;
mod progress;
mod projects;
mod remote;
mod requests;
mod roles;
mod second_factors;
mod secrets;
mod serve;
mod sessions;
mod teams;
mod users;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::error::Failure;
use crate::app::{core_dumps, huge_pages};

/// An authentication gateway: checks API keys at the edge, then gets out of the way
#[derive(Debug, Parser)]
#[command(
    name = "latchgate",
    version,
    arg_required_else_help = true,
    infer_subcommands = false,
    after_help = "Start here:
  latchgate demo                                   see it work, with nothing to prepare
  latchgate init --dir gate --upstream http://127.0.0.1:9000
  latchgate serve --config gate/latchgate.toml     put it before your own backend
  latchgate keys list --server https://gate:8081   work on a server, with the token in LATCHGATE_TOKEN

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Init(init::Init),
    Serve(serve::Serve),
    Check(check::Check),
    Migrate(migrate::Migrate),
    #[command(subcommand)]
    Orgs(orgs::Orgs),
    #[command(subcommand)]
    Teams(teams::Teams),
    #[command(subcommand)]
    Projects(projects::Projects),
    #[command(subcommand)]
    Users(users::Users),
    #[command(subcommand)]
    Invitations(invitations::Invitations),
    #[command(subcommand)]
    Roles(roles::Roles),
    #[command(subcommand)]
    Groups(groups::Groups),
    #[command(subcommand)]
    Permissions(permissions::Permissions),
    #[command(subcommand)]
    Presets(presets::Presets),
    #[command(subcommand)]
    Keys(keys::Keys),
    #[command(subcommand)]
    AssertionKeys(assertion_keys::AssertionKeys),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    #[command(subcommand)]
    Requests(requests::Requests),
    Explain(explain::Explain),
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApi),
    Completions(completions::Completions),
    Man(man::Manual),
}

/// Runs the command given on the command line.
pub fn main() -> ExitCode {
    core_dumps::forbid();
    huge_pages::decline();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, to stdout and with code 0. A closed pipe is no reason to fail.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    cli.command.run().err().map_or(ExitCode::SUCCESS, |failure| failure.report())
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Demo(command) => command.run(),
            Self::Init(command) => command.run(),
            Self::Serve(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::Migrate(command) => command.run(),
            Self::Orgs(command) => command.run(),
            Self::Teams(command) => command.run(),
            Self::Projects(command) => command.run(),
            Self::Users(command) => command.run(),
            Self::Invitations(command) => command.run(),
            Self::Roles(command) => command.run(),
            Self::Groups(command) => command.run(),
            Self::Permissions(command) => command.run(),
            Self::Presets(command) => command.run(),
            Self::Keys(command) => command.run(),
            Self::AssertionKeys(command) => command.run(),
            Self::Audit(command) => command.run(),
            Self::Sessions(command) => command.run(),
            Self::Requests(command) => command.run(),
            Self::Explain(command) => command.run(),
            Self::OpenApi(command) => command.run(),
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_says_what_it_does() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no text", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {} has no text", command.get_name(), arg.get_id());
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }
}

//! `latchgate completions`: the script that teaches a shell our commands.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, error::Failure, output};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  latchgate completions bash > /etc/bash_completion.d/latchgate
  latchgate completions zsh  > \"${fpath[1]}/_latchgate\"
  latchgate completions fish > ~/.config/fish/completions/latchgate.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        // Written to memory first: the generator panics on a pipe that breaks.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "latchgate", &mut script);
        output::bytes(&script)
    }
}

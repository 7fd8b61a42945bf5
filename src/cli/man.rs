//! `latchgate man`: the manual, one page per command.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{Cli, error::Failure, output};

/// Print the manual pages, or write them into a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  latchgate man | man -l -
  latchgate man --dir /usr/local/share/man/man1")]
pub(crate) struct Manual {
    /// Write one file per command into this folder, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Manual {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        match &self.dir {
            Some(dir) => {
                fs::create_dir_all(dir).map_err(|error| cannot_write(dir, &error))?;
                pages(root, &mut |name, page| {
                    let path = dir.join(format!("{name}.1"));
                    let write = fs::File::create(&path).and_then(|mut file| file.write_all(page));
                    write.map_err(|error| cannot_write(&path, &error))
                })
            }
            None => pages(root, &mut |_, page| output::bytes(page)),
        }
    }
}

/// Gets a page and the name of its command.
type Take<'a> = dyn FnMut(&str, &[u8]) -> Result<(), Failure> + 'a;

/// Renders a command and all below it, in the order of the help.
fn pages(command: Command, take: &mut Take<'_>) -> Result<(), Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let below: Vec<_> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned().collect();
    let mut page = Vec::new();
    Man::new(command)
        .source(concat!("Latchgate ", env!("CARGO_PKG_VERSION")))
        .manual("Latchgate manual")
        .render(&mut page)
        .map_err(|error| Failure::stdout(&error))?;
    // What follows the flags are remarks and examples; clap_mangen calls it "EXTRA", which no manual does.
    let page = String::from_utf8_lossy(&page).replace("\n.SH EXTRA\n", "\n.SH NOTES\n");
    take(&name, page.as_bytes())?;
    below.into_iter().try_for_each(|sub| pages(sub, take))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(
        format_args!("cannot write {}: {error}", path.display()),
        "choose a folder that you may write to: --dir DIR",
    )
}

//! `completions`: what a shell needs to complete this program's arguments.

use super::{Cli, output::Output};
use crate::error::Failure;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

/// Print a script that teaches your shell to complete p2p-peer's arguments
///
/// For instance: `p2p-peer completions bash > ~/.local/share/bash-completion/completions/p2p-peer`
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, output: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "p2p-peer", &mut script);
    output.text(String::from_utf8_lossy(script.trim_ascii_end()).as_ref())
}

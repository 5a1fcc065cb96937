//! The program `p2p-peer`: all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Named panics, set by tests through the variable FAILPOINTS; nothing without the feature.
    let scenario = fail::FailScenario::setup();
    let code = p2p_peer::cli::main();
    scenario.teardown();
    code
}

//! The product, as a person would start it: a tracker, `share` in one process and `get` in another.

use p2p_tests::lab::Lab;
use p2p_tests::measure;
use p2p_tests::process::Program;
use p2p_tests::programs::{Peer, Sharing, Tracker};

use crate::pair::{Job, Pair, Run, fetch};

/// What a person sees who has set nothing; the tests ask for more.
pub(crate) const LOG: (&str, &str) = ("P2P_LOG", "warn");

/// `share` and `get` with one of the hashes.
pub(crate) struct Ours {
    /// `sha256` or `blake3`.
    pub(crate) hash: &'static str,
}

impl Pair for Ours {
    fn name(&self) -> String {
        format!("p2p-peer {}", self.hash)
    }

    fn does(&self) -> &'static str {
        "encrypted, verified, durable"
    }

    fn missing(&self) -> Option<String> {
        None
    }

    fn run(&self, job: &Job) -> Result<Run, String> {
        let lab = Lab::new();
        let tracker = Tracker::start(&lab);
        let (sharer, fetcher) = (Peer::new(&lab, "sharer"), Peer::new(&lab, "fetcher"));
        let sharing = Sharing::wait(
            sharer
                .tracker(&tracker)
                .share(&job.source)
                .args(["--hash", self.hash])
                .env(LOG.0, LOG.1)
                .start(),
        );
        fetch(
            job,
            Some(&sharing.program),
            fetcher
                .tracker(&tracker)
                .get(&sharing.ticket, &job.destination)
                .env(LOG.0, LOG.1),
        )
    }
}

/// Time until `share` says the ticket: the first time, and again from the cache of hashes.
pub(crate) fn share(job: &Job, hash: &str) -> Result<(Run, Run), String> {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    let peer = Peer::new(&lab, "sharer").tracker(&tracker);
    let once = || {
        let launch = peer.share(&job.source).args(["--hash", hash]);
        let program = launch.env(LOG.0, LOG.1).start();
        let run = until_ticket(&program);
        program.interrupt();
        let ended = program.end();
        match ended.code {
            Some(0 | 130) => Ok(run),
            code => Err(format!("exit {code:?}: {}", ended.err)),
        }
    };
    Ok((once()?, once()?))
}

fn until_ticket(program: &Program) -> Run {
    program.wait_event(0, "ticket");
    Run {
        wall: program.started().elapsed().as_secs_f64(),
        fetcher_cpu: measure::cpu_seconds(program.pid()).unwrap_or_default(),
        fetcher_mib: measure::peak_mib(program.pid()).unwrap_or_default(),
        ..Run::default()
    }
}

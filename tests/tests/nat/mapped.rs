//! Ports that a real router opens when it is asked (miniupnpd): used, renewed, and given back.

use p2p_tests::fixtures;
use p2p_tests::lab::Lab;
use p2p_tests::netlab::cast::{PlacedPeer, PublicTracker};
use p2p_tests::netlab::upnp::{Router, Speaks, open_ports};
use p2p_tests::netlab::{self, Net, Plan};
use p2p_tests::programs::Sharing;
use p2p_tests::tree;

/// So slow that a better path is there before the relay has carried all of it.
const SLOW_RELAY: [&str; 2] = ["--relay-rate", "1048576"];

/// A sharer behind a router that opens ports, and who fetches from it.
struct Scene {
    net: Net,
    lab: Lab,
    tracker: PublicTracker,
    router: Router,
}

impl Scene {
    /// Without the router these two have no way but the relay.
    fn new(speaks: Speaks) -> Self {
        let lab = Lab::new();
        let net = Plan::named(&["port", "sym"]).build();
        let router = Router::start(&lab, &net, 0, speaks);
        let tracker = PublicTracker::start_with(&lab, &net, &SLOW_RELAY);
        Self {
            net,
            lab,
            tracker,
            router,
        }
    }

    fn peer(&self, name: &str, site: usize) -> PlacedPeer {
        PlacedPeer::new(&self.lab, name, &self.tracker, (&self.net, site, 0))
    }

    /// Shares a file, and waits until the router has opened both ports.
    fn share(&self) -> Sharing {
        let source = self.lab.at("content.bin");
        fixtures::write_file(&source, 6, 32 << 20);
        let sharing = Sharing::wait(self.peer("sharer", 0).share(&source).start());
        let opened = |line: &str| line.contains("the router opened a port").then_some(());
        sharing
            .program
            .wait_err(0, "that the router opened a port", opened);
        assert_eq!(
            open_ports(&self.net, 0).len(),
            2,
            "{:?}",
            open_ports(&self.net, 0)
        );
        sharing
    }

    /// Fetches it, and takes its leave of the sharer: nothing stays open.
    fn fetch_and_leave(&self, sharing: Sharing) {
        let output = self.lab.folder("output");
        let ended = self
            .peer("fetcher", 1)
            .get(&sharing.ticket, &output)
            .run()
            .expect_code(0);
        tree::assert_same(&self.lab.at("content.bin"), &output.join("content.bin"));
        let events = ended.events();
        let last = events
            .iter()
            .rfind(|event| event["event"] == "path")
            .expect("a path");
        assert_eq!(last["path"], "direct", "{}", ended.out);
        sharing.program.terminate();
        let _ended = sharing.program.end().expect_code(0);
        assert_eq!(open_ports(&self.net, 0), [""; 0], "given back");
    }
}

#[test]
fn a_port_that_the_router_opens_by_upnp_is_used_and_given_back() {
    if netlab::permitted() && Router::is_installed() {
        let scene = Scene::new(Speaks::Upnp);
        let sharing = scene.share();
        scene.fetch_and_leave(sharing);
    }
}

#[test]
fn a_port_that_the_router_opens_by_pcp_is_renewed_before_it_ends_used_and_given_back() {
    if netlab::permitted() && Router::is_installed() {
        let scene = Scene::new(Speaks::Pcp);
        let sharing = scene.share();
        // Half of what the router grants is a minute.
        let asked = scene.router.wait(scene.router.lines(), "PCP request received");
        scene.router.wait(asked, "PCP MAP: ");
        scene.fetch_and_leave(sharing);
    }
}

//! An internet, a tracker's machine on it, and sites with peers behind gateways.
//!
//! Owns the addresses: public ones where a peer is public, since a tracker does not hand private ones to strangers. What leads nowhere is swallowed, as on the
//! real internet, not refused. Nobody but the two gateways and the tracker stands on the bridge; every frame between sites crosses it.
//!
//! ```text
//!   peers 10.S.0.2… ── gateway ── [carrier 100.64.S.1] ── 198.51.100.(10+S) ──┐
//!                                                                          internet ── tracker 198.51.100.1, 2001:db8:f::1
//!   public: 203.0.113.(16 S + 2)…; IPv6: 2001:db8:S::2… ───────────────────┘        (S counts from 1)
//! ```

use super::kind::Kind;
use super::line::{Fault, Line};
use super::namespace::Namespace;
use super::rules;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::time::Duration;

/// The tracker's address.
pub const TRACKER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// The same in IPv6.
pub const TRACKER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 1);

/// The only port that `tcp443` lets through.
pub const TRACKER_PORT: u16 = 443;

/// Which one of a network a guest of it is: none of its own peers.
const PLUGGED: u8 = 100;

/// What is to be built.
#[derive(Debug, Clone)]
pub struct Plan {
    kinds: Vec<Kind>,
    peers: u8,
    rtt: Duration,
    loss: f64,
}

impl Plan {
    /// A site of each kind, with a peer in each.
    pub fn of(kinds: &[Kind]) -> Self {
        Self {
            kinds: kinds.to_vec(),
            peers: 1,
            rtt: Duration::ZERO,
            loss: 0.0,
        }
    }

    /// As [`Plan::of`], by names; panics when there is no such kind.
    pub fn named(kinds: &[&str]) -> Self {
        let kinds: Vec<Kind> = kinds
            .iter()
            .map(|name| name.parse().unwrap_or_else(|error| panic!("{error}")))
            .collect();
        Self::of(&kinds)
    }

    /// So many peers in each site.
    pub fn peers(mut self, peers: u8) -> Self {
        self.peers = peers;
        self
    }

    /// The time there and back between any two of sites and tracker.
    pub fn rtt(mut self, rtt: Duration) -> Self {
        self.rtt = rtt;
        self
    }

    /// Percent of the frames lost on the way out of a site, and of those on the way in.
    pub fn loss(mut self, percent: f64) -> Self {
        self.loss = percent;
        self
    }

    /// Builds it.
    pub fn build(self) -> Net {
        Net::new(&self)
    }
}

/// All of it.
#[derive(Debug)]
pub struct Net {
    /// Where the tracker runs.
    pub tracker: Namespace,
    /// In the order of the plan.
    pub sites: Vec<Site>,
    internet: Namespace,
    lines: Vec<Line>,
    has_lines: bool,
}

/// Peers behind one gateway.
#[derive(Debug)]
pub struct Site {
    /// What stands before them.
    pub kind: Kind,
    /// Each a machine of its own, in one local network.
    pub peers: Vec<Namespace>,
    /// The gateway of the site.
    pub gateway: Namespace,
    carrier: Option<Namespace>,
    number: u8,
}

impl Net {
    fn new(plan: &Plan) -> Self {
        let has_lines = !plan.rtt.is_zero() || plan.loss > 0.0;
        let (internet, tracker) = (machine("internet"), machine("tracker"));
        internet.ip("link add br0 type bridge mcast_snooping 0\nlink set br0 up");
        let mut net = Self {
            tracker,
            sites: Vec::new(),
            internet,
            lines: Vec::new(),
            has_lines,
        };
        let fault = Fault {
            delay: plan.rtt / 4,
            loss: plan.loss,
        };
        net.plug("trk", &net.tracker.clone(), "eth0", Fault { loss: 0.0, ..fault });
        net.tracker.ip(&format!(
            "addr add {TRACKER}/24 dev eth0\naddr add {TRACKER_V6}/64 dev eth0 nodad\nlink set eth0 up"
        ));
        for (kind, number) in plan.kinds.iter().zip(1..) {
            let site = Site::new(*kind, number, plan.peers, has_lines);
            net.plug(&site.port(), &site.outermost().clone(), "wan", fault);
            site.configure();
            net.sites.push(site);
        }
        net.route();
        net
    }

    /// Connects a device of a machine to the bridge, through a line if there are any.
    fn plug(&mut self, port: &str, machine: &Namespace, device: &str, fault: Fault) {
        let add = format!(
            "link add {port} type veth peer name {device} netns {}",
            machine.reference()
        );
        self.internet.ip(&format!("{add}\nlink set {port} up"));
        if !self.has_lines {
            self.internet.ip(&format!("link set {port} master br0"));
            return;
        }
        let (near, far) = (format!("l-{port}"), self.bridged(port));
        self.internet.ip(&format!(
            "link add {near} type veth peer name {far}\nlink set {far} master br0 up\nlink set {near} up"
        ));
        self.internet.without_offloads(&[port, &near, &far]);
        machine.without_offloads(&[device]);
        self.lines.push(Line::between(&self.internet, port, &near, fault));
    }

    /// The device of this port that is in the bridge.
    fn bridged(&self, port: &str) -> String {
        if self.has_lines {
            format!("b-{port}")
        } else {
            port.to_owned()
        }
    }

    /// Tells everybody on the bridge the way to the public addresses.
    fn route(&self) {
        for site in self.sites.iter().filter(|site| site.kind.is_public()) {
            let same_family =
                |other: &&Site| other.number != site.number && other.kind.is_v6 == site.kind.is_v6;
            let others = self.sites.iter().filter(same_family).map(Site::outermost);
            for machine in others.chain([&self.tracker]) {
                machine.ip(&format!("route add {} via {}", site.lan(), site.outside()));
            }
        }
    }

    /// From now on nothing gets to or from the site, without a word to anybody: the carrier stays up.
    pub fn cut(&self, site: usize) {
        self.internet.ip(&format!(
            "link set {} nomaster",
            self.bridged(&self.sites[site].port())
        ));
    }

    /// Undoes [`Net::cut`].
    pub fn mend(&self, site: usize) {
        self.internet.ip(&format!(
            "link set {} master br0",
            self.bridged(&self.sites[site].port())
        ));
    }

    /// From now on nothing passes between two sites; to the tracker both still get.
    pub fn part(&self, one: usize, other: usize) {
        let (v4, v6): (Vec<String>, Vec<String>) = self.sites[other]
            .seen_as()
            .into_iter()
            .partition(|net| !net.contains(':'));
        self.sites[one]
            .outermost()
            .nft(&rules::barrier("parted", &v4, &v6));
    }

    /// Undoes [`Net::part`].
    pub fn join(&self, one: usize) {
        self.sites[one].outermost().nft("delete table inet parted\n");
    }
}

impl Net {
    /// Gives the only peer of a site another address in its network, as a router that has forgotten its customers does; the one that it had is gone.
    pub fn readdress(&self, site: usize, host: u8) -> IpAddr {
        let site = &self.sites[site];
        let (old, new, bits) = (site.address(1), site.address(host), site.bits());
        let (peer, gate) = (&site.peers[0], site.address(0));
        // The way out goes with the last address of its network.
        peer.ip(&format!(
            "addr del {old}/{bits} dev eth0\naddr add {new}/{bits} dev eth0\nroute replace 0.0.0.0/0 via {gate}"
        ));
        new
    }

    /// Plugs the only peer of a site into the network of another one as well: nothing is sent there yet.
    pub fn plug_into(&self, site: usize, other: usize) -> IpAddr {
        let (peer, other) = (&self.sites[site].peers[0], &self.sites[other]);
        let (address, bits) = (other.address(PLUGGED), other.bits());
        other.gateway.ip(&format!(
            "link add guest type veth peer name eth1 netns {}\nlink set guest master lan up",
            peer.reference()
        ));
        peer.ip(&format!("addr add {address}/{bits} dev eth1\nlink set eth1 up"));
        if self.has_lines {
            peer.without_offloads(&["eth1"]);
            other.gateway.without_offloads(&["guest"]);
        }
        address
    }

    /// From now on all that this peer sends goes out there, as when a machine leaves a wireless network for a cable.
    pub fn leave_by(&self, site: usize, other: usize) {
        let gate = self.sites[other].address(0);
        self.sites[site].peers[0].ip(&format!("route replace 0.0.0.0/0 via {gate} dev eth1"));
    }

    /// A further address of a site's gateway, that everybody knows the way to.
    pub(super) fn route_to(&self, address: Ipv4Addr, site: usize) {
        let via = self.sites[site].outside();
        let others = self.sites.iter().enumerate().filter(|(n, _)| *n != site);
        let others = others
            .filter(|(_, other)| !other.kind.is_v6)
            .map(|(_, other)| other.outermost());
        for machine in others.chain([&self.tracker]) {
            machine.ip(&format!("route add {address}/32 via {via}"));
        }
    }
}

impl Site {
    fn new(kind: Kind, number: u8, peers: u8, has_lines: bool) -> Self {
        let gateway = machine(&format!("gateway {number}"));
        let carrier = kind.carrier.map(|_| machine(&format!("carrier {number}")));
        gateway.ip("link add lan type bridge mcast_snooping 0\nlink set lan up");
        if let Some(carrier) = &carrier {
            let link = format!(
                "link add wan type veth peer name lan netns {}",
                carrier.reference()
            );
            gateway.ip(&link);
        }
        let mut site = Self {
            kind,
            peers: Vec::new(),
            gateway,
            carrier,
            number,
        };
        for n in 1..=peers {
            let peer = machine(&format!("peer {number}.{n}"));
            let link = format!(
                "link add p{n} type veth peer name eth0 netns {}\nlink set p{n} master lan up",
                peer.reference()
            );
            site.gateway.ip(&link);
            let nodad = if kind.is_v6 { " nodad" } else { "" };
            let (address, bits) = (site.address(n), site.bits());
            let everywhere = if kind.is_v6 { "::/0" } else { "0.0.0.0/0" };
            let way = format!("route add {everywhere} via {}", site.address(0));
            peer.ip(&format!(
                "addr add {address}/{bits} dev eth0{nodad}\nlink set eth0 up\n{way}"
            ));
            if has_lines {
                peer.without_offloads(&["eth0"]);
                site.gateway.without_offloads(&[&format!("p{n}")]);
            }
            site.peers.push(peer);
        }
        if has_lines && let Some(carrier) = &site.carrier {
            carrier.without_offloads(&["lan"]);
            site.gateway.without_offloads(&["wan"]);
        }
        site
    }

    /// Addresses, routes and rules of its gateways, once these are plugged in.
    fn configure(&self) {
        let (gate, bits, outside, s) = (self.address(0), self.bits(), self.outside(), self.number);
        let tracker = SocketAddrV4::new(TRACKER, TRACKER_PORT);
        let forward = |machine: &Namespace| {
            machine.set("ipv4/ip_forward", "1");
            machine.set("ipv6/conf/all/forwarding", "1");
        };
        forward(&self.gateway);
        // What leads nowhere gets no answer.
        let nowhere = if self.kind.is_v6 {
            "route add blackhole ::/0"
        } else {
            "route add blackhole 0.0.0.0/0"
        };
        let inside = format!(
            "addr add {gate}/{bits} dev lan{}",
            if self.kind.is_v6 { " nodad" } else { "" }
        );
        let wan = match outside {
            IpAddr::V4(wan) => format!("addr add {wan}/24 dev wan\nlink set wan up"),
            IpAddr::V6(wan) => format!("addr add {wan}/64 dev wan nodad\nlink set wan up"),
        };
        let Some(carrier) = &self.carrier else {
            self.gateway.ip(&format!("{inside}\n{wan}\n{nowhere}"));
            let seen = match outside {
                IpAddr::V4(address) => address,
                IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            };
            self.gateway.nft(&rules::of(self.kind.home, seen, tracker));
            return;
        };
        forward(carrier);
        let between = |host: u8| Ipv4Addr::new(100, 64, s, host);
        self.gateway.ip(&format!(
            "{inside}\naddr add {}/24 dev wan\nlink set wan up\nroute add 0.0.0.0/0 via {}",
            between(2),
            between(1)
        ));
        carrier.ip(&format!(
            "addr add {}/24 dev lan\nlink set lan up\n{wan}\n{nowhere}",
            between(1)
        ));
        self.gateway.nft(&rules::of(self.kind.home, between(2), tracker));
        let nat = self.kind.carrier.expect("there is a carrier");
        carrier.nft(&rules::of(nat, seen_v4(outside), tracker));
    }

    /// The gateway that stands on the bridge.
    fn outermost(&self) -> &Namespace {
        self.carrier.as_ref().unwrap_or(&self.gateway)
    }

    fn port(&self) -> String {
        format!("s{}", self.number)
    }

    /// Its outside address.
    pub fn outside(&self) -> IpAddr {
        let host = 10 + self.number;
        match self.kind.is_v6 {
            false => Ipv4Addr::new(198, 51, 100, host).into(),
            true => Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, host.into()).into(),
        }
    }

    /// The address of its `n`th peer, from 1 on; 0 is the gateway's.
    pub fn address(&self, n: u8) -> IpAddr {
        let s = self.number;
        match self.kind {
            Kind { is_v6: true, .. } => {
                Ipv6Addr::new(0x2001, 0xdb8, s.into(), 0, 0, 0, 0, u16::from(n) + 1).into()
            }
            kind if kind.is_public() => Ipv4Addr::new(203, 0, 113, 16 * s + n + 1).into(),
            _ => Ipv4Addr::new(10, s, 0, n + 1).into(),
        }
    }

    /// The address at which others would dial that peer: its own if that is public, else the gateway's.
    pub fn dialled(&self, n: u8) -> IpAddr {
        if self.kind.is_public() {
            self.address(n)
        } else {
            self.outside()
        }
    }

    fn bits(&self) -> u8 {
        match self.kind {
            Kind { is_v6: true, .. } => 64,
            kind if kind.is_public() => 28,
            _ => 24,
        }
    }

    fn lan(&self) -> String {
        match (self.address(0), self.kind.is_public()) {
            (IpAddr::V6(_), _) => format!("2001:db8:{}::/64", self.number),
            (_, true) => format!("203.0.113.{}/28", 16 * u16::from(self.number)),
            (_, false) => format!("10.{}.0.0/24", self.number),
        }
    }

    /// Where its packets come from, as others see them.
    fn seen_as(&self) -> Vec<String> {
        let mut seen = vec![self.outside().to_string()];
        seen.extend(self.kind.is_public().then(|| self.lan()));
        seen
    }

    /// The tracker's address, in a family that the site has.
    pub fn tracker(&self) -> IpAddr {
        if self.kind.is_v6 {
            TRACKER_V6.into()
        } else {
            TRACKER.into()
        }
    }
}

fn seen_v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => unreachable!("carriers are IPv4 here"),
    }
}

/// A namespace whose bridges are plain, and in which an IPv6 address can be used at once: looking for others who have it takes seconds.
fn machine(name: &str) -> Namespace {
    let machine = Namespace::new(name);
    machine.keep_bridges_plain();
    for which in ["all", "default"] {
        machine.set(&format!("ipv6/conf/{which}/accept_dad"), "0");
    }
    machine
}

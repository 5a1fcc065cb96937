//! UDP: whether it comes back, what kind of NAT stands in the way, and whether the router lets others in.

use super::{Check, Examination, Finding, State};
use crate::{
    client::addresses,
    connection::Policy,
    udp::{
        Observation, ObserveError, StunServer,
        mapping::{Mapped, MappingStatus},
    },
};
use futures_util::future::join_all;
use p2p_shared::holepunch::{
    candidate::canonical,
    nat::{NatKind, Observations},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::time::timeout_at;

/// What was found of UDP.
pub(super) struct UdpFound {
    pub(super) nat: NatKind,
    /// Others may connect without being invited, unless a firewall keeps them out, which cannot be seen from here.
    pub(super) is_open: bool,
    /// The router has opened the TCP port.
    pub(super) is_mapped: bool,
}

impl Examination<'_> {
    pub(super) async fn udp(&self) -> UdpFound {
        if self.with.policy == Policy::RelayOnly {
            let why = "nothing goes over UDP: the policy is relay-only";
            self.tell(Finding::skipped(Check::Udp, why));
            return UdpFound {
                nat: NatKind::Unknown,
                is_open: false,
                is_mapped: false,
            };
        }
        let (nat, mapping) = tokio::join!(self.nat(), self.mapping());
        let is_mapped = matches!(&mapping, MappingStatus::Mapped(Mapped { tcp: Some(_), .. }));
        self.tell(mapping_finding(&mapping, nat));
        UdpFound {
            nat,
            is_open: is_mapped || nat == NatKind::None,
            is_mapped,
        }
    }

    async fn nat(&self) -> NatKind {
        let servers = self.stun_servers().await;
        let asked = join_all(servers.iter().map(|server| async {
            let answer = timeout_at(self.end, self.with.udp.observe(std::slice::from_ref(server))).await;
            let answer = answer.ok().and_then(|answers| answers.into_iter().next());
            answer.unwrap_or(Err(ObserveError::Silent))
        }));
        let answers = asked.await;
        self.tell(answered(&servers, &answers));
        let observations = Observations {
            local: self.local().await,
            seen: seen(&answers),
        };
        let kind = NatKind::of(&observations);
        self.tell(nat_finding(kind, &answers));
        kind
    }

    /// The UDP ports of the trackers where this peer is registered, and what its owner named.
    async fn stun_servers(&self) -> Vec<StunServer> {
        let status = self.settled(&self.trackers).await;
        let of_trackers = status
            .trackers
            .iter()
            .flat_map(|(tracker, status)| StunServer::of_tracker(tracker, &status.udp_ports));
        of_trackers.chain(self.with.stun.iter().cloned()).collect()
    }

    /// Where the socket is on this machine, loopback included: a tracker may be here too.
    async fn local(&self) -> Vec<SocketAddr> {
        let Some(bound) = self.with.udp.address() else {
            return Vec::new();
        };
        let mut local = addresses::reachable(bound, &self.trackers).await;
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            local.push(SocketAddr::new(address, bound.port()));
        }
        local
    }

    async fn mapping(&self) -> MappingStatus {
        let mut mapping = self.with.udp.mapping();
        let settled = mapping.wait_for(|status| !matches!(status, MappingStatus::Asking));
        // Whether settled or out of patience: what is known now is the answer.
        let _known_by_now = timeout_at(self.end, settled).await.is_ok();
        mapping.borrow().clone()
    }
}

type Answer = Result<Observation, ObserveError>;

/// Those of one family, IPv4 if that answered: a NAT is asked about one family at a time.
fn seen(answers: &[Answer]) -> Vec<Option<SocketAddr>> {
    let v4 = |answer: &Observation| canonical(answer.mapped).is_ipv4();
    let has_v4 = answers.iter().flatten().any(v4);
    let seen = answers.iter().filter_map(|answer| match answer {
        Ok(answer) => (v4(answer) == has_v4).then_some(Some(answer.mapped)),
        Err(ObserveError::Silent) => Some(None),
        // Not asked, or not understood: nothing about the way.
        Err(_) => None,
    });
    seen.collect()
}

fn answered(servers: &[StunServer], answers: &[Answer]) -> Finding {
    let good = answers.iter().flatten().count();
    let asked = servers.len();
    let latency = answers.iter().flatten().map(|answer| answer.rtt).min();
    let failures = servers.iter().zip(answers).filter_map(|(server, answer)| {
        let error = answer.as_ref().err()?;
        Some(format!("{server} {error}"))
    });
    let failures: Vec<_> = failures.collect();
    let finding = match (good, asked) {
        (_, 0) => Finding::skipped(
            Check::Udp,
            "nobody to ask: no tracker with UDP ports has this peer registered, and --stun names no server",
        ),
        (0, _) => Finding::failed(
            Check::Udp,
            format!("UDP does not come back: {}", failures.join("; ")),
        )
        .advice(NatKind::Blocked.advice()),
        (good, asked) if good == asked => Finding::ok(
            Check::Udp,
            format!("comes back, from {good} of {asked} STUN ports"),
        ),
        (good, asked) => {
            let message = format!(
                "comes back, from {good} of {asked} STUN ports: {}",
                failures.join("; ")
            );
            Finding::warning(Check::Udp, message)
        }
    };
    finding.latency(latency)
}

fn nat_finding(kind: NatKind, answers: &[Answer]) -> Finding {
    let state = match kind {
        NatKind::None | NatKind::EndpointIndependent => State::Ok,
        NatKind::AddressDependent | NatKind::Blocked => State::Warning,
        NatKind::Unknown => State::Skipped,
    };
    let mut seen: Vec<_> = answers
        .iter()
        .flatten()
        .map(|answer| canonical(answer.mapped))
        .collect();
    seen.sort();
    seen.dedup();
    let mut message = kind.to_string();
    if !seen.is_empty() {
        let texts: Vec<_> = seen.iter().map(SocketAddr::to_string).collect();
        message = format!("{message}; seen as {}", texts.join(" and "));
    }
    let is_near = |answer: &Observation| is_near(canonical(answer.server).ip());
    if !seen.is_empty() && answers.iter().flatten().all(is_near) {
        message.push_str(". Only servers in this network were asked, which cannot see a NAT farther out");
    }
    let mut finding = Finding::new(Check::Nat, state, message).advice(kind.advice());
    finding.nat = Some(kind.name().to_owned());
    finding.addresses = seen;
    finding
}

/// Whether this is somewhere in the same network.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local()
        }
    }
}

fn mapping_finding(mapping: &MappingStatus, nat: NatKind) -> Finding {
    let check = Check::PortMapping;
    match mapping {
        MappingStatus::Off => Finding::skipped(check, mapping.to_string()),
        MappingStatus::Asking => Finding::skipped(check, "the router has not answered yet"),
        MappingStatus::Mapped(mapped) => {
            let mut finding = Finding::ok(check, mapping.to_string());
            finding.addresses = mapped.tcp.into_iter().chain([mapped.udp]).collect();
            finding
        }
        // Where no NAT was seen, nothing has to be opened.
        MappingStatus::Failed(_) if matches!(nat, NatKind::None | NatKind::Unknown) => {
            Finding::skipped(check, mapping.to_string())
        }
        MappingStatus::Failed(_) => Finding::warning(check, mapping.to_string()).advice(
            "Switch on UPnP, NAT-PMP or PCP in the router, or forward the peer's port (UDP and TCP) there.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn saw(server: &str, mapped: &str) -> Answer {
        Ok(Observation {
            server: server.parse().unwrap(),
            mapped: mapped.parse().unwrap(),
            rtt: Duration::from_millis(3),
        })
    }

    #[test]
    fn families_are_not_compared_with_each_other() {
        let answers = [
            saw("198.51.100.1:1", "203.0.113.1:7"),
            saw("[2001:db8::1]:1", "[2001:db8::2]:7"),
            Err(ObserveError::Silent),
            Err(ObserveError::NoSocket),
        ];
        assert_eq!(seen(&answers), [Some("203.0.113.1:7".parse().unwrap()), None]);
        assert_eq!(seen(&answers[1..2]), [Some("[2001:db8::2]:7".parse().unwrap())]);
    }

    #[test]
    fn silence_everywhere_is_udp_that_is_blocked() {
        let servers: Vec<StunServer> = ["stun:192.0.2.1:1", "stun:192.0.2.1:2"]
            .map(|text| text.parse().unwrap())
            .into();
        let finding = answered(&servers, &[Err(ObserveError::Silent), Err(ObserveError::Silent)]);
        assert_eq!(finding.state, State::Failed);
        assert!(
            finding
                .advice
                .is_some_and(|advice| advice.contains("Allow outgoing UDP"))
        );
        assert_eq!(answered(&[], &[]).state, State::Skipped);
        let half = answered(
            &servers,
            &[saw("192.0.2.1:1", "203.0.113.1:7"), Err(ObserveError::Silent)],
        );
        assert_eq!(half.state, State::Warning);
        assert!(
            half.message.contains("stun:192.0.2.1:2 did not answer"),
            "{half:?}"
        );
    }

    #[test]
    fn what_servers_nearby_cannot_see_is_said() {
        let near = nat_finding(NatKind::None, &[saw("192.168.1.9:1", "192.168.1.5:7")]);
        assert!(near.message.contains("cannot see a NAT farther out"), "{near:?}");
        let far = nat_finding(NatKind::None, &[saw("198.51.100.1:1", "203.0.113.1:7")]);
        assert!(!far.message.contains("farther out"), "{far:?}");
    }
}

//! `doctor`: a look at the network, with what this peer itself uses.

use super::Orders;
use crate::{
    doctor::{self, Instruments, Verdict},
    error::Failure,
    event::EventSink,
    operation::DoctorRequest,
    proxy::Proxies,
};

impl Orders {
    /// Looks at the network; each finding goes to `sink` as it is known. Takes six seconds at most.
    pub async fn doctor(&self, request: DoctorRequest, sink: EventSink) -> Result<Verdict, Failure> {
        let online = self.online()?;
        let instruments = Instruments {
            listen: online.listen,
            client: online.client.clone(),
            relays: online.relays.clone(),
            udp: online.udp.clone(),
            stun: online.stun.clone(),
            policy: online.policy,
            proxies: Proxies::new(online.proxy.as_ref()),
        };
        Ok(doctor::examine(&instruments, &request, &sink).await)
    }
}

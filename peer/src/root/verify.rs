//! `verify`: a share is read again and compared with its hashes.

use super::{Orders, meter::Meter};
use crate::{
    error::Failure,
    event::{EventSink, Phase},
    operation::{ShareInfo, Verified},
};

impl Orders {
    /// Reads the share `id` (see [`find`](crate::operation::find)) and compares it with its hashes.
    pub async fn verify(&self, id: &str, sink: EventSink) -> Result<Verified, Failure> {
        let share = self.find(id).await?;
        sink.phase(Phase::Verifying);
        let meter = Meter::new(share.bytes, sink);
        let report = self
            .parts
            .store
            .verify(share.hash, move |bytes| meter.at(bytes))
            .await?;
        let bad = report.wrong.len() as u64;
        let ShareInfo { hash, name, .. } = share;
        Ok(Verified {
            hash,
            name,
            good: u64::from(report.checked).saturating_sub(bad),
            bad,
            files: report.files,
        })
    }
}

//! How much may be on its way to a client. Pure.
//!
//! A client grants credit by answering pings, which every WebSocket client does by itself: a ping says how many bytes were sent before it, and
//! its pong that they were read. At most [`WINDOW`] bytes are sent beyond the last answered ping.

/// Bytes that may be sent and not known to be read: some hundred events.
const WINDOW: u64 = 64 * 1024;

/// After how many bytes a ping is due: before the window is used up, so that a fast reader never waits for it.
const PING_EVERY: u64 = WINDOW / 4;

/// What was sent to a client, and what it is known to have read.
#[derive(Debug, Default)]
pub(super) struct Credit {
    sent: u64,
    read: u64,
    /// What had been sent at the last ping.
    pinged: u64,
}

impl Credit {
    /// Whether more may be sent.
    pub(super) fn is_open(&self) -> bool {
        self.sent < self.read + WINDOW
    }

    /// A message of so many bytes was sent. What a ping has to say that is due now.
    pub(super) fn on_sent(&mut self, bytes: usize) -> Option<[u8; 8]> {
        self.sent += bytes as u64;
        (self.sent >= self.pinged + PING_EVERY).then(|| self.ping())
    }

    /// A ping is sent, and says this.
    pub(super) fn ping(&mut self) -> [u8; 8] {
        self.pinged = self.sent;
        self.sent.to_be_bytes()
    }

    /// A pong came. One that answers no ping of ours grants nothing (RFC 6455 section 5.5.3 allows it).
    pub(super) fn on_pong(&mut self, said: &[u8]) {
        let read = said.try_into().map(u64::from_be_bytes).unwrap_or_default();
        if read <= self.pinged {
            self.read = self.read.max(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_pings_is_sent_more_without_end() {
        let mut credit = Credit::default();
        for _ in 0..10_000 {
            assert!(credit.is_open());
            if let Some(ping) = credit.on_sent(200) {
                credit.on_pong(&ping);
            }
        }
    }

    #[test]
    fn who_reads_nothing_is_sent_a_window_and_no_more() {
        let mut credit = Credit::default();
        let mut sent = 0;
        while credit.is_open() {
            credit.on_sent(200);
            sent += 200;
        }
        assert!((WINDOW..WINDOW + 200).contains(&sent), "{sent}");
    }

    #[test]
    fn a_pong_to_no_ping_grants_nothing() {
        let mut credit = Credit::default();
        while credit.is_open() {
            credit.on_sent(200);
        }
        for said in [&b""[..], b"hello", &[0xff; 8], &(credit.sent + 1).to_be_bytes()] {
            credit.on_pong(said);
            assert!(!credit.is_open(), "{said:?}");
        }
        credit.on_pong(&credit.pinged.to_be_bytes());
        assert!(credit.is_open());
        credit.on_pong(&0_u64.to_be_bytes());
        assert!(credit.is_open(), "an old pong takes nothing back");
    }
}

//! Which of the languages on the peer's UDP port a datagram speaks. Pure.
//!
//! Three share the port: STUN answers, probes of a punch round, QUIC. Their first bytes tell them apart (RFC 9443): STUN begins with two
//! zero bits and has its cookie; QUIC, as we speak it, always has the fixed bit set; what is left may be a probe, which only its
//! authentication shows. Never says that a datagram is honest, only who is to look at it.

/// What every STUN message of RFC 5389 and later has in its fifth to eighth byte.
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Bytes of a STUN header.
const STUN_HEADER: usize = 20;
/// Set in every QUIC packet (RFC 9000, 17.2 and 17.3.1), as long as nobody greases it (RFC 9287): we do not.
const QUIC_FIXED_BIT: u8 = 0x40;

/// Who is to look at a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The STUN client.
    Stun,
    /// QUIC.
    Quic,
    /// The rounds of punching, if anybody.
    Probe,
}

/// Who is to look at this datagram.
pub(super) fn kind_of(datagram: &[u8]) -> Kind {
    let first = datagram.first().copied().unwrap_or_default();
    if first & QUIC_FIXED_BIT != 0 {
        Kind::Quic
    } else if first & 0x80 == 0 && datagram.len() >= STUN_HEADER && datagram[4..8] == STUN_COOKIE {
        Kind::Stun
    } else {
        Kind::Probe
    }
}

/// Takes the datagrams that are not QUIC out of a buffer, and says how many bytes are left.
///
/// The buffer holds datagrams of one sender one behind the other, each of `stride` bytes but the last, which may be shorter (generic
/// receive offload). That is also how the rest is left.
pub(super) fn take_out(buffer: &mut [u8], stride: usize, mut taken: impl FnMut(Kind, &[u8])) -> usize {
    let mut kept = 0;
    let mut start = 0;
    while start < buffer.len() {
        let end = buffer.len().min(start + stride.max(1));
        match kind_of(&buffer[start..end]) {
            Kind::Quic => {
                if kept != start {
                    buffer.copy_within(start..end, kept);
                }
                kept += end - start;
            }
            kind => taken(kind, &buffer[start..end]),
        }
        start = end;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use p2p_shared::holepunch::stun;

    #[test]
    fn the_first_bytes_tell_stun_quic_and_the_rest_apart() {
        assert_eq!(kind_of(&stun::request([7; 12])), Kind::Stun);
        for first in [0x40_u8, 0x7f, 0xc0, 0xff] {
            assert_eq!(kind_of(&[first; 40]), Kind::Quic, "{first:#x}");
        }
        for first in [0_u8, 0x3f, 0x80, 0xbf] {
            assert_eq!(kind_of(&[first; 40]), Kind::Probe, "{first:#x}");
        }
        assert_eq!(kind_of(&[]), Kind::Probe);
        let mut cut = stun::request([7; 12]);
        cut.truncate(STUN_HEADER - 1);
        assert_eq!(kind_of(&cut), Kind::Probe, "too short for STUN");
    }

    #[test]
    fn what_is_not_quic_is_taken_out_and_the_rest_closes_up() {
        let quic = |byte: u8, len: usize| vec![0x40 | byte, byte, byte, byte][..len].to_vec();
        let mut buffer = [vec![0x80; 4], quic(1, 4), vec![0; 4], quic(2, 4), quic(3, 2)].concat();
        let mut taken = Vec::new();
        let kept = take_out(&mut buffer, 4, |kind, datagram| {
            taken.push((kind, datagram.to_vec()));
        });
        assert_eq!(buffer[..kept], [quic(1, 4), quic(2, 4), quic(3, 2)].concat());
        assert_eq!(taken, [(Kind::Probe, vec![0x80; 4]), (Kind::Probe, vec![0; 4])]);
    }

    #[test]
    fn a_stride_of_nothing_ends_all_the_same() {
        assert_eq!(take_out(&mut [0x40; 3], 0, |_, _| panic!("all of it is QUIC")), 3);
        assert_eq!(take_out(&mut [], 0, |_, _| panic!("there is nothing")), 0);
    }
}

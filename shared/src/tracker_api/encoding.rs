//! How single fields are written in JSON, and the bounds that hold while they are read.
//!
//! Each bound is checked element by element, before memory is taken for what exceeds it. For use with
//! `#[serde(with = …)]` and `#[serde(deserialize_with = …)]`.

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::{fmt, net::SocketAddr};

/// Addresses that a peer may list: every interface of an ordinary machine, not a dial list for others.
pub const MAX_ADDRESSES: usize = 16;

/// Bytes in the name of a peer's software (`p2p-peer/0.1.0`).
pub const MAX_AGENT: usize = 64;

/// 32 bytes as 64 hexadecimal digits.
pub mod hex32 {
    use data_encoding::HEXLOWER_PERMISSIVE;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes lower-case digits.
    pub fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER_PERMISSIVE.encode(bytes))
    }

    /// Reads digits of either case.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return Err(D::Error::custom("expected 64 hexadecimal digits"));
        }
        HEXLOWER_PERMISSIVE
            .decode_mut(text.as_bytes(), &mut bytes)
            .map_err(|_| D::Error::custom("expected 64 hexadecimal digits"))?;
        Ok(bytes)
    }
}

/// Reads at most [`MAX_ADDRESSES`] addresses.
pub fn addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    deserializer.deserialize_seq(Addresses)
}

/// Reads at most [`MAX_ADDRESSES`] addresses, or nothing.
pub fn optional_addresses<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<SocketAddr>>, D::Error> {
    struct Maybe;
    impl<'de> Visitor<'de> for Maybe {
        type Value = Option<Vec<SocketAddr>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Addresses.expecting(f)
        }
        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            addresses(deserializer).map(Some)
        }
    }
    deserializer.deserialize_option(Maybe)
}

/// Reads the name of a peer's software: at most [`MAX_AGENT`] bytes of printable ASCII, since it ends up in logs.
pub fn agent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Agent;
    impl Visitor<'_> for Agent {
        type Value = String;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_AGENT} printable ASCII characters")
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            if is_agent(text) {
                Ok(text.to_owned())
            } else {
                Err(E::invalid_value(
                    serde::de::Unexpected::Str(shortened(text)),
                    &self,
                ))
            }
        }
    }
    deserializer.deserialize_str(Agent)
}

/// Whether `text` may stand for a peer's software, here and in the peer protocol's `Hello`.
pub fn is_agent(text: &str) -> bool {
    text.len() <= MAX_AGENT && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// The start of a text that is too long to repeat in an error.
fn shortened(text: &str) -> &str {
    let end = (0..=MAX_AGENT.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

struct Addresses;

impl<'de> Visitor<'de> for Addresses {
    type Value = Vec<SocketAddr>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX_ADDRESSES} addresses of the form IP:PORT")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut addresses = Vec::new();
        while let Some(address) = elements.next_element()? {
            if addresses.len() == MAX_ADDRESSES {
                return Err(A::Error::invalid_length(MAX_ADDRESSES + 1, &self));
            }
            addresses.push(address);
        }
        Ok(addresses)
    }
}

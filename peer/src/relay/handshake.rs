//! The handshake of a WebSocket (RFC 6455 section 4), this peer being the client.

use super::{
    address::RelayUrl,
    dial::{DialError, Dialled, Stream},
};
use data_encoding::BASE64;
use p2p_shared::{
    protocol::relay::SUBPROTOCOL,
    tracker_api::{API_KEY_HEADER, Problem},
};
use sha1::{Digest as _, Sha1};
use std::{fmt, io, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest answer that is read.
const LONGEST: usize = 16 * 1024;

/// What the relay wants to see.
#[derive(Clone)]
pub(super) struct Credentials {
    /// Of the registration.
    pub(super) token: Arc<str>,
    /// If the tracker is one that is told it.
    pub(super) api_key: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// Makes a WebSocket of a stream.
pub(super) async fn upgrade(
    mut stream: Stream,
    url: &RelayUrl,
    credentials: &Credentials,
) -> Result<Dialled, DialError> {
    let already = match &mut stream {
        Stream::Plain(stream) => shake(stream, url, credentials).await?,
        Stream::Wrapped(stream) => shake(stream, url, credentials).await?,
    };
    Ok(Dialled { stream, already })
}

/// What came behind the answer comes back.
async fn shake<S>(stream: &mut S, url: &RelayUrl, credentials: &Credentials) -> Result<Vec<u8>, DialError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |error: io::Error| DialError::Unreachable(error.to_string());
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| DialError::Unreachable(error.to_string()))?;
    let key = BASE64.encode(&nonce);
    let request = request(url, credentials, &key);
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::with_capacity(1024);
    let end = loop {
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if answer.len() > LONGEST {
            return Err(DialError::NoRelay("its answer is too long".to_owned()));
        }
        if stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
    };
    let rest = answer.split_off(end);
    let head = Head::read(&answer).ok_or_else(|| DialError::NoRelay("that is no HTTP".to_owned()))?;
    if head.status == 101 {
        head.check(&key)?;
        return Ok(rest);
    }
    let body = body(stream, &head, rest).await;
    Err(refusal(&head, &body))
}

fn request(url: &RelayUrl, credentials: &Credentials, key: &str) -> String {
    let mut lines = vec![
        format!("GET {} HTTP/1.1", url.path()),
        format!("Host: {}", url.authority()),
        concat!("User-Agent: p2p-peer/", env!("CARGO_PKG_VERSION")).to_owned(),
        "Connection: Upgrade".to_owned(),
        "Upgrade: websocket".to_owned(),
        "Sec-WebSocket-Version: 13".to_owned(),
        format!("Sec-WebSocket-Key: {key}"),
        format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}"),
        format!("Authorization: Bearer {}", credentials.token),
    ];
    if let Some(api_key) = &credentials.api_key {
        lines.push(format!("{API_KEY_HEADER}: {api_key}"));
    }
    lines.join("\r\n") + "\r\n\r\n"
}

/// The head of an answer.
struct Head<'a> {
    status: u16,
    lines: Vec<(&'a str, &'a str)>,
}

impl<'a> Head<'a> {
    fn read(head: &'a [u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let lines = lines.filter_map(|line| line.split_once(':'));
        let lines = lines.map(|(name, value)| (name, value.trim())).collect();
        Some(Self { status, lines })
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        let found = self
            .lines
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }

    /// Whether the other side understood what it was asked for (RFC 6455 section 4.1).
    fn check(&self, key: &str) -> Result<(), DialError> {
        let says = |name, value: &str| {
            self.header(name)
                .is_some_and(|said| said.eq_ignore_ascii_case(value))
        };
        let is_accepted = self.header("Sec-WebSocket-Accept") == Some(&accept(key));
        if says("Upgrade", "websocket") && is_accepted && says("Sec-WebSocket-Protocol", SUBPROTOCOL) {
            return Ok(());
        }
        Err(DialError::NoRelay(format!(
            "it is no WebSocket that speaks {SUBPROTOCOL}"
        )))
    }
}

/// RFC 6455 section 4.2.2.
pub(super) fn accept(key: &str) -> String {
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    BASE64.encode(&digest)
}

/// The body of a refusal, as far as it comes and is needed.
async fn body<S: AsyncRead + Unpin>(stream: &mut S, head: &Head<'_>, mut body: Vec<u8>) -> Vec<u8> {
    let length = head
        .header("Content-Length")
        .and_then(|length| length.parse().ok());
    let length = length.unwrap_or(0).min(LONGEST);
    while body.len() < length {
        // Cut off: then its status has to do.
        match stream.read_buf(&mut body).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    body
}

fn refusal(head: &Head<'_>, body: &[u8]) -> DialError {
    let retry_after = head
        .header("Retry-After")
        .and_then(|seconds| seconds.parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => DialError::Refused {
            status: head.status,
            slug: problem.slug().map(str::to_owned),
            detail: problem.detail,
            retry_after,
        },
        Err(_) => DialError::Refused {
            status: head.status,
            slug: None,
            detail: "no relay answers there".to_owned(),
            retry_after,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: p2p-relay.1\r\n\r\n";

    fn checked(answer: &str) -> Result<(), DialError> {
        Head::read(answer.as_bytes()).unwrap().check(KEY)
    }

    /// The example of RFC 6455 section 1.3.
    #[test]
    fn the_answer_has_to_prove_that_the_question_was_understood() {
        assert_eq!(checked(ANSWER), Ok(()));
        for (right, wrong) in [("s3pP", "S3pP"), ("p2p-relay.1", "chat"), ("WebSocket", "h2c")] {
            let answer = ANSWER.replace(right, wrong);
            assert!(matches!(checked(&answer), Err(DialError::NoRelay(_))), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for answer in ["", "HTTP/1.1", "HTTP/1.1 abc\r\n", "SSH-2.0-x\r\n"] {
            assert!(Head::read(answer.as_bytes()).is_none(), "{answer:?}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let credentials = Credentials {
            token: "hunter2".into(),
            api_key: Some("hunter3".into()),
        };
        assert!(!format!("{credentials:?}").contains("hunter"));
    }

    #[test]
    fn the_request_shows_what_it_has_to_and_no_key_where_there_is_none() {
        let url: RelayUrl = "wss://r.example.org/p2p/relay".parse().unwrap();
        let mut credentials = Credentials {
            token: "t".into(),
            api_key: None,
        };
        let without = request(&url, &credentials, KEY);
        assert!(without.starts_with("GET /p2p/relay HTTP/1.1\r\nHost: r.example.org\r\n"));
        assert!(without.contains("\r\nAuthorization: Bearer t\r\n") && without.ends_with("\r\n\r\n"));
        assert!(!without.contains(API_KEY_HEADER));
        credentials.api_key = Some("k".to_owned());
        assert!(request(&url, &credentials, KEY).contains(&format!("\r\n{API_KEY_HEADER}: k\r\n")));
    }
}

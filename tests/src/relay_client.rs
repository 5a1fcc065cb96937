//! A peer's half of the relay, spoken by hand over a real socket.
//!
//! Promises to send what it is told, also what no peer would, and to hand back what comes, pings answered. It keeps no rules: it
//! sends without credit, reads or does not read as a test wants.

use bytes::{Bytes, BytesMut};
use p2p_shared::id::PublicKey;
use p2p_shared::protocol::relay::{RelayFrame, SUBPROTOCOL, TunnelId};
use p2p_shared::protocol::relay_codec::{
    DATA_PREFIX, IncomingFrame, MAX_FRAME, data_header, decode_frame, encode_frame,
};
use p2p_shared::websocket::{self, Message, Opcode, Reader};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What a client masks with: any four bytes do against a server of ours.
const MASK: [u8; 4] = [0x5a, 0, 0xff, 0x13];

/// What comes from the relay.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A frame.
    Frame(RelayFrame),
    /// Bytes of a tunnel.
    Data(TunnelId, Bytes),
    /// The end, with the code of the close frame if there was one.
    End(Option<u16>),
}

/// An HTTP answer that is no WebSocket.
#[derive(Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// Head and body, as far as they were read.
    pub text: String,
}

/// One connection.
pub struct RelayClient {
    stream: TcpStream,
    reader: Reader,
    piece: Bytes,
    buffer: BytesMut,
    is_silent: bool,
}

/// The request that opens a connection; `headers` are whole lines.
pub fn request(headers: &[String]) -> String {
    let mut lines = vec![
        "GET /relay HTTP/1.1".to_owned(),
        "Host: localhost".to_owned(),
        "Connection: Upgrade".to_owned(),
        "Upgrade: websocket".to_owned(),
        "Sec-WebSocket-Version: 13".to_owned(),
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_owned(),
    ];
    lines.extend(headers.iter().cloned());
    lines.join("\r\n") + "\r\n\r\n"
}

/// The headers of a peer with this token.
pub fn headers(token: &str) -> Vec<String> {
    vec![
        format!("Authorization: Bearer {token}"),
        format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}"),
    ]
}

impl RelayClient {
    /// Connects as the peer of this token. The `Welcome` is still to come.
    pub async fn connect(address: SocketAddr, token: &str) -> Result<Self, Refusal> {
        Self::connect_with(address, &request(&headers(token))).await
    }

    /// Connects with this request.
    pub async fn connect_with(address: SocketAddr, request: &str) -> Result<Self, Refusal> {
        let mut stream = TcpStream::connect(address).await.expect("connect to the tracker");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("send a request");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("the head of an answer"));
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.expect("an HTTP status");
        if status != 101 {
            return Err(refusal(status, text, stream).await);
        }
        // RFC 6455 section 1.3 has this key and this answer.
        assert!(text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{text}");
        Ok(Self {
            stream,
            reader: Reader::of_server(MAX_FRAME),
            piece: Bytes::new(),
            buffer: BytesMut::new(),
            is_silent: false,
        })
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &RelayFrame) {
        let bytes = encode_frame(frame).expect("a frame within bounds");
        self.send_message(Opcode::Binary, &bytes).await;
    }

    /// Sends bytes on a tunnel, granted or not.
    pub async fn send_data(&mut self, tunnel: TunnelId, bytes: &[u8]) {
        self.try_send_data(tunnel, bytes)
            .await
            .expect("send to the relay");
    }

    /// The same; an error means that the relay has ended the connection.
    pub async fn try_send_data(&mut self, tunnel: TunnelId, bytes: &[u8]) -> io::Result<()> {
        let mut payload = Vec::with_capacity(DATA_PREFIX + bytes.len());
        payload.extend(data_header(tunnel));
        payload.extend_from_slice(bytes);
        self.stream.write_all(&masked(Opcode::Binary, &payload)).await
    }

    /// Sends a message of any kind.
    pub async fn send_message(&mut self, opcode: Opcode, payload: &[u8]) {
        self.send_raw(&masked(opcode, payload)).await;
    }

    /// The same; an error means that the relay has ended the connection.
    pub async fn try_send_message(&mut self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        self.stream.write_all(&masked(opcode, payload)).await
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("send to the relay");
    }

    /// Asks for a tunnel.
    pub async fn open(&mut self, tunnel: u32, peer: PublicKey, credit: u32) {
        let tunnel = TunnelId(tunnel);
        self.send(&RelayFrame::Open { tunnel, peer, credit }).await;
    }

    /// From now on pings are not answered.
    pub fn fall_silent(&mut self) {
        self.is_silent = true;
    }

    /// What comes next. Pings are answered.
    pub async fn next(&mut self) -> Event {
        loop {
            let Some(message) = self.next_message().await else {
                return Event::End(None);
            };
            match message.opcode {
                Opcode::Binary => return event(&message),
                Opcode::Ping if self.is_silent => {}
                Opcode::Ping => self.send_message(Opcode::Pong, message.payload()).await,
                Opcode::Close => return Event::End(websocket::close_code(message.payload())),
                other => panic!("a relay does not send {other:?}"),
            }
        }
    }

    /// Reads at most so many bytes, whatever they are a part of; what came to its end by them. None: the connection is closed.
    pub async fn sip(&mut self, bytes: usize) -> Option<Vec<Event>> {
        let mut part = vec![0; bytes];
        let length = self
            .stream
            .read(&mut part)
            .await
            .ok()
            .filter(|length| *length > 0)?;
        part.truncate(length);
        // What is left of the last sip was not enough for a message.
        self.piece = [&self.piece[..], &part[..]].concat().into();
        let mut events = Vec::new();
        while let Some(message) = self
            .reader
            .read(&mut self.piece)
            .expect("WebSocket frames of a server")
        {
            match message.opcode {
                Opcode::Binary => events.push(event(&message)),
                Opcode::Ping => self.send_message(Opcode::Pong, message.payload()).await,
                Opcode::Close => return None,
                other => panic!("a relay does not send {other:?}"),
            }
        }
        Some(events)
    }

    /// The next frame, which is no data and no end.
    pub async fn frame(&mut self) -> RelayFrame {
        match self.next().await {
            Event::Frame(frame) => frame,
            other => panic!("a frame was due, not {other:?}"),
        }
    }

    /// The code with which the relay ends the connection, whatever comes before.
    pub async fn end(&mut self) -> Option<u16> {
        loop {
            if let Event::End(code) = self.next().await {
                return code;
            }
        }
    }

    /// Whether the connection itself is closed, after its end.
    pub async fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]).await, Ok(0) | Err(_))
    }

    /// `None`: the connection is closed.
    async fn next_message(&mut self) -> Option<Message> {
        loop {
            let read = self.reader.read(&mut self.piece);
            if let Some(message) = read.expect("WebSocket frames of a server") {
                return Some(message);
            }
            self.buffer.reserve(MAX_FRAME);
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => self.piece = self.buffer.split().freeze(),
            }
        }
    }
}

fn event(message: &Message) -> Event {
    match decode_frame(message.payload()).expect("a frame of a relay") {
        IncomingFrame::Frame(frame) => Event::Frame(frame),
        IncomingFrame::Data { tunnel, bytes } => Event::Data(tunnel, Bytes::copy_from_slice(bytes)),
    }
}

/// A message as a client sends it.
pub fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(websocket::MAX_HEAD + payload.len());
    websocket::write_head(opcode, payload.len(), Some(MASK), &mut out);
    let start = out.len();
    out.extend_from_slice(payload);
    websocket::apply_mask(MASK, &mut out[start..]);
    out
}

async fn refusal(status: u16, head: String, mut stream: TcpStream) -> Refusal {
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.expect("the body of an answer");
    let text = head + &String::from_utf8_lossy(&body);
    Refusal { status, text }
}

/// A peer that is registered: its key and its token.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Who it is.
    pub key: PublicKey,
    /// The token of its registration.
    pub token: String,
}

impl Registered {
    /// Connects, and reads the `Welcome`.
    pub async fn connect(&self, address: SocketAddr) -> RelayClient {
        let connected = RelayClient::connect(address, &self.token).await;
        let mut client = connected.expect("a WebSocket");
        let welcome = client.frame().await;
        assert!(matches!(welcome, RelayFrame::Welcome { .. }), "{welcome:?}");
        client
    }
}

/// Opens a tunnel from one to the other, each granting so much. The legs' numbers, that of `from` first.
pub async fn tunnel(
    (from, from_id): (&mut RelayClient, u32),
    (to, to_key): (&mut RelayClient, PublicKey),
    credit: u32,
) -> (TunnelId, TunnelId) {
    from.open(from_id, to_key, credit).await;
    let asked = next_of(to, from).await;
    let Event::Frame(RelayFrame::Open { tunnel, .. }) = asked else {
        panic!("a peer is asked before it has a tunnel, not {asked:?}");
    };
    to.send(&RelayFrame::Opened { tunnel, credit }).await;
    let near = TunnelId(from_id);
    let answer = next_of(from, to).await;
    let opened = RelayFrame::Opened { tunnel: near, credit };
    assert_eq!(answer, Event::Frame(opened));
    (near, tunnel)
}

/// What one hears next; the other one hears nothing before.
pub async fn next_of(one: &mut RelayClient, other: &mut RelayClient) -> Event {
    tokio::select! {
        event = one.next() => event,
        event = other.next() => panic!("the other one hears {event:?}"),
    }
}

/// Everything that two peers do at a relay, once. Panics where something does not happen.
pub async fn visit(address: SocketAddr, [anna, bob]: [Registered; 2]) {
    use p2p_shared::protocol::relay::{CloseReason, EndReason, FIRST_CREDIT};
    let (mut a, mut b) = (anna.connect(address).await, bob.connect(address).await);
    let (near, far) = tunnel((&mut a, 0), (&mut b, bob.key), FIRST_CREDIT).await;
    a.send_data(near, b"to Bob").await;
    let heard = next_of(&mut b, &mut a).await;
    assert_eq!(heard, Event::Data(far, Bytes::from_static(b"to Bob")));
    b.send_data(far, b"to Anna").await;
    let heard = next_of(&mut a, &mut b).await;
    assert_eq!(heard, Event::Data(near, Bytes::from_static(b"to Anna")));
    let reason = CloseReason::Done;
    a.send(&RelayFrame::Close { tunnel: near, reason }).await;
    let closed = RelayFrame::Close { tunnel: far, reason };
    assert_eq!(next_of(&mut b, &mut a).await, Event::Frame(closed));
    let signal = |peer| RelayFrame::Signal {
        peer,
        bytes: b"sealed".to_vec(),
    };
    a.send(&signal(bob.key)).await;
    let heard = next_of(&mut b, &mut a).await;
    assert_eq!(heard, Event::Frame(signal(anna.key)));
    let mut again = anna.connect(address).await;
    assert_eq!(a.end().await, Some(EndReason::Replaced.code()));
    for client in [&mut again, &mut b] {
        client.send_message(Opcode::Close, &[]).await;
        assert_eq!(client.end().await, Some(EndReason::Closed.code()));
    }
}

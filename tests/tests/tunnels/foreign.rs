//! Relays that are nobody's home here, played by hand: when they are connected to, and what becomes of what they say.

use crate::node::Node;
use crate::run;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use p2p_peer::relay::{OpenError, RelayAddress, RelayState, RelayStatus, TunnelEnd};
use p2p_shared::crypto::identity::Identity;
use p2p_shared::id::PublicKey;
use p2p_shared::protocol::relay::{EndReason, FRAME_COST, RefuseReason, RelayFrame, TunnelId};
use p2p_shared::protocol::relay_codec::{IncomingFrame, MAX_FRAME, data_header, decode_frame, encode_frame};
use p2p_shared::websocket::{self, Message, Opcode, Reader};
use p2p_tests::lab::Lab;
use p2p_tests::programs::Tracker;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A relay's end of a connection.
struct Played {
    stream: TcpStream,
    reader: Reader,
    /// The request that it came with.
    request: String,
}

impl Played {
    /// Lets the next one in.
    async fn accept(listener: &TcpListener) -> Self {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let request = String::from_utf8(head).unwrap();
        let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap();
        let key = key.lines().next().unwrap();
        let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
        let accept =
            data_encoding::BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Protocol: p2p-relay.1\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        let mut played = Self {
            stream,
            reader: Reader::of_client(MAX_FRAME),
            request,
        };
        let welcome = RelayFrame::Welcome {
            tunnels: 64,
            waiting: 16 << 20,
        };
        // With the answer in one piece: what follows it is not to get lost.
        let mut bytes = answer.into_bytes();
        bytes.extend(websocket::message(
            Opcode::Binary,
            &encode_frame(&welcome).unwrap(),
        ));
        played.stream.write_all(&bytes).await.unwrap();
        played
    }

    async fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let message = websocket::message(opcode, payload);
        self.stream.write_all(&message).await.unwrap();
    }

    async fn tell(&mut self, frame: &RelayFrame) {
        self.send(Opcode::Binary, &encode_frame(frame).unwrap()).await;
    }

    async fn end(&mut self, reason: EndReason) {
        let payload = websocket::close_payload(reason.code(), "");
        self.send(Opcode::Close, &payload).await;
    }

    /// The next message that is no ping. None: the connection is over.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let mut piece = vec![0; 1];
            self.stream.read_exact(&mut piece).await.ok()?;
            let read = self.reader.read(&mut piece.into()).unwrap();
            if let Some(message) = read.filter(|message| message.opcode != Opcode::Ping) {
                return Some(message);
            }
        }
    }

    /// The tunnel that is asked for next, and how much is granted for it.
    async fn asked(&mut self) -> (TunnelId, PublicKey, u32) {
        let message = self.next().await.unwrap();
        match decode_frame(message.payload()).unwrap() {
            IncomingFrame::Frame(RelayFrame::Open { tunnel, peer, credit }) => (tunnel, peer, credit),
            other => panic!("a tunnel was to be asked for, not {other:?}"),
        }
    }
}

/// A peer that is at home at a tracker, and a relay elsewhere.
struct Scene {
    node: Node,
    listener: TcpListener,
    at: RelayAddress,
    stranger: PublicKey,
}

impl Scene {
    async fn new(tracker: &Tracker) -> Self {
        let node = Node::start(1, &tracker.url());
        node.connected().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/relay", listener.local_addr().unwrap());
        Self {
            node,
            listener,
            at: RelayAddress {
                url: url.parse().unwrap(),
                tracker: tracker.url().parse().unwrap(),
            },
            stranger: Identity::from_secret([7; 32]).public_key(),
        }
    }

    /// How the relay elsewhere stands.
    fn foreign(&self) -> Option<RelayStatus> {
        let all = self.node.relays.status();
        all.into_iter().find(|status| status.url == self.at.url)
    }

    async fn backs_off(&self) -> String {
        loop {
            if let Some(RelayState::BackingOff { why }) = self.foreign().map(|status| status.state) {
                return why;
            }
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn a_foreign_relay_is_connected_to_when_somebody_there_is_wanted_and_shown_the_trackers_token() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    run(async {
        let scene = Scene::new(&tracker).await;
        assert!(scene.foreign().is_none());
        let opening = scene.node.relays.open(&scene.at, scene.stranger);
        let playing = async {
            let mut relay = Played::accept(&scene.listener).await;
            let (tunnel, peer, _) = relay.asked().await;
            assert_eq!((tunnel, peer), (TunnelId(0), scene.stranger));
            let reason = RefuseReason::Declined;
            relay.tell(&RelayFrame::Refused { tunnel, reason }).await;
            relay
        };
        let (refused, relay) = tokio::join!(opening, playing);
        let declined = OpenError::Ended(TunnelEnd::Refused(RefuseReason::Declined));
        assert_eq!(refused.err(), Some(declined));
        assert!(
            relay.request.contains("\r\nAuthorization: Bearer "),
            "{}",
            relay.request
        );
        let status = scene.foreign().unwrap();
        assert_eq!(
            (status.is_home, status.state, status.tunnels),
            (false, RelayState::Connected, 0)
        );
    });
}

#[test]
fn a_relay_that_sends_more_than_was_granted_is_left() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    run(async {
        let scene = Scene::new(&tracker).await;
        let opening = scene.node.relays.open(&scene.at, scene.stranger);
        let playing = async {
            let mut relay = Played::accept(&scene.listener).await;
            let (tunnel, _, granted) = relay.asked().await;
            relay.tell(&RelayFrame::Opened { tunnel, credit: 0 }).await;
            (relay, tunnel, granted)
        };
        let (opened, (mut relay, id, granted)) = tokio::join!(opening, playing);
        let _unread = opened.unwrap();
        let mut left = granted as usize;
        while left > FRAME_COST as usize {
            let len = left.saturating_sub(FRAME_COST as usize).clamp(1, 60_000);
            let payload = [&data_header(id)[..], &vec![7; len]].concat();
            relay.send(Opcode::Binary, &payload).await;
            left = left.saturating_sub(len + FRAME_COST as usize);
        }
        assert_eq!(scene.foreign().unwrap().state, RelayState::Connected);
        let one_more = [&data_header(id)[..], &[7]].concat();
        relay.send(Opcode::Binary, &one_more).await;
        assert!(scene.backs_off().await.contains("more than was granted"));
        // It hangs up, after its goodbye.
        while relay.next().await.is_some() {}
    });
}

#[test]
fn who_is_replaced_does_not_fight_for_its_place() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    run(async {
        let scene = Scene::new(&tracker).await;
        let playing = async {
            let mut relay = Played::accept(&scene.listener).await;
            relay.asked().await;
            relay.end(EndReason::Replaced).await;
        };
        let (lost, ()) = tokio::join!(scene.node.relays.open(&scene.at, scene.stranger), playing);
        assert_eq!(lost.err(), Some(OpenError::Ended(TunnelEnd::Lost)));
        assert!(scene.backs_off().await.contains("replaced"));
    });
}

#[test]
fn a_relay_that_opens_or_welcomes_twice_or_takes_a_number_that_is_not_its_own_is_left() {
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    run(async {
        let scene = Scene::new(&tracker).await;
        let peer = scene.stranger;
        let offer = |tunnel| RelayFrame::Open {
            tunnel: TunnelId(tunnel),
            peer,
            credit: 0,
        };
        let opened = |tunnel| RelayFrame::Opened { tunnel, credit: 1000 };
        let playing = async {
            let mut relay = Played::accept(&scene.listener).await;
            let (tunnel, ..) = relay.asked().await;
            relay.tell(&opened(tunnel)).await;
            relay.tell(&opened(tunnel)).await;
            assert!(scene.backs_off().await.contains("opened a tunnel twice"));
            while relay.next().await.is_some() {}
        };
        let (_tunnel, ()) = tokio::join!(scene.node.relays.open(&scene.at, peer), playing);
        let welcome = RelayFrame::Welcome {
            tunnels: 0,
            waiting: u32::MAX,
        };
        for (told, why) in [
            (offer(2), "a number that is not the relay's to give"),
            (welcome, "welcomed this peer twice"),
        ] {
            // It is connected again: somebody used it just now.
            let mut relay = Played::accept(&scene.listener).await;
            relay.tell(&told).await;
            let said = scene.backs_off().await;
            assert!(said.contains(why), "{said}");
            while relay.next().await.is_some() {}
        }
    });
}

/// Everything that comes from this relay is from peers that have not said who they are.
#[test]
fn two_hundred_and_fifty_six_strangers_are_let_in_four_of_each_and_the_next_one_when_one_has_proved_who_it_is()
 {
    const STRANGERS: u32 = 256;
    const OF_EACH: u32 = 4;
    let lab = Lab::new();
    let tracker = Tracker::start(&lab);
    run(async {
        let mut scene = Scene::new(&tracker).await;
        let key = |n: u32| {
            let seed = u8::try_from(n / OF_EACH + 10).unwrap();
            Identity::from_secret([seed; 32]).public_key()
        };
        let playing = async {
            let mut relay = Played::accept(&scene.listener).await;
            let (tunnel, ..) = relay.asked().await;
            let reason = RefuseReason::Declined;
            relay.tell(&RelayFrame::Refused { tunnel, reason }).await;
            relay
        };
        let (_, mut relay) = tokio::join!(scene.node.relays.open(&scene.at, scene.stranger), playing);
        // The places are held beyond the tunnels, which would use up what the relay keeps.
        let mut places = Vec::new();
        for n in 0..STRANGERS {
            relay.tell(&offer(n, key(n))).await;
            places.push(scene.node.incoming().await.place);
            if places.len() == OF_EACH as usize {
                assert_eq!(relay.refuses(STRANGERS, key(0)).await, RefuseReason::Busy);
            }
        }
        let another = scene.stranger;
        assert_eq!(relay.refuses(STRANGERS + 1, another).await, RefuseReason::Busy);
        drop(places.pop());
        relay.tell(&offer(STRANGERS + 2, another)).await;
        assert_eq!(scene.node.incoming().await.peer, another);
    });
}

fn offer(n: u32, peer: PublicKey) -> RelayFrame {
    RelayFrame::Open {
        tunnel: TunnelId(2 * n + 1),
        peer,
        credit: 0,
    }
}

impl Played {
    /// Offers a tunnel that is to be refused, and says why it was.
    async fn refuses(&mut self, n: u32, peer: PublicKey) -> RefuseReason {
        self.tell(&offer(n, peer)).await;
        loop {
            let message = self.next().await.expect("it stays connected");
            match decode_frame(message.payload()).unwrap() {
                IncomingFrame::Frame(RelayFrame::Refused { tunnel, reason }) => {
                    assert_eq!(tunnel, TunnelId(2 * n + 1));
                    return reason;
                }
                IncomingFrame::Frame(RelayFrame::Opened { .. } | RelayFrame::Close { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

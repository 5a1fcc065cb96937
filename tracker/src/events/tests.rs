//! Events as somebody hears them who reads slowly, and those of other replicas.

use super::{KEPT, event::Event};
use crate::{api::Api, server, testing::live::Live};
use actix_web::dev::ServerHandle;
use bytes::Bytes;
use p2p_shared::{
    id::{FileHash, PeerId, PublicKey},
    websocket::{self, Message, Opcode, Reader},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What may be on the way without being known to be read.
const WINDOW: usize = 64 * 1024;

struct Client {
    stream: TcpStream,
    reader: Reader,
    piece: Bytes,
}

impl Client {
    async fn connect(api: Api) -> (Self, ServerHandle) {
        let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let server = server::start(listener, api, 1, None).unwrap();
        let handle = server.handle();
        actix_rt::spawn(server);
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(
            head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        let client = Self {
            stream,
            reader: Reader::of_server(WINDOW),
            piece: Bytes::new(),
        };
        (client, handle)
    }

    async fn frame(&mut self) -> Message {
        loop {
            if let Some(message) = self.reader.read(&mut self.piece).unwrap() {
                return message;
            }
            let mut buffer = vec![0; 4096];
            let length = self.stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "it ended");
            self.piece = Bytes::copy_from_slice(&buffer[..length]);
        }
    }

    /// The next message; pings are answered.
    async fn message(&mut self) -> Value {
        loop {
            let frame = self.frame().await;
            match frame.opcode {
                Opcode::Text => return serde_json::from_slice(frame.payload()).unwrap(),
                Opcode::Ping => self.pong(frame.payload()).await,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn pong(&mut self, said: &[u8]) {
        let mut frame = Vec::new();
        websocket::write_head(Opcode::Pong, said.len(), Some([0; 4]), &mut frame);
        frame.extend_from_slice(said);
        self.stream.write_all(&frame).await.unwrap();
    }
}

fn removed(seed: u8) -> Event {
    Event::FileRemoved {
        hash: FileHash([seed; 32]),
    }
}

/// So many events happen; comes back when they were told.
async fn happen(api: &Api, count: usize) {
    let end = api.events.last() + count as u64;
    let mut left = count;
    while left > 0 {
        let batch = left.min(500);
        api.events.publish(vec![removed(1); batch]);
        left -= batch;
        while api.events.last() < end - left as u64 {
            tokio::task::yield_now().await;
        }
    }
}

#[actix_rt::test]
async fn who_does_not_read_is_sent_no_more_than_the_window_and_begins_anew_afterwards() {
    let live = Live::start(Vec::new()).await;
    let api = live.api();
    let (mut client, server) = Client::connect(api.clone()).await;
    assert_eq!(client.message().await["type"], "snapshot");
    happen(&api, 1000).await;
    let (mut read, mut ping) = (0, Vec::new());
    while read < WINDOW - 512 {
        let frame = client.frame().await;
        match frame.opcode {
            Opcode::Text => read += frame.payload().len(),
            Opcode::Ping => ping = frame.payload().to_vec(),
            other => panic!("{other:?}"),
        }
    }
    // What comes now finds the window used up, and in the end no room in the ring.
    happen(&api, 2 * KEPT).await;
    client.pong(&ping).await;
    let (mut after, mut last) = (0, Value::Null);
    let resync = loop {
        let message = client.message().await;
        if message["type"] == "resync" {
            break message;
        }
        // What was on the way when the window was counted.
        after += 1;
        assert!(after < 10, "{message} after {last}");
        last = message;
    };
    assert!(resync["missed"].as_u64().unwrap() >= KEPT as u64, "{resync}");
    assert_eq!(client.message().await["type"], "snapshot");
    while client.message().await["seq"] != api.events.last() {}
    server.stop(false).await;
}

#[actix_rt::test]
async fn what_happens_at_another_replica_is_told_under_its_name_and_goes_no_further() {
    let live = Live::start(Vec::new()).await;
    let api = live.api();
    let (mut client, server) = Client::connect(api.clone()).await;
    assert_eq!(client.message().await["type"], "snapshot");
    let mut outlet = api.events.outlet();
    api.events.publish_foreign("b".to_owned(), vec![removed(2)]);
    let foreign = client.message().await;
    assert_eq!(
        (&foreign["replica"], &foreign["type"]),
        (&"b".into(), &"file_removed".into())
    );
    let peer_id = PeerId::of(&PublicKey([3; 32]));
    api.events.publish(vec![Event::PeerOnline { peer_id }]);
    let own = client.message().await;
    assert_eq!(
        (&own["replica"], &own["type"]),
        (&Value::Null, &"peer_online".into())
    );
    assert_eq!(*outlet.recv().await.unwrap(), Event::PeerOnline { peer_id });
    server.stop(false).await;
}

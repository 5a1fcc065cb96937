//! The end of a connection.

use super::*;
use tokio::io::{AsyncReadExt as _, duplex, split};

/// Whoever ends the program waits for the tracker of goodbyes, and not for a time.
#[tokio::test]
async fn a_connection_that_is_dropped_is_over_when_its_goodbye_is_written() {
    let (near, mut far) = duplex(1 << 16);
    let (source, sink) = split(near);
    let (tell, _heard) = mpsc::channel(1);
    let goodbyes = TaskTracker::new();
    let connection = Connection::start(source, &[], sink, tell, &goodbyes);
    goodbyes.close();
    assert_eq!(goodbyes.len(), 1);
    drop(connection);
    goodbyes.wait().await;
    let mut said = Vec::new();
    far.read_to_end(&mut said).await.unwrap();
    // The last frame: a masked close, of nothing but its code.
    let close = said.len() - 8;
    assert_eq!(said[close] & 0x0f, 8, "{said:?}");
}

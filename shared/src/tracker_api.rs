//! REST bodies used by tracker and peer.

//! What a share consists of.

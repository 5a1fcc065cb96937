//! Where a stream is cut: 256 KiB chunks, the last one shorter.

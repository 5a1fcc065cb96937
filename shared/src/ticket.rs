//! The text that a person passes on.

//! Supervision that really restarts.

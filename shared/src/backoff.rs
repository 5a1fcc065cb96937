//! Delays between retries; jitter is an argument.

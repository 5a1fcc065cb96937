//! Fixtures and strategies for tests.

//! Tests of the crypto modules, beside the code because they look at its insides.

mod handshake;

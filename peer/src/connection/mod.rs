//! Who is connected, who is to be, and who never again ([`state`]); when a lost peer is dialled again ([`redial`]).

pub mod redial;
pub mod state;

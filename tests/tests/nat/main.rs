//! Real networks: what the laboratory's gateways let through, and what the product makes of it.
//!
//! Where no network namespaces may be made every test says that it is skipped; in CI that is a failure.

mod cuts;
mod doctor;
mod gone;
mod kinds;
mod lines;
mod mapped;
mod moves;
mod scene;
mod transfers;

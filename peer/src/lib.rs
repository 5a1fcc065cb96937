//! A peer: shares files and folders, and fetches them from many peers at once.

pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod connection;
pub mod doctor;
pub mod download;
pub mod error;
pub mod event;
mod metrics;
pub mod operation;
mod orphan;
pub mod p2p;
pub mod proxy;
pub mod relay;
pub mod root;
pub mod selection;
pub mod storage;
pub mod udp;

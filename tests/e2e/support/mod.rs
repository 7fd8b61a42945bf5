//! What the tests stand on: clients and upstreams that see every byte, the program, and the gateway in process.

pub mod asker;
pub mod authenticator;
pub mod bend;
pub mod browser;
pub mod copies;
pub mod frames;
pub mod front;
pub mod gateway;
pub mod h2up;
pub mod http;
pub mod issuer;
pub mod pebble;
pub mod program;
pub mod provider;
pub mod rawc;
pub mod rawup;
pub mod relay;
pub mod request;
pub mod setup;
pub mod signer;
pub mod smtp;
pub mod stop;
pub mod tls;
pub mod tools;
pub mod visitor;
pub mod wait;
pub mod wrong;

mod itself;

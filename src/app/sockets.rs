//! The sockets that a gateway listens on.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use super::{start_error::StartError, workers::Workers};
use crate::{config::Config, runtime::listener};

/// All that is listened on, bound before anything else is made, so that a taken port costs nothing.
pub struct Sockets {
    /// One for each worker.
    pub gateway: Vec<TcpListener>,
    /// With the address that it was given.
    pub admin: (tokio::net::TcpListener, SocketAddr),
    /// With the address that it was given.
    pub ops: (tokio::net::TcpListener, SocketAddr),
}

impl Sockets {
    /// Binds all of them, or none.
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let listen = |key, address| move |error| StartError::Listen { key, address, error };
        let (gateway, admin, ops) = (config.listen.gateway, config.listen.admin, config.listen.ops);
        Ok(Self {
            gateway: Workers::bind(config).map_err(listen("listen.gateway", gateway))?,
            admin: one(admin).map_err(listen("listen.admin", admin))?,
            ops: one(ops).map_err(listen("listen.ops", ops))?,
        })
    }
}

/// One listening socket, and the address that it was given.
fn one(address: SocketAddr) -> io::Result<(tokio::net::TcpListener, SocketAddr)> {
    let sockets = listener::bind(address, 1)?;
    let socket = sockets.into_iter().next().ok_or_else(|| io::Error::other("no socket"))?;
    let given = socket.local_addr()?;
    Ok((tokio::net::TcpListener::from_std(socket)?, given))
}

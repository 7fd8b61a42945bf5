//! The sockets that a gateway listens on.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use super::{
    inherited::Inherited,
    start_error::{StartError, machine},
    succession::Succession,
    workers::Workers,
};
use crate::{config::Config, runtime::listener};

/// All that is listened on, bound before anything else is made, so that a taken port costs nothing.
pub struct Sockets {
    /// One for each worker.
    pub gateway: Vec<TcpListener>,
    /// With the address that it was given.
    pub admin: (tokio::net::TcpListener, SocketAddr),
    /// With the address that it was given.
    pub ops: (tokio::net::TcpListener, SocketAddr),
    /// Where that is configured.
    pub ext_authz: Option<(tokio::net::TcpListener, SocketAddr)>,
    /// Where that is configured.
    pub redirect: Option<(tokio::net::TcpListener, SocketAddr)>,
    /// The same, for whoever takes our place.
    pub succession: Succession,
}

impl Sockets {
    /// Binds all of them, or none; those that were handed over are taken as they are.
    pub fn bind(config: &Config, mut inherited: Inherited) -> Result<Self, StartError> {
        let listen = |key, address| move |error| StartError::Listen { key, address, error };
        let (gateway, admin, ops) = (config.listen.gateway, config.listen.admin, config.listen.ops);
        let handed = inherited.claim("gateway", gateway);
        let gateway = Workers::bind(config, handed).map_err(listen("listen.gateway", gateway))?;
        let one = |listener, key, address, inherited: &mut Inherited| {
            one(address, inherited.claim(listener, address)).map_err(listen(key, address))
        };
        let admin = one("admin", "listen.admin", admin, &mut inherited)?;
        let ops = one("ops", "listen.ops", ops, &mut inherited)?;
        let ext_authz = config.listen.ext_authz;
        let ext_authz =
            ext_authz.map(|at| one("ext_authz", "listen.ext_authz", at, &mut inherited)).transpose()?;
        let redirect = config.listen.redirect;
        let redirect =
            redirect.map(|at| one("redirect", "listen.redirect", at, &mut inherited)).transpose()?;
        let named = gateway.iter().map(|socket| ("gateway", socket));
        let succession = Succession::of(
            named
                .chain([("admin", &admin.0), ("ops", &ops.0)])
                .chain(ext_authz.iter().map(|(socket, _)| ("ext_authz", socket)))
                .chain(redirect.iter().map(|(socket, _)| ("redirect", socket))),
        )
        .map_err(machine("listening sockets"))?;
        let (admin, ops) = (served(admin)?, served(ops)?);
        let ext_authz = ext_authz.map(served).transpose()?;
        let redirect = redirect.map(served).transpose()?;
        Ok(Self { gateway, admin, ops, ext_authz, redirect, succession })
    }
}

/// One listening socket, and the address that it was given.
fn one(address: SocketAddr, handed: Vec<TcpListener>) -> io::Result<(TcpListener, SocketAddr)> {
    let sockets = if handed.is_empty() { listener::bind(address, 1)? } else { handed };
    let socket = sockets.into_iter().next().ok_or_else(|| io::Error::other("no socket"))?;
    let given = socket.local_addr()?;
    Ok((socket, given))
}

fn served(
    (socket, address): (TcpListener, SocketAddr),
) -> Result<(tokio::net::TcpListener, SocketAddr), StartError> {
    Ok((tokio::net::TcpListener::from_std(socket).map_err(machine("listening sockets"))?, address))
}

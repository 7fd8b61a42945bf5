//! Listening sockets that somebody else has opened: systemd (socket activation), or the process that this one
//! succeeds. They stay open while programs come and go, so that no client is ever refused.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use listenfd::ListenFd;

use crate::config::Environment;

/// What the names of sockets may be; others, such as systemd's own, say nothing, and the address decides.
pub const LISTENERS: [&str; 5] = ["gateway", "admin", "ops", "ext_authz", "redirect"];

/// Sockets that wait to be claimed.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(Option<String>, TcpListener)>,
}

impl Inherited {
    /// Those that the environment tells of (`LISTEN_FDS` and `LISTEN_FDNAMES`, sd_listen_fds(3)).
    ///
    /// Call it before there is a second thread: the variables are taken out of the environment, so that they are not
    /// believed twice.
    pub fn take(environment: &Environment) -> io::Result<Self> {
        let mut given = ListenFd::from_env();
        let names: Vec<&str> =
            environment.get("LISTEN_FDNAMES").map(|names| names.split(':').collect()).unwrap_or_default();
        let mut sockets = Vec::with_capacity(given.len());
        for index in 0..given.len() {
            let Some(socket) = given.take_tcp_listener(index)? else { continue };
            socket.set_nonblocking(true)?;
            let name = names.get(index).filter(|name| LISTENERS.contains(name));
            sockets.push((name.map(ToString::to_string), socket));
        }
        Ok(Self { sockets })
    }

    /// Whether there are any.
    pub const fn are_there(&self) -> bool {
        !self.sockets.is_empty()
    }

    /// Those of one listener: by their name, or, nameless, by the address that the configuration gives to it.
    pub fn claim(&mut self, listener: &str, address: SocketAddr) -> Vec<TcpListener> {
        let is_its = |(name, socket): &(Option<String>, TcpListener)| match name {
            Some(name) => name == listener,
            None => socket.local_addr().is_ok_and(|of| of == address),
        };
        let (its, others) = self.sockets.drain(..).partition(is_its);
        self.sockets = others;
        let its: Vec<TcpListener> = Vec::into_iter(its).map(|(_, socket)| socket).collect();
        if let Some(other) =
            its.iter().find_map(|socket| socket.local_addr().ok().filter(|of| *of != address))
            && address.port() != 0
        {
            tracing::warn!(
                listener,
                configured = %address,
                handed_over = %other,
                "the listening socket that was handed over has another address than the configuration; it is served"
            );
        }
        its
    }
}

impl Drop for Inherited {
    /// What nobody claimed is closed: its clients must not wait for an answer.
    fn drop(&mut self) {
        for (_, socket) in &self.sockets {
            let address = socket.local_addr().map_or_else(|error| error.to_string(), |of| of.to_string());
            tracing::warn!(
                address,
                "a listening socket was handed over that no listener of the configuration uses"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> (TcpListener, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[test]
    fn a_name_decides_and_without_one_the_address() {
        let ((named, _), (nameless, address)) = (socket(), socket());
        let elsewhere = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut inherited =
            Inherited { sockets: vec![(Some("gateway".to_owned()), named), (None, nameless)] };
        assert_eq!(inherited.claim("admin", elsewhere).len(), 0);
        assert_eq!(inherited.claim("admin", address).len(), 1);
        assert_eq!(inherited.claim("gateway", elsewhere).len(), 1);
        assert_eq!(inherited.claim("gateway", elsewhere).len(), 0, "once");
    }
}

//! `latchgate check --ready`: what a container's health check asks, which has no other client at hand.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use crate::cli::error::Failure;

/// For each of connecting, asking and being answered.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than the ops port ever says to this.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// What the gateway whose ops port is here says of itself; a failure when it is not ready, or not there.
pub(super) fn ask(ops: SocketAddr) -> Result<String, Failure> {
    let answer = readyz(reachable(ops)).map_err(|error| {
        Failure::failed(
            format_args!("nothing is ready at {ops}: {error}"),
            "the address is that of listen.ops: --ready 127.0.0.1:8082",
        )
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if head.split(' ').nth(1) == Some("200") {
        return Ok(body.to_owned());
    }
    Err(Failure::failed(
        format_args!("the gateway at {ops} says: {}", body.trim_end()),
        "its log says more; draining, it ends soon",
    ))
}

fn readyz(ops: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&ops, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream
        .write_all(format!("GET /readyz HTTP/1.1\r\nHost: {ops}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Whoever listens on every address is asked on this machine's own.
fn reachable(ops: SocketAddr) -> SocketAddr {
    let ip = match ops.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, ops.port())
}

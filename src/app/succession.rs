//! Another program in the place of this one, without a client noticing.
//!
//! SIGUSR2 starts the program anew, from the file that stands at its path by then, with the same arguments and with
//! this process's listening sockets. Both processes hold the same sockets, so nobody is refused at any moment. When
//! the new one serves, it asks this one to end (SIGTERM): requests under way finish, and the connections that nobody
//! has accepted yet are the new one's. When it cannot start, nothing has happened.

use std::{
    io,
    net::TcpListener,
    os::fd::{AsRawFd as _, OwnedFd},
    process::{Command, ExitStatus},
    thread,
};

use rustix::{
    io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    process::{Pid, Signal, getppid, kill_process},
};
use tokio::sync::mpsc;

use crate::config::Environment;

/// The listening sockets, by the names of their listeners, for whoever comes next.
#[derive(Debug)]
pub struct Succession {
    sockets: Vec<(&'static str, TcpListener)>,
}

/// A successor that has been started. Completes when it has ended before us, which it should not.
pub type Ended = mpsc::Receiver<io::Result<ExitStatus>>;

impl Succession {
    /// Keeps a handle of each of these. They have to be let go of when the program no longer accepts: clients would
    /// wait at a socket that nobody serves.
    pub fn of<'a>(sockets: impl IntoIterator<Item = (&'static str, &'a TcpListener)>) -> io::Result<Self> {
        let copies = sockets.into_iter().map(|(name, socket)| Ok((name, socket.try_clone()?)));
        Ok(Self { sockets: copies.collect::<io::Result<_>>()? })
    }

    /// Starts the successor.
    pub fn begin(&self) -> io::Result<Ended> {
        if std::process::id() == INIT {
            return Err(io::Error::other(
                "this process is the first of its container, which ends with it: replace the container",
            ));
        }
        let (first, passed) = self.in_a_row()?;
        let mut arguments = std::env::args_os();
        let program = arguments.next().ok_or_else(|| io::Error::other("the program's path is not known"))?;
        let names: Vec<&str> = self.sockets.iter().map(|(name, _)| *name).collect();
        let mut child = Command::new(program)
            .args(arguments)
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .env("LISTEN_FDS_FIRST_FD", first.to_string())
            .env(PREDECESSOR, std::process::id().to_string())
            // Of the process that they name, which the successor is not.
            .env_remove("LISTEN_PID")
            .env_remove("WATCHDOG_PID")
            .spawn()?;
        drop(passed);
        let (tell, ended) = mpsc::channel(1);
        thread::Builder::new().name("successor".to_owned()).spawn(move || {
            // Nobody listens when this process has ended first, as it should.
            let _ = tell.blocking_send(child.wait());
        })?;
        Ok(ended)
    }

    /// Copies of the sockets that outlive `exec`, numbered one after the other, and the first number: that is how
    /// LISTEN_FDS tells of them.
    fn in_a_row(&self) -> io::Result<(i32, Vec<OwnedFd>)> {
        let mut from = FIRST_NUMBER;
        for _ in 0..ATTEMPTS {
            let mut row: Vec<OwnedFd> = Vec::with_capacity(self.sockets.len());
            for (_, socket) in &self.sockets {
                let least = row.last().map_or(from, |last| last.as_raw_fd() + 1);
                row.push(fcntl_dupfd_cloexec(socket, least)?);
            }
            let (Some(first), Some(last)) = (row.first(), row.last()) else { break };
            let (first, last) = (first.as_raw_fd(), last.as_raw_fd());
            if usize::try_from(last - first).is_ok_and(|span| span + 1 == row.len()) {
                for descriptor in &row {
                    fcntl_setfd(descriptor, FdFlags::empty())?;
                }
                return Ok((first, row));
            }
            from = last + 1;
        }
        Err(io::Error::other("no row of free descriptors"))
    }
}

/// Tells the process that started this one that it is no longer needed; nothing where there is none. Call it when
/// everything is served here. `has_sockets`: sockets were handed over, without which nobody is succeeded, whatever an
/// environment says that has come from elsewhere.
pub fn relieve(environment: &Environment, has_sockets: bool) -> bool {
    if !has_sockets {
        return false;
    }
    let named = environment.get(PREDECESSOR).and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    // The number may be somebody else's by now, unless it is our parent's.
    let Some(predecessor) = named.filter(|pid| getppid() == Some(*pid)) else { return false };
    match kill_process(predecessor, Signal::TERM) {
        Ok(()) => true,
        Err(error) => {
            tracing::error!(%error, "the process that this one succeeds cannot be told to end");
            false
        }
    }
}

/// Says to a successor whom it succeeds.
const PREDECESSOR: &str = "LATCHGATE_PREDECESSOR";

/// The process whose end is everybody's.
const INIT: u32 = 1;

/// Above the numbers that are taken early in a process's life.
const FIRST_NUMBER: i32 = 64;
/// Descriptors come and go while we look for a row.
const ATTEMPTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_has_no_gap_and_is_what_was_given() {
        let sockets: Vec<_> = (0..5).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let succession = Succession::of(sockets.iter().map(|socket| ("gateway", socket))).unwrap();
        let (first, row) = succession.in_a_row().unwrap();
        let numbers: Vec<i32> = row.iter().map(OwnedFd::as_raw_fd).collect();
        assert_eq!(numbers, (first..first + 5).collect::<Vec<_>>());
    }
}

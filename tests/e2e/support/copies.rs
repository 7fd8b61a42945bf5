//! Copies of a backend, each in a process of its own, that are killed, frozen or stopped, and come back where they were.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
};

use super::tools::script;

/// One copy; killed when dropped. It answers with its port.
pub struct Replica {
    child: Child,
    said: BufReader<ChildStdout>,
    pub address: SocketAddr,
}

impl Replica {
    pub fn start() -> Self {
        Self::on(0)
    }

    fn on(port: u16) -> Self {
        let mut child = Command::new("python3")
            .args([script("replica.py"), port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3: run `bash tests/run`");
        let mut said = BufReader::new(child.stdout.take().expect("stdout"));
        let port = u16::try_from(number(&mut said)).expect("a port");
        Self { child, said, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it with whatever it has in its hands.
    pub fn kill9(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("its end");
    }

    /// Asks it to stop and waits until it has; how many requests came on connections that it had closed.
    pub fn stop(&mut self) -> u32 {
        self.signal("TERM");
        let late = number(&mut self.said);
        self.child.wait().expect("its end");
        late
    }

    /// Starts it again at the same address.
    pub fn restart(&mut self) {
        *self = Self::on(self.address.port());
    }

    /// It stays as it is, connections and all, and does nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let done = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status();
        assert!(done.expect("kill").success(), "the copy is gone");
    }
}

fn number(said: &mut BufReader<ChildStdout>) -> u32 {
    let mut line = String::new();
    said.read_line(&mut line).expect("a line of the copy");
    line.trim().parse().unwrap_or_else(|_| panic!("no number: {line:?}"))
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

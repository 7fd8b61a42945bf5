//! What stands behind every gateway: an answer whose size the path's last segment says, or the request as it came.

use std::borrow::Cow;

use crate::{
    Outcome, cpu,
    options::Options,
    serve::{Service, Waiting, serve},
};

/// `--listen ADDRESS --core N`; it spins.
pub fn run(options: &Options) -> Outcome {
    cpu::pin(options.needed("core")?);
    Ok(serve(options.needed("listen")?, &Upstream::new(), Waiting::Spinning)?)
}

struct Upstream {
    small: Vec<u8>,
    middle: Vec<u8>,
    large: Vec<u8>,
}

impl Upstream {
    fn new() -> Self {
        let size = |size| answer(&vec![b'x'; size]);
        Self { small: size(1024), middle: size(64 * 1024), large: size(1024 * 1024) }
    }
}

impl Service for Upstream {
    fn answer(&self, head: &[u8]) -> Cow<'_, [u8]> {
        let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        match path.rsplit(|byte| *byte == b'/').next().unwrap_or_default() {
            b"64k" => Cow::Borrowed(&self.middle),
            b"1m" => Cow::Borrowed(&self.large),
            b"echo" => Cow::Owned(answer(head)),
            _ => Cow::Borrowed(&self.small),
        }
    }
}

fn answer(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nServer: bench\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

//! Connections that have been used once and rest.

use std::{
    io::{self, Read as _, Write as _},
    net::SocketAddr,
};

use crate::{Outcome, head, load, options::Options};

/// `--address A --connections N --keys FILE --path P`; says when all rest, and ends with its standard input.
pub fn run(options: &Options) -> Outcome {
    let address: SocketAddr = options.needed("address")?;
    let count: usize = options.needed("connections")?;
    let requests = load::Template::new(&options.needed::<String>("path")?, options.keys()?);
    let mut choice = load::Choice::new(&requests, 0, 1);
    let mut answer = vec![0; 64 * 1024];
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = load::connect(address, None)?;
        stream.write_all(choice.next(&requests))?;
        let mut length = 0;
        loop {
            let read = stream.read(&mut answer[length..])?;
            length += read;
            let Some(end) = head::length(&answer[..length]) else {
                if read == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                continue;
            };
            let (status, body) = head::response(&answer[..end]);
            if status != 200 {
                return Err(format!("status {status}").into());
            }
            if length >= end + body.unwrap_or(0) {
                break;
            }
        }
        held.push(stream);
    }
    println!("{{\"open\":{}}}", held.len());
    io::stdin().read_to_end(&mut answer)?;
    Ok(())
}

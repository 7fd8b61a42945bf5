//! A relay between a client and a server that loses what it is told to lose.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// What is lost on a connection, which breaks then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The request: the server never hears of it.
    Request,
    /// The answer: the server has done what was asked.
    Answer,
}

/// Starts a relay. The first connections lose these, one each; later ones lose nothing. It ends with the process.
pub fn start(server: SocketAddr, losses: Vec<Loss>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the relay");
    let address = listener.local_addr().expect("the relay's address");
    thread::spawn(move || {
        let mut losses = losses.into_iter();
        for client in listener.incoming().map_while(Result::ok) {
            let loss = losses.next();
            thread::spawn(move || relay(client, server, loss));
        }
    });
    address
}

/// How a connection ends is the business of the two at its ends.
fn relay(mut client: TcpStream, server: SocketAddr, loss: Option<Loss>) {
    let mut some = [0; 4096];
    if loss == Some(Loss::Request) {
        let _ = client.read(&mut some);
        let _ = client.shutdown(Shutdown::Both);
        return;
    }
    let mut server = TcpStream::connect(server).expect("the server");
    let (mut from, mut to) = (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
    thread::spawn(move || std::io::copy(&mut from, &mut to));
    while let Ok(count @ 1..) = server.read(&mut some) {
        if loss == Some(Loss::Answer) || client.write_all(&some[..count]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

//! A gRPC service behind the gateways: HTTP/2 without TLS, one message of 1 KiB for each one that comes.

use std::{error::Error, net::SocketAddr};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    task::{LocalSet, spawn_local, yield_now},
};

use crate::{Outcome, cpu, options::Options};

/// `--listen ADDRESS --core N`; it spins.
pub fn run(options: &Options) -> Outcome {
    cpu::pin(options.needed("core")?);
    let address: SocketAddr = options.needed("listen")?;
    spinning(serve(address))
}

/// Runs a future on a runtime that never sleeps.
pub fn spinning<T>(work: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().event_interval(8).build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        // Where somebody is always ready the runtime asks for events without waiting for them.
        spawn_local(async {
            loop {
                yield_now().await;
            }
        });
        work.await
    })
}

async fn serve(address: SocketAddr) -> Outcome {
    let listener = TcpListener::bind(address).await?;
    let message = message(1024);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that ends badly is its client's concern.
        spawn_local(answer(stream, message.clone()));
    }
}

async fn answer(stream: TcpStream, message: Bytes) -> Result<(), h2::Error> {
    let mut server = h2::server::Builder::new();
    server.initial_window_size(1 << 20).initial_connection_window_size(1 << 24).max_concurrent_streams(1000);
    let mut connection = server.handshake::<_, Bytes>(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        let message = message.clone();
        spawn_local(async move {
            let mut body = request.into_body();
            while let Some(data) = body.data().await {
                body.flow_control().release_capacity(data?.len())?;
            }
            let head =
                Response::builder().header("content-type", "application/grpc").body(()).expect("a head");
            let mut stream = respond.send_response(head, false)?;
            stream.send_data(message, false)?;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            stream.send_trailers(trailers)
        });
    }
    Ok(())
}

/// A message as it is framed: not compressed, its length, itself.
pub fn message(length: u32) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_bytes(b'x', length as usize);
    framed.freeze()
}

/// A fault as text, for threads to hand over.
pub fn text(error: impl Into<Box<dyn Error>>) -> String {
    error.into().to_string()
}

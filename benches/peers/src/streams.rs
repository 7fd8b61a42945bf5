//! Requests over HTTP/2 with TLS, several at a time on each connection: plain ones, or calls of gRPC.

use std::{
    error::Error,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request};
use tokio::{
    net::TcpStream,
    task::{JoinSet, spawn_local},
};
use tokio_rustls::TlsConnector;

use crate::{
    Outcome, cpu,
    options::Options,
    report::{Shared, Window, nanos},
    tls,
    upstream_grpc::{message, spinning, text},
};

/// `--address A --keys FILE --path P --cores 2,3 --connections 10 --streams 10 --warm S --seconds S --processes 1,2`;
/// `--grpc yes`: unary calls with a message of 100 bytes.
pub fn run(options: &Options) -> Outcome {
    let cores: Vec<usize> = options.list("cores")?;
    let plan = Arc::new(Plan {
        address: options.needed("address")?,
        path: options.needed("path")?,
        keys: options.keys()?,
        connections: options.value("connections", 10)? / cores.len().max(1),
        streams: options.value("streams", 10)?,
        threads: cores.len(),
        grpc: options.given("grpc").is_some(),
        tls: TlsConnector::from(tls::config(&["h2"], false)?),
    });
    let window = Window {
        warm: Duration::from_secs_f64(options.value("warm", 0.5)?),
        length: Duration::from_secs_f64(options.value("seconds", 2.0)?),
        processes: options.list("processes")?,
        threads: cores.len() as u64,
    };
    let shared = Arc::new(Shared::default());
    let threads: Vec<_> = cores
        .into_iter()
        .enumerate()
        .map(|(index, core)| {
            let (plan, shared) = (Arc::clone(&plan), Arc::clone(&shared));
            thread::spawn(move || {
                cpu::pin(core);
                spinning(connections(index, plan, shared)).map_err(text)
            })
        })
        .collect();
    let counted = window.watch(&shared);
    let mut latencies = Vec::new();
    for thread in threads {
        latencies.extend(thread.join().map_err(|_| "a thread panicked")??);
    }
    counted.print(latencies);
    Ok(())
}

struct Plan {
    address: SocketAddr,
    path: String,
    keys: Vec<String>,
    /// Of one thread.
    connections: usize,
    /// Of one connection.
    streams: usize,
    threads: usize,
    grpc: bool,
    tls: TlsConnector,
}

async fn connections(index: usize, plan: Arc<Plan>, shared: Arc<Shared>) -> Result<Vec<u32>, Box<dyn Error>> {
    let mut streams = JoinSet::new();
    let next = Rc::new(std::cell::Cell::new(index));
    for _ in 0..plan.connections {
        let stream = TcpStream::connect(plan.address).await?;
        stream.set_nodelay(true)?;
        let stream = plan.tls.connect(tls::name(), stream).await?;
        let mut client = h2::client::Builder::new();
        client.initial_window_size(1 << 20).initial_connection_window_size(1 << 24);
        let (sender, connection) = client.handshake::<_, Bytes>(stream).await?;
        spawn_local(connection);
        for _ in 0..plan.streams {
            streams.spawn_local(ask(
                Arc::clone(&plan),
                Arc::clone(&shared),
                sender.clone(),
                Rc::clone(&next),
            ));
        }
    }
    shared.is_connected();
    let mut latencies = Vec::new();
    while let Some(stream) = streams.join_next().await {
        latencies.extend(stream?);
    }
    Ok(latencies)
}

/// One request after the other, until all is over.
async fn ask(
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    mut sender: SendRequest<Bytes>,
    next: Rc<std::cell::Cell<usize>>,
) -> Vec<u32> {
    let mut latencies = Vec::new();
    while !shared.is_over() {
        let at = next.get();
        if at < plan.keys.len() && at + plan.threads >= plan.keys.len() {
            shared.is_warm();
        }
        next.set(at + plan.threads);
        // Scattered, without a generator: the golden ratio of 2^64.
        let mixed = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let key = if at < plan.keys.len() { at } else { mixed as usize % plan.keys.len() };
        let started = Instant::now();
        match one(&plan, &mut sender, &plan.keys[key]).await {
            Ok(bytes) => {
                shared.requests.add(1);
                shared.bytes.add(bytes);
                if shared.is_measuring() {
                    latencies.push(nanos(started.elapsed()));
                }
            }
            Err(_) if shared.is_over() => break,
            Err(error) => {
                shared.fail(|| error.to_string());
                if sender.clone().ready().await.is_err() {
                    break;
                }
            }
        }
    }
    latencies
}

/// The bytes of the answer's body.
async fn one(plan: &Plan, sender: &mut SendRequest<Bytes>, key: &str) -> Result<u64, Box<dyn Error>> {
    let method = if plan.grpc { Method::POST } else { Method::GET };
    let uri = format!("https://gateway.example{}", plan.path);
    let request = Request::builder().method(method).uri(uri).header("x-api-key", key);
    let request = if plan.grpc {
        request.header("content-type", "application/grpc").header("te", "trailers")
    } else {
        request
            .header("user-agent", "ci-runner/2.4 (linux; x86_64)")
            .header("accept", "application/json")
            .header("accept-encoding", "gzip, deflate")
            .header("x-correlation-id", "7f0c2f5e-9a1b-4c8e-b0d1-2a3b4c5d6e7f")
            .header("cookie", "lang=en; theme=dark")
            .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    };
    // Cloning a handle and making it ready is h2's way to wait for a free stream.
    let mut ready = sender.clone().ready().await?;
    let (response, mut stream) = ready.send_request(request.body(())?, !plan.grpc)?;
    if plan.grpc {
        stream.send_data(message(100), true)?;
    }
    let response = response.await?;
    if response.status() != 200 {
        return Err(format!("status {}", response.status()).into());
    }
    let mut status = response.headers().get("grpc-status").cloned();
    let mut body = response.into_body();
    let mut bytes = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        bytes += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    if plan.grpc {
        if let Some(trailers) = body.trailers().await? {
            status = trailers.get("grpc-status").cloned();
        }
        if status.as_ref().is_none_or(|status| status != "0") {
            return Err(format!("grpc-status {status:?}").into());
        }
    }
    let expected = if plan.grpc { 1029 } else { 1024 };
    if bytes == expected { Ok(bytes as u64) } else { Err(format!("a body of {bytes} bytes").into()) }
}

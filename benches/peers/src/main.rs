//! The programs of the side-by-side bench, one for each role: `latchgate-peers ROLE --option value ...`.
//!
//! Those that measure never sleep: whoever sends to a sleeping process pays for waking it, and on a virtual machine that
//! is dear and uneven. `benches/peers/run` starts them; each prints one line of JSON.

mod cpu;
mod handshakes;
mod head;
mod idle;
mod key_service;
mod load;
mod options;
mod relay;
mod report;
mod serve;
mod streams;
mod tls;
mod upstream;
mod upstream_grpc;

use std::{env, error::Error, process::ExitCode};

use options::Options;

/// What every role may fail with; it is told and ends the program.
type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let role = arguments.next().unwrap_or_default();
    match Options::parse(arguments).and_then(|options| run(&role, &options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latchgate-peers {role}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(role: &str, options: &Options) -> Outcome {
    match role {
        "upstream" => upstream::run(options),
        "upstream-grpc" => upstream_grpc::run(options),
        "key-service" => key_service::run(options),
        "relay" => relay::run(options),
        "load" => load::run(options),
        "streams" => streams::run(options),
        "handshakes" => handshakes::run(options),
        "idle" => idle::run(options),
        _ => {
            Err("expected upstream, upstream-grpc, key-service, relay, load, streams, handshakes or idle"
                .into())
        }
    }
}

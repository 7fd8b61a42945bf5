//! Latchgate: an authentication gateway.
//!
//! It answers one question for every request - who is this, and may they do this here, now? - and then gets out
//! of the way.
//!
//! # Two planes, one vocabulary
//!
//! [`proxy`] is the data plane: it takes requests, asks the question and forwards. [`control`] is the control plane:
//! the only writer of state. They never name each other. Both speak [`domain`]: types and rules without I/O. They
//! meet in [`app`].
//!
//! A module may import only what stands to the right of it (`tests/architecture.rs` holds it):
//!
//! ```text
//! domain    -> nothing
//! config    -> domain
//! telemetry -> domain
//! runtime   -> domain config telemetry
//! store     -> domain telemetry
//! proxy     -> domain config telemetry runtime
//! control   -> domain config telemetry runtime store
//! app       -> everything but cli
//! cli       -> app control store config domain telemetry
//! ```
//!
//! # A request, file by file
//!
//! | step | file | what happens |
//! |---|---|---|
//! | accept | `proxy/server.rs` | one thread, one runtime, one listening socket for each worker |
//! | converse | `proxy/converse.rs` | what is said on one connection: heads in, answers out, until it ends |
//! | read | `proxy/wire/` | HTTP/1 as bytes: heads parsed once, bodies framed once; below HTTP/2, frames watched |
//! | 1 | `runtime/client_ip.rs` | whose request it is: the peer, or the hop that a trusted proxy names |
//! | 2 | `proxy/path.rs` | one normal form, or 400; it is what is matched and what is forwarded |
//! | own | `proxy/reserved.rs` | what is below `/.latchgate/` is answered by the gateway itself |
//! | asked | `proxy/decide/` | the decision for a proxy that asks and forwards itself: steps 2 to 7, and the answer |
//! | own | `proxy/handover.rs` | what is the control plane's is handed over to it, the admin API's routes too |
//! | 3 | `proxy/route.rs` | which route, and which permission it needs; none: 404, and nothing else happens |
//! | 4 | `proxy/credential.rs` | the credential is taken out |
//! | 5 | `proxy/authenticate/key.rs` | shape, memory, MAC, bcrypt, in the order of their cost |
//! | | `proxy/authenticate/session.rs` | who signed in: found by the token's digest, awake as long as it is used |
//! | | `proxy/authenticate/jwt.rs` | tokens of identity providers: one signature check, then memory |
//! | | `proxy/signature/`, `proxy/authenticate/signed.rs` | signed requests: what was signed, whose it is, and once |
//! | | `proxy/admit/webhook.rs` | platforms that call: a signature over the whole body, or a secret |
//! | 6 | `domain/access/decide.rs` | state, network, boundary, permission: the one function that makes a permit |
//! | 7 | `proxy/throttle.rs` | the key's rate limit |
//! | 8 | `proxy/headers/` | what the client may not say goes, who it is comes |
//! | 9 | `proxy/forward/`, `proxy/upstream/` | sent over a kept connection, both bodies streaming |
//! | | `proxy/tunnel.rs` | a connection that goes on in another protocol: bytes, both ways |
//! | | `proxy/lasting.rs` | whatever goes on is cut off when its credential ends |
//! | 10 | `proxy/record.rs` | log line, counters, a use of the key; after the answer |
//! | refused | `proxy/reject.rs` | every refusal becomes its answer here |
//! | | `proxy/linger.rs` | a flood of what is wrong is answered late |
//!
//! All of it reads as one screen in `proxy/pipeline.rs`.
//!
//! # A change, file by file
//!
//! `control/api/keys.rs` asks `control/service/keys/`, which in one transaction authorises, changes the row
//! (`store/keys/`), appends to the audit chain (`store/audit.rs`) and to the change feed (`store/changes.rs`), and
//! commits. `proxy/directory/follow.rs` hears of it and ends what the change names, in every worker at once. Only then
//! is the change answered. On the admin port (`app/admin.rs`) the asking key is proved as on the gateway port
//! (`app/node.rs`), and `control/api/` turns requests into use cases and outcomes into answers. A command such as those
//! in `cli/keys/` asks the same API (`cli/plane.rs`): of a server over HTTP (`cli/remote.rs`), or in its own process, as
//! operator (`control/api/operator.rs`).

pub mod app;
pub mod cli;
pub mod config;
pub mod control;
pub mod domain;
pub mod proxy;
pub mod runtime;
pub mod store;
pub mod telemetry;

//! A proxy made with Pingora, which the gateway is compared with: keys in a map, identity headers set, the key removed.
//!
//! `latchgate-peers-pingora LISTEN UPSTREAM [KEYS]`; without a file of keys it authenticates nobody.

use std::{collections::HashMap, env, error::Error as StdError, fs};

use async_trait::async_trait;
use pingora::{
    Error, ErrorType, Result,
    http::RequestHeader,
    proxy::{ProxyHttp, Session, http_proxy_service},
    server::{Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Proxy {
    upstream: String,
    keys: Option<HashMap<Vec<u8>, Identity>>,
}

#[derive(Clone)]
struct Identity {
    user: String,
    project: String,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Option<Identity>;

    fn new_ctx(&self) -> Self::CTX {
        None
    }

    async fn request_filter(&self, session: &mut Session, caller: &mut Self::CTX) -> Result<bool> {
        let Some(keys) = &self.keys else { return Ok(false) };
        let key = session.req_header().headers.get("x-api-key");
        *caller = key.and_then(|key| keys.get(key.as_bytes())).cloned();
        if caller.is_some() {
            return Ok(false);
        }
        session.respond_error(401).await?;
        Ok(true)
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&*self.upstream, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        caller: &mut Self::CTX,
    ) -> Result<()> {
        let Some(caller) = caller else { return Ok(()) };
        request.remove_header("x-api-key");
        request.insert_header("x-user-id", &caller.user)?;
        request.insert_header("x-project-id", &caller.project)?;
        request.insert_header("x-scopes", "read,write")?;
        let client = session.client_addr().and_then(|address| address.as_inet());
        let client = client.ok_or_else(|| Error::new(ErrorType::InternalError))?.ip().to_string();
        request.insert_header("x-forwarded-for", client)?;
        request.insert_header("x-forwarded-proto", "http")
    }
}

fn main() -> Result<(), Box<dyn StdError>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [listen, upstream, keys @ ..] = &arguments[..] else { return Err("LISTEN UPSTREAM [KEYS]".into()) };
    let keys = match keys.first() {
        None => None,
        Some(file) => Some(
            fs::read_to_string(file)?
                .lines()
                .enumerate()
                .map(|(at, key)| {
                    let identity =
                        Identity { user: format!("user-{at}"), project: format!("proj-{}", at % 100) };
                    (key.as_bytes().to_vec(), identity)
                })
                .collect(),
        ),
    };
    let settings = ServerConf { threads: 1, upstream_keepalive_pool_size: 1024, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    let proxy = Proxy { upstream: upstream.clone(), keys };
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever()
}

//! What trusted proxies say in `Forwarded`, in the words in which upstreams are told: `X-Forwarded-*`.

use std::{fmt::Write, net::IpAddr};

use http::HeaderValue;

use super::{request::X_FORWARDED_HOST, rules::FORWARDING};
use crate::{
    config::{ClientIpHeader, TrustedProxies},
    proxy::fields::Fields,
    runtime::{
        client_ip::{Client, Source, X_FORWARDED_FOR, X_FORWARDED_PROTO},
        forwarded::hops,
    },
};

/// Where a trusted proxy speaks by `Forwarded`: puts what it says in place of everything that only the client can have
/// said about its way here. `Forwarded` itself stays, for whoever else in the gateway asks for the client's address.
pub fn translate(fields: &mut Fields, client: &Client, trusted: &TrustedProxies) {
    if !client.peer_trusted {
        return;
    }
    if trusted.header() == ClientIpHeader::XForwardedFor {
        if client.source == Source::Elsewhere {
            fields.insert(X_FORWARDED_FOR, NOBODY);
        }
        return;
    }
    let (mut way, mut proto, mut host) = (Vec::new(), None, None);
    // Up to the client: what stands beyond is hearsay.
    for hop in hops(fields) {
        way.push(hop.address);
        (proto, host) = (hop.proto.and_then(scheme), hop.host.and_then(name));
        if !hop.address.is_some_and(|address| trusted.contains(address)) {
            break;
        }
    }
    if way.last() == Some(&None) {
        (proto, host) = (None, None);
    }
    fields.retain(|name, _| {
        let name = name.as_str();
        !name.starts_with("x-forwarded-") && !FORWARDING.contains(&name)
    });
    for (name, value) in [(X_FORWARDED_FOR, list(&way)), (X_FORWARDED_PROTO, proto), (X_FORWARDED_HOST, host)]
    {
        if let Some(value) = value {
            fields.append(name, value);
        }
    }
    if client.source == Source::Elsewhere {
        fields.insert(X_FORWARDED_FOR, NOBODY);
    }
}

/// The proxy may stand for anybody; whoever reads the list must not take it for the proxy itself.
const NOBODY: HeaderValue = HeaderValue::from_static("unknown");

/// These hops, the nearest last.
fn list(way: &[Option<IpAddr>]) -> Option<HeaderValue> {
    let mut text = String::new();
    for address in way.iter().rev() {
        if !text.is_empty() {
            text.push_str(", ");
        }
        let _ = match address {
            Some(address) => write!(text, "{address}"),
            None => write!(text, "unknown"),
        };
    }
    (!text.is_empty()).then(|| HeaderValue::try_from(text).ok()).flatten()
}

fn scheme(text: &[u8]) -> Option<HeaderValue> {
    let known = [&b"https"[..], b"http"].into_iter().find(|known| text.eq_ignore_ascii_case(known))?;
    HeaderValue::from_bytes(known).ok()
}

/// A host as every program reads it.
fn name(text: &[u8]) -> Option<HeaderValue> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    (!text.is_empty() && text.iter().all(is_plain)).then(|| HeaderValue::from_bytes(text).ok()).flatten()
}

//! The request's headers, from the client's to those that the upstream may trust.

use http::{
    HeaderName, HeaderValue, Method, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, MAX_FORWARDS, TE, TRAILER, UPGRADE, VIA},
};

use super::{Lines, names::Class, rules::HeaderRules, upgrade::ASKED};
use crate::{
    proxy::{
        assertion::X_LATCHGATE_ASSERTION, fields::Fields, identity::Headers, request::Request,
        wire::has_option,
    },
    runtime::{
        client_ip::{X_FORWARDED_FOR, X_FORWARDED_PROTO},
        said::Said,
    },
};

/// What the gateway knows about a request and its upstream is told.
#[derive(Debug, Clone, Copy)]
pub struct Hop<'a> {
    /// The address at the other end of the connection, as text; make it once for each connection.
    pub peer: &'a HeaderValue,
    /// Whether that is a trusted proxy, whose `X-Forwarded-*` are passed on.
    pub peer_trusted: bool,
    /// Whether the client came by TLS.
    pub tls: bool,
    /// Whose certificate the client has proved to be its own; none: it showed none.
    pub client_certificate: Option<&'a HeaderValue>,
    /// From [`RequestIds`](super::RequestIds).
    pub request_id: &'a [u8],
    /// Who is calling: headers to set. Those of the configuration that are not here stay absent.
    pub identity: Headers<'a>,
    /// The same in a signed token, where upstreams get one.
    pub assertion: Option<&'a HeaderValue>,
    /// What it asks to go on in, by [`wanted_protocols`](super::wanted_protocols).
    pub protocols: Option<&'a HeaderValue>,
}

/// The request has been here before (RFC 9110 section 7.6.3); 508 `loop_detected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request comes from this gateway itself")]
pub struct LoopDetected;

impl HeaderRules {
    /// Edits a request that was let in, whose credential is out of it already.
    ///
    /// What remains is in `HTTP/1.1` and has the `Host` of an absolute target. Of every name that the gateway sets nothing
    /// remains; what it says there goes into `lines`. The target is not touched: see
    /// [`origin_form`](super::super::path::origin_form).
    pub fn prepare<B>(
        &self,
        request: &mut Request<B>,
        hop: &Hop<'_>,
        lines: &mut impl Lines,
    ) -> Result<(), LoopDetected> {
        let version = std::mem::replace(&mut request.version, Version::HTTP_11);
        if request.method == Method::OPTIONS {
            one_hop_less(&mut request.fields);
        }
        let fields = &mut request.fields;
        let wants_trailers = self.clear(fields, hop.peer_trusted)?;
        let target_host =
            request.target.authority().map(|authority| HeaderValue::try_from(authority.as_str()));
        if let Some(Ok(host)) = target_host {
            fields.insert(HOST, host);
        }
        self.introduce(fields, hop, version, lines);
        if let Some(protocols) = hop.protocols {
            lines.say(&CONNECTION, &ASKED);
            lines.say(&UPGRADE, protocols);
        } else if wants_trailers {
            lines.say_text(&TE, b"trailers");
            // RFC 9110 section 10.1.4: whoever sends TE says that it is for this hop.
            lines.say_text(&CONNECTION, b"te");
        }
        hop.identity.tell(lines);
        if let Some(assertion) = hop.assertion {
            lines.say(&X_LATCHGATE_ASSERTION, assertion);
        }
        Ok(())
    }

    /// Whether nobody but the gateway says something under this name, or under the name that this is a spelling of.
    pub fn is_ours_to_say(&self, name: &HeaderName) -> bool {
        matches!(self.request.find(name), Some((Class::Ours, _) | (Class::Alias | Class::Forwarding, false)))
    }

    /// Takes out what the client may not say, in one go over the fields; whether it takes trailers.
    fn clear(&self, fields: &mut Fields, peer_trusted: bool) -> Result<bool, LoopDetected> {
        let unwanted = Named::new(named_by_connection(fields));
        let (mut comes_back, mut announced, mut wants_trailers) = (false, false, false);
        fields.retain(|name, value| {
            match *name {
                VIA => comes_back |= self.pseudonym.is_in(value),
                TE => wants_trailers |= has_option(value, "trailers"),
                _ => {}
            }
            let goes = match self.request.find(name) {
                None => false,
                Some((Class::Ours | Class::Hop, _) | (Class::Forwarding, false)) => true,
                // A proxy that passes `Connection` on would let its client take away what it says of that client.
                Some((Class::Forwarding, true)) => return peer_trusted,
                Some((Class::Alias, plain)) => !plain || *name == X_REQUEST_ID,
                Some((Class::Announcement, plain)) => {
                    announced |= plain;
                    !plain
                }
            };
            !goes && !unwanted.contains(name)
        });
        if comes_back {
            return Err(LoopDetected);
        }
        if announced {
            match self.announced_trailers(fields) {
                Some(names) => fields.insert(TRAILER, names),
                None => fields.remove(&TRAILER),
            }
        }
        Ok(wants_trailers)
    }

    /// Says who asked, and how.
    fn introduce(&self, fields: &mut Fields, hop: &Hop<'_>, version: Version, lines: &mut impl Lines) {
        // What nobody is believed went already.
        let forwarded_for = if hop.peer_trusted { appended(fields, hop.peer) } else { None };
        lines.say(&X_FORWARDED_FOR, forwarded_for.as_ref().unwrap_or(hop.peer));
        if !(hop.peer_trusted && names_a_scheme(fields)) {
            lines.say_text(&X_FORWARDED_PROTO, if hop.tls { b"https" } else { b"http" });
            let_go(fields, &X_FORWARDED_PROTO, hop);
        }
        if !(hop.peer_trusted && fields.single(&X_FORWARDED_HOST).is_some()) {
            if let Some(host) = fields.get(&HOST) {
                lines.say(&X_FORWARDED_HOST, host);
            }
            let_go(fields, &X_FORWARDED_HOST, hop);
        }
        let_go(fields, &X_FORWARDED_FOR, hop);
        let via = match version {
            Version::HTTP_10 => &self.pseudonym.one_zero,
            Version::HTTP_2 => &self.pseudonym.two,
            _ => &self.pseudonym.one_one,
        };
        lines.say_phrase(via);
        lines.say_text(&X_REQUEST_ID, hop.request_id);
        // That of the client went with everything that is ours.
        if let Some(subject) = hop.client_certificate {
            lines.say(&X_CLIENT_CERT_SUBJECT, subject);
        }
    }
}

/// Only trusted proxies have left anything there.
fn let_go(fields: &mut Fields, name: &HeaderName, hop: &Hop<'_>) {
    if hop.peer_trusted {
        fields.remove(name);
    }
}

/// Whether a request asks the gateway itself what it can do: `OPTIONS *`, or an `OPTIONS` that was to go no further
/// (RFC 9110 section 7.6.2).
pub fn is_for_the_gateway<B>(request: &Request<B>) -> bool {
    let no_further = || request.fields.get(&MAX_FORWARDS).is_some_and(|hops| hops.as_bytes() == b"0");
    request.method == Method::OPTIONS && (request.target.path() == "*" || no_further())
}

fn one_hop_less(fields: &mut Fields) {
    let hops = fields.get(&MAX_FORWARDS).and_then(|hops| hops.to_str().ok()?.parse::<u32>().ok());
    if let Some(left) = hops.and_then(|hops| hops.checked_sub(1)) {
        fields.insert(MAX_FORWARDS, left.into());
    }
}

/// The names in every line of `Connection`. Not even the sender may take away by whom a message is wanted and how
/// long it is; everything that the gateway sets itself is set afterwards.
pub(super) fn named_by_connection(headers: &impl Said) -> Vec<HeaderName> {
    let lines = headers.all(&CONNECTION).filter(|line| *line != "keep-alive" && *line != "close");
    let tokens = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii));
    // What is no name names no header.
    let names = tokens.filter_map(|token| HeaderName::from_bytes(token).ok());
    names.filter(|name| *name != HOST && *name != CONTENT_LENGTH).collect()
}

/// Names that are asked for one by one. A head has room for thousands of them beside hundreds of fields: nobody looks at
/// every pair.
pub(super) struct Named(Vec<HeaderName>);

impl Named {
    pub(super) fn new(mut names: Vec<HeaderName>) -> Self {
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        Self(names)
    }

    #[inline]
    pub(super) fn contains(&self, name: &HeaderName) -> bool {
        !self.0.is_empty() && self.0.binary_search_by(|named| named.as_str().cmp(name.as_str())).is_ok()
    }
}

/// All lines of `X-Forwarded-For` and this address, as one list; none when there were none.
fn appended(fields: &Fields, peer: &HeaderValue) -> Option<HeaderValue> {
    let mut list = Vec::new();
    for line in fields.get_all(&X_FORWARDED_FOR) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    if list.is_empty() {
        return None;
    }
    list.extend_from_slice(peer.as_bytes());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(list)).ok()
}

fn names_a_scheme(fields: &Fields) -> bool {
    fields.single(&X_FORWARDED_PROTO).is_some_and(|scheme| scheme == "https" || scheme == "http")
}

const X_CLIENT_CERT_SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The name of the request's id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::headers::{Phrase, Pseudonym};

    static PEER: HeaderValue = HeaderValue::from_static("192.0.2.7");
    const TENANT: HeaderName = HeaderName::from_static("x-corp-org");
    const SCOPES: HeaderName = HeaderName::from_static("x-scopes");

    fn rules() -> HeaderRules {
        HeaderRules::new([&TENANT, &SCOPES], Pseudonym::new(7), "latchgate")
    }

    fn request(lines: &str) -> Request<()> {
        let mut request = Request { target: "/x".parse().unwrap(), ..Request::default() };
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            let name: HeaderName = name.parse().unwrap();
            request.fields.append(name, value.trim().parse().unwrap());
        }
        request
    }

    fn hop(identity: &Phrase) -> Hop<'_> {
        let identity = Headers::from(identity);
        Hop {
            peer: &PEER,
            peer_trusted: false,
            tls: false,
            client_certificate: None,
            request_id: b"id-1",
            identity,
            assertion: None,
            protocols: None,
        }
    }

    fn nobody() -> Phrase {
        Phrase::from_iter([])
    }

    /// Edits a request, and puts what the gateway says beside what is left.
    fn prepare(rules: &HeaderRules, request: &mut Request<()>, hop: &Hop<'_>) -> Result<(), LoopDetected> {
        let mut said = Fields::new();
        rules.prepare(request, hop, &mut said)?;
        for (name, _) in said.iter() {
            assert!(*name == VIA || !request.fields.contains(name), "{name} is the gateway's alone");
        }
        request.fields.extend(said.clone());
        let mut text = Vec::new();
        said.iter().for_each(|(name, value)| text.say(name, value));
        assert!(!said.is_empty() && text.ends_with(b"\r\n"));
        Ok(())
    }

    /// The headers that come out, sorted, without those that the gateway always adds.
    fn passed(lines: &str, trusted: bool) -> Vec<String> {
        let mut request = request(lines);
        let identity = Phrase::from_iter([(TENANT, HeaderValue::from_static("acme"))]);
        let hop = Hop { peer_trusted: trusted, ..hop(&identity) };
        prepare(&rules(), &mut request, &hop).unwrap();
        let fields = &request.fields;
        assert_eq!(fields.get_all(&TENANT).collect::<Vec<_>>(), ["acme"], "{lines}");
        assert_eq!(fields.get_all(&X_REQUEST_ID).collect::<Vec<_>>(), ["id-1"], "{lines}");
        let mut left: Vec<_> = fields
            .iter()
            .filter(|(name, _)| ![&TENANT, &X_REQUEST_ID, &VIA].contains(name))
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        left
    }

    const PLAIN: [&str; 4] =
        ["host: gw", "x-forwarded-for: 192.0.2.7", "x-forwarded-host: gw", "x-forwarded-proto: http"];

    #[test]
    fn nothing_of_ours_comes_from_outside() {
        let names =
            ["X-Corp-Org", "x-scopes", "X-HTTP-Method-Override", "X-Latchgate-Assertion", "x-REAL-ip"];
        let spelled =
            "!#$%&'*+-.^_`|~".chars().flat_map(|sign| names.map(|name| name.replace('-', &sign.to_string())));
        let twice = spelled.flat_map(|name| [format!("{name}: evil\n"), format!("{name}: evil, again\n")]);
        let lines: String = std::iter::once("Host: gw\n".to_owned()).chain(twice).collect();
        assert_eq!(passed(&lines, false), PLAIN);
    }

    #[test]
    fn connection_takes_what_it_names_and_nothing_that_counts() {
        for connection in [
            "x-corp-org, x-foo",
            ",X-Corp-Org ,, X-FOO,",
            "close\t,\tX-Foo",
            "Host, Content-Length, Transfer-Encoding, X-Forwarded-For, Forwarded, Via, X-Request-Id, X-Foo",
            "/, x-foo, a b",
        ] {
            let lines =
                format!("Host: gw\nConnection: keep-alive\nConnection: {connection}\nX-Foo: 1\nX-Bar: 2");
            assert_eq!(passed(&lines, false), [&PLAIN[..], &["x-bar: 2"]].concat().sorted(), "{connection}");
        }
        let named = "Host: gw\nContent-Length: 5\nConnection: content-length, cookie\nCookie: a=b";
        assert_eq!(passed(named, false), [&["content-length: 5"], &PLAIN[..]].concat());
        let many = format!("Host: gw\nConnection: {}x-foo\nX-Foo: 1", "x-a, ".repeat(200));
        assert_eq!(passed(&many, false), PLAIN);
        // As many names as a head has room for beside as many fields as it may have.
        let fields: Vec<_> = (0..1_000).map(|at| format!("x-{at}: {at}")).collect();
        let named: Vec<_> = (1..20_000).rev().filter(|at| at % 7 != 0).map(|at| format!("X-{at}")).collect();
        let (fields, named) = (fields.join("\n"), named.join(","));
        let left = passed(&format!("Host: gw\nConnection: {named}\n{fields}"), false);
        assert_eq!(left.iter().filter(|line| line.starts_with("x-f")).count(), 3, "what the gateway says");
        assert_eq!(left.len(), PLAIN.len() + 1_000_usize.div_ceil(7), "what nobody named");
    }

    #[test]
    fn a_connection_line_that_is_no_text_is_survived() {
        let mut request = request("Host: gw\nX-Foo: 1");
        let line = HeaderValue::from_bytes(b"\xff\xfe, x-foo").unwrap();
        request.fields.append(CONNECTION, line);
        prepare(&rules(), &mut request, &hop(&nobody())).unwrap();
        assert!(!request.fields.contains(&HeaderName::from_static("x-foo")));
        assert!(!request.fields.contains(&CONNECTION));
    }

    #[test]
    fn what_is_for_one_hop_ends_here() {
        let lines = "Host: gw\nKeep-Alive: 5\nProxy-Connection: x\nProxy-Authorization: Basic eA==\nUpgrade: h2c\n\
                     HTTP2-Settings: x\nTransfer-Encoding: chunked\nExpect: 100-continue\nTE: gzip\n\
                     Transfer_Encoding: chunked\nContent_Length: 5\nContent.Length: 5\nX_API_KEY: k";
        assert_eq!(passed(lines, false), PLAIN);
        let trailers = passed("Host: gw\nTE: gzip;q=0.5, Trailers", false);
        assert_eq!(trailers, [&["connection: te"], &PLAIN[..1], &["te: trailers"], &PLAIN[1..]].concat());
    }

    #[test]
    fn strangers_do_not_say_who_they_are() {
        let family = "Host: gw\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https\nX-Forwarded-Host: evil\n\
                      X-Forwarded-Port: 1\nX-Forwarded-Prefix: /a\nX-Forwarded-Uri: /a\nForwarded: for=1\n\
                      X-Real-IP: 1\nTrue-Client-IP: 1\nCF-Connecting-IP: 1\nX-Client-IP: 1\nX-Cluster-Client-IP: 1\n\
                      X-Original-URL: /admin\nX_Forwarded_For: 1";
        assert_eq!(passed(family, false), PLAIN);
    }

    #[test]
    fn a_trusted_proxy_is_passed_on_with_its_own_address_added() {
        let lines = "Host: gw\nX-Forwarded-For: 203.0.113.5\nX-Forwarded-For: 198.51.100.7\nX_Forwarded_For: 6\n\
                     X-Forwarded-Proto: https\nX-Forwarded-Host: site";
        let expected = [
            "host: gw",
            "x-forwarded-for: 203.0.113.5, 198.51.100.7, 192.0.2.7",
            "x-forwarded-host: site",
            "x-forwarded-proto: https",
        ];
        assert_eq!(passed(lines, true), expected);
        assert_eq!(
            passed("Host: gw\nX-Forwarded-Proto: gopher\nX-Forwarded-Host: a\nX-Forwarded-Host: b", true),
            PLAIN
        );
    }

    #[test]
    fn ordinary_headers_pass_untouched_and_in_order() {
        let lines = "Host: gw\nAccept: */*\nCookie: a=b\nAuthorization: Basic eA==\nX-Custom_Name: 1\n\
                     Traceparent: 00-1\nX-Tenant: t\nX-Multi: 1\nX-Multi: 2";
        let passed = passed(lines, false);
        for line in
            ["accept: */*", "cookie: a=b", "authorization: Basic eA==", "x-custom_name: 1", "x-tenant: t"]
        {
            assert!(passed.iter().any(|passed| passed == line), "{line}");
        }
        let multi: Vec<_> = passed.iter().filter(|line| line.starts_with("x-multi")).collect();
        assert_eq!(multi, ["x-multi: 1", "x-multi: 2"]);
    }

    #[test]
    fn a_request_that_comes_back_is_stopped() {
        let mut first = request("Host: gw\nVia: 1.0 fred");
        prepare(&rules(), &mut first, &hop(&nobody())).unwrap();
        assert_eq!(first.fields.get_all(&VIA).count(), 2);
        let again = prepare(&rules(), &mut first, &hop(&nobody()));
        assert_eq!(again, Err(LoopDetected));
        let neighbour = HeaderRules::new([], Pseudonym::new(8), "latchgate");
        assert_eq!(prepare(&neighbour, &mut first, &hop(&nobody())), Ok(()));
    }

    #[test]
    fn options_goes_as_far_as_it_was_to_go() {
        for (hops, ends_here, left) in
            [("0", true, "0"), ("1", false, "0"), ("7", false, "6"), ("x", false, "x")]
        {
            let mut request = request(&format!("Host: gw\nMax-Forwards: {hops}"));
            assert!(!is_for_the_gateway(&request));
            request.method = Method::OPTIONS;
            assert_eq!(is_for_the_gateway(&request), ends_here, "{hops}");
            prepare(&rules(), &mut request, &hop(&nobody())).unwrap();
            assert_eq!(request.fields.get(&MAX_FORWARDS).unwrap(), left);
        }
        let whole: Request<()> = http::Request::options("*").body(()).unwrap().into();
        assert!(is_for_the_gateway(&whole));
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let mut request = request("Host: evil");
        request.target = "http://gw:80/x".parse().unwrap();
        request.version = Version::HTTP_10;
        prepare(&rules(), &mut request, &hop(&nobody())).unwrap();
        assert_eq!(request.fields.get(&HOST).unwrap(), "gw:80");
        assert_eq!(request.fields.get(&X_FORWARDED_HOST).unwrap(), "gw:80");
        assert_eq!(request.fields.get(&VIA).unwrap(), "1.0 latchgate-0000000000000007");
        assert_eq!(request.version, Version::HTTP_11);
    }

    trait Sorted {
        fn sorted(self) -> Self;
    }

    impl Sorted for Vec<&str> {
        fn sorted(mut self) -> Self {
            self.sort_unstable();
            self
        }
    }
}

//! Whether a page of another site may have made a browser send a request (ASVS 5.0 3.5.1 to 3.5.3).
//!
//! Browsers add cookies to requests that other sites make them send. `SameSite=Lax` keeps most of those out, but not
//! those of other hosts of the same site, and not in every browser; so a change that is asked for with nothing but a
//! cookie has to say where it comes from. Browsers do, in `Sec-Fetch-Site` and in `Origin`, and no page can change
//! what they say. A request with neither comes from no browser of this decade: it passes unless a form could have
//! made it.

use http::{
    HeaderName, HeaderValue, Method, Uri,
    header::{CONTENT_TYPE, HOST, ORIGIN, UPGRADE},
};

use super::said::Said;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What an HTML form can send, and a script without asking first (Fetch standard section 4.10).
const OF_FORMS: [&str; 3] = ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];

/// Whether the request is one that only a page of this site, or no page, can have made. `public` is the name by which
/// the gateway is known outside, where that is not the request's own `Host`.
pub fn is_own(method: &Method, headers: &impl Said, public: Option<&Uri>) -> bool {
    // A connection that becomes something else is more than a read.
    if method.is_safe() && !headers.says(&UPGRADE) {
        return true;
    }
    let Ok(origin) = only(headers, &ORIGIN) else { return false };
    let Ok(site) = only(headers, &SEC_FETCH_SITE) else { return false };
    let from_public = || origin.zip(public).is_some_and(|(origin, public)| is_of(origin, public));
    match (site, origin) {
        (Some("same-origin" | "none"), _) => true,
        (Some(_), _) => from_public(),
        (None, Some(origin)) => from_public() || is_hosts(origin, headers),
        (None, None) => !is_of_a_form(method, headers),
    }
}

/// Whether the request says where it comes from, as browsers do.
pub fn is_told(headers: &impl Said) -> bool {
    headers.says(&ORIGIN) || headers.says(&SEC_FETCH_SITE)
}

/// The one value of a header.
fn only<'a>(headers: &'a impl Said, name: &HeaderName) -> Result<Option<&'a str>, NotOne> {
    let mut values = headers.all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| NotOne),
        (Some(_), Some(_)) => Err(NotOne),
    }
}

struct NotOne;

fn is_of(origin: &str, public: &Uri) -> bool {
    let same_scheme = |scheme: &str| public.scheme_str().is_some_and(|own| own.eq_ignore_ascii_case(scheme));
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let own = public.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    same_scheme(scheme) && bare(scheme, authority).eq_ignore_ascii_case(bare(scheme, own))
}

/// Whether an origin is what the request calls the gateway. The scheme is not compared: TLS may have ended in front.
fn is_hosts(origin: &str, headers: &impl Said) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let host = headers.first(&HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    !host.is_empty() && bare(scheme, authority).eq_ignore_ascii_case(bare(scheme, host))
}

/// An authority without the port that goes without saying.
fn bare<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

fn is_of_a_form(method: &Method, headers: &impl Said) -> bool {
    let kind = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        let kind = text.split(';').next().unwrap_or_default().trim();
        OF_FORMS.iter().any(|form| form.eq_ignore_ascii_case(kind))
    };
    let mut kinds = headers.all(&CONTENT_TYPE).peekable();
    (*method == Method::POST || method.is_safe()) && (kinds.peek().is_none() || kinds.any(kind))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn own(method: &str, lines: &[(&str, &str)]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("gate.example.com"));
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let public = Uri::from_static("https://outside.example.com");
        is_own(&method.parse().unwrap(), &headers, Some(&public))
    }

    /// L303, as browsers send it.
    #[test]
    fn a_change_from_another_site_is_not_ours() {
        for from in [
            &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")][..],
            &[("sec-fetch-site", "same-site"), ("origin", "https://blog.example.com")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://gate.example.com")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("origin", "https://gate.example.com.evil.example")],
            &[("origin", "https://gate.example.com:8443")],
            &[("origin", "http://outside.example.com")],
            &[("origin", "https://gate.example.com"), ("origin", "https://evil.example")],
            &[],
            &[("content-type", "text/plain; charset=utf-8")],
            &[("content-type", "application/x-www-form-urlencoded")],
            &[("content-type", "multipart/form-data; boundary=x")],
            &[("content-type", "application/json"), ("content-type", "text/plain")],
        ] {
            assert!(!own("POST", from), "{from:?}");
        }
        assert!(!own("DELETE", &[("origin", "https://evil.example")]));
        assert!(!own("GET", &[("upgrade", "websocket"), ("origin", "https://evil.example")]));
    }

    #[test]
    fn a_page_of_ours_and_a_program_pass() {
        for from in [
            &[("sec-fetch-site", "same-origin"), ("origin", "https://gate.example.com")][..],
            &[("sec-fetch-site", "none")],
            &[("origin", "https://gate.example.com")],
            &[("origin", "https://GATE.example.com:443")],
            &[("origin", "http://gate.example.com")],
            &[("sec-fetch-site", "same-site"), ("origin", "https://outside.example.com")],
            &[("content-type", "application/json")],
        ] {
            assert!(own("POST", from), "{from:?}");
        }
        assert!(own("DELETE", &[]), "no form deletes");
        assert!(own("GET", &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")]));
        assert!(own("GET", &[("upgrade", "websocket"), ("origin", "https://gate.example.com")]));
    }
}

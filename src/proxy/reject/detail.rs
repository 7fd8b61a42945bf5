//! What each refusal says, in a sentence, to whoever can do something about it.

use super::{Refusal, Unproved};
use crate::domain::{access::Denied, profile::Profile};

impl Refusal {
    /// What to do about it, in a sentence.
    pub(super) fn detail(&self, profile: &Profile) -> String {
        let literal = profile.keys.shape.literal();
        match self {
            Self::Malformed(malformed) => format!("The request breaks a rule of HTTP: {malformed}."),
            Self::Unclear(unclear) => format!("It cannot be told what is to be decided: {unclear}."),
            Self::NoProxy => {
                "Only proxies on this machine, or in listen.trusted_proxies of the gateway, may ask for a decision.".into()
            }
            Self::BodyElsewhere => {
                "What proves this request is in its body, and a proxy that asks keeps the body. Send it through the gateway \
                 itself."
                    .into()
            }
            Self::Unreadable => "The request is not valid HTTP/1.1.".into(),
            Self::VersionNotSupported => "This port speaks HTTP/1.1 and HTTP/1.0.".into(),
            Self::HeadersTooLarge => "The request's headers are more than this gateway accepts.".into(),
            Self::BodyBroken => "The body is incomplete or malformed.".into(),
            Self::PathAmbiguous => {
                "The path could be read in two ways. Send it without dot segments, empty segments, backslashes or \
                 encoded slashes."
                    .into()
            }
            Self::UriTooLong => "The request target is longer than 8 KiB.".into(),
            Self::CredentialConflict => {
                "The request carries two different credentials. Send one, in X-API-Key or in Authorization.".into()
            }
            Self::CredentialMalformed => format!(
                "The credential has not the shape of a key. Keys begin with {literal}; check that it was copied \
                 whole, without spaces or quotes."
            ),
            Self::CredentialInvalid => {
                "The key is not valid. Check that it was copied whole, or create a new one.".into()
            }
            Self::Webhook(unproved) => unproved.detail().into(),
            Self::CrossSite => {
                "A page of another site may have sent this with the session cookie. Send it from a page of this site, or \
                 the token as Authorization: Bearer."
                    .into()
            }
            Self::SignatureRequired => {
                "This key is not sent: sign the request with it (RFC 9421). It has been seen on its way now, so \
                 rotate it."
                    .into()
            }
            Self::SignatureInvalid => {
                "The signature does not count. Cover @method, @path, @query where the target has a `?` and \
                 content-digest where there is a body; name created, nonce and keyid; sign within five minutes."
                    .into()
            }
            Self::Replayed => "A request with this nonce has been here. Sign each one with a new nonce.".into(),
            Self::Denied(Denied::Missing) => {
                format!("Send an API key: `X-API-Key: {literal}...` or `Authorization: Bearer {literal}...`.")
            }
            Self::Denied(Denied::Revoked) => "The key was revoked. Create a new one.".into(),
            Self::Denied(Denied::Expired) => "The key has expired. Create a new one.".into(),
            Self::Denied(Denied::SessionEnded) => "The session has ended. Sign in again.".into(),
            Self::Denied(Denied::Address) => {
                "The key may not be used from this address. Add the address to the key's allowed networks.".into()
            }
            Self::Denied(Denied::Boundary) => {
                "The key is bound to another team or project than the one in the path.".into()
            }
            Self::Denied(Denied::Scope(permission)) => {
                format!("The key lacks the scope {}.", profile.permissions.name(*permission))
            }
            Self::SignIn { .. } => "Sign in, and come back.".into(),
            Self::NoAccount => {
                "The token is genuine, but whoever it speaks for has no active account here. Ask an administrator."
                    .into()
            }
            Self::NotFound => "There is nothing at this path.".into(),
            Self::MethodNotAllowed { .. } => "This path does not take this method; see Allow.".into(),
            Self::Misdirected => {
                "The gateway is not known by this host name. listen.hosts of its configuration names further ones."
                    .into()
            }
            Self::AnotherCertificate => {
                "This host has another certificate than this connection was made with. Ask for it on a new connection."
                    .into()
            }
            Self::RateLimited => "The key's rate limit is reached. Wait as long as Retry-After says.".into(),
            Self::TooManyFailures => {
                "Too many wrong credentials from here or for this key. Wait a minute; the right key still works."
                    .into()
            }
            Self::LoopDetected => "The request has passed through this gateway before.".into(),
            Self::NotImplemented => "The only transfer coding accepted is chunked.".into(),
            Self::BodyTooLarge => "The body is larger than this gateway accepts.".into(),
            Self::RequestTimeout => "The body stopped arriving.".into(),
            Self::UpstreamUnreachable => "The service behind the gateway cannot be reached.".into(),
            Self::UpstreamProtocol => "The service behind the gateway gave no valid answer.".into(),
            Self::UpstreamTimeout => "The service behind the gateway did not answer in time.".into(),
            Self::StoreUnavailable => {
                "The key cannot be checked right now; this says nothing about the key. Try again.".into()
            }
            Self::IssuerUnavailable => {
                "The keys of the token's issuer cannot be read right now; this says nothing about the token. Try again."
                    .into()
            }
            Self::Overloaded => "The gateway is busy. Try again.".into(),
        }
    }
}

impl Unproved {
    /// To whoever configures the platform that calls.
    const fn detail(self) -> &'static str {
        match self {
            Self::Missing => {
                "Only a webhook may call here: configure the platform with the webhook's secret, so that it sends \
                 X-Hub-Signature-256 (GitHub) or X-Gitlab-Token (GitLab)."
            }
            Self::Malformed => "The signature has not the form `sha256=` and 64 hexadecimal digits.",
            Self::Invalid => {
                "The webhook's signature or token is wrong. Check that the platform and the gateway hold the same \
                 secret, and that nothing between them changes the body."
            }
            Self::Gone => {
                "The organization that this webhook calls for is gone; webhook.org of the gateway's configuration names \
                 it."
            }
        }
    }
}

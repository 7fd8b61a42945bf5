//! Platforms that call: GitHub's signature over the body, GitLab's token (R002_18).
//!
//! Only a route that names a webhook looks at these headers; elsewhere they are the upstream's. GitHub's signature
//! stays on the request, for an upstream that wants to check it too. GitLab's token is a secret, and goes like one.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::{
    config::Webhook,
    domain::webhook::{HubSignature, Platform},
    proxy::{
        credential::{Conflict, only},
        fields::Fields,
    },
};

/// GitHub's signature.
const X_HUB_SIGNATURE_256: HeaderName = HeaderName::from_static("x-hub-signature-256");
/// GitLab's secret.
const X_GITLAB_TOKEN: HeaderName = HeaderName::from_static("x-gitlab-token");

/// What a platform sent to prove itself. Never prints.
pub enum Sent {
    /// A signature over the body, as it stands in its header.
    Signature(HeaderValue),
    /// A secret.
    Token(HeaderValue),
}

/// Finds what was sent for one of these webhooks and, unless `keep`, removes what is secret.
pub fn take<'a>(
    fields: &mut Fields,
    webhooks: &(impl Iterator<Item = &'a Arc<Webhook>> + Clone),
    keep: bool,
) -> Result<Option<Sent>, Conflict> {
    let awaits = |platform| webhooks.clone().any(|webhook| webhook.platform == platform);
    let signature = if awaits(Platform::GitHub) { only(fields, &X_HUB_SIGNATURE_256)? } else { None };
    let token = if awaits(Platform::GitLab) { only(fields, &X_GITLAB_TOKEN)? } else { None };
    let sent = match (signature, token) {
        (Some(_), Some(_)) => return Err(Conflict),
        (Some(signature), None) => Some(Sent::Signature(signature.clone())),
        (None, Some(token)) => Some(Sent::Token(token.clone())),
        (None, None) => None,
    };
    if matches!(sent, Some(Sent::Token(_))) && !keep {
        fields.remove(&X_GITLAB_TOKEN);
    }
    Ok(sent)
}

/// The webhook that signed this body.
pub fn signer<'a>(
    webhooks: impl Iterator<Item = &'a Arc<Webhook>>,
    body: &[u8],
    signature: &HubSignature,
) -> Option<&'a Arc<Webhook>> {
    let mut of_github = webhooks.filter(|webhook| webhook.platform == Platform::GitHub);
    of_github.find(|webhook| webhook.secret.signed(body, signature))
}

/// The webhook whose secret this is.
pub fn holder<'a>(
    webhooks: impl Iterator<Item = &'a Arc<Webhook>>,
    token: &HeaderValue,
) -> Option<&'a Arc<Webhook>> {
    let mut of_gitlab = webhooks.filter(|webhook| webhook.platform == Platform::GitLab);
    of_gitlab.find(|webhook| webhook.secret.is(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::webhook::WebhookSecret;

    fn webhook(platform: Platform, secret: &str) -> Arc<Webhook> {
        let secret = WebhookSecret::parse(secret.as_bytes()).expect("a secret");
        Arc::new(Webhook { name: "hook".into(), platform, secret, org: "acme".into() })
    }

    fn fields(lines: &[(&'static str, &'static str)]) -> Fields {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn only_what_is_awaited_is_ours() {
        let github = webhook(Platform::GitHub, "a secret of sixteen");
        let gitlab = webhook(Platform::GitLab, "a secret of sixteen");
        let (signed, with_token) =
            (("x-hub-signature-256", "sha256=00"), ("x-gitlab-token", "a secret of sixteen"));
        let taken = |webhooks: &[&Arc<Webhook>], lines: &[_], keep| {
            let mut fields = fields(lines);
            let sent = take(&mut fields, &webhooks.iter().copied(), keep).map(|sent| match sent {
                None => "nothing",
                Some(Sent::Signature(_)) => "signature",
                Some(Sent::Token(_)) => "token",
            });
            (sent, fields.contains(&X_HUB_SIGNATURE_256), fields.contains(&X_GITLAB_TOKEN))
        };
        let both = [signed, with_token];
        assert_eq!(taken(&[], &both, false), (Ok("nothing"), true, true));
        assert_eq!(taken(&[&github], &both, false), (Ok("signature"), true, true));
        assert_eq!(taken(&[&gitlab], &both, false), (Ok("token"), true, false));
        assert_eq!(taken(&[&gitlab], &both, true), (Ok("token"), true, true));
        assert_eq!(taken(&[&github, &gitlab], &both, false).0, Err(Conflict));
        assert_eq!(taken(&[&github, &gitlab], &[with_token], false).0, Ok("token"));
        let twice = [with_token, ("x-gitlab-token", "another")];
        assert_eq!(
            taken(&[&gitlab], &twice, false).0,
            Err(Conflict),
            "which is meant is not for us to guess"
        );
    }

    /// The same secret with both platforms is no way from one to the other.
    #[test]
    fn each_platform_proves_in_its_own_way() {
        let all = [
            webhook(Platform::GitHub, "It's a Secret to Everybody"),
            webhook(Platform::GitLab, "It's a Secret to Everybody"),
        ];
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let signature = HubSignature::parse(signature.as_bytes()).expect("a signature");
        let found = signer(all.iter(), b"Hello, World!", &signature).expect("it is GitHub's");
        assert_eq!(found.platform, Platform::GitHub);
        assert!(signer(all[1..].iter(), b"Hello, World!", &signature).is_none());
        let token = HeaderValue::from_static("It's a Secret to Everybody");
        assert_eq!(holder(all.iter(), &token).map(|found| found.platform), Some(Platform::GitLab));
        assert!(holder(all[..1].iter(), &token).is_none());
    }
}

//! Signed requests on the admin port, judged by the data plane's own functions.

use std::{net::IpAddr, sync::Arc};

use http::header::HOST;

use super::node::{ProvedCredential, unproved};
use crate::{
    control::api::{Head, Pending, Proved, Signature, Unproved},
    domain::profile::KeyRules,
    proxy::{
        fields::Fields,
        gateway::Gateway,
        signature::{self, Found, Sent},
        usage::Deliver,
    },
};

/// What a request's head says of signatures, in these fields.
pub(super) fn find(head: &Head<'_>, fields: &Fields, rules: &KeyRules) -> Found {
    let target = head.target;
    let host = || fields.get(&HOST).and_then(|host| host.to_str().ok());
    signature::find(fields, rules, || Sent {
        method: head.method,
        target,
        fields,
        authority: target.authority().map(http::uri::Authority::as_str).or_else(host),
        secure: signature::came_by_tls(fields, head.tls, head.client.peer_trusted),
        has_body: head.has_body,
    })
}

/// A signature and those who can judge it.
pub(super) struct Signed {
    pub(super) found: Found,
    pub(super) gateway: Arc<Gateway>,
    pub(super) usage: Deliver,
}

impl Signature for Signed {
    fn prove(&self, client: IpAddr) -> Pending<'_, Result<Arc<dyn Proved>, Unproved>> {
        Box::pin(async move {
            let (snapshot, now) = (self.gateway.snapshot(), self.gateway.clock.now());
            let proved = self.gateway.signatures.prove(&self.found, &snapshot.rules, client, now).await;
            let (usage, noted) = (self.usage.clone(), snapshot.notes_uses);
            match proved {
                Ok(record) => Ok(Arc::new(ProvedCredential { record, usage, noted }) as Arc<dyn Proved>),
                Err(failure) => Err(unproved(failure)),
            }
        })
    }

    fn complete<'a>(
        &'a self,
        proved: &'a dyn Proved,
        body: &'a [u8],
        client: IpAddr,
    ) -> Pending<'a, Result<(), Unproved>> {
        Box::pin(async move {
            let Some(claim) = self.found.claim() else { return Err(Unproved::SignatureInvalid) };
            let completed = self.gateway.signatures.complete(claim, proved.id(), body, client).await;
            completed.map_err(unproved)
        })
    }

    fn keyid(&self) -> Option<&str> {
        match &self.found {
            Found::Claim(claim) => Some(&claim.keyid),
            Found::Flawed { keyid } => keyid.as_deref(),
            Found::Nothing | Found::Foreign | Found::Several => None,
        }
    }
}

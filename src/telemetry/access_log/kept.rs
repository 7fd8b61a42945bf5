//! Requests for the store: what a tenant may look at later (R003_08).
//!
//! The log's own thread picks them from the records that it writes lines from, so a worker pays nothing for it. Only
//! requests of a known tenant are picked, and only so many a second: a store is no place for all traffic of a busy
//! gateway, standard output is. What is left out is counted.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use foldhash::fast::RandomState;
use tokio::sync::mpsc;

use super::{
    line::legible,
    record::{AccessRecord, Word},
};
use crate::{
    domain::{
        access::Method,
        id::{OrgId, TeamId},
        time::Timestamp,
    },
    telemetry::{metrics::Counter, redact::Redactor},
};

/// A request as it is kept: the fields of its line, cleaned of whatever looks like a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRequest {
    /// When its head was read.
    pub at: Timestamp,
    /// The caller's organization.
    pub org: OrgId,
    /// The caller's team.
    pub team: Option<TeamId>,
    /// As answered in `X-Request-Id`.
    pub request_id: String,
    /// The method.
    pub method: String,
    /// The authority that was asked for.
    pub host: Option<String>,
    /// The path, without a query.
    pub path: Option<String>,
    /// As answered.
    pub status: u16,
    /// From the head of the request to the end of its answer.
    pub duration: Duration,
    /// The upstream's name.
    pub upstream: Option<Arc<str>>,
    /// The route's name.
    pub route: Option<Arc<str>>,
    /// Who asked, behind trusted proxies.
    pub client_ip: Option<IpAddr>,
    /// The kind of credential.
    pub auth_method: Option<Method>,
    /// What names the credential in public.
    pub credential: Option<String>,
    /// `ok` or the code of the error that was answered.
    pub outcome: &'static str,
    /// Body bytes received from the client.
    pub bytes_in: u64,
    /// Body bytes sent to the client.
    pub bytes_out: u64,
}

/// Picks what is kept.
pub(super) struct Keeper {
    out: mpsc::Sender<KeptRequest>,
    dropped: Arc<Counter>,
    /// The second that is counted, and what was picked in it: in all, and of each tenant.
    second: i64,
    picked: u32,
    of_tenant: HashMap<OrgId, u32, RandomState>,
}

/// How many are picked in a second, so that the store has room for what else it does.
const PER_SECOND: u32 = 1000;
/// How many of one tenant, so that one cannot crowd out the others.
const PER_TENANT: u32 = 500;
/// Longer paths and hosts are cut: a row has a size.
const LONGEST_TEXT: usize = 1024;
const LONGEST_WORD: usize = 64;

impl Keeper {
    pub(super) fn new(out: mpsc::Sender<KeptRequest>, dropped: Arc<Counter>) -> Self {
        Self { out, dropped, second: 0, picked: 0, of_tenant: HashMap::default() }
    }

    /// Keeps a request, if somebody's. Never waits: when the store does not take them, requests are left out.
    pub(super) fn offer(&mut self, record: &AccessRecord, redactor: &Redactor) {
        let Some(tenant) = record.tenant else { return };
        if !self.has_room(record.ts.seconds(), tenant) {
            self.dropped.inc();
            return;
        }
        // A place is taken before anything is made that would need it.
        let Ok(place) = self.out.try_reserve() else {
            self.dropped.inc();
            return;
        };
        place.send(kept(record, tenant, redactor));
    }

    fn has_room(&mut self, second: i64, tenant: OrgId) -> bool {
        if second != self.second {
            (self.second, self.picked) = (second, 0);
            self.of_tenant.clear();
        }
        if self.picked >= PER_SECOND {
            return false;
        }
        let of_tenant = self.of_tenant.entry(tenant).or_default();
        if *of_tenant >= PER_TENANT {
            return false;
        }
        *of_tenant += 1;
        self.picked += 1;
        true
    }
}

fn kept(record: &AccessRecord, tenant: OrgId, redactor: &Redactor) -> KeptRequest {
    let clean = |text: &[u8], longest| cut(&redactor.clean(&String::from_utf8_lossy(text)), longest);
    let word = |word, longest| record.said(word).map(|text| clean(text, longest));
    let name = |word| record.said(word).map(|text| String::from_utf8_lossy(text).into());
    KeptRequest {
        at: record.ts,
        org: tenant,
        team: record.team,
        request_id: word(Word::RequestId, LONGEST_TEXT).unwrap_or_default(),
        method: clean(record.method.as_str().as_bytes(), LONGEST_WORD),
        host: word(Word::Host, LONGEST_TEXT),
        path: record.said(Word::Path).map(|path| clean(&legible(path), LONGEST_TEXT)),
        status: record.status.as_u16(),
        duration: record.duration,
        upstream: name(Word::Upstream),
        route: name(Word::Route),
        client_ip: record.client_ip,
        auth_method: record.auth_method,
        credential: word(Word::Credential, LONGEST_WORD),
        outcome: record.outcome,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
    }
}

/// The first `longest` bytes, and a sign that there were more.
fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    fn tenant(number: u64) -> OrgId {
        format!("01a3185c-5000-7000-8000-{number:012}").parse().expect("an id")
    }

    fn record(second: i64, tenant: OrgId) -> AccessRecord {
        let mut record = AccessRecord::new(Timestamp::from_micros(second * 1_000_000), http::Method::GET);
        record.tenant = Some(tenant);
        record
    }

    /// One tenant's flood leaves room for another, all of them for the store, and the next second begins anew.
    #[test]
    fn so_many_a_second_and_no_more() {
        let metrics = Metrics::new().expect("metrics");
        let (out, mut kept) = mpsc::channel(100_000);
        let mut keeper = Keeper::new(out, Arc::clone(&metrics.request_log_dropped));
        let mut offer = |second, number, times: u64| {
            let before = kept.len();
            (0..times).for_each(|_| keeper.offer(&record(second, tenant(number)), &Redactor::default()));
            kept.len() - before
        };
        assert_eq!(offer(1, 1, 600), 500);
        assert_eq!(offer(1, 2, 10), 10);
        assert_eq!((3..10).map(|number| offer(1, number, 500)).sum::<usize>(), 490);
        assert_eq!(offer(2, 1, 1), 1);
        assert_eq!(metrics.request_log_dropped.total(), 100 + 7 * 500 - 490);
        drop(kept.try_recv());
    }

    #[test]
    fn nobody_s_requests_are_not_kept_and_a_full_queue_is_no_obstacle() {
        let metrics = Metrics::new().expect("metrics");
        let (out, mut kept) = mpsc::channel(1);
        let mut keeper = Keeper::new(out, Arc::clone(&metrics.request_log_dropped));
        let mut nobody = record(1, tenant(1));
        nobody.tenant = None;
        keeper.offer(&nobody, &Redactor::default());
        assert_eq!((kept.len(), metrics.request_log_dropped.total()), (0, 0));
        keeper.offer(&record(1, tenant(1)), &Redactor::default());
        keeper.offer(&record(1, tenant(1)), &Redactor::default());
        assert_eq!(metrics.request_log_dropped.total(), 1);
        assert!(kept.try_recv().is_ok() && kept.try_recv().is_err());
    }

    #[test]
    fn a_row_has_a_size_and_holds_no_key() {
        let redactor = crate::telemetry::redact::tests::redactor();
        let mut long = record(1, tenant(1));
        long.asked_for(&format!("/{}?secret=1", "é".repeat(2000)).parse().expect("a path"));
        let row = kept(&long, tenant(1), &redactor);
        let path = row.path.expect("a path");
        assert!(path.len() <= LONGEST_TEXT + 3 && path.ends_with("..."), "{path}");
        long.asked_for(&"/x/osk%5FAbCdEfGhMARKERMARKER?a=MARKER".parse().expect("a path"));
        let row = kept(&long, tenant(1), &redactor);
        assert!(!format!("{row:?}").contains("MARKER"), "{row:?}");
    }
}

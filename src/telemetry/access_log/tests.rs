//! The access log against hostile clients and sinks that do not take it.

use std::{
    io,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use http::StatusCode;

use super::*;
use crate::domain::{access::Method, time::Timestamp};

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("page").clone()).expect("lines are ASCII")
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("page").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn record(path: &'static str) -> AccessRecord {
    let mut record = AccessRecord::new(Timestamp::from_micros(1_800_000_000_250_000), http::Method::GET);
    record.asked_for(&path.parse().expect("a path"));
    record.status = StatusCode::OK;
    record.say(Word::RequestId, "req-1");
    record.duration = Duration::from_micros(1500);
    record.client_ip = Some("2001:db8::1".parse().expect("an address"));
    record.auth_method = Some(Method::ApiKey);
    record.say(Word::Credential, "AbCdEfGh");
    record
}

fn written(records: impl IntoIterator<Item = AccessRecord>, format: LineFormat) -> String {
    let page = Page::default();
    let metrics = Metrics::new().expect("metrics");
    let redactor = crate::telemetry::redact::tests::redactor();
    let log = AccessLog::start(page.clone(), format, redactor, &metrics).expect("a thread");
    records.into_iter().for_each(|record| log.push(record));
    assert!(log.close(Duration::from_secs(10)));
    assert_eq!(metrics.access_log_dropped.total(), 0);
    page.text()
}

#[test]
fn a_line_has_the_documented_fields_in_their_order() {
    let text = written([record("/v1/scans")], LineFormat::Json);
    assert_eq!(
        text,
        concat!(
            r#"{"ts":"2027-01-15T08:00:00.25Z","level":"info","msg":"request","request_id":"req-1","#,
            r#""method":"GET","host":null,"path":"/v1/scans","status":200,"duration_ms":1.500,"#,
            r#""upstream":null,"route":null,"client_ip":"2001:db8::1","auth_method":"api_key","#,
            r#""credential":"AbCdEfGh","tenant":null,"team":null,"outcome":"ok","bytes_in":0,"bytes_out":0}"#,
            "\n"
        )
    );
}

/// Neither a query string nor a key that was put into the path.
#[test]
fn secrets_in_the_target_are_not_written() {
    let target = "/accept/osk_AbCdEfGhMARKERMARKER?token=MARKER#MARKER";
    for format in [LineFormat::Json, LineFormat::Text] {
        let text = written([record(target)], format);
        assert!(!text.contains("MARKER"), "{text}");
        assert!(text.contains("/accept/osk_AbCdEfGh***"), "{text}");
    }
}

/// Quotes, line ends, ANSI and bidirectional controls.
#[test]
fn what_a_client_sends_cannot_forge_a_line() {
    let hostile = "a\"} \u{1b}[2J{\"\\x\u{9b}1m \u{202e}\u{2028}é\t";
    let mut forged = record("/");
    // Header values cannot hold ESC; a host that does is no worse.
    forged.say(Word::Host, hostile);
    forged.auth_failure = Some(AuthFailure {
        prefix: Some("x\r\n{\"msg\":\"request\"}\u{1b}[31m".into()),
        reason: "credential_invalid",
    });
    for format in [LineFormat::Json, LineFormat::Text] {
        let text = written([forged.clone()], format);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
    }
    let text = written([forged], LineFormat::Json);
    let failed: serde_json::Value = serde_json::from_str(text.lines().last().expect("two")).expect("JSON");
    assert_eq!(failed["msg"], "api_key.auth_failed");
    assert_eq!(failed["prefix"], "x\r\n{\"msg\":\"request\"}\u{1b}[31m");
    assert_eq!(failed["reason"], "credential_invalid");
}

#[test]
fn text_quotes_what_is_not_plain() {
    let mut odd = record("/a");
    odd.say(Word::Route, "two words");
    odd.say(Word::Upstream, "-");
    let text = written([odd], LineFormat::Text);
    assert!(
        text.starts_with("ts=2027-01-15T08:00:00.25Z level=info msg=request request_id=req-1 "),
        "{text}"
    );
    assert!(
        text.contains(r" host=- path=/a ") && text.contains(r#" upstream="-" route="two words" "#),
        "{text}"
    );
}

proptest::proptest! {
    #[test]
    fn any_text_comes_back_from_json(text in "\\PC*|(?s).*") {
        let mut failed = record("/");
        failed.auth_failure = Some(AuthFailure { prefix: Some(text.as_str().into()), reason: "x" });
        let mut buffer = Vec::new();
        line::write(&mut buffer, &failed, LineFormat::Json, &Redactor::default(), &mut Second::default());
        let last = buffer.split(|byte| *byte == b'\n').nth(1).expect("two lines");
        let back: serde_json::Value = serde_json::from_slice(last).expect("JSON");
        let expected = Redactor::default().clean(&text).into_owned();
        proptest::prop_assert_eq!(back["prefix"].as_str(), Some(expected.as_str()));
    }
}

/// A sink that nobody reads, until the test lets go.
struct Stuck {
    entered: mpsc::Sender<()>,
    released: mpsc::Receiver<()>,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.entered.send(());
        let _ = self.released.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Stdout blocked. The worker never waits, drops are counted, closing gives up in time.
#[test]
fn a_blocked_sink_costs_lines_not_requests() {
    let (entered, in_write) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let metrics = Metrics::new().expect("metrics");
    let sink = Stuck { entered, released };
    let outlets = Outlets { lines: Some((Box::new(sink), LineFormat::Json)), kept: None };
    let log = AccessLog::with_room(4, outlets, Redactor::default(), &metrics).expect("a thread");
    log.push(record("/first"));
    in_write.recv().expect("the writer is stuck in its first write");
    for _ in 0..10 {
        log.push(record("/more"));
    }
    assert_eq!(metrics.access_log_dropped.total(), 6, "four wait, six are dropped");
    assert!(!log.close(Duration::from_millis(1)), "the sink does not take them");
    drop(release);
    assert!(log.close(Duration::from_secs(10)), "now it does");
}

#[test]
fn a_failing_sink_counts_what_it_lost() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let metrics = Metrics::new().expect("metrics");
    let log = AccessLog::start(Full, LineFormat::Json, Redactor::default(), &metrics).expect("a thread");
    log.push(record("/lost"));
    assert!(log.close(Duration::from_secs(10)));
    log.push(record("/late"));
    assert_eq!(metrics.access_log_dropped.total(), 2);
}

//! Operational log: what the program says about itself, on standard error.
//!
//! Lines look like those of the access log (`ts level msg`, then the event's fields), with the same quoting
//! and the same eye for secrets. What libraries say is let through from `warn` on, whatever the level: their
//! finer messages may quote headers.

use std::{
    any::Any,
    cmp::min,
    fmt,
    io::{self, Write},
    panic,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    layer::{Context, SubscriberExt},
    registry,
};

use super::{
    line::{Line, LineFormat},
    redact::Redactor,
};
use crate::domain::time::Clock;

/// Sends everything logged in this process to standard error. True for the first call in a process; a later one
/// changes nothing.
pub fn install(format: LineFormat, level: Level, redactor: Redactor, clock: Clock) -> bool {
    let lines = Lines { format, redactor, clock, sink: io::stderr };
    tracing::subscriber::set_global_default(registry().with(lines.with_filter(filter(level)))).is_ok()
}

/// Has panics logged like everything else, instead of printed as they are.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, panic = panic_text(panic.payload()), "panicked");
    }));
}

/// What a panic says, where it says anything.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "no message",
    }
}

fn filter(level: Level) -> Targets {
    let ours = LevelFilter::from_level(level);
    Targets::new().with_target("latchgate", ours).with_default(min(ours, LevelFilter::WARN))
}

struct Lines<S> {
    format: LineFormat,
    redactor: Redactor,
    clock: Clock,
    sink: S,
}

impl<S, W, R> Layer<R> for Lines<S>
where
    S: Fn() -> W + 'static,
    W: Write,
    R: Subscriber,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, R>) {
        let mut buffer = Vec::with_capacity(256);
        let mut line = Line::begin(&mut buffer, self.format, &self.redactor);
        line.bare("ts", self.clock.now());
        line.word("level", level_name(*event.metadata().level()));
        event.record(&mut Fields(&mut line));
        line.word("target", event.metadata().target());
        line.end();
        // Nobody is left to tell when standard error itself fails.
        let _ = (self.sink)().write_all(&buffer);
    }
}

const fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

struct Fields<'a, 'b>(&'a mut Line<'b>);

impl Visit for Fields<'_, '_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.number(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.number(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.number(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.foreign(key(field), Some(value.as_bytes()));
    }

    /// Also what implements `Display` alone, floats and errors.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.foreign(key(field), Some(format!("{value:?}").as_bytes()));
    }
}

fn key(field: &Field) -> &'static str {
    if field.name() == "message" { "msg" } else { field.name() }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::domain::time::Timestamp;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("page").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: Level, format: LineFormat, say: impl FnOnce()) -> String {
        let page = Page::default();
        let sink = page.clone();
        let lines = Lines {
            format,
            redactor: crate::telemetry::redact::tests::redactor(),
            clock: Clock::manual(Timestamp::default()),
            sink: move || sink.clone(),
        };
        let subscriber = registry().with(lines.with_filter(filter(level)));
        tracing::subscriber::with_default(subscriber, say);
        let bytes = page.0.lock().expect("page").clone();
        String::from_utf8(bytes).expect("lines are ASCII")
    }

    #[test]
    fn an_event_is_one_line_without_secrets() {
        let hostile = "osk_AbCdEfGhMARKER\n\u{1b}[2J";
        let text = logged(Level::INFO, LineFormat::Json, || {
            tracing::warn!(row = 7, error = hostile, "a row of {} is damaged", "osk_AbCdEfGhMARKER");
        });
        let line: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(line["ts"], "1970-01-01T00:00:00Z");
        assert_eq!((&line["level"], &line["row"]), (&"warn".into(), &7.into()));
        assert_eq!(line["msg"], "a row of osk_AbCdEfGh*** is damaged");
        assert_eq!(line["error"], "osk_AbCdEfGh***\n\u{1b}[2J");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn libraries_are_heard_from_warn_on() {
        let text = logged(Level::TRACE, LineFormat::Text, || {
            tracing::debug!("ours");
            tracing::debug!(target: "hyper::proto", "authorization: secret");
            tracing::warn!(target: "sqlx::query", "slow statement");
        });
        assert!(text.contains("msg=ours") && text.contains("slow statement"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn what_is_finer_than_the_level_is_silent() {
        let text = logged(Level::ERROR, LineFormat::Text, || tracing::warn!("never mind"));
        assert_eq!(text, "");
    }
}

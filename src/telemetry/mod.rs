//! What the operator sees: logs, the access log, metrics.

pub mod access_log;
mod line;
pub mod logging;
pub mod metrics;
pub mod redact;

pub use self::line::LineFormat;

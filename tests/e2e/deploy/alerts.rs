//! Prometheus' own tool judges the alerts: each fires when it should, and not before.

use std::{collections::BTreeSet, process::Command};

use super::{shipped, text};

/// The rules and the configuration are right, and every alert fires in a test of its own.
#[test]
fn promtool_passes_the_alerts() {
    for (arguments, file) in
        [("check rules", "alerts.yml"), ("check config", "prometheus.yml"), ("test rules", "alerts.test.yml")]
    {
        let judged = Command::new("promtool")
            .args(arguments.split(' '))
            .arg(shipped("prometheus").join(file))
            .output()
            .expect("promtool: run `bash tests/run`");
        let said = [judged.stdout, judged.stderr].concat();
        assert!(judged.status.success(), "{file}: {}", String::from_utf8_lossy(&said));
    }
    let tests = text("prometheus/alerts.test.yml");
    for alert in names() {
        assert!(tests.contains(&format!("{{alertname=\"{alert}\"}}")), "no test fires {alert}");
    }
}

/// Every alert has a severity, and words.
#[test]
fn every_alert_says_how_bad_it_is() {
    let rules = text("prometheus/alerts.yml");
    for rule in rules.split("- alert: ").skip(1) {
        let severities = ["critical", "warning", "info"];
        let known = severities.iter().any(|level| rule.contains(&format!("labels: {{ severity: {level} }}")));
        assert!(known && rule.contains("summary: \""), "{rule}");
    }
}

/// The names of all alerts.
pub(super) fn names() -> BTreeSet<String> {
    let rules = text("prometheus/alerts.yml");
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned)).collect()
}

/// Every series that an expression looks at: a metric with its matchers.
pub(super) fn selectors(expression: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_word) {
        let word = &rest[start..];
        let end = word.find(|c| !is_word(c)).unwrap_or(word.len());
        let name = &word[..end];
        rest = &word[end..];
        // Matchers go with their metric, and what stands in quotes in them is no name.
        let matchers =
            rest.starts_with('{').then(|| rest.split_inclusive('}').next()).flatten().unwrap_or_default();
        rest = &rest[matchers.len()..];
        if name == "up" || name.starts_with("latchgate_") || name.starts_with("process_") {
            found.push(format!("{name}{matchers}"));
        }
    }
    found
}

#[test]
fn selectors_are_found() {
    let expression =
        "sum by (route) (rate(latchgate_a{code=~\"5..\"}[5m])) / process_b > 0.1 and up{x=\"up\"} == 0";
    assert_eq!(selectors(expression), ["latchgate_a{code=~\"5..\"}", "process_b", "up{x=\"up\"}"]);
}

//! Every query of the dashboard finds something, every alert asks for what there is.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{alerts, prometheus::Prometheus, text, traffic::Busy};
use crate::support::wait;

/// A query that has to find something, and the labels that its legend or its words show.
struct Question {
    place: String,
    query: String,
    labels: Vec<String>,
}

/// A real Prometheus scrapes a gateway to which everything happens, and is asked what the dashboard and the alerts ask.
#[test]
fn the_dashboard_and_the_alerts_ask_for_what_there_is() {
    let busy = Busy::start();
    let prometheus = Prometheus::watch(&[&busy.program, &busy.secure]);
    let mut open: Vec<Question> = of_dashboard();
    let rules = prometheus.rules();
    assert_eq!(rules.len(), alerts::names().len());
    open.extend(rules.iter().flat_map(of_rule));
    assert!(open.len() > 80, "only {} questions", open.len());

    // Rates are of what changed between two scrapes, so traffic goes on until each was seen.
    let mut round = 0;
    let started = Instant::now();
    while !open.is_empty() {
        busy.round(round);
        round += 1;
        open.retain(|question| !answered(&prometheus, question));
        let left: Vec<_> = open.iter().map(|question| (&question.place, &question.query)).collect();
        assert!(started.elapsed() < wait::PATIENCE, "nothing is found by {left:#?}");
        thread::sleep(Duration::from_millis(200));
    }
    wait::until("every alert's evaluation", || prometheus.rules().iter().all(|rule| rule["health"] == "ok"));
}

fn answered(prometheus: &Prometheus, question: &Question) -> bool {
    let samples = prometheus.values(&question.query);
    samples.iter().any(|(labels, value)| {
        !value.is_nan() && question.labels.iter().all(|label| labels[label.as_str()].is_string())
    })
}

fn of_dashboard() -> Vec<Question> {
    let mut questions = Vec::new();
    for panel in panels() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let legend = target["legendFormat"].as_str().expect("a legend");
            let labels = between(legend, "{{", "}}");
            let query = filled_in(target["expr"].as_str().expect("a query"));
            questions.push(Question { place: panel["title"].to_string(), query, labels });
        }
    }
    let dashboard = dashboard();
    for annotation in dashboard["annotations"]["list"].as_array().expect("annotations") {
        // Nothing has started again: what is asked for is enough.
        let query = filled_in(annotation["expr"].as_str().expect("a query")).replace(" > 0", "");
        questions.push(Question { place: "annotations".to_owned(), query, labels: Vec::new() });
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (metric, label) = inner.and_then(|inner| inner.rsplit_once(", ")).expect("label_values");
        questions.push(Question {
            place: variable["name"].to_string(),
            query: filled_in(metric),
            labels: vec![label.to_owned()],
        });
    }
    questions
}

/// Each series that an alert looks at, with the labels that it tells people.
fn of_rule(rule: &Value) -> Vec<Question> {
    let told = between(&rule["annotations"].to_string(), "$labels.", " ");
    let selectors = alerts::selectors(rule["query"].as_str().expect("an expression"));
    assert!(!selectors.is_empty(), "{rule}");
    let place = rule["name"].to_string();
    let ask = |query| Question { place: place.clone(), query, labels: told.clone() };
    selectors.into_iter().map(ask).collect()
}

/// As Grafana fills in its variables.
fn filled_in(query: &str) -> String {
    let query = query.replace("$__rate_interval", "1m").replace("$job", "latchgate");
    let query = query.replace("$instance", ".*").replace("$route", ".*");
    assert!(!query.contains('$'), "an unknown variable: {query}");
    query
}

fn between(text: &str, open: &str, close: &str) -> Vec<String> {
    text.split(open).skip(1).filter_map(|rest| Some(rest.split_once(close)?.0.to_owned())).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("grafana/latchgate.json")).expect("JSON")
}

/// All panels but the rows' titles.
fn panels() -> Vec<Value> {
    let panels = dashboard()["panels"].as_array().cloned().expect("panels");
    panels.into_iter().filter(|panel| panel["type"] != "row").collect()
}

/// Every panel says what it shows, in which unit, from the chosen source, in a place of its own.
#[test]
fn every_panel_is_whole() {
    let (mut ids, mut places, mut titles) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for panel in panels() {
        let title = panel["title"].as_str().expect("a title");
        assert!(titles.insert(title.to_owned()), "two panels {title}");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: its id is another's");
        assert!(
            panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
            "{title}: no description"
        );
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: no unit");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let grid = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a place"));
        assert!(grid[0] + grid[2] <= 24, "{title} is beside the page");
        for x in grid[0]..grid[0] + grid[2] {
            for y in grid[1]..grid[1] + grid[3] {
                assert!(places.insert((x, y)), "{title} lies on another panel");
            }
        }
    }
    // Alerts that a description names exist.
    let named: BTreeSet<String> = panels()
        .iter()
        .flat_map(|panel| {
            between(&format!("{} ", panel["description"].as_str().unwrap_or_default()), "Alert ", " ")
        })
        .map(|name| name.trim_end_matches('.').to_owned())
        .collect();
    assert!(named.len() > 10 && named.is_subset(&alerts::names()), "{named:?}");
}

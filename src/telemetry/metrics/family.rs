//! One metric name, its help text and labels, and the series under it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto,
};

use super::cells::Sample;

/// All series of one metric. Asking for one costs a lock and is for start-up and reload: what counts per
/// request holds on to the series it got.
#[derive(Debug)]
pub(super) struct Family<S> {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    make: fn() -> S,
    series: Mutex<BTreeMap<Vec<String>, Arc<S>>>,
}

impl<S: Sample> Family<S> {
    pub(super) fn register(
        registry: &Registry,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        make: fn() -> S,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let family = Arc::new(Self { name, help, labels, make, series: Mutex::default() });
        let names = labels.iter().map(ToString::to_string).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), names, std::collections::HashMap::new())?;
        registry.register(Box::new(Registered { desc, family: Arc::clone(&family) }))?;
        Ok(family)
    }

    /// The series with these label values, in the order of the labels; made at first asking.
    pub(super) fn with(&self, values: &[&str]) -> Arc<S> {
        debug_assert_eq!(values.len(), self.labels.len(), "{}", self.name);
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(series.entry(values).or_insert_with(|| Arc::new((self.make)())))
    }

    fn collect(&self) -> proto::MetricFamily {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = series
            .iter()
            .map(|(values, cells)| {
                let labels = self.labels.iter().zip(values).map(|(name, value)| {
                    let mut pair = proto::LabelPair::default();
                    pair.set_name((*name).to_owned());
                    pair.set_value(value.clone());
                    pair
                });
                let mut metric = proto::Metric::from_label(labels.collect());
                cells.read(&mut metric);
                metric
            })
            .collect();
        let mut family = proto::MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(S::KIND);
        family.set_metric(metrics);
        family
    }
}

struct Registered<S> {
    desc: Desc,
    family: Arc<Family<S>>,
}

impl<S: Sample> Collector for Registered<S> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        vec![self.family.collect()]
    }
}

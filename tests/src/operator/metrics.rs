//! Metrics of a host, in the text format of Prometheus.

use prometheus_parse::{Sample, Scrape, Value};

/// The samples of one scrape.
#[derive(Debug)]
pub struct ScrapedMetrics(Vec<Sample>);

impl ScrapedMetrics {
    /// Reads the text format of Prometheus.
    pub fn read(text: &str) -> Self {
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let scrape = Scrape::parse(lines).unwrap_or_else(|error| panic!("{error}: {text}"));
        Self(scrape.samples)
    }

    /// The samples.
    pub fn samples(&self) -> &[Sample] {
        &self.0
    }

    /// The value of the series that has these labels and perhaps others. The count of a histogram is `NAME_count`.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &Sample| {
            labels
                .iter()
                .all(|(label, value)| sample.labels.get(label) == Some(value))
        };
        let mut samples = self.0.iter().filter(|sample| sample.metric == name);
        match samples.find(|sample| has(sample))?.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => Some(value),
            Value::Histogram(_) | Value::Summary(_) => None,
        }
    }
}

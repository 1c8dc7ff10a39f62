//! Metrics: how a family is registered, and how one is read out. Nothing is counted here: a metric is declared in the
//! `metrics.rs` of the room that counts it, as one row of a `metrics!` table. A new metric is a new row.
//!
//! No globals; labels only from the configuration and from closed lists; every series is there from the start, so that
//! `rate()` and alerts see the first increment. Names and labels are the contract with dashboards: they change only with
//! a CHANGELOG entry.

mod figures;
mod process;

use std::collections::HashMap;

use prometheus::{
    Encoder as _, GaugeVec, Histogram, HistogramOpts, IntCounter, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector,
};

pub use self::figures::{Distribution, Figures};

/// A registration that can fail, for two metrics with one name: a mistake that the first start shows.
pub type Made<T> = Result<T, prometheus::Error>;

/// Seconds. 1.5 s is where a broker counts as slow, 5 s the promised answer, 8 s its limit, 10 s Audit1's patience.
const DURATIONS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 5.0, 8.0, 10.0];

/// The registry, and the labels that all metrics made with it get. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Families {
    registry: Registry,
    labels: HashMap<String, String>,
}

/// A closed list of label values.
pub trait Label: Copy + PartialEq {
    /// Each with its text. Two members may share a text, and with it a series.
    fn all() -> impl IntoIterator<Item = (Self, &'static str)>;

    /// Its text.
    fn as_str(self) -> &'static str {
        Self::all().into_iter().find(|(label, _)| *label == self).map_or("", |(_, text)| text)
    }
}

/// One row of a `metrics!` table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name without its prefix.
    pub name: &'static str,
    /// The doc comment.
    pub help: &'static str,
    /// Labels beside those of [`Families::with`].
    pub labels: &'static [&'static str],
    /// Of a histogram; durations in seconds if empty.
    pub buckets: &'static [f64],
}

/// What a row can be: a metric, or several under one name.
pub trait Kind: Sized {
    /// Registers it.
    ///
    /// # Errors
    /// See [`Made`].
    fn make(families: &Families, row: Row) -> Made<Self>;
}

impl Families {
    /// With the metrics of the process itself.
    ///
    /// # Errors
    /// See [`Made`].
    pub fn new() -> Made<Self> {
        let families = Families::default();
        families.registry.register(Box::new(process::Process::own()))?;
        Ok(families)
    }

    /// The same registry; what is made with it gets one label more.
    #[must_use]
    pub fn with(&self, label: &str, value: &str) -> Families {
        let mut families = self.clone();
        families.labels.insert(label.into(), value.into());
        families
    }

    /// The text exposition format.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        // Encoding into memory fails only for families without a name, which registration has refused.
        let _encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    /// Every series now, to look numbers up.
    pub fn figures(&self) -> Figures {
        Figures::new(self.registry.gather())
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> Made<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn opts(&self, row: Row) -> Opts {
        // A doc comment begins with a space.
        Opts::new(row.name, row.help.trim()).namespace("hookbus").const_labels(self.labels.clone())
    }

    fn histogram(&self, row: Row) -> HistogramOpts {
        let buckets = if row.buckets.is_empty() { DURATIONS } else { row.buckets };
        HistogramOpts::from(self.opts(row)).buckets(buckets.into())
    }
}

/// Kinds that the `prometheus` crate has: how each is made of a row.
macro_rules! kinds {
    ($($kind:ty: |$families:ident, $row:ident| $make:expr;)+) => {$(
        impl Kind for $kind {
            fn make($families: &Families, $row: Row) -> Made<Self> {
                $families.register($make?)
            }
        }
    )+};
}

kinds! {
    IntGauge: |families, row| IntGauge::with_opts(families.opts(row));
    IntCounter: |families, row| IntCounter::with_opts(families.opts(row));
    Histogram: |families, row| Histogram::with_opts(families.histogram(row));
    GaugeVec: |families, row| GaugeVec::new(families.opts(row), row.labels);
    IntGaugeVec: |families, row| IntGaugeVec::new(families.opts(row), row.labels);
}

/// One series for each label of a closed list.
#[derive(Debug, Clone)]
pub struct Each<L, M>(Vec<(L, M)>);

/// A counter for each label of a closed list.
pub type Counted<L> = Each<L, IntCounter>;

impl<L: Copy + PartialEq, M> Each<L, M> {
    /// The series of a label.
    pub fn get(&self, label: L) -> Option<&M> {
        self.0.iter().find(|(other, _)| *other == label).map(|(_, metric)| metric)
    }
}

impl<L: Copy + PartialEq> Counted<L> {
    /// Counts one.
    pub fn inc(&self, label: L) {
        self.get(label).inspect(|counter| counter.inc());
    }
}

impl<L: PartialEq + Copy> Each<L, IntGauge> {
    /// One label has 1 and every other 0.
    pub fn only(&self, label: L) {
        self.0.iter().for_each(|(other, gauge)| gauge.set(i64::from(*other == label)));
    }
}

impl<L: Label, M: Kind + Clone> Kind for Each<L, M> {
    fn make(families: &Families, row: Row) -> Made<Self> {
        let name = row.labels.first().copied().unwrap_or_default();
        let mut texts: HashMap<&str, M> = HashMap::new();
        let mut made = Vec::new();
        for (label, text) in L::all() {
            let metric = match texts.get(text) {
                Some(metric) => metric.clone(),
                None => M::make(&families.with(name, text), Row { labels: &[], ..row })?,
            };
            texts.insert(text, metric.clone());
            made.push((label, metric));
        }
        Ok(Each(made))
    }
}

/// A number as a gauge holds it.
pub fn signed<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A table of metrics, one row each: help, field, kind, name, labels, buckets. Struct and registration come from it.
///
/// ```ignore
/// metrics! {
///     /// What the kitchen counts.
///     pub struct KitchenMetrics {
///         /// Meals served, by course.
///         pub meals: Counted<Course> = "meals_total" ["course"];
///     }
/// }
/// ```
macro_rules! metrics {
    (@buckets) => { &[] };
    (@buckets $buckets:expr) => { $buckets };
    (
        $(#[$about:meta])*
        $vis:vis struct $table:ident {$(
            $(#[doc = $help:literal])+
            $field_vis:vis $field:ident: $kind:ty = $name:literal $([$($label:literal),+])? $(in $buckets:expr)?;
        )+}
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone)]
        $vis struct $table {$(
            $(#[doc = $help])+
            $field_vis $field: $kind,
        )+}

        impl $table {
            /// Registers every row.
            ///
            /// # Errors
            /// See [`Made`](crate::metrics::Made).
            $vis fn register(families: &crate::metrics::Families) -> crate::metrics::Made<Self> {
                Ok($table {$(
                    $field: crate::metrics::Kind::make(families, crate::metrics::Row {
                        name: $name,
                        help: concat!($($help),+),
                        labels: &[$($($label),+)?],
                        buckets: crate::metrics::metrics!(@buckets $($buckets)?),
                    })?,
                )+})
            }
        }
    };
}
pub(crate) use metrics;

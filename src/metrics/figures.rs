//! The numbers of one moment, looked up by name and labels: what the console shows is what `/metrics` says.

use prometheus::proto::{Metric, MetricFamily};

/// Every series at one moment.
#[derive(Debug)]
pub struct Figures(Vec<MetricFamily>);

/// A histogram, or what it has counted between two moments.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    /// Observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Observations up to each bound, in the order of the bounds.
    pub buckets: Vec<(f64, u64)>,
}

impl Figures {
    /// What a registry gathers.
    pub(super) fn new(gathered: Vec<MetricFamily>) -> Self {
        Figures(gathered)
    }

    /// The sum of the series of `name` (without its prefix) that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // A counter has no gauge's value and a gauge no counter's: the other one is 0.
        self.series(name, labels).map(|series| series.get_counter().get_value() + series.get_gauge().get_value()).sum()
    }

    /// The same of a counter, or of a gauge that is a whole number.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counters are below 2^53; a cast saturates"
    )]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels) as u64
    }

    /// The values that a label has among the series that are not 0, with their sums, in the order of the values.
    pub fn by(&self, name: &str, label: &str) -> Vec<(String, u64)> {
        let mut values: Vec<String> =
            self.series(name, &[]).filter_map(|series| text(series, label)).map(Into::into).collect();
        values.sort_unstable();
        values.dedup();
        let counted = values.into_iter().map(|value| {
            let count = self.count(name, &[(label, &value)]);
            (value, count)
        });
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// The histograms of `name` that have these labels, added up.
    pub fn distribution(&self, name: &str, labels: &[(&str, &str)]) -> Distribution {
        self.series(name, labels).fold(Distribution::default(), |mut all, series| {
            let histogram = series.get_histogram();
            all.count += histogram.get_sample_count();
            all.sum += histogram.get_sample_sum();
            for (index, bucket) in histogram.get_bucket().iter().enumerate() {
                match all.buckets.get_mut(index) {
                    Some((_, count)) => *count += bucket.cumulative_count(),
                    None => all.buckets.push((bucket.upper_bound(), bucket.cumulative_count())),
                }
            }
            all
        })
    }

    fn series<'f>(&'f self, name: &'f str, labels: &'f [(&'f str, &'f str)]) -> impl Iterator<Item = &'f Metric> {
        let of_name = move |family: &&MetricFamily| family.name().strip_prefix("hookbus_") == Some(name);
        let has_all = move |series: &&Metric| labels.iter().all(|(label, value)| text(series, label) == Some(value));
        self.0.iter().filter(of_name).flat_map(MetricFamily::get_metric).filter(has_all)
    }
}

impl Distribution {
    /// What was observed since an earlier moment of the same histogram.
    #[must_use]
    pub fn since(&self, before: &Distribution) -> Distribution {
        let earlier = |index: usize| before.buckets.get(index).map_or(0, |(_, count)| *count);
        let buckets = self.buckets.iter().enumerate();
        Distribution {
            count: self.count.saturating_sub(before.count),
            sum: self.sum - before.sum,
            buckets: buckets.map(|(index, (bound, count))| (*bound, count.saturating_sub(earlier(index)))).collect(),
        }
    }

    /// The bound that `percent` of the observations do not exceed: `None` without an observation, infinity above the last.
    pub fn at_most(&self, percent: u64) -> Option<f64> {
        let enough = |count: u64| u128::from(count) * 100 >= u128::from(self.count) * u128::from(percent);
        let bound = self.buckets.iter().find(|(_, count)| enough(*count)).map_or(f64::INFINITY, |(bound, _)| *bound);
        (self.count > 0).then_some(bound)
    }

    /// The mean; `None` without an observation.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 observations")]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

fn text<'m>(series: &'m Metric, label: &str) -> Option<&'m str> {
    series.get_label().iter().find(|pair| pair.name() == label).map(|pair| pair.value())
}

#[cfg(test)]
mod tests {
    use prometheus::{Histogram, IntGauge};

    use crate::metrics::{Counted, Families, Label, metrics};

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Course {
        Soup,
        Cheese,
    }

    impl Label for Course {
        fn all() -> impl IntoIterator<Item = (Self, &'static str)> {
            [(Course::Soup, "soup"), (Course::Cheese, "cheese")]
        }
    }

    metrics! {
        struct Kitchen {
            /// Meals.
            meals: Counted<Course> = "meals_total" ["course"];
            /// Guests now.
            guests: IntGauge = "guests";
            /// Waiting.
            waits: Histogram = "wait_seconds" in &[1.0, 10.0];
            /// Courses that were sent back.
            returned: Counted<Course> = "returned_total" ["course"];
        }
    }

    #[test]
    fn numbers_are_found_by_name_and_labels() {
        let families = Families::default();
        let kitchens = ["a", "b"].map(|table| Kitchen::register(&families.with("table", table)).unwrap());
        for kitchen in &kitchens {
            kitchen.meals.inc(Course::Soup);
            kitchen.guests.set(4);
        }
        kitchens[1].meals.inc(Course::Cheese);
        let figures = families.figures();
        assert_eq!(figures.count("meals_total", &[]), 3);
        assert_eq!(figures.count("meals_total", &[("table", "b"), ("course", "cheese")]), 1);
        assert_eq!(figures.count("guests", &[("table", "a")]), 4);
        assert_eq!(figures.by("meals_total", "course"), [("cheese".into(), 1), ("soup".into(), 2)]);
        kitchens[0].returned.inc(Course::Cheese);
        assert_eq!(families.figures().by("returned_total", "course"), [("cheese".into(), 1)], "what is 0 is left out");
        assert_eq!(figures.sum("no_such", &[]), 0.0);
        assert_eq!(figures.count("meals", &[]), 0, "the name is whole");
    }

    #[test]
    fn a_distribution_has_bounds_a_mean_and_a_difference() {
        let families = Families::default();
        let kitchen = Kitchen::register(&families).unwrap();
        let look = || families.figures().distribution("wait_seconds", &[]);
        assert_eq!((look().at_most(50), look().mean()), (None, None));
        (0..99).for_each(|_| kitchen.waits.observe(0.5));
        kitchen.waits.observe(5.0);
        let before = look();
        assert_eq!(before.buckets, [(1.0, 99), (10.0, 100)]);
        assert_eq!([50, 99, 100].map(|percent| before.at_most(percent)), [Some(1.0), Some(1.0), Some(10.0)]);
        kitchen.waits.observe(50.0);
        let after = look().since(&before);
        assert_eq!((after.count, after.mean(), after.at_most(50)), (1, Some(50.0), Some(f64::INFINITY)));
    }
}

//! The dashboard as Grafana would draw it from a real Prometheus.
//!
//! In: the dashboard's file, and a server. Out: each panel with its lines under their names, for a test to judge; and all of it as
//! JSON, for `scripts/dashboard.py` to draw.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::support::prometheus::Prometheus;

/// The dashboard that is shipped.
pub const DASHBOARD: &str = "helm/hookbus/files/dashboard.json";
/// Grafana takes four times the time between two scrapes.
const RATE_INTERVAL: &str = "4s";
/// What a variable is when everything is chosen.
const ALL: &str = ".*";

/// The values of one line, each with its Unix time in seconds. Prometheus's NaN is one.
pub type Points = Vec<(f64, f64)>;

/// A panel, drawn.
pub struct Panel {
    pub title: String,
    /// What it says when it is empty, in place of "No data".
    pub says: Option<String>,
    /// By legend; a panel of one number has none.
    pub lines: BTreeMap<String, Points>,
    /// The panel as the file has it.
    json: Value,
}

/// Every panel but the headings, over a time of the server's, in Unix seconds.
pub fn draw(prometheus: &Prometheus, from: f64, to: f64) -> Vec<Panel> {
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(DASHBOARD).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    panels.map(|panel| Panel::draw(prometheus, from, to, panel.clone())).collect()
}

impl Panel {
    fn draw(prometheus: &Prometheus, from: f64, to: f64, json: Value) -> Self {
        let mut lines = BTreeMap::new();
        for target in json["targets"].as_array().unwrap() {
            let format = target["legendFormat"].as_str().unwrap_or_default();
            for (labels, points) in prometheus.range(&chosen(target["expr"].as_str().unwrap()), from, to) {
                let twice = lines.insert(legend(format, &labels), points);
                assert!(twice.is_none(), "two lines of one name: {json}");
            }
        }
        let says = json["fieldConfig"]["defaults"]["noValue"].as_str().map(Into::into);
        Panel { title: json["title"].as_str().unwrap().into(), says, lines, json }
    }

    /// What a painter needs.
    pub fn to_json(&self) -> Value {
        let defaults = &self.json["fieldConfig"]["defaults"];
        let lines: Vec<_> = self.lines.iter().map(|(name, points)| json!({ "name": name, "points": points })).collect();
        json!({
            "title": self.title, "type": self.json["type"], "place": self.json["gridPos"], "unit": defaults["unit"],
            "says": self.says, "lines": lines,
        })
    }
}

/// An expression with everything chosen.
fn chosen(expression: &str) -> String {
    let variables = ["$namespace", "$job", "$instance", "$source"];
    let expression = variables.iter().fold(expression.to_owned(), |text, variable| text.replace(variable, ALL));
    let expression = expression.replace("$__rate_interval", RATE_INTERVAL);
    assert!(!expression.contains('$'), "a variable that this test does not know: {expression}");
    expression
}

/// `{{source}} p50` with the labels' values.
fn legend(format: &str, labels: &Value) -> String {
    let mut legend = String::new();
    let mut rest = format;
    while let Some((before, (label, after))) =
        rest.split_once("{{").and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
    {
        legend = legend + before + labels[label.trim()].as_str().unwrap_or_default();
        rest = after;
    }
    legend + rest
}

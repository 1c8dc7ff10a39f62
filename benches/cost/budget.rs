//! Budgets: what an event may cost, by bus; `budgets.toml`.

use std::collections::BTreeMap;

use figment::{
    Figment,
    providers::{Format as _, Toml},
};
use serde::Deserialize;

use crate::{subject::Bus, window::Light};

const FILE: &str = "benches/cost/budgets.toml";

/// The budgets of all buses.
#[derive(Debug)]
pub struct Budgets(BTreeMap<String, Budget>);

/// Most per event at 64 connections.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    allocations: f64,
    bytes: f64,
    /// How far the allocations may be below their budget.
    slack: f64,
}

impl Budgets {
    pub fn read() -> Self {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        Budgets(Figment::from(Toml::file_exact(file)).extract().expect("budgets"))
    }

    /// What is wrong with a bus: it costs too much, or its budget is so wide that it would not see a rise.
    pub fn judge(&self, bus: Bus, cost: Light) -> Vec<String> {
        let Budget { allocations, bytes, slack } = self.0[bus.name()];
        let what = |count: f64, unit: &str| format!("{}: {count:.2} {unit} per event", bus.name());
        let mut wrong = Vec::new();
        if cost.allocations > allocations {
            wrong.push(format!("{}, at most {allocations} in {FILE}", what(cost.allocations, "allocations")));
        }
        if cost.bytes > bytes {
            wrong.push(format!("{}, at most {bytes} in {FILE}", what(cost.bytes, "allocated bytes")));
        }
        if cost.allocations + slack <= allocations {
            let text = what(cost.allocations, "allocations");
            wrong.push(format!(
                "{text}: lower its budget of {allocations} in {FILE}, which would see no rise by {slack}"
            ));
        }
        wrong
    }
}

//! The console: what an operator asks at night, on one page, for whoever reaches the admin address.
//!
//! - `GET /console`: the page; its query says which of the last requests are shown
//! - `GET /console/recent.json`: those requests for a program, with the same query
//! - `GET /console/style.css`, `GET /console/script.js`: what the page is made of
//!
//! It reads the metrics and the history of requests, and changes nothing. It never shows a body, a header's value or a secret.

mod facts;
mod filter;
mod findings;
mod hosts;
mod json;
mod page;
mod requests;
mod sparkline;
mod state;
mod trend;
mod words;

use std::sync::Arc;

use http::{Method, Request, header};
use tokio::time::{MissedTickBehavior, interval};

use self::{
    facts::Facts,
    filter::{Filter, MOST},
    requests::{MOST_ROWS, ROWS, Shown},
    state::State,
    trend::{STEP, Sample, Trend},
};
use crate::{
    config::Config,
    health::Stage,
    log::{History, KEPT},
    metrics::Families,
    reply::{AdminReply, Content},
};

/// The path of the page; what belongs to it lies below.
const PATH: &str = "/console";

/// What the page is made from.
#[derive(Debug)]
pub struct Console {
    families: Families,
    history: Arc<History>,
    facts: Facts,
    trend: Trend,
    /// `admin.console_hosts`.
    hosts: Vec<String>,
}

impl Console {
    /// With the history that it shows; `None` when the configuration switches it off. `replica`: the machine's name.
    pub fn open(config: &Config, replica: String, families: &Families) -> Option<(Self, Arc<History>)> {
        let (facts, history) = (Facts::of(config, replica), Arc::new(History::default()));
        let trend = Trend::new(Sample::of(&families.figures(), &facts));
        let hosts = config.admin.console_hosts.clone();
        let console = Console { families: families.clone(), history: Arc::clone(&history), facts, trend, hosts };
        config.admin.console.then_some((console, history))
    }

    /// Counts minute by minute, until the runtime ends.
    pub async fn run(&self) {
        let mut minutes = interval(STEP);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, and the first sample is there.
        minutes.tick().await;
        loop {
            minutes.tick().await;
            self.trend.push(Sample::of(&self.families.figures(), &self.facts));
        }
    }

    /// Whether the console answers a path.
    pub(super) fn has(path: &str) -> bool {
        path.strip_prefix(PATH).is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }

    /// The answer to a request for one of its paths. `stage` and whether an event could be taken now; the gauges are set.
    pub(super) fn answer<B>(&self, request: &Request<B>, now: (Stage, bool)) -> AdminReply {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return AdminReply::ReadOnly;
        }
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        if !host.is_some_and(|host| hosts::is_ours(host, &self.hosts)) {
            return AdminReply::StrangeHost;
        }
        let query = request.uri().query().unwrap_or_default();
        let content = match request.uri().path().strip_prefix(PATH) {
            Some("") => self.page(query, now).map(Content::Page),
            Some("/recent.json") => self.recent(query).map(Content::Json),
            Some("/style.css") => Ok(Content::Style(include_str!("console/style.css"))),
            Some("/script.js") => Ok(Content::Script(include_str!("console/script.js"))),
            _ => return AdminReply::NotFound,
        };
        content.map_or_else(AdminReply::BadQuery, AdminReply::Console)
    }

    fn page(&self, query: &str, now: (Stage, bool)) -> Result<String, String> {
        let filter = Filter::read(query, &self.facts.names(), (ROWS, MOST_ROWS))?;
        let state = State::of(&self.families.figures(), &self.facts, &self.trend, now);
        Ok(page::page(&self.facts, &state, &Shown::of(&self.history, &filter)))
    }

    fn recent(&self, query: &str) -> Result<String, String> {
        let filter = Filter::read(query, &self.facts.names(), (KEPT, MOST))?;
        Ok(json::of(&Shown::of(&self.history, &filter)))
    }
}

#[cfg(test)]
mod tests;

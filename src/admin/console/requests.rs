//! The last requests: the ones asked for, the form that asks for others, and the table.

use std::time::SystemTime;

use jiff::Timestamp;
use maud::{Markup, html};

use super::{
    facts::Facts,
    filter::{Filter, OUTCOMES},
    words::{self, plain},
};
use crate::log::{History, PastRequest, Text};

/// Rows without a limit in the query: more than one screen, and little enough to be sent every few seconds.
pub(super) const ROWS: usize = 100;
/// Most rows of the page, of some hundred bytes each: what a browser lays out at once. All requests are in `recent.json`.
pub(super) const MOST_ROWS: usize = 500;

/// The requests asked for.
#[derive(Debug)]
pub(super) struct Shown<'f> {
    pub(super) filter: &'f Filter,
    /// The newest ones, newest first.
    pub(super) requests: Vec<PastRequest>,
    /// How many of those that are kept were asked for.
    pub(super) matching: usize,
    /// How many are kept.
    pub(super) kept: usize,
    /// Requests since the start, and those not copied.
    pub(super) seen: u64,
    pub(super) dropped: u64,
}

impl<'f> Shown<'f> {
    pub(super) fn of(history: &History, filter: &'f Filter) -> Self {
        let mut requests = history.kept();
        let kept = requests.len();
        requests.retain(|request| filter.takes(request));
        let matching = requests.len();
        requests.truncate(filter.limit);
        Shown { filter, requests, matching, kept, seen: history.seen(), dropped: history.dropped() }
    }
}

/// When a request was answered.
pub(super) fn at(request: &PastRequest) -> Timestamp {
    request.at.try_into().unwrap_or_else(|_| SystemTime::UNIX_EPOCH.try_into().unwrap_or_default())
}

/// The section of the page.
pub(super) fn section(facts: &Facts, shown: &Shown<'_>) -> Markup {
    html! {
        section #requests aria-labelledby="requests-heading" tabindex="-1" {
            h2 #requests-heading { "Last requests" }
            (form(facts, shown.filter))
            p #counted data-live { (counted(shown)) }
            div.scroll role="region" aria-label="Table of requests" tabindex="0" {
                table {
                    caption { "The newest first; times are UTC" }
                    thead {
                        tr {
                            th scope="col" { "Time" }
                            th scope="col" { "Source" }
                            th.number scope="col" { "Status" }
                            th scope="col" { "Outcome" }
                            th scope="col" { "Reason" }
                            th scope="col" { "Type" }
                            th scope="col" { "Event id, or path" }
                            th scope="col" { "Entity" }
                            th scope="col" { "Sender" }
                            th scope="col" { "Secret" }
                            th.number scope="col" { "Body" }
                            th.number scope="col" { "Took" }
                        }
                    }
                    tbody #rows data-live { @for request in &shown.requests { (row(request)) } }
                }
            }
        }
    }
}

fn counted(shown: &Shown<'_>) -> Markup {
    let number = |count: usize| words::count(count.try_into().unwrap_or(u64::MAX));
    html! {
        (number(shown.requests.len())) " shown of " (number(shown.matching)) " that match, "
        (number(shown.kept)) " kept, " (words::count(shown.seen)) " since the start"
        @if shown.dropped > 0 { ", " (words::count(shown.dropped)) " not kept for want of a free place" }
        "."
    }
}

fn form(facts: &Facts, filter: &Filter) -> Markup {
    html! {
        form #filter method="get" action="console" role="search" aria-label="Filter of requests" {
            label { "Source " (choice("source", &facts.names(), &filter.source)) }
            label { "Outcome " (choice("outcome", &OUTCOMES, &filter.outcome)) }
            label { "Type contains " input type="search" name="type" value=(filter.event_type) autocomplete="off"; }
            label { "Event or entity id contains " input type="search" name="id" value=(filter.id) autocomplete="off"; }
            label { "At most " input type="number" name="limit" value=(filter.limit) min="1" max=(MOST_ROWS); " rows" }
            button { "Show" }
            " "
            a href="console" { "Show all" }
        }
    }
}

fn choice(name: &str, values: &[&str], chosen: &str) -> Markup {
    html! {
        select name=(name) {
            option value="" { "any" }
            @for value in values { option value=(value) selected[*value == chosen] { (value) } }
        }
    }
}

fn row(request: &PastRequest) -> Markup {
    let at = at(request);
    let text = |text| request.text(text).map(plain).unwrap_or_default();
    let name = request.text(Text::Id).or(request.text(Text::Path)).map(plain).unwrap_or_default();
    let bytes = u64::try_from(request.bytes).unwrap_or(u64::MAX);
    html! {
        tr class=(request.outcome) {
            td { time datetime=(at) { (at.strftime("%m-%d %H:%M:%S%.3f").to_string()) } }
            td { (text(Text::Source)) }
            td.number { (request.status) }
            td { (mark(request.outcome)) " " (request.outcome) }
            td { (text(Text::Reason)) }
            td { (text(Text::Type)) }
            td.id { bdi { (name) } }
            td.id { bdi { (text(Text::Entity)) } }
            td { (request.sender) }
            td { (text(Text::Secret)) }
            td.number { (words::size(bytes)) }
            td.number { (words::duration(request.duration)) }
        }
    }
}

/// Says what the colour says.
fn mark(outcome: &str) -> &'static str {
    match outcome {
        "accepted" => "✓",
        "rejected" => "▲",
        _ => "✖",
    }
}

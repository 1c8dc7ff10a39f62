//! Which of the last requests are shown: the query of `/console` and of `/console/recent.json`.

use crate::log::{KEPT, PastRequest, Text};

/// What a request can have become.
pub(super) const OUTCOMES: [&str; 4] = ["accepted", "rejected", "failed", "abandoned"];
/// Most requests that there are to show.
pub(super) const MOST: usize = 2 * KEPT;

/// What is asked for; an empty text asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    /// The whole name of a source.
    pub(super) source: String,
    /// The whole outcome.
    pub(super) outcome: String,
    /// A part of the event's type.
    pub(super) event_type: String,
    /// A part of the event's id, or of the id of what it is about.
    pub(super) id: String,
    /// Most requests shown.
    pub(super) limit: usize,
}

impl Filter {
    /// Reads a query. `sources`: the names there are; `limit`: without one in the query; `most`: the largest there may be.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub(super) fn read(query: &str, sources: &[&str], (limit, most): (usize, usize)) -> Result<Self, String> {
        let (source, outcome, event_type, id) = Default::default();
        let mut filter = Filter { source, outcome, event_type, id, limit };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.trim().to_owned();
            match &*name {
                "source" if value.is_empty() || sources.contains(&&*value) => filter.source = value,
                "source" => return Err(format!("source must be one of: {}", sources.join(", "))),
                "outcome" if value.is_empty() || OUTCOMES.contains(&&*value) => filter.outcome = value,
                "outcome" => return Err(format!("outcome must be one of: {}", OUTCOMES.join(", "))),
                "type" => filter.event_type = value,
                "id" => filter.id = value,
                "limit" => {
                    let number = value.parse().ok().filter(|number| (1..=most).contains(number));
                    filter.limit = number.ok_or_else(|| format!("limit must be a number from 1 to {most}"))?;
                }
                _ => return Err("the query may have source, outcome, type, id and limit, and nothing else".into()),
            }
        }
        Ok(filter)
    }

    /// Whether a request is asked for.
    pub(super) fn takes(&self, request: &PastRequest) -> bool {
        let text = |text| request.text(text).unwrap_or_default();
        (self.source.is_empty() || self.source == text(Text::Source))
            && (self.outcome.is_empty() || self.outcome == request.outcome)
            && text(Text::Type).contains(&self.event_type)
            && (text(Text::Id).contains(&self.id) || text(Text::Entity).contains(&self.id))
    }

    /// The query that asks for the same, without its limit.
    pub(super) fn query(&self) -> String {
        let pairs =
            [("source", &self.source), ("outcome", &self.outcome), ("type", &self.event_type), ("id", &self.id)];
        let asked = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        form_urlencoded::Serializer::new(String::new()).extend_pairs(asked).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::log::{History, RequestLine};

    fn read(query: &str) -> Result<Filter, String> {
        Filter::read(query, &["acme", "none"], (100, MOST))
    }

    #[test]
    fn a_query_is_read_and_written() {
        let filter = read("source=acme&outcome=rejected&type=file.&id=evt+%3Cb%3E&limit=7").unwrap();
        assert_eq!((filter.id.as_str(), filter.limit), ("evt <b>", 7));
        let again = read(&filter.query()).unwrap();
        assert_eq!(again, Filter { limit: 100, ..filter });
        assert_eq!(read("source=&outcome=&type=&id=").unwrap(), read("").unwrap());
        assert_eq!(read("").unwrap().query(), "");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_reason() {
        for (query, said) in [
            ("source=acmee", "acme, none"),
            ("outcome=bad", "accepted"),
            ("limit=0", "from 1 to 2000"),
            ("limit=2001", "from 1 to 2000"),
            ("limit=x", "from 1 to 2000"),
            ("sorce=acme", "nothing else"),
        ] {
            let error = read(query).unwrap_err();
            assert!(error.contains(said), "{query}: {error}");
        }
    }

    #[test]
    fn each_part_of_a_filter_must_hold() {
        let history = History::default();
        history.push(&RequestLine {
            source: "acme",
            status: 200,
            outcome: "accepted",
            reason: None,
            event_type: Some("com.audit1.file.failed"),
            event_id: Some("evt_1"),
            entity: Some("file_9"),
            path: None,
            sender: std::net::Ipv4Addr::LOCALHOST.into(),
            user_agent: None,
            secret: None,
            bytes: 1,
            duration: Duration::ZERO,
            trace_id: None,
        });
        let [request] = history.kept().try_into().unwrap();
        for (query, takes) in [
            ("", true),
            ("source=acme&outcome=accepted&type=file.f&id=vt_", true),
            ("id=file_9", true),
            ("source=none", false),
            ("outcome=failed", false),
            ("type=policy", false),
            ("id=evt_2", false),
        ] {
            assert_eq!(read(query).unwrap().takes(&request), takes, "{query}");
        }
    }
}

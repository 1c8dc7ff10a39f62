//! Which secret the gateways verify with, from their own metrics.
//!
//! In: the URLs of `/metrics`, of each gateway or of a federation. Out: what they count for one secret file of one source.

use std::time::Duration;

use serde_json::{Value, json};

use crate::commands::failure::Failure;

/// How long one look may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer.
const MOST_ANSWER: u64 = 32 << 20;

/// What the gateways said at one moment.
#[derive(Debug)]
pub(super) struct Usage {
    /// One for each URL: its text.
    pages: Vec<String>,
    source: String,
}

/// What is counted of one secret file: changes when a request was verified with it, and when a gateway was started anew, since
/// then nobody knows what it had counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Count {
    /// By URL: when the process was started, and its matches.
    parts: Vec<(String, u64)>,
}

impl Usage {
    /// Asks each gateway.
    ///
    /// # Errors
    /// One that does not answer, or does not know the source's secret files.
    pub(super) fn read(urls: &[String], source: &str, files: [&str; 2]) -> Result<Self, Failure> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(0).proxy(None).build();
        let agent: ureq::Agent = agent.into();
        let page = |url: &String| {
            let mut answer = agent.get(url).call().map_err(Failure::at(url))?;
            let page = answer.body_mut().with_config().limit(MOST_ANSWER).read_to_string().map_err(Failure::at(url))?;
            for file in files {
                if values(&page, "hookbus_secret_matches_total", source, Some(file)).next().is_none() {
                    let text = format!(
                        "counts nothing for the secret {file} of source {source}: is this hookbus' /metrics, and \
                                        does its configuration list the file?"
                    );
                    return Err(Failure::at(url)(text));
                }
            }
            Ok(page)
        };
        Ok(Usage { pages: urls.iter().map(page).collect::<Result<_, Failure>>()?, source: source.into() })
    }

    /// The matches of one secret file.
    pub(super) fn of(&self, file: &str) -> Count {
        let part = |page: &String| {
            let matches = values(page, "hookbus_secret_matches_total", &self.source, Some(file)).sum();
            (started(page), matches)
        };
        Count { parts: self.pages.iter().map(part).collect() }
    }

    /// What a new secret in this file will be held against.
    pub(super) fn before(&self, file: &str) -> Before {
        Before { count: self.of(file), loads: self.loads() }
    }

    /// Whether each process has read the files anew since, and uses what they hold. One match is none: another replica may not
    /// have the file.
    pub(super) fn is_loaded_since(&self, before: &Before) -> bool {
        let states = |page| values(page, "hookbus_secret_reload_success", &self.source, None);
        let loads = self.loads();
        self.pages.iter().all(|page| states(page).all(|state| state == 1))
            && loads.iter().all(|pages| !pages.is_empty())
            && loads.iter().flatten().all(|(process, now)| {
                let earlier = before.loads.iter().flatten().find(|(earlier, _)| earlier == process);
                earlier.is_none_or(|(_, then)| then.0 != now.0 || then.1 < now.1)
            })
    }

    /// By URL: each process.
    fn loads(&self) -> Vec<Vec<Load>> {
        let of_page = |(url, page): (usize, &String)| {
            let starts: Vec<_> = lines(page, "process_start_time_seconds").collect();
            let ours = format!("source=\"{}\"", escaped(&self.source));
            let taken = lines(page, "hookbus_secret_reloads_total")
                .filter(|(labels, _)| labels.contains(&ours) && labels.contains(&"result=\"ok\"".into()));
            let load = |(labels, value): (Vec<String>, &str)| {
                let is_of_process = |label: &String| *label != ours && !label.starts_with("result=\"");
                let process: Vec<_> = labels.into_iter().filter(is_of_process).collect();
                let start = starts.iter().find(|(labels, _)| *labels == process).map_or("", |(_, start)| start);
                (format!("{url} {}", process.join(",")), (start.to_owned(), value.parse().unwrap_or(0)))
            };
            taken.map(load).collect()
        };
        self.pages.iter().enumerate().map(of_page).collect()
    }
}

/// A process, when it was started, and how often it has taken new secrets of the source since.
type Load = (String, (String, u64));

/// What was so before a new secret was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Before {
    /// The matches of its file.
    pub(super) count: Count,
    loads: Vec<Vec<Load>>,
}

impl Before {
    pub(super) fn to_json(&self) -> Value {
        json!({"count": self.count.to_json(), "loads": self.loads})
    }

    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let loads = serde_json::from_value(value["loads"].clone()).ok()?;
        Some(Before { count: Count::from_json(&value["count"])?, loads })
    }
}

impl Count {
    /// Whether a request was verified since an earlier count, as far as can be known.
    pub(super) fn has_matched_since(&self, earlier: &Count) -> bool {
        self.parts.iter().any(|part| 0 < part.1 && !earlier.parts.contains(part))
    }

    pub(super) fn to_json(&self) -> Value {
        json!(self.parts)
    }

    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let part = |part: &Value| Some((part[0].as_str()?.to_owned(), part[1].as_u64()?));
        Some(Count { parts: value.as_array()?.iter().map(part).collect::<Option<_>>()? })
    }
}

/// When the processes were started. A federation has several, in any order, each with a time of its own look behind it.
fn started(page: &str) -> String {
    let lines = page.lines().filter(|line| line.starts_with("process_start_time_seconds"));
    let mut starts: Vec<String> = lines
        .filter_map(|line| {
            let (labels, rest) = line.rsplit_once('}').or_else(|| line.split_once(' '))?;
            Some(format!("{labels} {}", rest.split_whitespace().next()?))
        })
        .collect();
    starts.sort();
    starts.join("\n")
}

/// The lines of a series: their labels, sorted, and their values.
fn lines<'p>(page: &'p str, name: &'p str) -> impl Iterator<Item = (Vec<String>, &'p str)> {
    page.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, values) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let whole = |label: &str| if label.ends_with('"') { label.to_owned() } else { format!("{label}\"") };
        let mut labels: Vec<_> = labels.split("\",").filter(|label| !label.is_empty()).map(whole).collect();
        labels.sort();
        Some((labels, values.split(' ').next()?))
    })
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The values of a series of one source, with a secret's label if that is asked for. Counters and states are whole numbers.
fn values<'p>(page: &'p str, name: &'p str, source: &str, secret: Option<&str>) -> impl Iterator<Item = u64> + use<'p> {
    let mut wanted = vec![format!(",source=\"{}\",", escaped(source))];
    wanted.extend(secret.map(|secret| format!(",secret=\"{}\",", escaped(secret))));
    page.lines().filter_map(move |line| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
        let labels = format!(",{labels},");
        let is_meant = wanted.iter().all(|label| labels.contains(label.as_str()));
        is_meant.then(|| value.split(' ').next()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(pages: &[&str]) -> Usage {
        Usage { pages: pages.iter().map(|page| (*page).into()).collect(), source: "acme".into() }
    }

    const PAGE: &str = "# HELP hookbus_secret_matches_total x\nhookbus_secret_matches_total{secret=\"old\",source=\"acme\"} 3\n\
        hookbus_secret_matches_total{secret=\"old\",source=\"acme2\"} 7\nhookbus_secret_matches_total{secret=\"new\",source=\"acme\"} 0\n\
        hookbus_secret_reload_success{source=\"acme\"} 1\nprocess_start_time_seconds 5\n";

    #[test]
    fn a_count_is_of_one_file_of_one_source() {
        let one = usage(&[PAGE]);
        let (old, new) = (one.of("old"), one.of("new"));
        assert_eq!((old.parts[0].1, new.parts[0].1, one.of("ol").parts[0].1), (3, 0, 0));
        // Of a federation: several lines, more labels, a time.
        let more = "hookbus_secret_matches_total{instance=\"a:1\",secret=\"old\",source=\"acme\"} 4 1700000000000\n\
            hookbus_secret_matches_total{instance=\"b:1\",secret=\"old\",source=\"acme\"} 5 1700000000000\n";
        assert_eq!(usage(&[more]).of("old").parts[0].1, 9);
        let start = "process_start_time_seconds{instance=\"a:1\"} 5 1700000000000\nprocess_start_time_seconds{instance=\"b:1\"} 6 17\n";
        let later = "process_start_time_seconds{instance=\"b:1\"} 6 1800000000000\nprocess_start_time_seconds{instance=\"a:1\"} 5 18\n";
        let [before, after] = [start, later].map(|start| usage(&[&format!("{more}{start}")]).of("old"));
        assert!(before == after && !after.has_matched_since(&before), "{before:?}");
        assert_eq!(Count::from_json(&old.to_json()), Some(old));
    }

    #[test]
    fn a_gateway_that_was_started_anew_is_no_silence() {
        let before = usage(&[PAGE, PAGE]);
        assert!(!before.of("old").has_matched_since(&before.of("old")));
        assert!(!usage(&[PAGE]).of("new").has_matched_since(&before.of("new")));
        let again = PAGE.replace("seconds 5", "seconds 6");
        let after = usage(&[PAGE, &again]);
        assert!(after.of("old") != before.of("old") && after.of("old").has_matched_since(&before.of("old")));
        assert!(!after.of("new").has_matched_since(&before.of("new")));
    }

    #[test]
    fn a_secret_is_loaded_when_each_process_has_read_its_files_anew() {
        let page = |start: u64, reloads: u64, success: u64| {
            format!(
                "hookbus_secret_reloads_total{{result=\"ok\",source=\"acme\"}} {reloads}\n\
                 hookbus_secret_reloads_total{{result=\"refused\",source=\"acme\"}} 9\n\
                 hookbus_secret_reloads_total{{result=\"ok\",source=\"other\"}} 9\n\
                 hookbus_secret_reload_success{{source=\"acme\"}} {success}\nprocess_start_time_seconds {start}\n"
            )
        };
        let before = usage(&[&page(5, 1, 1), &page(5, 1, 1)]).before("new");
        let loaded = |pages: &[&str]| usage(pages).is_loaded_since(&before);
        assert!(!loaded(&[&page(5, 1, 1), &page(5, 1, 1)]), "nothing was read");
        assert!(!loaded(&[&page(5, 2, 1), &page(5, 1, 1)]), "the second one has not");
        assert!(!loaded(&[&page(5, 2, 1), &page(5, 2, 0)]), "the second one has read a bad file");
        assert!(!loaded(&[&page(5, 2, 1), PAGE]), "the second one does not tell");
        assert!(loaded(&[&page(5, 2, 1), &page(5, 2, 1)]));
        assert!(loaded(&[&page(5, 2, 1), &page(6, 0, 1)]), "the second one was started anew, and has read them then");
        assert_eq!(Before::from_json(&before.to_json()), Some(before));
        // One page of two.
        let line = |process: &str, reloads: u64| {
            format!(
                "hookbus_secret_reloads_total{{instance=\"{process}\",job=\"h\",result=\"ok\",source=\"acme\"}} {reloads} 1700\n\
                 process_start_time_seconds{{instance=\"{process}\",job=\"h\"}} 5 1700\n"
            )
        };
        let before = usage(&[&(line("a:1", 0) + &line("b:1", 3))]).before("new");
        let loaded = |a, b| usage(&[&(line("a:1", a) + &line("b:1", b))]).is_loaded_since(&before);
        assert_eq!((loaded(1, 3), loaded(0, 4), loaded(1, 4)), (false, false, true));
    }
}

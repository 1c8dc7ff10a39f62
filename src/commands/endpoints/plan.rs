//! What is to be done, from what is there and what is wanted. Nothing is asked or changed here.

use std::{collections::BTreeSet, fmt, path::PathBuf};

use super::{
    keep::Held,
    ledger::{Creating, Current, Ledger},
};
use crate::{
    apis::{Api, Endpoint, Wanted},
    text::terminal,
};

/// All that a plan depends on.
pub(super) struct Situation<'a> {
    pub(super) api: &'a Api,
    pub(super) wanted: &'a Wanted,
    /// Every event that an endpoint can ask for.
    pub(super) all: &'a BTreeSet<String>,
    /// What is there.
    pub(super) endpoints: &'a [Endpoint],
    pub(super) ledger: &'a Ledger,
    /// The first secret file, for the operator's eyes.
    pub(super) file: String,
    /// What it holds.
    pub(super) held: Held,
    /// What the file holds that the endpoint that is being made gets.
    pub(super) stored: Held,
    /// The other files that the source lists and that hold nothing: a gateway starts only when all have a secret.
    pub(super) empty: Vec<PathBuf>,
    /// Whether a secret that it holds may be replaced.
    pub(super) may_replace: bool,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// An earlier apply made this endpoint and did not store its secret.
    Remove { id: String },
    /// An earlier apply made this endpoint and stored its secret, but could not say so.
    Record { id: String },
    /// Make the endpoint.
    Create { text: String },
    /// Change where it posts to, or what.
    Update { id: String, url: bool, events: bool, text: String },
    /// Switch it on.
    Enable { id: String },
    /// Write the secret into another listed file, too.
    Fill { file: PathBuf },
}

/// What is to be done, what cannot be, and what else to know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Our endpoint, when it is there.
    pub(super) ours: Option<String>,
    pub(super) steps: Vec<Step>,
    pub(super) obstacles: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Situation<'_> {
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        let mut there: Vec<&Endpoint> = self.endpoints.iter().collect();
        let mut current = self.ledger.current.as_ref().map(|current| current.id.clone());
        let unfinished = self.ledger.creating.as_ref().and_then(|creating| self.finish(creating, &mut plan));
        let rotates = self.ledger.creating.as_ref().is_some_and(|creating| creating.rotates.is_some());
        match &unfinished {
            Some(Step::Remove { id }) => there.retain(|endpoint| endpoint.id != *id),
            // One of a rotation stands beside ours.
            Some(Step::Record { id }) if !rotates => current = Some(id.clone()),
            _ => {}
        }
        plan.steps.extend(unfinished);
        let is_at_url = |endpoint: &&&Endpoint| endpoint.url == self.wanted.url;
        let at_url: Vec<&Endpoint> = there.iter().filter(is_at_url).copied().collect();
        let ours = there.iter().copied().find(|endpoint| current.as_ref() == Some(&endpoint.id));
        match (ours, at_url.as_slice()) {
            (Some(ours), _) => self.compare(ours, &mut plan),
            (None, []) => self.create(&mut plan),
            (None, [only]) => self.compare(only, &mut plan),
            (None, several) => plan.obstacles.push(format!(
                "{} have this URL, and each event comes {} times: `hookbus endpoints delete` all but that whose secret is \
                 in {}",
                ids(several),
                several.len(),
                self.file
            )),
        }
        let ours = ours.or(at_url.first().copied());
        plan.ours = ours.map(|ours| ours.id.clone()).filter(|_| plan.obstacles.is_empty());
        let rotating = self.ledger.rotating.as_ref();
        let is_new = |endpoint: &Endpoint| rotating.is_some_and(|rotating| rotating.new == endpoint.id);
        if let Some(rotating) = rotating {
            plan.notes.push(format!("a rotation to {} is under way: `hookbus endpoints rotate`", rotating.new));
        }
        let others: Vec<&Endpoint> =
            at_url.iter().copied().filter(|other| Some(*other) != ours && !is_new(other)).collect();
        if plan.obstacles.is_empty() && !others.is_empty() {
            plan.notes.push(format!("{} too: each event comes more than once", ids(&others)));
        }
        plan
    }

    /// What an earlier apply has left undone.
    fn finish(&self, creating: &Creating, plan: &mut Plan) -> Option<Step> {
        let may_be = |endpoint: &&Endpoint| match &creating.id {
            Some(id) => endpoint.id == *id,
            None => endpoint.url == creating.url && !creating.before.contains(&endpoint.id),
        };
        let left: Vec<&Endpoint> = self.endpoints.iter().filter(may_be).collect();
        // The secret is stored only after the id is.
        let has_new_secret = self.stored.digest().is_some_and(|held| creating.old.as_deref() != Some(held));
        match left.as_slice() {
            [] => None,
            [one] if has_new_secret && creating.id.is_some() => Some(Step::Record { id: one.id.clone() }),
            [one] if !has_new_secret => Some(Step::Remove { id: one.id.clone() }),
            // Several, or a secret that the earlier apply has not stored.
            several => {
                plan.obstacles.push(format!(
                    "an earlier apply may have made one of {}: `hookbus endpoints delete` those that you do not know",
                    ids(several)
                ));
                None
            }
        }
    }

    fn create(&self, plan: &mut Plan) {
        if self.held != Held::Nothing && !self.may_replace {
            plan.obstacles.push(format!(
                "no endpoint has this URL, and {} already holds a secret: `apply --rotate` replaces it",
                self.file
            ));
            return;
        }
        let text = format!("{} for {} events", self.wanted.url, self.wanted.events.len());
        plan.steps.push(Step::Create { text });
        self.fill(plan);
    }

    fn fill(&self, plan: &mut Plan) {
        plan.steps.extend(self.empty.iter().map(|file| Step::Fill { file: file.clone() }));
    }

    fn compare(&self, ours: &Endpoint, plan: &mut Plan) {
        let is_elsewhere = |current: &Current| current.in_kubernetes && current.id == ours.id;
        if self.held == Held::Nothing && !self.ledger.current.as_ref().is_some_and(is_elsewhere) {
            plan.obstacles.push(format!(
                "{} has this URL, and its secret is not in {}: copy it there from the vendor's portal, or \
                 `hookbus endpoints delete {}` and apply again",
                ours.id, self.file, ours.id
            ));
        }
        if self.held != Held::Nothing {
            self.fill(plan);
        }
        let url = ours.url != self.wanted.url;
        let events = ours.has_other_events(self.wanted, self.all);
        if url || events {
            let shown = |text: &str| terminal(text.as_bytes());
            let mut text =
                if url { format!(" url {} -> {}", shown(&ours.url), self.wanted.url) } else { String::new() };
            let there = ours.events.clone().unwrap_or_default();
            let (wanted, there) = (&self.wanted.events, &there);
            text.extend(wanted.difference(there).filter(|_| events).map(|event| format!(" +{event}")));
            text.extend(there.difference(wanted).filter(|_| events).map(|event| format!(" -{}", shown(event))));
            plan.steps.push(Step::Update { id: ours.id.clone(), url, events, text });
        }
        if ours.events.is_none() {
            plan.notes.push(format!("the vendor does not show the events of {}", ours.id));
        }
        // A rotation has switched it off.
        let is_leaving = self.ledger.rotating.as_ref().is_some_and(|rotating| rotating.quiet.is_some());
        if self.api.is_off(ours) && !is_leaving {
            plan.steps.push(Step::Enable { id: ours.id.clone() });
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Remove { id } => {
                write!(f, "- delete {id}: an earlier apply made it, and its secret was not stored")
            }
            Step::Record { id } => write!(f, "= remember {id}: an earlier apply made it, and its secret is stored"),
            Step::Create { text } => write!(f, "+ make an endpoint: {text}"),
            Step::Update { id, text, .. } => write!(f, "~ change {id}:{text}"),
            Step::Enable { id } => write!(f, "~ switch {id} on"),
            Step::Fill { file } => write!(f, "= write its secret to {}, too", file.display()),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "  {step}"))?;
        self.obstacles.iter().try_for_each(|obstacle| writeln!(f, "  ! {obstacle}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))?;
        if self.is_done() { writeln!(f, "  nothing to do") } else { Ok(()) }
    }
}

impl Plan {
    /// Whether all is as wanted.
    pub(super) fn is_done(&self) -> bool {
        self.steps.is_empty() && self.obstacles.is_empty()
    }
}

fn ids(endpoints: &[&Endpoint]) -> String {
    endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{apis, vendors::Vendor};

    const URL: &str = "https://a.example/hook";

    fn endpoint(id: &str, url: &str) -> Endpoint {
        Endpoint { id: id.into(), url: url.into(), events: Some(["a.b".into()].into()), status: Some("active".into()) }
    }

    /// The lines of a plan, for a file that holds a secret with this digest.
    fn plan(
        endpoints: &[Endpoint],
        held: Option<&str>,
        creating: Option<Creating>,
        current: Option<&str>,
    ) -> Vec<String> {
        let mut ledger = Ledger::read(std::path::Path::new("/nowhere/secret")).unwrap();
        ledger.creating = creating;
        ledger.current = current.map(|id| Current { id: id.into(), in_kubernetes: false });
        let hold = |held: Option<&str>| held.map_or(Held::Nothing, |digest| Held::Secret(digest.into()));
        let wanted = Wanted { url: URL.into(), events: ["a.b".into()].into(), description: None };
        let situation = Situation {
            api: apis::of(Vendor::Audit1).unwrap(),
            wanted: &wanted,
            all: &["a.b".into(), "c.d".into()].into(),
            endpoints,
            ledger: &ledger,
            file: "FILE".into(),
            empty: Vec::new(),
            held: hold(held),
            stored: hold(held),
            may_replace: false,
        };
        situation.plan().to_string().lines().map(|line| line.trim().chars().take(24).collect()).collect()
    }

    fn creating(id: Option<&str>, old: Option<&str>) -> Option<Creating> {
        let before = vec!["before".into()];
        Some(Creating { url: URL.into(), before, id: id.map(Into::into), old: old.map(Into::into), rotates: None })
    }

    #[test]
    fn what_an_apply_has_left_is_finished() {
        let there = [endpoint("new", URL)];
        let make = "+ make an endpoint: http";
        assert_eq!(plan(&[], None, None, None), [make]);
        // Ended before the vendor made it, before it told the id, before the secret was stored, and after that.
        assert_eq!(plan(&[], None, creating(None, None), None), [make]);
        assert_eq!(plan(&there, None, creating(None, None), None), ["- delete new: an earlier", make]);
        assert_eq!(plan(&there, None, creating(Some("new"), None), None), ["- delete new: an earlier", make]);
        assert_eq!(plan(&there, Some("x"), creating(Some("new"), None), None), ["= remember new: an earli"]);
        // The same where a secret is replaced; the older secret stays.
        let stuck = ["- delete new: an earlier", "! no endpoint has this U"];
        assert_eq!(plan(&there, Some("old"), creating(Some("new"), Some("old")), None), stuck);
        // What was there before, or elsewhere, is never deleted; nor is what may be another's.
        assert_eq!(plan(&[endpoint("before", URL)], Some("x"), creating(None, None), None), ["nothing to do"]);
        let other = [endpoint("other", "https://a.example/other")];
        assert_eq!(plan(&other, None, creating(None, None), None), [make]);
        let ask = "! an earlier apply may";
        assert!(plan(&there, Some("x"), creating(None, None), None)[0].starts_with(ask));
        let two = [endpoint("new", URL), endpoint("newer", URL)];
        assert!(plan(&two, None, creating(None, None), None)[0].starts_with(ask));
    }

    #[test]
    fn what_differs_is_changed_and_what_is_not_shown_is_not_compared() {
        let ours = endpoint("ours", URL);
        assert_eq!(plan(std::slice::from_ref(&ours), Some("x"), None, None), ["nothing to do"]);
        assert_eq!(plan(std::slice::from_ref(&ours), None, None, None)[0], "! ours has this URL, and");
        let moved = endpoint("ours", "https://b.example/hook");
        assert_eq!(plan(&[moved], Some("x"), None, Some("ours")), ["~ change ours: url https"]);
        let more = Endpoint { events: Some(["*".into()].into()), ..ours.clone() };
        assert_eq!(plan(&[more], Some("x"), None, None), ["~ change ours: +a.b -*"]);
        let hidden = Endpoint { events: None, ..ours.clone() };
        assert_eq!(plan(&[hidden], Some("x"), None, None)[0], "note: the vendor does no");
        let off = Endpoint { status: Some("failed".into()), ..ours };
        assert_eq!(plan(&[off], Some("x"), None, None), ["~ switch ours on"]);
    }
}

//! What was posted and answered, and what the oracle says of it.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

/// One event, with all its posts.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) key: usize,
    pub(super) body: Bytes,
    /// When it was posted first.
    sent: u64,
    /// When it was first answered 200.
    accepted: Option<u64>,
}

/// All events of a seed. Moments are numbered: no two are the same.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) posted: Vec<Posted>,
    moments: u64,
}

/// A message as a subscriber finds it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) number: usize,
    pub(super) key: usize,
    pub(super) body: Bytes,
}

impl Ledger {
    pub(super) fn post(&mut self, key: usize, body: impl FnOnce(usize) -> Bytes) -> usize {
        let number = self.posted.len();
        let sent = self.moment();
        self.posted.push(Posted { key, body: body(number), sent, accepted: None });
        number
    }

    pub(super) fn accept(&mut self, number: usize) {
        let moment = self.moment();
        self.posted[number].accepted.get_or_insert(moment);
    }

    pub(super) fn accepted(&self) -> usize {
        self.posted.iter().filter(|posted| posted.accepted.is_some()).count()
    }

    fn moment(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }

    /// Judges what is on the bus, in its order, and in the dead letters: what is lost, corrupted or inverted.
    pub(super) fn judge(&self, bus: &[Found], dead_letters: &[Found]) -> Result<(), String> {
        let mut seen = HashSet::new();
        let dead: HashSet<usize> = dead_letters.iter().map(|found| found.number).collect();
        for lane in [bus, dead_letters] {
            // Of each key, the event that was sent last of those that stand so far.
            let mut newest: HashMap<usize, (u64, usize)> = HashMap::new();
            for Found { number, key, body } in lane {
                let Some(posted) = self.posted.get(*number) else { return Err(format!("{number} was never posted")) };
                if posted.body != body || posted.key != *key {
                    return Err(format!("{number} is corrupted: {body:?}"));
                }
                // A second copy has no place; nor has what lies in the dead letters, and was published all the same when a
                // crash forgot that it is done with.
                if !seen.insert(*number) || dead.contains(number) {
                    continue;
                }
                let newest = newest.entry(*key).or_insert((posted.sent, *number));
                if posted.accepted.is_some_and(|accepted| accepted < newest.0) {
                    return Err(format!("inverted: {} stands before {number}, of key {key}", newest.1));
                }
                *newest = (*newest).max((posted.sent, *number));
            }
        }
        let is_lost = |number: &usize| self.posted[*number].accepted.is_some() && !seen.contains(number);
        let lost: Vec<usize> = (0..self.posted.len()).filter(is_lost).collect();
        if lost.is_empty() { Ok(()) } else { Err(format!("lost: {lost:?}")) }
    }
}

/// The oracle itself: it must see each fault.
#[test]
fn it_sees_each_fault() {
    let mut ledger = Ledger::default();
    let body = |number: usize| Bytes::from(number.to_string());
    // Of one key: 0 answered, then 1 and 2 overlapping, then 3, of which no answer came.
    let zero = ledger.post(0, body);
    ledger.accept(zero);
    let (one, two) = (ledger.post(0, body), ledger.post(0, body));
    ledger.accept(two);
    ledger.accept(one);
    ledger.post(0, body);
    let found = |numbers: &[usize]| -> Vec<Found> {
        numbers.iter().map(|number| Found { number: *number, key: 0, body: body(*number) }).collect()
    };
    let judge = |bus: &[usize], dead: &[usize]| ledger.judge(&found(bus), &found(dead)).err().unwrap_or_default();
    assert_eq!(judge(&[0, 1, 2], &[]), "", "what was not answered may be missing");
    assert_eq!(judge(&[0, 2, 1, 3], &[]), "", "overlapping ones have no order");
    assert!(judge(&[1, 0, 2], &[]).starts_with("inverted: 1 stands before 0"));
    assert!(judge(&[3, 0, 1, 2], &[]).starts_with("inverted"), "answered or not, it was sent later");
    assert_eq!(judge(&[0, 2], &[]), "lost: [1]");
    assert_eq!(judge(&[0, 1, 2, 0], &[]), "", "a second copy has no place");
    assert_eq!(judge(&[0, 2], &[1]), "");
    assert_eq!(judge(&[1, 0, 2], &[0]), "", "no order between two lanes");
    assert!(judge(&[0, 1, 2, 9], &[]).ends_with("never posted"));
    let mut other = found(&[0, 1, 2]);
    other[1].body = body(7);
    assert!(ledger.judge(&other, &[]).unwrap_err().contains("corrupted"));
    other[1] = Found { number: 1, key: 5, body: body(1) };
    assert!(ledger.judge(&other, &[]).unwrap_err().contains("corrupted"));
}

//! New events for `hookbus trigger`: a sample of the catalogue with a new identity.
//!
//! In: a row of the catalogue, a clock, randomness. Out: the sample's bytes, in which the event's id, its time and the id
//! of its thing are new, so that each trigger is an event of its own. Everything else stays byte for byte, white space
//! and spelling of numbers included.

use crate::{
    event::{
        EventTime,
        members::{Found, Members, Slot},
    },
    json,
    vendors::{Entry, Vendor},
};

/// Most characters of an id that are made new. Long ids begin with a time (ULIDs, object ids), which the
/// tail leaves in place.
const FRESH_CHARS: usize = 16;

/// Letters of random tails, from the narrowest alphabet to the widest.
const ALPHABETS: [&[u8]; 5] = [
    b"0123456789",
    b"0123456789abcdef",
    b"0123456789abcdefghijklmnopqrstuvwxyz",
    // Crockford's base 32, of ULIDs.
    b"0123456789ABCDEFGHJKMNPQRSTVWXYZ",
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
];

/// A new event of this row of the vendor's catalogue that happens at `now_unix_millis`, in the notation of its form.
pub(crate) fn fresh(vendor: Vendor, entry: &Entry, now_unix_millis: i64, random: &mut fastrand::Rng) -> Vec<u8> {
    let sample = entry.sample;
    let Ok(members) = Members::read(vendor.profile(), sample.as_bytes()) else {
        // A test reads every sample.
        return sample.into();
    };
    let entity = entry.id_pointers.iter().find_map(|pointer| members.at(pointer));
    let mut patches = Vec::with_capacity(3);
    for id in [members.get(Slot::ID), entity].into_iter().flatten() {
        patches.push((id.value, fresh_id(id.value.raw(sample), random)));
    }
    if let Some(Found { value, .. }) = members.root(entry.form.time) {
        patches.extend(fresh_time(value, sample, now_unix_millis).map(|text| (value, text)));
    }
    patches.sort_unstable_by_key(|(value, _)| value.start);
    splice(sample, &patches)
}

fn splice(sample: &str, patches: &[(json::Value, String)]) -> Vec<u8> {
    let mut body = String::with_capacity(sample.len() + 16);
    let mut from = 0;
    for (value, text) in patches {
        body.push_str(sample.get(from..value.start).unwrap_or_default());
        body.push_str(text);
        from = value.end;
    }
    body.push_str(sample.get(from..).unwrap_or_default());
    body.into_bytes()
}

/// The same prefix (`evt_`, `pl_`, …), then a random tail of the same length and alphabet.
fn fresh_id(id: &str, random: &mut fastrand::Rng) -> String {
    let tail = id.bytes().rev().take(FRESH_CHARS).take_while(u8::is_ascii_alphanumeric).count();
    let (prefix, old) = id.split_at_checked(id.len() - tail).unwrap_or((id, ""));
    let fits = |alphabet: &&&[u8]| old.bytes().all(|letter| alphabet.contains(&letter));
    let alphabet = ALPHABETS.iter().find(fits).unwrap_or(&ALPHABETS[ALPHABETS.len() - 1]);
    let mut fresh = prefix.to_owned();
    fresh.extend((0..tail).map(|_| char::from(alphabet[random.usize(..alphabet.len())])));
    fresh
}

/// Now, in the sample's notation and as precise. `None` for a clock outside the years 1 to 9999: the sample's time stays.
fn fresh_time(value: json::Value, sample: &str, now_unix_millis: i64) -> Option<String> {
    let seconds = now_unix_millis.div_euclid(1000);
    let whole = EventTime::from_unix(seconds)?.text;
    Some(if value.kind == json::Kind::Number {
        seconds.to_string()
    } else if value.raw(sample).contains('.') {
        format!("{}.{:03}Z", whole.trim_end_matches('Z'), now_unix_millis.rem_euclid(1000))
    } else {
        whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Kind, read};
    use std::collections::BTreeSet;

    const NOW: i64 = 1_796_000_123_456;

    #[test]
    fn every_row_gives_new_events_that_read_as_itself() {
        let mut random = fastrand::Rng::with_seed(7);
        let rows = |vendor: Vendor| vendor.profile().catalogue.iter().map(move |entry| (vendor, entry));
        for (vendor, entry) in Vendor::ALL.into_iter().flat_map(rows) {
            let sample = read(vendor, "acme", entry.sample.as_bytes());
            let mut ids = BTreeSet::from([sample.id.clone()]);
            for _ in 0..50 {
                let body = fresh(vendor, entry, NOW, &mut random);
                assert_eq!(body.len(), entry.sample.len());
                assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
                let reading = read(vendor, "acme", &body);
                assert_eq!(reading.kind, Kind::Documented(entry));
                assert_eq!(reading.form, Some(entry.form));
                assert_eq!(reading.id_is_derived, sample.id_is_derived);
                assert_eq!(reading.entity_path, sample.entity_path);
                assert_eq!(reading.subject.as_ref().map(String::len), sample.subject.as_ref().map(String::len));
                if let (Some(time), Some(old)) = (&reading.time, &sample.time) {
                    assert_eq!(time.text.len(), old.text.len());
                    let whole = time.text.len() == "2026-06-02T18:04:11Z".len();
                    assert_eq!(time.unix_millis, if whole { NOW / 1000 * 1000 } else { NOW });
                }
                assert_eq!(reading.time.is_some(), sample.time.is_some());
                assert!(ids.insert(reading.id), "{} repeats itself", entry.event);
            }
        }
    }

    #[test]
    fn only_ids_and_time_change() {
        let entry = Vendor::Audit1.profile().find(None, "audit.completed").unwrap();
        let body = String::from_utf8(fresh(Vendor::Audit1, entry, NOW, &mut fastrand::Rng::with_seed(1))).unwrap();
        let changed: Vec<(&str, &str)> =
            entry.sample.lines().zip(body.lines()).filter(|(old, new)| old != new).collect();
        let names: Vec<&str> = changed.iter().map(|(old, _)| old.split('"').nth(1).unwrap()).collect();
        assert_eq!(names, ["id", "timestamp", "auditId"]);
        for (old, new) in changed {
            assert_eq!(old.split_once(':').unwrap().0, new.split_once(':').unwrap().0);
        }
    }

    #[test]
    fn tails_keep_prefix_length_and_alphabet() {
        let mut random = fastrand::Rng::with_seed(3);
        for (id, prefix, alphabet) in [
            ("evt_7Kq2vN4tRz3", "evt_", ALPHABETS[4]),
            ("evt_test_8841207733", "evt_test_", ALPHABETS[0]),
            ("6a01f3c29be47d0018c5a2f4", "6a01f3c2", ALPHABETS[1]),
            ("ias_01KDX4Q8T2N6V0R5H9BZCMJ7WE", "ias_01KDX4Q8T2", ALPHABETS[3]),
            ("file_5tq81z", "file_", ALPHABETS[2]),
            ("no-tail-", "no-tail-", ALPHABETS[0]),
            ("", "", ALPHABETS[0]),
        ] {
            let fresh = fresh_id(id, &mut random);
            assert_eq!(fresh.len(), id.len());
            assert!(fresh.strip_prefix(prefix).unwrap().bytes().all(|letter| alphabet.contains(&letter)), "{fresh}");
        }
    }

    #[test]
    fn a_clock_outside_the_calendar_leaves_the_time_alone() {
        let entry = Vendor::Policy1099.profile().find(None, "certificate.flagged").unwrap();
        let body = fresh(Vendor::Policy1099, entry, i64::MAX, &mut fastrand::Rng::with_seed(1));
        let old = read(Vendor::Policy1099, "acme", entry.sample.as_bytes());
        assert_eq!(read(Vendor::Policy1099, "acme", &body).time, old.time);
    }
}

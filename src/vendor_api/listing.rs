//! The lists of a vendor's API that come in parts: certificates, and what has happened.
//!
//! In: how a part is fetched. Out: the items, each once, and whether these are all.

use std::collections::HashSet;

use jiff::Timestamp;

use super::error::ApiError;
use crate::apis::{PART, Part};

/// Parts of a list of certificates or events beside those that hold as many as are asked for: a part may be short.
pub(super) const MORE_PARTS: usize = 4;
/// Bytes of such a list after which it is cut: some hundred thousand certificates.
const MOST_LISTED: usize = 256 << 20;

/// What an API lists, the newest first.
#[derive(Debug)]
pub struct Listing<T> {
    /// The items, each once.
    pub items: Vec<T>,
    /// Whether these are all that were asked for.
    pub is_whole: bool,
    /// Items of another shape than the documents show, which were passed over.
    pub odd: usize,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Listing { items: Vec::new(), is_whole: false, odd: 0 }
    }
}

/// A part, and how many bytes it came in; none where no document says how.
pub(super) type Fetched<T> = Result<Option<(Part<T>, usize)>, ApiError>;

/// Fetches part after part: what comes after an id, and whether nothing readable has come so far. A list ends with an empty part,
/// or, where it descends, with an item before `since`. One that gives nothing new in whole parts, or too many parts or bytes, is
/// cut. `facts`: an item's id and time.
pub(super) fn gather<T>(
    most: usize,
    since: Option<Timestamp>,
    fetch: impl Fn(Option<&str>, bool) -> Fetched<T>,
    facts: impl Fn(&T) -> (Option<String>, Option<Timestamp>),
) -> Result<Listing<T>, ApiError> {
    let (mut list, mut ids, mut after, mut bytes) = (Listing::default(), HashSet::new(), None, 0);
    for _ in 0..most.div_ceil(PART) + MORE_PARTS {
        let Some((part, length)) = fetch(after.as_deref(), list.items.is_empty())? else {
            return Ok(Listing { is_whole: true, ..list });
        };
        bytes += length;
        list.odd += part.odd.len();
        let (mut is_new, mut is_beyond, mut times) = (false, false, Vec::new());
        let count = part.items.len() + part.odd.len();
        list.is_whole = count == 0;
        for item in part.items {
            let (id, time) = facts(&item);
            times.extend(time);
            let is_old = time < since && time.is_some();
            is_beyond |= is_old;
            after.clone_from(&id);
            if id.is_none_or(|id| ids.insert(id)) {
                is_new = true;
                list.items.extend(Some(item).filter(|_| !is_old));
            }
        }
        // An odd one is new, too: there may be more behind it.
        is_new |= part.last.as_ref().is_some_and(|last| ids.insert(last.clone()));
        after = part.last.or(after);
        list.is_whole |= is_beyond && descends(&times);
        // A vendor that has no parts has given all of a short list.
        list.is_whole |= !is_new && count < PART;
        if list.is_whole || !is_new || after.is_none() || most <= list.items.len() || MOST_LISTED <= bytes {
            return Ok(list);
        }
    }
    Ok(list)
}

/// Whether the newest come first. One time alone does not say so.
fn descends(times: &[Timestamp]) -> bool {
    times.is_sorted_by(|one, next| next <= one) && times.last() < times.first()
}

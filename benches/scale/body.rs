//! Bodies of any size: an event about a policy whose history is longer or shorter.

use crate::events::Forge;

/// The documented example, which is taken as it is.
pub const DOCUMENTED: usize = 714;

/// One step of the history; its number stands in it with eight digits.
const STEP: &str = r#"{"at":1767312000,"status":"active","by":"agent_00000000","note":"reviewed, nothing changed"},"#;
const NUMBER: &str = "00000000";

/// A body of exactly so many bytes, with ids of its own. The members that route it stand before and behind the history, so
/// that a reader has to pass over all of it.
pub fn body(forge: &mut Forge, size: usize) -> String {
    if size == DOCUMENTED {
        return forge.body().0;
    }
    let (id, entity) = forge.ids();
    let before = format!(r#"{{"id":"{id}","data":{{"object":"policy","id":"{entity}","history":["#);
    let behind = r#"],"filler":""#;
    let end = r#""},"type":"policy.active","created":1767312200}"#;
    let room = size.checked_sub(before.len() + behind.len() + end.len()).expect("room for the ids");
    let mut body = String::with_capacity(size);
    body.push_str(&before);
    for number in 0..room / STEP.len() {
        body.push_str(&STEP.replace(NUMBER, &format!("{number:08}")));
    }
    if body.ends_with(',') {
        body.pop();
    }
    body.push_str(behind);
    body.extend(std::iter::repeat_n('x', size - body.len() - end.len()));
    body.push_str(end);
    body
}

//! What the account lets this login publish. It asks the server and publishes nothing; without an answer the question
//! stays open.

use std::time::Duration;

use async_nats::Client;
use serde_json::Value;
use tokio::time::timeout;

use crate::subject::covers;

/// Where any login may ask about itself, if its account lets it ask at all.
const USER_INFO: &str = "$SYS.REQ.USER.INFO";
/// A forbidden question gets no answer.
const ASK: Duration = Duration::from_secs(2);

/// Which of these subjects (or patterns) the login may not publish to; `None` without an answer.
pub async fn forbidden(client: &Client, subjects: &[String]) -> Option<Vec<String>> {
    let answer = timeout(ASK, client.request(USER_INFO, "".into())).await.ok()?.ok()?;
    let answer: Value = serde_json::from_slice(&answer.payload).ok()?;
    let publish = answer.get("data")?.get("permissions").and_then(|permissions| permissions.get("publish"));
    let list = |key: &str| -> Vec<&str> {
        let listed = publish.and_then(|publish| publish.get(key)?.as_array());
        listed.into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let (allow, deny) = (list("allow"), list("deny"));
    let is_forbidden = |subject: &&String| {
        let allowed = allow.is_empty() || allow.iter().any(|pattern| covers(pattern, subject));
        !allowed || deny.iter().any(|pattern| covers(pattern, subject) || covers(subject, pattern))
    };
    Some(subjects.iter().filter(is_forbidden).cloned().collect())
}

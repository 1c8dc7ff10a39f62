//! The call for one certificate, as the certificate guide shows it: `GET /files/certificates/{id}`, with the parsed data and
//! the results of the review. What the answer looks like no document prints: `id` and `status` are those of the webhook's
//! object, `review_results` is what the call names, and `null` without any.

use http::Method;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use super::{
    answer::{Shape, text},
    api::{Api, Call, PLAIN},
};

/// What the guide's call asks for beside the basic information.
const EXPANDED: &str = "expand[]=review_results.full";

impl Api {
    /// Fetches one certificate with the full results of its review; `None` where no document says how.
    pub fn certificate(&self, id: &str) -> Option<Call> {
        let path = self.certificates?;
        Some(self.call(Method::GET, format!("{path}/{}?{EXPANDED}", utf8_percent_encode(id, PLAIN))))
    }
}

/// Whether an answer is the certificate that was asked for.
///
/// # Errors
/// Where it is not.
pub fn check_certificate(answer: &Value, id: &str) -> Result<(), Shape> {
    let odd = |path: &str, wanted| Err(Shape { path: path.into(), wanted });
    if text(answer, "", "id")? != id {
        return odd("/id", "the certificate that was asked for");
    }
    text(answer, "", "status")?;
    match answer.get("review_results") {
        Some(Value::Null | Value::Object(_) | Value::Array(_)) => Ok(()),
        _ => odd("/review_results", "an object, a list or null"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{apis::of, vendors::Vendor};

    #[test]
    fn the_call_is_that_of_the_guide() {
        let call = of(Vendor::Policy1099).unwrap().certificate("cert_a/b?c").unwrap();
        assert_eq!((call.method, call.body), (Method::GET, None));
        assert_eq!(call.path, "/files/certificates/cert_a%2Fb%3Fc?expand[]=review_results.full");
        assert_eq!(of(Vendor::Audit1).unwrap().certificate("1"), None);
    }

    #[test]
    fn an_answer_of_another_shape_is_told_by_its_member() {
        let good = json!({"id": "cert_1", "status": "flagged", "review_results": {"full": []}, "more": 1});
        assert_eq!(check_certificate(&good, "cert_1"), Ok(()));
        let path = |answer: Value| check_certificate(&answer, "cert_1").err().map(|shape| shape.path);
        assert_eq!(path(json!([])), Some("/id".into()));
        assert_eq!(path(json!({"id": 1})), Some("/id".into()));
        assert_eq!(path(json!({"id": "cert_2"})), Some("/id".into()));
        assert_eq!(path(json!({"id": "cert_1", "status": null})), Some("/status".into()));
        assert_eq!(path(json!({"id": "cert_1", "status": "flagged"})), Some("/review_results".into()));
        assert_eq!(
            path(json!({"id": "cert_1", "status": "flagged", "review_results": "full"})),
            Some("/review_results".into())
        );
        assert_eq!(path(json!({"id": "cert_1", "status": "pending", "review_results": null})), None);
    }
}

//! What the documents print, and what they do not.

use http::Method;
use serde_json::{Value, json};

use super::*;

fn api(vendor: Vendor) -> &'static Api {
    of(vendor).unwrap()
}

fn wanted() -> Wanted {
    let events = ["certificate.flagged", "certificate.approved"].map(Into::into).into();
    Wanted { url: "https://your-app.com/webhooks/1099policy".into(), events, description: None }
}

#[test]
fn calls_are_those_of_the_documents() {
    let policy = api(Vendor::Policy1099);
    let create = policy.create(&wanted());
    assert_eq!((create.method, create.path.as_str()), (Method::POST, "/webhook_endpoints"));
    let (media_type, body) = create.body.unwrap();
    assert_eq!(media_type, "application/x-www-form-urlencoded");
    let events = "events%5B%5D=certificate.approved&events%5B%5D=certificate.flagged";
    assert_eq!(body, format!("url=https%3A%2F%2Fyour-app.com%2Fwebhooks%2F1099policy&{events}"));
    // A change names both, whatever changes.
    assert_eq!(policy.update("we_abc123", &wanted(), false, true).body.unwrap().1, body);
    assert_eq!(policy.delete("we/abc 123").path, "/webhook_endpoints/we%2Fabc%20123");
    let none = [policy.switch("a", true), policy.test("a"), policy.deliveries("a")];
    assert_eq!(none, [None, None, None]);

    let audit = api(Vendor::Audit1);
    let events = r#""events":["certificate.approved","certificate.flagged"]"#;
    let body = audit.create(&Wanted { description: Some("a \"b\"".into()), ..wanted() }).body.unwrap().1;
    let url = "https://your-app.com/webhooks/1099policy";
    assert_eq!(body, format!(r#"{{"url":"{url}","description":"a \"b\"",{events}}}"#));
    assert_eq!(audit.update("wh_1", &wanted(), false, true).body.unwrap().1, format!("{{{events}}}"));
    let off = audit.switch("wh_1", false).unwrap();
    assert_eq!((off.method, off.path.as_str()), (Method::PUT, "/webhooks/wh_1"));
    assert_eq!(off.body.unwrap().1, r#"{"status":"disabled"}"#);
    assert_eq!(audit.test("wh_1").unwrap().path, "/webhooks/wh_1/test");
}

#[test]
fn answers_are_those_of_the_documents_with_more_or_fewer_members() {
    let created = json!({"id": "we_1", "secret": "whsec_x", "created": 1, "more": {}});
    let (id, secret) = api(Vendor::Policy1099).read_created(&created);
    assert_eq!((id, secret), (Ok("we_1".into()), Ok("whsec_x".into())));
    let created = json!({"success": true, "webhook": {"id": "wh_1"}, "secret": "whsec_y"});
    let (id, secret) = api(Vendor::Audit1).read_created(&created);
    assert_eq!((id, secret), (Ok("wh_1".into()), Ok("whsec_y".into())));

    let one = json!({"id": "a", "url": "b", "events": ["c"], "status": "active"});
    let audit = api(Vendor::Audit1);
    for list in [json!({"webhooks": [one]}), json!({"data": [one]}), json!([one])] {
        let page = audit.read_list(&list).unwrap();
        assert_eq!((page.endpoints.len(), page.next.is_none(), audit.is_off(&page.endpoints[0])), (1, true, false));
    }
    let more = api(Vendor::Policy1099).read_list(&json!({"data": [{"id": "a/b", "url": "c"}], "has_more": true}));
    assert_eq!(more.unwrap().next.unwrap().path, "/webhook_endpoints?starting_after=a%2Fb");
}

#[test]
fn an_answer_of_another_shape_names_the_member() {
    let audit = api(Vendor::Audit1);
    let path = |list: Value| audit.read_list(&list).unwrap_err().path;
    assert_eq!(path(json!({"webhooks": [{"id": "a"}]})), "/webhooks/0/url");
    assert_eq!(path(json!({"webhooks": [{"id": "a\n", "url": "b"}]})), "/webhooks/0/id");
    assert_eq!(path(json!({"webhooks": [{"id": "a", "url": "b", "events": ["c", 1]}]})), "/webhooks/0/events");
    assert_eq!(path(json!({"webhooks": [{"id": "a", "url": "b", "status": 1}]})), "/webhooks/0/status");
    assert_eq!(path(json!({"webhooks": {}})), "");
    let delivery = json!({"deliveries": [{"id": "a", "eventType": "b", "timestamp": "c", "status": "failed"}]});
    assert_eq!(audit.read_deliveries(&delivery).unwrap_err().path, "/deliveries/0/attempts");
    assert_eq!(audit.read_deliveries(&json!([])).unwrap_err().path, "/deliveries");
    for (answer, said) in [
        (json!({"message": "a"}), Some("a")),
        (json!({"error": {"message": "b"}}), Some("b")),
        (json!({"error": "c"}), Some("c")),
        (json!({"error": 1}), None),
    ] {
        assert_eq!(message(&answer), said);
    }
}

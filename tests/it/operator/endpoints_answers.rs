//! What a vendor answers, and what `hookbus endpoints` makes of it: refusals, odd and hostile answers, TLS and proxies.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::json;

use super::endpoints::{AUDIT_URL, POLICY_URL, assert_silent, endpoints, setup};
use crate::support::{
    harness::HOOKBUS,
    replay::said,
    vendors::{KEY, Vendors},
};

#[test]
fn what_a_vendor_says_is_what_the_operator_reads() {
    let vendors = Vendors::start();
    let setup = setup(&vendors, POLICY_URL, AUDIT_URL);
    let fails = |words: &[&str], wanted: &[&str]| {
        let (code, text) = endpoints(&setup, &vendors, words);
        assert_eq!(code, Some(1), "{text}");
        wanted.iter().for_each(|wanted| assert!(text.contains(wanted), "no `{wanted}` in\n{text}"));
    };
    let apply = ["apply", "--yes", "--source", "payroll"];
    let no_one_there = || assert!(vendors.endpoints("audit1", AUDIT_URL).is_empty());

    vendors.fault("audit1", "POST", "status", &json!({"status": 422, "message": "no such event\u{1b}[2J"}));
    fails(&apply, &["POST http://127.0.0.1", "/webhooks: answered 422 \"no such event\\u{1b}[2J\""]);
    // An answer that is lost, cut, late or odd: the endpoint was made, and is taken back. Nothing is made twice.
    for (kind, more, said) in [
        ("lost", json!({}), "no answer"),
        ("cut", json!({}), "no answer"),
        (
            "shape",
            json!({"answer": {"success": true, "webhook": {"id": 3}, "secret": "s"}}),
            "/webhook/id is not a text",
        ),
        ("shape", json!({"answer": {"success": false, "error": "later"}}), "answered 201 \"later\""),
    ] {
        let before = vendors.calls("audit1 POST /webhooks");
        vendors.fault("audit1", "POST", kind, &more);
        fails(&apply, &[said, "was deleted again"]);
        assert_eq!(vendors.calls("audit1 POST /webhooks"), before + 1, "{kind}");
        no_one_there();
    }
    // As the public reference shows it: no secret at all.
    vendors.fault(
        "1099policy",
        "POST",
        "shape",
        &json!({"answer": {"id": "we_1", "url": POLICY_URL, "secret": false}}),
    );
    fails(&["apply", "--yes", "--source", "acme"], &["/secret is not a text", "endpoint we_1 was deleted again"]);
    let left = vendors.endpoints("1099policy", POLICY_URL);
    vendors.control("fault", Some(&json!({"vendor": "audit1", "method": "DELETE", "kind": "status", "status": 403})));
    vendors.fault("audit1", "POST", "cut", &json!({}));
    fails(&apply, &["left at the vendor: endpoint wh_", "hookbus endpoints delete wh_", "answered 403"]);
    // The next run finds it.
    assert_eq!(vendors.endpoints("audit1", AUDIT_URL).len(), 1);
    let (code, text) = endpoints(&setup, &vendors, &apply);
    assert!(code == Some(0) && text.contains("- delete wh_"), "{text}");
    assert_eq!((vendors.endpoints("audit1", AUDIT_URL).len(), left.len()), (1, 1));

    // What may pass is tried again, with the vendor's own pause; what it asks for too long is not waited for.
    let list = ["list", "--source", "payroll"];
    vendors.fault("audit1", "GET", "status", &json!({"status": 500, "times": 2}));
    vendors.fault("audit1", "GET", "status", &json!({"status": 429, "headers": {"Retry-After": "1"}}));
    let before = vendors.calls("audit1 GET /webhooks");
    assert_eq!(endpoints(&setup, &vendors, &list).0, Some(0));
    assert_eq!(vendors.calls("audit1 GET /webhooks"), before + 4);
    vendors.fault("audit1", "GET", "status", &json!({"status": 429, "headers": {"Retry-After": "3600"}}));
    fails(&list, &["answered 429 \"a fault of the stand-in\"; come again in 3600 s"]);
    vendors.fault("audit1", "GET", "shape", &json!({"answer": {"webhooks": [{"id": "a", "link": "b"}]}}));
    fails(&list, &["GET http://127.0.0.1", "/webhooks/0/url is not a text"]);
    vendors.fault("audit1", "GET", "shape", &json!({"answer": ["\u{202e}"]}));
    fails(&list, &["/0/id is not a text"]);
    let endless = json!({"answer": {"data": [{"id": "a", "url": "b"}], "has_more": true}, "times": 9});
    vendors.fault("1099policy", "GET", "shape", &endless);
    fails(&["list", "--source", "acme"], &["starting_after=a", "/has_more is not a list that ends"]);
    fs::write(setup.path().join("secrets/key"), format!("{KEY}-old")).unwrap();
    fails(&list, &["answered 401 \"unknown client *** ***\"; see the credential files"]);
}

#[test]
fn a_hostile_answer_leads_nowhere() {
    let vendors = Vendors::start();
    let setup = setup(&vendors, POLICY_URL, AUDIT_URL);
    // A credential goes where the operator sent it, and not on.
    let elsewhere = json!({"status": 307, "headers": {"Location": format!("{}/events", vendors.base("1099policy"))}});
    vendors.fault("1099policy", "GET", "status", &elsewhere);
    let (code, text) = endpoints(&setup, &vendors, &["list", "--source", "acme"]);
    assert!(code == Some(1) && text.contains("answered 307"), "{text}");
    assert_eq!(vendors.calls("1099policy GET /events"), 0);
    // Nothing that a vendor says moves the cursor.
    let ours = json!([{"id": "we_9", "url": POLICY_URL, "events": ["policy.active\u{1b}[2J\n  nothing to do"]}]);
    vendors.fault("1099policy", "GET", "shape", &json!({"answer": ours}));
    let (_, text) = endpoints(&setup, &vendors, &["plan", "--source", "acme"]);
    assert!(text.contains("-policy.active\\u001b[2J\\u000a  nothing to do"), "{text}");
}

/// A proxy that only connects, and writes down for whom.
fn proxy(target: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, heads) = (listener.local_addr().unwrap().port(), Arc::<Mutex<Vec<String>>>::default());
    let written = Arc::clone(&heads);
    thread::spawn(move || {
        for client in listener.incoming() {
            let written = Arc::clone(&written);
            thread::spawn(move || connect(client?, target, &written));
        }
    });
    (port, heads)
}

fn connect(mut client: TcpStream, target: u16, written: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    written.lock().unwrap().push(String::from_utf8(head).unwrap());
    let mut server = TcpStream::connect(("127.0.0.1", target))?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || io::copy(&mut from, &mut to).and(to.shutdown(Shutdown::Write)));
    io::copy(&mut server, &mut client).map(drop)
}

#[test]
fn tls_is_checked_and_goes_through_a_proxy() {
    let vendors = Vendors::start_tls();
    let setup = setup(&vendors, POLICY_URL, AUDIT_URL);
    let base = vendors.base("1099policy");
    setup.edit(&base, &base.replace("127.0.0.1", "api.example.test"));
    let list = |proxy_port: u16| {
        let mut command = Command::new(HOOKBUS);
        command.args(["endpoints", "list", "--source", "acme"]).current_dir(setup.path());
        for name in ["ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "https_proxy"] {
            command.env_remove(name);
        }
        let (code, text) =
            said(&command.env("HTTPS_PROXY", format!("http://127.0.0.1:{proxy_port}")).output().unwrap());
        assert_silent(&vendors, &text);
        (code, text)
    };
    let authority: PathBuf = vendors.authority().into();
    setup.edit("environment = \"sandbox\"", &format!("ca_file = \"{}\"", authority.display()));
    let (port, heads) = proxy(vendors.port());
    let (code, text) = list(port);
    assert_eq!(code, Some(0), "{text}");
    let heads = heads.lock().unwrap().concat();
    assert!(heads.starts_with("CONNECT api.example.test:") && !heads.contains(KEY), "{heads}");
    assert_eq!(vendors.calls("1099policy GET /webhook_endpoints"), 1);
    // An authority that did not sign it.
    setup.edit(&authority.display().to_string(), "other.pem");
    let made = "req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -days 2 -subj /CN=other";
    let made = Command::new("openssl").args(made.split_whitespace()).current_dir(setup.path()).output().unwrap();
    assert!(made.status.success());
    let (port, _) = proxy(vendors.port());
    let (code, text) = list(port);
    assert!(code == Some(1) && text.contains("certificate"), "{text}");
    assert_eq!(vendors.calls("1099policy GET /webhook_endpoints"), 1);
}

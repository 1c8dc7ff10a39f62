//! Each call of `hookbus endpoints` that docs/vendors.md shows, as it stands there, at the stand-in of both vendors' APIs.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{
    harness::{HOOKBUS, POLICY, Setup, free_ports},
    pages::{Act, Page},
    replay::said,
    vendors::{KEY, Vendors},
};

/// A call of the page, in its order.
struct Call {
    command: &'static str,
    /// Whether the endpoint is there, and a gateway runs with its secret.
    there: bool,
    code: i32,
    says: &'static str,
}

const fn call(command: &'static str, there: bool, code: i32, says: &'static str) -> Call {
    Call { command, there, code, says }
}

const CALLS: &[Call] = &[
    call("plan", false, 2, "+ make an endpoint"),
    call("apply", false, 0, "done: + make an endpoint"),
    call("list", true, 0, "1 endpoint(s)"),
    call("test --source acme", true, 0, "200 to a signed event"),
    call("apply --yes --source acme --secret-to kubernetes", false, 0, "kind: Secret"),
    call(
        "rotate --source acme --metrics http://10.0.0.7:9090/metrics --metrics http://10.0.0.8:9090/metrics",
        true,
        2,
        "waiting: ",
    ),
    call("rotate --yes --source acme --metrics URL --secret-to kubernetes", true, 2, "kind: Secret"),
];

/// The page's calls, without what they are piped into: tests/cluster/pages.py runs that half.
fn page() -> Vec<String> {
    let page = Page::read(Path::new("docs/vendors.md")).unwrap();
    let commands = page.steps.iter().filter_map(|step| match &step.act {
        Act::Run { command, .. } => command.strip_prefix("hookbus endpoints "),
        _ => None,
    });
    commands.map(|words| words.split(" | ").next().unwrap().split(" #").next().unwrap().trim().to_owned()).collect()
}

/// A source as the page shows it, with its account at the stand-in.
fn setup(vendors: &Vendors, port: u16) -> Setup {
    let setup = Setup::new("", "");
    fs::remove_file(setup.path().join("secrets/1099policy")).unwrap();
    fs::write(setup.path().join("secrets/1099policy-api"), KEY).unwrap();
    setup.edit("address = \"127.0.0.1:0\"", &format!("address = \"127.0.0.1:{port}\""));
    let api = format!(
        "secret_files = [\"secrets/1099policy\", \"secrets/1099policy.next\"]\n[sources.api]\n\
         key_file = \"secrets/1099policy-api\"\nbase_url = \"{}\"\nendpoint_url = \"http://127.0.0.1:{port}{POLICY}\"\n",
        vendors.base("1099policy")
    );
    setup.edit("secret_files = [\"secrets/1099policy\"]\n", &api);
    setup
}

/// The exit code, and all that is said. Where a person would be asked, the call says what to give instead of an answer.
fn run(folder: &Path, words: &str) -> (Option<i32>, String) {
    let run = |words: &str| {
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("{HOOKBUS} endpoints {words}")]).current_dir(folder).stdin(Stdio::null());
        said(&bash.output().unwrap())
    };
    let (code, text) = run(words);
    if code == Some(64) && text.contains("give --yes") { run(&format!("{words} --yes")) } else { (code, text) }
}

#[test]
fn each_call_of_the_page_does_what_it_is_for() {
    assert_eq!(page(), CALLS.iter().map(|call| call.command).collect::<Vec<_>>());
    for Call { command, there, code, says } in CALLS {
        let (vendors, [port]) = (Vendors::start(), free_ports());
        let setup = setup(&vendors, port);
        if !there {
            ends_as_told(setup.path(), command, *code, says);
            continue;
        }
        assert_eq!(run(setup.path(), "apply --yes").0, Some(0));
        let gateway = setup.start();
        let metrics = format!("http://{}/metrics", gateway.admin);
        let names = ["http://10.0.0.7:9090/metrics", "http://10.0.0.8:9090/metrics", "URL"];
        let words = names.iter().fold((*command).to_owned(), |words, name| words.replace(name, &metrics));
        ends_as_told(gateway.setup.path(), &words, *code, says);
    }
}

fn ends_as_told(folder: &Path, words: &str, code: i32, says: &str) {
    let (got, text) = run(folder, words);
    assert!(got == Some(code) && text.contains(says), "{words}: {got:?}: {text}");
}

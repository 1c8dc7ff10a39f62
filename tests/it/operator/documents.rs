//! The documents: a reader who follows a page in an empty folder gets what the page shows, and what the prose names exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    harness::HOOKBUS,
    pages::Page,
    session::{Elsewhere, Session},
};

/// What no test can call: each with its reason, and what is called instead.
const ELSEWHERE: &[Elsewhere] = &[
    Elsewhere {
        begins: "make test",
        reason: "it runs this test",
        instead: r#"grep -q '^test:' "$CHECKOUT/Makefile" && grep -q '^ci:.* test ' "$CHECKOUT/Makefile" && grep -q '^make ci' "$CHECKOUT/.ci/run""#,
    },
    Elsewhere {
        begins: "make rolling",
        reason: "it takes twelve minutes; a part of it is among these tests",
        instead: r#"grep -q '^rolling:' "$CHECKOUT/Makefile""#,
    },
    Elsewhere {
        begins: "make cluster",
        reason: "it builds Kubernetes, and takes minutes",
        instead: r#"verb=${COMMAND#make }; grep -q "^${verb%% *}:" "$CHECKOUT/Makefile""#,
    },
    Elsewhere {
        begins: "cargo ",
        reason: "the release build takes minutes; the image's test and `make bench` build it",
        instead: r#"bash -c "${COMMAND/ --locked/ --locked --help}" | grep -q Usage && grep -q 'name = "hookbus"' "$CHECKOUT/Cargo.toml""#,
    },
    Elsewhere {
        begins: "kubectl ",
        reason: "no cluster; tests/cluster/pages.py reads it from the page and runs it in one; what it runs in a pod is called \
                 for its flags, and its files must be there",
        instead: r#"
            for file in $(grep -oE 'secrets/[^ ]+' <<<"$COMMAND"); do test -f "$file" || exit 1; done
            [[ $COMMAND != *" -- hookbus "* ]] || bash -c "hookbus ${COMMAND#* -- hookbus } --help""#,
    },
    Elsewhere {
        begins: "hookbus reconcile",
        reason: "it calls a vendor's API; it::operator::reconcile does, at a stand-in of both",
        instead: r#"command=${COMMAND%%#*}; bash -c "${command%%|*} --help""#,
    },
    Elsewhere {
        begins: "hookbus endpoints ",
        reason: "it calls a vendor's API; it::operator::endpoints_page reads it from the page and calls it at a stand-in",
        instead: r#"command=${COMMAND%%#*}; bash -c "${command%%|*} --help""#,
    },
    Elsewhere {
        begins: "helm install ",
        reason: "no cluster; the chart is rendered with the same words, and its guards speak",
        instead: r#"
            command=${COMMAND/#helm install/helm template --kube-version 1.34}
            PATH=$CHECKOUT/target/tools/chart/helm4:$PATH bash -c "${command/ helm\/hookbus/ $CHECKOUT/helm/hookbus}""#,
    },
    Elsewhere {
        begins: "helm upgrade ",
        reason: "no cluster; tests/cluster/pages.py reads it from the page and runs it in one",
        instead: r#"PATH=$CHECKOUT/target/tools/chart/helm4:$PATH bash -c "$COMMAND --help""#,
    },
    Elsewhere {
        begins: "helm test ",
        reason: "no cluster; tests/chart/run runs what it calls",
        instead: r#"PATH=$CHECKOUT/target/tools/chart/helm4:$PATH bash -c "$COMMAND --help""#,
    },
    Elsewhere {
        begins: "systemctl ",
        reason: "no systemd here; tests/deploy/run verifies the unit",
        instead: r#"test -f "$CHECKOUT/deploy/hookbus.service""#,
    },
    Elsewhere {
        begins: "docker ",
        reason: "it pulls images; tests/image/run and tests/deploy/run build and run their parts without",
        instead: r#"for file in $(grep -oE 'deploy/[A-Za-z./-]+' <<<"$COMMAND"); do test -f "$CHECKOUT/$file" || exit 1; done"#,
    },
];

/// The pages, each with the section of the README after which it begins; `None` for an empty folder.
const PAGES: &[(&str, Option<&str>)] = &[
    ("README.md", None),
    ("deploy/README.md", Some("First events")),
    ("docs/alerts.md", Some("First events")),
    ("docs/cluster.md", Some("First events")),
    ("docs/console.md", Some("First events")),
    ("docs/operate.md", Some("First events")),
    ("docs/rolling-update.md", Some("First events")),
    ("docs/rotate.md", Some("First events")),
    ("docs/subscribe.md", Some("First events")),
    ("docs/trouble.md", Some("First events")),
    ("docs/vendors.md", Some("First events")),
    ("helm/hookbus/README.md", Some("First events")),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Follows a page from its beginning, or from the README's.
fn follow(name: &str) {
    let (_, after) = PAGES.iter().find(|(page, _)| *page == name).unwrap();
    let page = Page::read(&root().join(name)).unwrap();
    let mut session = Session::begin(ELSEWHERE);
    if let Some(section) = after {
        let readme = Page::read(&root().join("README.md")).unwrap();
        let steps: Vec<_> = readme.steps.into_iter().filter(|step| step.section == *section).collect();
        assert!(!steps.is_empty(), "README.md has nothing to do under {section}");
        session.play("README.md", &steps).unwrap_or_else(|error| panic!("{error}"));
    }
    session.play(name, &page.steps).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_readme_does_what_it_says() {
    follow("README.md");
}

#[test]
fn the_page_of_deploy_does_what_it_says() {
    follow("deploy/README.md");
}

#[test]
fn the_page_of_alerts_does_what_it_says() {
    follow("docs/alerts.md");
}

#[test]
fn the_page_of_the_console_does_what_it_says() {
    follow("docs/console.md");
}

#[test]
fn the_page_of_the_cluster_does_what_it_says() {
    follow("docs/cluster.md");
}

#[test]
fn the_page_for_operators_does_what_it_says() {
    follow("docs/operate.md");
}

#[test]
fn the_page_of_rolling_updates_does_what_it_says() {
    follow("docs/rolling-update.md");
}

#[test]
fn the_page_of_rotation_does_what_it_says() {
    follow("docs/rotate.md");
}

#[test]
fn the_page_for_subscribers_does_what_it_says() {
    follow("docs/subscribe.md");
}

#[test]
fn the_page_of_trouble_does_what_it_says() {
    follow("docs/trouble.md");
}

#[test]
fn the_page_of_vendors_does_what_it_says() {
    follow("docs/vendors.md");
}

#[test]
fn the_page_of_the_chart_does_what_it_says() {
    follow("helm/hookbus/README.md");
}

/// The Markdown that people read.
fn documents() -> Vec<PathBuf> {
    let files = ["", "docs", "deploy", "helm/hookbus"].map(Path::new).into_iter().flat_map(|folder| {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries.map(|entry| folder.join(entry.unwrap().file_name()))
    });
    // The history names commands and keys that are no more.
    files.filter(|path| path.extension().is_some_and(|end| end == "md") && !path.ends_with("CHANGELOG.md")).collect()
}

/// Commands, verbs, keys and links of the prose exist, and no page with something to do is left out above.
#[test]
fn what_the_documents_name_exists() {
    let pages: Vec<_> = documents();
    assert!(pages.len() >= 8, "{pages:?}");
    let mut wrong = Vec::new();
    for path in pages {
        let page = Page::read(&root().join(&path)).unwrap_or_else(|error| panic!("{error}"));
        let name = path.display().to_string();
        if !page.steps.is_empty() && !PAGES.iter().any(|(known, _)| *known == name) {
            wrong.push(format!("{name}: has commands, and no test follows it"));
        }
        wrong.extend(complaints(&page, &path).into_iter().map(|(line, text)| format!("{name}:{line}: {text}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the prose of a page names and is not there.
fn complaints(page: &Page, path: &Path) -> Vec<(usize, String)> {
    let spans = page.spans.iter().filter_map(|(line, span)| Some((*line, missing(span)?)));
    let folder = root().join(path.parent().unwrap_or(Path::new("")));
    let links = page.links.iter().filter_map(|(line, target)| Some((*line, broken(page, &folder, target)?)));
    spans.chain(links).collect()
}

/// What is wrong with code in the prose: a command or a flag that hookbus does not know, a verb or a key that is none.
fn missing(span: &str) -> Option<String> {
    let mut words = span.split(' ');
    match words.next()? {
        "hookbus" => {
            let words = words.take_while(|word| *word != "|" && *word != "#");
            let words: Vec<_> = words.filter(|word| !word.contains('…') && !word.starts_with('<')).collect();
            // `--help` ends the call once all before it is understood.
            let output = Command::new(HOOKBUS).args(&words).arg("--help").output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            (!output.status.success()).then(|| format!("`{span}`: {said}"))
        }
        "make" => {
            let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
            let verb = words.next()?;
            (!makefile.contains(&format!("\n{verb}:"))).then(|| format!("`{span}`: no such verb"))
        }
        key => {
            let (section, name) = key.split(' ').next()?.rsplit_once('.')?;
            let known = ["listener", "admin", "log", "bus", "bus.nats", "bus.kafka", "journal"].contains(&section);
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            (known && is_name && !keys().contains(key)).then(|| format!("`{span}`: no such key"))
        }
    }
}

/// Every key of the example configuration, as `section.key`, and every section.
fn keys() -> BTreeSet<String> {
    let (mut keys, mut section) = (BTreeSet::new(), String::new());
    for line in fs::read_to_string(root().join("config.example.toml")).unwrap().lines() {
        let line = line.trim_start_matches(['#', ' ']);
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            keys.insert(section.clone());
        } else if let Some((key, _)) = line.split_once(" = ") {
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

/// Why a link leads nowhere.
fn broken(page: &Page, folder: &Path, target: &str) -> Option<String> {
    if target.starts_with("https://") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = folder.join(file);
    if !path.exists() {
        return Some(format!("link to {target}: no such file"));
    }
    let anchor = anchor?;
    let there = if file.is_empty() { page.anchors.clone() } else { Page::read(&path).ok()?.anchors };
    (!there.iter().any(|known| known == anchor)).then(|| format!("link to {target}: no such heading"))
}

/// Each of these pages has one fault, and each is found.
#[test]
fn a_fault_of_a_page_is_found() {
    let fault = |text: &str| {
        let page = Page::parse(text)?;
        if let Some((_, complaint)) = complaints(&page, Path::new("README.md")).pop() {
            return Err(complaint);
        }
        Session::begin(ELSEWHERE).play("page", &page.steps)
    };
    assert_eq!(
        fault("`hookbus tail --json`, `make demo`, `journal.spool`\n```console\n$ echo a; echo b\na\nb\n```\n"),
        Ok(())
    );
    for (text, words) in [
        ("```console\n$ echo a\nb\n```\n", "page:2: `echo a`"),
        ("```console\n$ echo a\n```\n", "it prints\na"),
        ("```console\n$ true\nb\n```\n", "the page shows\nb"),
        ("```console\n$ false\n```\n", "exit status: 1"),
        ("```console\n$ false | true\n```\n", "exit status: 1"),
        ("```console\n$ hookbus tial\n…\n```\n", "exit status: 64"),
        ("```console\n$ cargo build --relaese --locked\n```\n", "--relaese"),
        ("```console\n$ kubectl exec hookbus-0 -- hookbus replay --al\n```\n", "--al"),
        ("```console\n$ helm install a helm/hookbus --set imge.tag=1\n```\n", "imge"),
        ("```console\n$ docker build --file deploy/Dockerfiel .\n```\n", "deploy/Dockerfiel"),
        ("```console\nb\n```\n", "printed by no command"),
        ("```console\n^C\n```\n", "nothing runs"),
        ("```sh\ntrue\n```\n", "a block of `sh`"),
        ("`hookbus tail --jsno`\n", "--jsno"),
        ("`hookbus tial`\n", "tial"),
        ("`make dmeo`\n", "no such verb"),
        ("`journal.spol = \"off\"`\n", "no such key"),
        ("[a](docs/nowhere.md)\n", "no such file"),
        ("[a](README.md#nowhere)\n", "no such heading"),
    ] {
        let said = fault(text).expect_err(text);
        assert!(said.contains(words), "{text}: {said}");
    }
}

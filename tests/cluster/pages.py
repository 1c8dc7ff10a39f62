#!/usr/bin/env python3
"""The commands for a cluster that stand in README, docs, the chart's README and its NOTES: read from the pages as they are written,
and run in one cluster, as an operator would who has one release.

Every command of a page must be in a row below, and every row's command on a page: a line that is changed, lost or new fails until
somebody has thought of it. What needs a process in a container is not run here, with its reason. As a program, it only compares."""

import base64
import re
import subprocess
import sys

import yaml

from control import ROOT, Failed, eventually
from release import SETTLE_SECONDS, Release

PAGES = ["README.md", "helm/hookbus/README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md"))]
NOTES = "helm/hookbus/templates/NOTES.txt"
# What the pages call by these names is the operator's.
RELEASE, NAMESPACE = "hookbus", "pages"
OURS = {"NS": NAMESPACE, "RELEASE": RELEASE, "spool-OLD": f"spool-{RELEASE}"}
COMMAND_SECONDS = 120

IMAGE = "it speaks with a process in a container; the long form and it::operator::documents run such"
ABRIDGED = "a part of a command in a sentence; `scaled by hand` runs the whole"
WARNED = "the page says not to"

# Not run, and why.
NOT_RUN = {
    "kubectl exec hookbus-0 -- hookbus …": IMAGE,
    "kubectl exec deploy/hookbus -- hookbus …": IMAGE,
    "kubectl exec hookbus-0 -- hookbus replay journal": IMAGE,
    "kubectl logs --previous": IMAGE,
    "kubectl logs -n NS -l app.kubernetes.io/instance=RELEASE,app.kubernetes.io/component=drain": IMAGE,
    "kubectl port-forward pod/hookbus-0 9464": IMAGE,
    "helm test hookbus --logs": IMAGE,
    "helm get values --revision": ABRIDGED,
    "kubectl delete pod --force --grace-period=0": WARNED,
    "helm test {{ .Release.Name }} --namespace {{ .Release.Namespace }} --logs": IMAGE,
    "kubectl --namespace {{ $namespace }} logs --follow --selector app.kubernetes.io/instance={{ .Release.Name }},app.kubernetes.io/component=gateway": IMAGE,
    "kubectl --namespace {{ $namespace }} exec {{ $name }}-0 -- hookbus tail": IMAGE,
    "kubectl --namespace {{ $namespace }} logs --selector app.kubernetes.io/instance={{ .Release.Name }},app.kubernetes.io/component=reconcile": IMAGE,
}
MADE = [f"kubectl create secret generic hookbus-{name}" for name in (
    "acme --from-file=current=secrets/1099policy --from-file=next=secrets/1099policy",
    "nats --from-file=bus.creds=gateway.creds",
    "nats-provision --from-file=bus.creds=operator.creds",
    "acme-api --from-file=key=secrets/1099policy-api",
    "nats-reconcile --from-file=bus.creds=reconcile.creds",
)]
INSTALL = "helm install hookbus helm/hookbus --values values.yaml --set-file config=hookbus.toml"
RECONCILE = "helm upgrade hookbus helm/hookbus --values values.yaml --values reconcile.yaml --set-file config=hookbus.toml"
CLAIMS = "kubectl get pvc -n NS -l app.kubernetes.io/instance=RELEASE"
LARGER = CLAIMS + """ -o name |
xargs -I{} kubectl patch -n NS {} -p '{"spec":{"resources":{"requests":{"storage":"32Gi"}}}}'"""
AGAIN = "kubectl delete statefulset -n NS hookbus --cascade=orphan   # the pods go on"
DRAIN = "helm upgrade RELEASE helm/hookbus -n NS --reset-then-reuse-values --set 'drain.claims={spool-OLD-0,spool-OLD-1}'"
SECRET = "hookbus endpoints apply --yes --source acme --secret-to kubernetes | kubectl apply -f -"
ROTATE = "hookbus endpoints rotate --yes --source acme --metrics URL --secret-to kubernetes | kubectl patch secret hookbus-acme --patch-file /dev/stdin"
WRITE_OVER = """kubectl get secret hookbus-acme -o go-template='{"data":{"current":"{{.data.next}}"}}' | kubectl patch secret hookbus-acme --patch-file /dev/stdin"""
PAYROLL = "kubectl patch secret hookbus-payroll --patch-file /dev/stdin"
ROTATED = [f"kubectl create secret generic hookbus-payroll --from-file=next=secrets/audit1.next --dry-run=client -o json | {PAYROLL}",
           f"""kubectl get secret hookbus-payroll -o go-template='{{"data":{{"current":"{{{{.data.next}}}}"}}}}' | {PAYROLL}"""]
LEFT = "kubectl delete pod,job -l app.kubernetes.io/instance=RELEASE"
LOOKS = ["kubectl get pods", "kubectl describe pod", "kubectl get secret"]
NOTES_PODS = "kubectl --namespace {{ $namespace }} get pods --selector app.kubernetes.io/instance={{ .Release.Name }}"
NOTES_CLAIMS = "kubectl --namespace {{ $namespace }} get pvc --selector app.kubernetes.io/instance={{ .Release.Name }}"
NOTES_DRAIN = ("kubectl --namespace {{ $namespace }} get job --selector"
               " app.kubernetes.io/instance={{ $.Release.Name }},app.kubernetes.io/component=drain")
RUN = [*MADE, INSTALL, RECONCILE, CLAIMS, LARGER, AGAIN, DRAIN, SECRET, ROTATE, WRITE_OVER, *ROTATED, LEFT, *LOOKS, NOTES_PODS, NOTES_CLAIMS, NOTES_DRAIN]


def commands_of(text):
    """Commands for a cluster: lines of a console with what follows them, indented lines of NOTES, and those in a sentence that say more
    than a verb."""
    found = []
    lines = iter(text.splitlines())
    for line in lines:
        begun = re.match(r"\s*\$ (.*)", line) or re.match(r"  ((?:kubectl|helm) .*)", line)
        if begun:
            command = begun[1]
            while command.endswith(("|", "\\")):
                command += "\n" + next(lines).strip()
            if re.search(r"\b(kubectl|helm) ", command):
                found.append(command)
        else:
            found += [each for each in re.findall(r"`((?:kubectl|helm) [^`]+)`", line) if len(each.split()) > 2]
    return found


def compared():
    """What pages and rows do not share, for a person."""
    written = {command: page for page in [*PAGES, NOTES] for command in commands_of((ROOT / page).read_text())}
    known = {*RUN, *NOT_RUN}
    return [f"{written[each]}: no row of tests/cluster/pages.py has: {each}" for each in sorted(written.keys() - known)] + [
        f"tests/cluster/pages.py: on no page: {each}" for each in sorted(known - written.keys())]


def blocks(page):
    """The files that a page shows, by the name in their first line."""
    return {name: text for name, text in re.findall(r"^```\w+ (\S+)\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)}


def every():
    return {"the pages' commands": pages}


class Operator:
    """In a folder of its own, with what the pages suppose: the checkout's chart, files with secrets, a namespace of one's own."""

    def __init__(self, control, release):
        self.release = release
        self.folder = control.folder / "pages"
        (self.folder / "secrets").mkdir(parents=True)
        (self.folder / "helm").mkdir()
        (self.folder / "helm/hookbus").symlink_to(ROOT / "helm/hookbus")
        for name, text in (blocks("helm/hookbus/README.md") | blocks("docs/vendors.md")).items():
            (self.folder / name).write_text(text)
        for name in ("secrets/1099policy", "secrets/1099policy-api", "secrets/audit1.next", "gateway.creds", "operator.creds", "reconcile.creds"):
            (self.folder / name).write_text(f"made up for {name}\n")
        config = yaml.safe_load(control.kubeconfig.read_text())
        config["contexts"][0]["context"]["namespace"] = release.namespace
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(config))
        self.environment = {**control.environment, "KUBECONFIG": str(self.folder / "kubeconfig"),
                            "PATH": f"{release.program.parent}:{control.environment['PATH']}"}

    def run(self, command, stdin=""):
        for theirs, ours in OURS.items():
            command = re.sub(rf"\b{theirs}\b", ours, command)
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=self.folder, env=self.environment, input=stdin,
                              capture_output=True, text=True, timeout=COMMAND_SECONDS)
        if done.returncode != 0:
            raise Failed(f"{command}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def says(self, command, *told, **options):
        said = self.run(command, **options)
        if missing := [text for text in told if text not in said]:
            raise Failed(f"{command}: does not say {missing}: {said}")
        return said

    def noted(self, notes, template):
        """A command of NOTES as helm has printed it."""
        form = ".*".join(re.escape(part) for part in re.split(r"\{\{.*?\}\}", template))
        found = {command for command in commands_of(notes) if re.fullmatch(form, command)}
        if len(found) != 1:
            raise Failed(f"NOTES does not say {template}: {notes}")
        return found.pop()


def pages(control):
    if problems := compared():
        raise Failed("\n".join(problems))
    release = Release(control, NAMESPACE, {}, name=RELEASE)
    operator = Operator(control, release)
    claims = [f"spool-{RELEASE}-0", f"spool-{RELEASE}-1"]

    # The chart's README, from the Secrets on.
    for command in MADE:
        operator.run(command)
    notes = operator.run(INSTALL)
    release.settled()
    operator.says(operator.noted(notes, NOTES_PODS), f"{RELEASE}-0", f"{RELEASE}-1")
    operator.says(operator.noted(notes, NOTES_CLAIMS), *claims)

    # docs/vendors.md, the reconciler. The next upgrade leaves it out again.
    with (operator.folder / "hookbus.toml").open("a") as config:
        config.write("\n" + (operator.folder / "reconcile.toml").read_text())
    operator.run(RECONCILE)
    release.settled()
    reconciler = f"{RELEASE}-reconcile"
    eventually(f"{reconciler} has its pod", SETTLE_SECONDS, lambda: [True for each in release.get("deployments")
               if each["metadata"]["name"] == reconciler and each["status"].get("readyReplicas") == 1])
    pods = release.uids()

    # docs/alerts.md.
    for command, told in zip(LOOKS, (f"{RELEASE}-0", "checksum/config", "hookbus-acme")):
        operator.says(command, told)
    operator.says(CLAIMS, *claims)
    operator.run(LARGER)
    operator.run(AGAIN)
    operator.run("helm upgrade hookbus helm/hookbus --values values.yaml --set-file config=hookbus.toml --set persistence.size=32Gi")
    release.settled()
    asked = {item["spec"]["resources"]["requests"]["storage"] for item in release.get("persistentvolumeclaims")}
    if asked != {"32Gi"} or release.uids() != pods:
        raise Failed(f"the claims ask for {asked}, and {len(pods - release.uids())} pods were restarted")

    # docs/vendors.md, the rotation, with a manifest as `hookbus endpoints` writes it; it::operator::endpoints has its half.
    manifest = "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: hookbus-acme\ntype: Opaque\ndata:\n  {}: {}\n"
    operator.run(SECRET.partition(" | ")[2], stdin=manifest.format("current", "Zmlyc3Q="))
    operator.run(ROTATE.partition(" | ")[2], stdin=manifest.format("next", "c2Vjb25k"))
    if (data := secret(release)) != {"current": "Zmlyc3Q=", "next": "c2Vjb25k"}:
        raise Failed(f"after the new secret came: {data}")
    operator.run(WRITE_OVER)
    if (data := secret(release)) != {"current": "c2Vjb25k", "next": "c2Vjb25k"}:
        raise Failed(f"after the end of the rotation: {data}")

    # docs/rotate.md, which begins with two keys of one text.
    release.given({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hookbus-payroll", "namespace": NAMESPACE},
                   "data": {"current": "Zmlyc3Q=", "next": "Zmlyc3Q="}})
    made = base64.b64encode((operator.folder / "secrets/audit1.next").read_bytes()).decode()
    for command, current in zip(ROTATED, ("Zmlyc3Q=", made)):
        operator.run(command)
        if (data := secret(release, "hookbus-payroll")) != {"current": current, "next": made}:
            raise Failed(f"after {command}: {data}")

    # A replica that is not to come back: the same release under another name, over the volumes of this one.
    operator.run("helm uninstall hookbus --wait")
    operator.run(LEFT)
    eventually("jobs and pods are gone", SETTLE_SECONDS, lambda: not release.get("pods", "jobs"))
    operator.run(INSTALL + " --set fullnameOverride=other,waive={orphaned_claims}")
    release.settled()
    notes = operator.run(DRAIN)
    drained = f"kubectl wait --for=condition=complete --timeout={SETTLE_SECONDS}s job -l app.kubernetes.io/component=drain"
    operator.says(drained, "job.batch/other-drain-")
    operator.says(operator.noted(notes, NOTES_DRAIN), "other-drain-")
    operator.run("helm uninstall hookbus --wait")


def secret(release, name="hookbus-acme"):
    return release.control.get("--namespace", release.namespace, "secret", name)["data"]


if __name__ == "__main__":
    if problems := compared():
        sys.exit("\n".join(problems))
    print(f"{len(RUN)} commands for a cluster to run, {len(NOT_RUN)} not to")

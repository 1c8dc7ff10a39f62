"""One release of the chart in a namespace of its own, where Pod Security "restricted" is enforced: what helm is told, and what is there."""

import json
import pathlib
import re
import subprocess

import yaml

from control import ROOT, Failed, eventually

CHART = ROOT / "helm/hookbus"
HELM_SECONDS = 120
SETTLE_SECONDS = 30
KINDS = (
    "configmaps services serviceaccounts statefulsets deployments replicasets controllerrevisions cronjobs jobs poddisruptionbudgets"
    " horizontalpodautoscalers ingresses networkpolicies persistentvolumeclaims httproutes servicemonitors prometheusrules"
).split()
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
# Every namespace has them.
OWN = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


def values_of(file):
    return yaml.safe_load((CHART / f"ci/{file}-values.yaml").read_text())


class Release:
    def __init__(self, control, namespace, values, helm=4, name="hb"):
        self.control, self.values, self.name, self.chart = control, values, name, CHART
        # Where helm keeps its release, and where its objects are.
        self.home, self.namespace = namespace, values.get("namespaceOverride", namespace)
        self.program = ROOT / f"target/tools/chart/helm{helm}/helm"
        for each in {self.home, self.namespace}:
            self.given({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each, "labels": RESTRICTED}})
        self.config_map = values.get("existingConfigMap")
        if self.config_map and "config" in values:
            self.give_config(values["config"])

    def given(self, thing):
        """What is there before the release, and may be there from another one."""
        self.control.kubectl("apply", "-f", "-", input=json.dumps(thing))

    def give_config(self, text):
        metadata = {"name": self.config_map, "namespace": self.namespace}
        self.given({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"hookbus.toml": text}})

    def is_given(self, kind, name):
        return (kind, name) in OWN or (kind, name) == ("ConfigMap", self.config_map)

    def kubectl(self, *arguments, **options):
        return self.control.kubectl("--namespace", self.namespace, *arguments, **options)

    def helm(self, *words, values=None):
        """Runs helm, and gives back whether it went well and all that it said."""
        command = [self.program, *words, "--namespace", self.home]
        stdin = None
        if values is not None:
            command += ["--values", "-"]
            stdin = json.dumps(values)
        done = subprocess.run(command, capture_output=True, text=True, env=self.control.environment, input=stdin, timeout=2 * HELM_SECONDS)
        return done.returncode == 0, done.stdout + done.stderr

    def apply(self, verb, *words, **changes):
        """`changes` overlay the release's values, one level deep, and stay when helm succeeds."""
        values = {**self.values, **changes}
        done, said = self.helm(verb, self.name, self.chart, "--wait", f"--timeout={HELM_SECONDS}s", *words, values=values)
        if done:
            self.values = values
        return done, said

    def install(self, *words, **changes):
        return self.must("install", *words, **changes)

    def upgrade(self, *words, **changes):
        return self.must("upgrade", *words, **changes)

    def must(self, verb, *words, **changes):
        done, said = self.apply(verb, *words, **changes)
        if not done:
            raise Failed(f"helm {verb}: {said}")
        # The API server's warnings, Pod Security's among them.
        if re.search(r"warnings\.go|would violate|unknown field|deprecated", said):
            raise Failed(f"helm {verb} warns: {said}")
        self.settled()
        return said

    def refused(self, told, **changes):
        """The upgrade is refused by a guard, which says each text of `told`, before anything is changed."""
        before = self.state()
        done, said = self.apply("upgrade", **changes)
        if done:
            raise Failed(f"the upgrade is not refused: {changes}")
        if missing := [text for text in ["This would not work, or would lose events", *told] if text not in said]:
            raise Failed(f"the refusal does not say {missing}: {said}")
        self.same(before, "the refused upgrade")
        return said

    def state(self):
        """Every object as its author wrote it, and each of the gateway's pods by its UID: what an upgrade without a change must not touch."""
        found, items = {}, self.get(*KINDS, "pods")
        for item in items:
            kind, name = item["kind"], item["metadata"]["name"]
            # A Job says what has been done, and each upgrade may have another.
            if self.is_given(kind, name) or kind in ("Job", "Pod"):
                continue
            item.pop("status", None)
            for changing in ("managedFields", "resourceVersion"):
                item["metadata"].pop(changing, None)
            found[kind, name] = item
        return found | {("Pod", name): {"uid": pod["metadata"]["uid"]} for name, pod in gateway_pods(items).items()}

    def left(self):
        """What somebody still finds, apart from the volumes of a spool."""
        names = [(item["kind"], item["metadata"]["name"]) for item in self.get(*KINDS, "pods")]
        return [each for each in names if not self.is_given(*each) and each[0] != "PersistentVolumeClaim"]

    def same(self, before, what):
        after = self.state()
        for key in before.keys() | after.keys():
            if before.get(key) != after.get(key):
                raise Failed(f"{what} changed {' '.join(key)}: {differences(before.get(key), after.get(key))}")

    def get(self, *kinds):
        return self.control.get("--namespace", self.namespace, ",".join(kinds))["items"]

    def pods(self):
        return gateway_pods(self.get("pods"))

    def uids(self):
        return {pod["metadata"]["uid"] for pod in self.pods().values()}

    def workload(self):
        return workload_of(self.get("statefulsets", "deployments"))

    def settled(self, seconds=SETTLE_SECONDS):
        """The workload has as many ready pods as it wants, all of its newest revision, and an autoscaler wants no more."""

        def seen():
            items = self.get("statefulsets", "deployments", "horizontalpodautoscalers", "pods")
            it = workload_of(items)
            wanted, status = it["spec"]["replicas"], it["status"]
            current = status.get("observedGeneration") == it["metadata"]["generation"]
            enough = all(item["spec"]["minReplicas"] <= wanted for item in items if item["kind"] == "HorizontalPodAutoscaler")
            return current and enough and wanted == status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == len(gateway_pods(items))

        eventually(f"{self.namespace} has all its pods", seconds, seen)

    def names_of(self, kind):
        return sorted(name for each, name in self.state() if each == kind)


def gateway_pods(items):
    """By name, without those that are on their way out."""
    pods = [item for item in items if item["kind"] == "Pod" and item["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "gateway"]
    return {pod["metadata"]["name"]: pod for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def is_gateway(labels):
    return "helm.sh/chart" in labels and labels.get("app.kubernetes.io/component") == "gateway"


def workload_of(items):
    """The gateway's one: a broker beside it is none of it, nor is the reconciler."""
    found = [item for item in items if item["kind"] in ("StatefulSet", "Deployment") and is_gateway(item["metadata"].get("labels", {}))]
    if len(found) != 1:
        raise Failed(f"not one workload, but {[item['metadata']['name'] for item in found]}")
    return found[0]


def differences(one, other, at=""):
    """The paths at which two objects differ, for a person."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [line for key in sorted(one.keys() | other.keys()) for line in differences(one.get(key), other.get(key), f"{at}.{key}")]
    return [] if one == other else [f"{at or 'it'}: {json.dumps(one)[:200]} -> {json.dumps(other)[:200]}"]

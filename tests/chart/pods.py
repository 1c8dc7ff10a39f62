#!/usr/bin/env python3
"""What must hold for every pod that the chart can make, read from rendered manifests: the Pod Security Standard "restricted", and
the chart's own promises. Labels are followed as Kubernetes follows them: who selects whom, and that nobody else is selected."""

import pathlib
import sys

import yaml

ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
WORKLOADS = {"Deployment", "StatefulSet"}
COMPONENT = "app.kubernetes.io/component"


def pod_of(document):
    """The pod template (or pod) of an object, or None."""
    if document["kind"] == "Pod":
        return document
    if document["kind"] == "CronJob":
        return document["spec"]["jobTemplate"]["spec"]["template"]
    return document["spec"]["template"] if document["kind"] in WORKLOADS | {"Job"} else None


def gateways(documents):
    """The kinds of the gateway's workloads."""
    return [each["kind"] for each in documents if each["kind"] in WORKLOADS and each["metadata"]["labels"][COMPONENT] == "gateway"]


def restricted(pod):
    """Violations of the standard, as the admission controller words its checks."""
    spec = pod["spec"]
    found = [f"{key}" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    settings = spec.get("securityContext", {})
    # A user may be missing: then the platform gives one, and the kubelet refuses root.
    if settings.get("runAsNonRoot") is not True or settings.get("runAsUser") == 0:
        found.append("runAsNonRoot")
    if settings.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        found.append("seccompProfile")
    for volume in spec.get("volumes", []):
        found += [f"volume {kind}" for kind in set(volume) - {"name"} - ALLOWED_VOLUMES]
    for container in spec.get("initContainers", []) + spec["containers"]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False:
            found.append("allowPrivilegeEscalation")
        if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
            found.append("capabilities")
        if own.get("privileged") or own.get("runAsUser") == 0 or own.get("runAsNonRoot") is False:
            found.append("privileged")
        found += ["hostPort" for port in container.get("ports", []) if port.get("hostPort")]
    return found


def promised(pod):
    """The chart's own rules, which the standard does not ask for."""
    spec = pod["spec"]
    found = []
    if spec.get("enableServiceLinks") is not False:
        found.append("service links")
    if spec.get("automountServiceAccountToken") is not False:
        found.append("a token")
    for container in spec.get("initContainers", []) + spec["containers"]:
        if container["securityContext"].get("readOnlyRootFilesystem") is not True:
            found.append("a writable root")
        if not container.get("resources", {}).get("requests") or not container["resources"].get("limits", {}).get("memory"):
            found.append("no resources")
        if any("subPath" in mount for mount in container.get("volumeMounts", [])):
            found.append("subPath, which never sees a changed Secret")
        names = [entry["name"] for entry in container.get("env", [])]
        if len(names) != len(set(names)):
            found.append("a variable twice")
    return found


def selects(selector, labels):
    labels = labels or {}
    wanted = selector.get("matchLabels", {} if "matchExpressions" in selector else selector)
    expressions = selector.get("matchExpressions", [])
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"] for each in expressions
    )


def selected(documents):
    """Every selector reaches exactly the pods it is meant for."""
    pods = [(document, pod_of(document)) for document in documents if pod_of(document)]
    parts = {"jobs": {"provision", "drain", "test"}, "provision": {"provision"}, "reconcile": {"reconcile"}}
    found = []
    for document in documents:
        kind, name, spec = document["kind"], document["metadata"]["name"], document.get("spec", {})
        if kind not in WORKLOADS | {"NetworkPolicy", "PodDisruptionBudget", "Service"}:
            continue
        selector = spec["podSelector" if kind == "NetworkPolicy" else "selector"]
        meant = parts.get(name.rpartition("-")[2], {"gateway"})
        for other, pod in pods:
            is_meant = pod["metadata"]["labels"][COMPONENT] in meant
            if selects(selector, pod["metadata"]["labels"]) != is_meant:
                found.append(f"{kind} {name} {'misses' if is_meant else 'selects'} the pods of {other['kind']} {other['metadata']['name']}")
    monitors = [document["spec"]["selector"] for document in documents if document["kind"] == "ServiceMonitor"]
    for selector in monitors:
        services = [each["metadata"]["name"] for each in documents if each["kind"] == "Service" and selects(selector, each["metadata"]["labels"])]
        # One of the gateways, and one of the reconciler where it serves.
        served = ["pods"] + ["reconcile" for each in documents if each["kind"] == "Deployment" and each["metadata"]["name"].endswith("-reconcile")]
        if sorted(name.rpartition("-")[2] for name in services) != served:
            found.append(f"ServiceMonitor selects {services}")
    return found


def apart(documents):
    """The reconciler's pod and the others: no Secret of its own is in another pod, and no secret that signs is in its own."""
    mounted = {True: set(), False: set()}
    found = []
    for pod in filter(None, map(pod_of, documents)):
        is_reconcile = pod["metadata"]["labels"][COMPONENT] == "reconcile"
        paths = {mount["name"]: mount["mountPath"] for container in pod["spec"]["containers"] for mount in container.get("volumeMounts", [])}
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume and not volume["name"].startswith("broker"):
                mounted[is_reconcile].add(volume["secret"]["secretName"])
                kind = paths[volume["name"]].split("/")[3]
                if kind != ("apis" if is_reconcile else "sources"):
                    found.append(f"{paths[volume['name']]} in a pod {'' if is_reconcile else 'not '}of reconcile")
    return found + [f"Secret {name} is in pods of both" for name in mounted[True] & mounted[False]]


def main(folder):
    pods = 0
    problems = []
    for file in sorted(pathlib.Path(folder).glob("*.yaml")):
        documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
        kinds = [document["kind"] for document in documents if pod_of(document)]
        if len(gateways(documents)) != 1 or kinds.count("Pod") != 1:
            problems.append(f"{file.name}: not one workload and one test, but {kinds}")
        problems += [f"{file.name}: {problem}" for problem in selected(documents) + apart(documents)]
        for document in documents:
            pod = pod_of(document)
            if pod:
                pods += 1
                problems += [f"{file.name}: {document['kind']}: {problem}" for problem in restricted(pod) + promised(pod)]
    if problems or not pods:
        sys.exit("\n".join(problems) or f"no pods in {folder}")
    print(f"{pods} pods")


if __name__ == "__main__":
    main(*sys.argv[1:])

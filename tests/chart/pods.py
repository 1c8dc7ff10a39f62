#!/usr/bin/env python3
"""What must hold for every pod that the chart can make, read from rendered manifests: the Pod Security Standard "restricted", and
the chart's own promises. Labels are followed as Kubernetes follows them: who selects whom, and that nobody else is selected."""

import pathlib
import sys

import yaml

ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
WORKLOADS = {"Deployment", "StatefulSet"}


def pod_of(document):
    """The pod template (or pod) of an object, or None."""
    if document["kind"] == "Pod":
        return document
    return document["spec"]["template"] if document["kind"] in WORKLOADS | {"Job"} else None


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
    jobs = {"provision", "drain", "test"}
    found = []
    for document in documents:
        kind, name, spec = document["kind"], document["metadata"]["name"], document.get("spec", {})
        if kind == "NetworkPolicy":
            selector = spec["podSelector"]
            meant = jobs if name.endswith("-jobs") else {"provision"} if name.endswith("-provision") else {"gateway"}
        elif kind == "PodDisruptionBudget" or kind in WORKLOADS:
            selector, meant = spec["selector"], {"gateway"}
        elif kind == "Service":
            selector, meant = spec["selector"], {"gateway"}
        else:
            continue
        for other, pod in pods:
            is_meant = pod["metadata"]["labels"]["app.kubernetes.io/component"] in meant
            if selects(selector, pod["metadata"]["labels"]) != is_meant:
                found.append(f"{kind} {name} {'misses' if is_meant else 'selects'} the pods of {other['kind']} {other['metadata']['name']}")
    monitors = [document["spec"]["selector"] for document in documents if document["kind"] == "ServiceMonitor"]
    for selector in monitors:
        services = [each["metadata"]["name"] for each in documents if each["kind"] == "Service" and selects(selector, each["metadata"]["labels"])]
        if len(services) != 1 or not services[0].endswith("-pods"):
            found.append(f"ServiceMonitor selects {services}")
    return found


def main(folder):
    pods = 0
    problems = []
    for file in sorted(pathlib.Path(folder).glob("*.yaml")):
        documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
        kinds = [document["kind"] for document in documents if pod_of(document)]
        if len(WORKLOADS & set(kinds)) != 1 or kinds.count("Pod") != 1:
            problems.append(f"{file.name}: not one workload and one test, but {kinds}")
        problems += [f"{file.name}: {problem}" for problem in selected(documents)]
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

#!/usr/bin/env python3
"""Runs the real hookbus in the pods that the chart renders: an empty read-only root, and in it exactly the mounts, the environment and
the user of the manifest. A ConfigMap of the manifest is there with its files; a Secret with the files that the configuration names
below its mount, since that is what an operator puts into it.

Every container of every pod must pass `hookbus check`, and its own words must be words of hookbus. That of the reconciler has no secret
that signs: there `hookbus reconcile` must find all that it needs, up to the vendors and the bus, which are not here. The workloads of
some features are then served: their probes answer as the manifest asks, an event goes in at the listener of a gateway, and SIGTERM ends
them within their grace period."""

import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib

import yaml

import pods

INSIDE = pathlib.Path(__file__).with_name("inside.py")
# What is served, and whether it is ready where no broker can be reached.
SERVED = {"journal": True, "ingress": True, "openshift": True, "spool-off": False, "reconcile": True}
# Two workloads.
WORKLOADS_SERVED = len(SERVED) + 1
VALUES = pathlib.Path(__file__).resolve().parents[2] / "helm/hookbus/ci"
IMAGE = "registry.example.com/hookbus"
# Seconds from SIGTERM to SIGKILL where a pod does not say.
KUBERNETES_GRACE = 30
# What a platform that gives users takes for a pod that names none: any user, of the group of root.
GIVEN = {"runAsUser": 1000680000, "runAsGroup": 0}


def named_files(node, key=""):
    """Every path that a configuration names."""
    if isinstance(node, dict):
        return [path for name, value in node.items() for path in named_files(value, name)]
    if isinstance(node, list):
        return [path for value in node for path in named_files(value, key)]
    return [node] if key.endswith(("_file", "_files")) else []


def config_of(documents, pod, feature):
    """The text of hookbus.toml as this pod sees it; what somebody else's ConfigMap holds stands in the values, too."""
    volume = next(volume for volume in pod["spec"]["volumes"] if volume["name"] == "config")
    if "downwardAPI" in volume:
        return pod["metadata"]["annotations"]["hookbus.toml"]
    name = volume["configMap"]["name"]
    found = [each["data"]["hookbus.toml"] for each in documents if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name]
    if found:
        return found[0]
    values = yaml.safe_load((VALUES / feature).read_text())
    return values["config"] if values["existingConfigMap"] == name else sys.exit(f"{feature}: there is no ConfigMap {name}")


def fill(folder, mount, volume, config):
    """Puts into a folder what the mount of a volume shows."""
    folder.mkdir(parents=True)
    if volume["name"] == "config":
        (folder / "hookbus.toml").write_text(config)
        return
    for path in named_files(tomllib.loads(config)):
        inside = pathlib.PurePosixPath(path)
        if inside.parent == pathlib.PurePosixPath(mount["mountPath"]):
            (folder / inside.name).write_text("sixteen bytes, and more of them\n")


def sandbox(binary, scratch, config, pod, container):
    """The words of bubblewrap that stand before a command in this container."""
    settings = {**GIVEN, **pod["spec"]["securityContext"]}
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--clearenv", "--chdir", "/"]
    words += ["--uid", str(settings["runAsUser"]), "--gid", str(settings["runAsGroup"])]
    words += ["--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]
    words += ["--proc", "/proc", "--dev", "/dev", "--ro-bind", str(binary), "/hookbus", "--ro-bind", str(INSIDE), "/inside.py"]
    for variable in container["env"]:
        words += ["--setenv", variable["name"], variable.get("value", "from the pod")]
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    for number, mount in enumerate(container["volumeMounts"]):
        # A claim's volume is not among the pod's own.
        volume = volumes.get(mount["name"], {"name": mount["name"]})
        folder = scratch / str(number)
        fill(folder, mount, volume, config)
        words += ["--ro-bind" if mount.get("readOnly") else "--bind", str(folder), mount["mountPath"]]
    return words + ["--remount-ro", "/"]


def check(binary, config, pod, container):
    """What `hookbus check` finds wrong; nothing when all is well."""
    with tempfile.TemporaryDirectory() as scratch:
        words = sandbox(binary, pathlib.Path(scratch), config, pod, container)
        is_reconcile = pod["metadata"]["labels"][pods.COMPONENT] == "reconcile"
        # The container's own command is only read, by asking for its help: its broker is not here.
        for command in (["reconcile", "--once"] if is_reconcile else ["check"], [*container["args"], "--help"]):
            done = subprocess.run([*words, "/hookbus", *command], capture_output=True, text=True, timeout=120)
            is_well = asked_all(done, config) if "--once" in command[-1:] else done.returncode == 0
            if not is_well:
                return f"{' '.join(command)}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return ""


def asked_all(done, config):
    """Whether a look came as far as each vendor, which it asks for several lists, and the bus, and no further."""
    vendors = [source["name"] for source in tomllib.loads(config)["sources"] if "api" in source]
    silent = re.findall(r"^hookbus: (\w+): GET https://\S+: no answer:", done.stderr, re.MULTILINE)
    return done.returncode == 1 and list(dict.fromkeys(silent)) == vendors and "hookbus: the bus: " in done.stderr and " file " not in done.stderr


def serve(binary, config, pod, ready):
    """What goes wrong while the gateway's container is served and stopped."""
    container = pod["spec"]["containers"][0]
    source = tomllib.loads(config)["sources"][0]
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    order = {
        "args": container["args"],
        "probes": {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")},
        "ports": {port["name"]: port["containerPort"] for port in container["ports"]},
        "vendor": source["vendor"],
        "path": source["path"],
        "ready": ready,
        "grace": pod["spec"].get("terminationGracePeriodSeconds", KUBERNETES_GRACE) - sleep,
    }
    with tempfile.TemporaryDirectory() as scratch:
        words = sandbox(binary, pathlib.Path(scratch), config, pod, container)
        words += ["--setenv", "PATH", "/usr/local/bin:/usr/bin", "python3", "/inside.py", json.dumps(order)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}"


def main(folder, binary):
    binary = pathlib.Path(binary).resolve()
    problems, jobs, checked = [], [], 0
    with concurrent.futures.ThreadPoolExecutor() as threads:
        for file in sorted(pathlib.Path(folder).glob("*.yaml")):
            documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
            for document in documents:
                pod = pods.pod_of(document)
                if not pod:
                    continue
                config = config_of(documents, pod, file.name)
                # A sidecar is somebody else's.
                for container in (each for each in pod["spec"]["containers"] if each["image"].startswith(IMAGE)):
                    what = f"{file.name}: {document['kind']}: {container['name']}"
                    jobs.append((what, threads.submit(check, binary, config, pod, container)))
                    checked += 1
                feature = file.name.removesuffix("-values.yaml")
                if document["kind"] in pods.WORKLOADS and feature in SERVED:
                    jobs.append((f"{file.name}: {document['kind']} served", threads.submit(serve, binary, config, pod, SERVED[feature])))
        for what, job in jobs:
            if job.result():
                problems.append(f"{what}: {job.result()}")
    served = len(jobs) - checked
    if problems or not checked or served != WORKLOADS_SERVED:
        sys.exit("\n".join(problems) or f"{checked} containers checked, {served} served")
    print(f"{checked} containers checked, {served} workloads served")


if __name__ == "__main__":
    main(*sys.argv[1:])

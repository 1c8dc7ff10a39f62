"""What is missing, closed or gone: a Secret, the broker, a way through the network, the whole release. Each is named, and what was
acknowledged comes through."""

import json

from control import Failed, eventually
from load import PATH, SECRET
from posted import CONFIG, Posted
from rollings import ended

SEEN_SECONDS = 90
PROBE_SECONDS = 90


def every():
    return {
        "a Secret that is missing, and then there": missing_secret,
        "`helm test`, with events, under a NetworkPolicy": helm_test,
        "NetworkPolicy: who is let in, who is not": network_policy,
        "uninstalled with events in the spool, installed again": reinstalled,
        "upgraded while the broker is down": broker_down,
    }


def missing_secret(control):
    release = Posted(control, "missing", secret=False, provision={"enabled": False})
    done, said = release.helm("install", release.name, release.chart, values=release.values)
    if not done:
        raise Failed(f"helm install: {said}")

    def told():
        events = control.get("--namespace", release.namespace, "events")["items"]
        return [each["message"] for each in events if 'secret "hookbus-acme" not found' in each["message"]]

    message = eventually("an event names the Secret", SEEN_SECONDS, told)[0]
    release.secret()
    release.settled()
    restarts = sum(status["restartCount"] for pod in release.pods().values() for status in pod["status"]["containerStatuses"])
    if restarts:
        raise Failed(f"{restarts} restarts")
    return f"an event says `{message}`; with the Secret, ready without a restart"


# As in ci/networkpolicy-values.yaml, with NATS.
CLOSED = {
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}}],
        "brokers": [{"podSelector": {"matchLabels": {"app": "nats"}}}],
    },
}


def helm_test(control):
    release = Posted(control, "tested", **CLOSED, tests={"sendEvents": True})
    release.install()
    for turn in range(4):
        done, said = release.helm("test", release.name, "--logs", "--timeout=60s")
        if not done:
            raise Failed(f"try {turn + 1} of 4: {said}")
    return "4 of 4"


def network_policy(control):
    release = Posted(control, "closed", **CLOSED)
    release.install()
    url = f"http://{release.address()}:80{PATH}"
    found = {namespace: probe(control, release, namespace, url) for namespace in ("gateways", "strangers")}
    if found != {"gateways": "Succeeded", "strangers": "Failed"}:
        raise Failed(str(found))
    return "a signed event from the namespace that may: 200; from another: no connection"


def probe(control, release, namespace, url):
    """How a pod ends that posts one signed event from there; the leave to do so may come a moment after the pod."""
    control.kubectl("create", "namespace", namespace)
    control.kubectl("--namespace", namespace, "create", "secret", "generic", "probe", f"--from-literal=secret={SECRET}", f"--from-literal=hookbus.toml={CONFIG.replace('/etc/hookbus/sources/acme', '/probe')}")
    image = release.values["image"]["repository"]
    version = release.workload()["spec"]["template"]["spec"]["containers"][0]["image"].removeprefix(f"{image}:")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "probe",
                    "image": f"{image}:{version}",
                    "imagePullPolicy": "Never",
                    "args": ["trigger", "1099policy", "policy.active", "--config=/probe/hookbus.toml", f"--url={url}", "--wait=30s"],
                    "volumeMounts": [{"name": "probe", "mountPath": "/probe"}],
                }
            ],
            "volumes": [{"name": "probe", "secret": {"secretName": "probe"}}],
        },
    }
    control.kubectl("--namespace", namespace, "create", "-f", "-", input=json.dumps(pod))
    try:
        return eventually(f"the probe in {namespace} ends", PROBE_SECONDS, lambda: ended_phase(control, namespace))
    finally:
        control.kubectl("delete", "namespace", namespace, "--wait=false")


def ended_phase(control, namespace):
    phase = control.get("--namespace", namespace, "pod", "probe")["status"]["phase"]
    return phase if phase in ("Succeeded", "Failed") else None


def reinstalled(control):
    """The broker is down, so that what is acknowledged lies in the spools when the release goes."""
    release = Posted(control, "again")
    release.install()
    scale_broker(release, 0)
    with release.load() as load:
        eventually("some events are acknowledged", SEEN_SECONDS, lambda: len(load.answered) > 200)
    done, said = release.helm("uninstall", release.name, "--wait")
    if not done:
        raise Failed(f"helm uninstall: {said}")
    scale_broker(release, 1)
    release.install()
    return ended(release, load)


def broker_down(control):
    """The documented way out of a full spool, a larger one, with the provisioning hook on."""
    release = Posted(control, "down")
    release.install()
    scale_broker(release, 0)
    with release.load() as load:
        eventually("some events are acknowledged", SEEN_SECONDS, lambda: len(load.answered) > 100)
        release.upgrade(config=release.values["config"].replace("64MiB", "96MiB"))
    scale_broker(release, 1)
    return ended(release, load)


def scale_broker(release, replicas):
    release.kubectl("scale", "statefulset/nats", f"--replicas={replicas}")
    release.kubectl("rollout", "status", "statefulset/nats", f"--timeout={SEEN_SECONDS}s")

"""Replicas that go while senders post: rolled, drained, killed, resized, rolled back. Nothing fails that need not, and nothing is lost."""

import subprocess
import time

from changes import commands_of
from control import Failed, eventually
from posted import Posted

ROLLINGS = 20
ROLLED_SECONDS = 180
KILLS = 6


def every():
    return {
        f"{ROLLINGS} rolling restarts": rolling_restarts,
        "node drained, with its PodDisruptionBudget": drained,
        f"replicas killed without notice (SIGKILL), {KILLS} times": killed,
        "volumes resized, by the commands of the guard": resized,
        "a configuration that no pod starts with, rolled back": rolled_back,
        "rolled once under a user that OpenShift's admission picks": any_user,
    }


def rolling_restarts(control):
    release = Posted(control, "rolling")
    release.install()
    with release.load() as load:
        for _ in range(ROLLINGS):
            before = release.uids()
            release.kubectl("rollout", "restart", "statefulset/hb-hookbus")
            release.kubectl("rollout", "status", "statefulset/hb-hookbus", f"--timeout={ROLLED_SECONDS}s")
            if before & release.uids():
                raise Failed("a roll-out left an old pod")
    return ended(release, load)


def ended(release, load, of=("failed", "lost")):
    """The account, with the first failure, when it shows none of the faults."""
    account = release.account(load)
    said = f"{account} ({load.failures[0]})" if load.failures else str(account)
    if account.requests < 100 or any(getattr(account, fault) for fault in of):
        raise Failed(said)
    return said


def drained(control):
    """The only node: it is open again as soon as its first pod is gone, and the budget holds the second one until then."""
    release = Posted(control, "drained")
    release.install()
    before = release.uids()
    with release.load() as load:
        command = ["kubectl", "drain", "node-0", "--ignore-daemonsets", "--delete-emptydir-data",
                   "--pod-selector=app.kubernetes.io/component=gateway", f"--timeout={ROLLED_SECONDS}s"]
        drain = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=control.environment)
        try:
            eventually("one pod waits for a node", ROLLED_SECONDS, lambda: any(pod["status"]["phase"] == "Pending" for pod in release.pods().values()))
            if len(before & release.uids()) != 1:
                raise Failed("the budget lets both go at once")
        finally:
            control.kubectl("uncordon", "node-0")
        said, _ = drain.communicate(timeout=ROLLED_SECONDS)
        release.settled()
    if drain.returncode != 0 or "Cannot evict pod as it would violate" not in said:
        raise Failed(f"kubectl drain: {said}")
    if before & release.uids():
        raise Failed("the drain left a pod")
    return ended(release, load)


def killed(control):
    """Requests in flight may fail then; what was answered 200 must not be lost."""
    release = Posted(control, "killed")
    release.install()
    with release.load() as load:
        for turn in range(KILLS):
            pod = f"hb-hookbus-{turn % 2}"
            old = release.pods()[pod]["metadata"]["uid"]
            container = release.pods()[pod]["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
            # The kernel first: a pod that is only removed by force goes on for as long as it drains, and holds its journal.
            command = ["ctr", f"--address={control.folder}/containerd.sock", "--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", container]
            subprocess.run(command, check=True, capture_output=True, env=control.environment, timeout=30)
            release.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
            eventually(f"{pod} is another one", ROLLED_SECONDS, lambda: pod in release.pods() and release.pods()[pod]["metadata"]["uid"] != old)
            release.settled()
    return ended(release, load, of=("lost",))


def resized(control):
    release = Posted(control, "resized")
    release.install()
    before = release.uids()
    with release.load() as load:
        larger = {"size": "2Gi"}
        for command in commands_of(release.refused(["1Gi of StatefulSet"], persistence=larger)):
            subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True, capture_output=True, env=control.environment, timeout=60)
        release.upgrade(persistence=larger)
        time.sleep(2)
    if release.uids() != before:
        raise Failed("a pod was restarted")
    return ended(release, load) + ", no pod restarted"


def rolled_back(control):
    release = Posted(control, "back")
    release.install()
    with release.load() as load:
        broken = release.values["config"].replace('max_size = "64MiB"', 'max_size = "64MiB"\nno_such_key = 1')
        done, said = release.apply("upgrade", config=broken, provision={"enabled": False})
        if done:
            raise Failed("an upgrade to a broken configuration is a success")
        if len([pod for pod in release.pods().values() if ready(pod)]) != 1:
            raise Failed(f"more than one replica is gone: {said}")
        done, said = release.helm("rollback", release.name, "--wait", "--timeout=120s")
        if not done:
            raise Failed(f"helm rollback: {said}")
        release.settled()
    return ended(release, load)


def any_user(control):
    """No user of the image, none that has a name, in the group of root: what its admission writes into pods that name none. The volume
    comes back to the same user."""
    user = {"runAsUser": 1000680000, "runAsGroup": 0, "fsGroup": 1000680000}
    release = Posted(control, "anyuser", podSecurityContext=user)
    release.install()
    with release.load() as load:
        release.kubectl("rollout", "restart", "statefulset/hb-hookbus")
        release.kubectl("rollout", "status", "statefulset/hb-hookbus", f"--timeout={ROLLED_SECONDS}s")
    return ended(release, load)


def ready(pod):
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))

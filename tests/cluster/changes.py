"""What the chart refuses, and what it must not break, when it sees what is in the cluster: its guards' look-ups are live here, which
`helm template` never tries."""

import re
import subprocess

from control import Failed, eventually
from release import SETTLE_SECONDS, Release, values_of


def every():
    return {
        "Pod Security is enforced": restricted_is_enforced,
        "fewer replicas": fewer_replicas,
        "spool off": spool_off,
        "larger volumes": larger_volumes,
        "scaled by hand": scaled_by_hand,
        "a canary": canary,
        "a ConfigMap of another's": existing_config_map,
    }


def restricted_is_enforced(control):
    """Or no other scenario would show that the chart's pods are admitted."""
    release = Release(control, "loose", {**values_of("spool-off"), "securityContext": {"allowPrivilegeEscalation": True}, "autoscaling": {"enabled": False}})
    done, said = release.helm("install", release.name, release.chart, values=release.values)
    if not done or "would violate PodSecurity" not in said:
        raise Failed(f"no warning: {said}")
    eventually("the pods are forbidden", SETTLE_SECONDS, lambda: "forbidden" in release.kubectl("get", "replicasets", "--output=yaml").stdout)
    if release.pods():
        raise Failed("a pod that allows privilege escalation is admitted")


def fewer_replicas(control):
    release = Release(control, "fewer", {**values_of("nats"), "replicaCount": 3})
    release.install()
    volumes = release.names_of("PersistentVolumeClaim")
    release.refused(["replicaCount", "(3 now)", "waive: [scale_down]"], replicaCount=2)
    release.upgrade(replicaCount=2, waive=["scale_down"])
    if len(release.pods()) != 2 or release.names_of("PersistentVolumeClaim") != volumes or len(volumes) != 3:
        raise Failed(f"3 volumes and 2 pods are expected: {release.state().keys()}")
    release.upgrade(replicaCount=3)


def spool_off(control):
    release = Release(control, "off", values_of("nats"))
    release.install()
    config = release.values["config"] + '\n[journal]\nspool = "off"\n'
    release.refused(["config: would remove replicas of StatefulSet"], config=config)
    release.upgrade(config=config, waive=["scale_down"])
    if release.workload()["kind"] != "Deployment" or len(release.names_of("PersistentVolumeClaim")) != 2:
        raise Failed(f"a Deployment and the 2 volumes are expected: {release.state().keys()}")


def scaled_by_hand(control):
    """What README says of the number of replicas: who counts, what helm 4 says to another count, and the two ways on."""
    release = Release(control, "scaled", values_of("nats"))
    release.install()
    workload = f"statefulset/{release.workload()['metadata']['name']}"

    def scale(replicas):
        release.kubectl("scale", workload, f"--replicas={replicas}")
        eventually(f"{replicas} pods", SETTLE_SECONDS, lambda: len(release.pods()) == replicas)

    scale(3)
    # The guard sees a replica that would go, before helm sees that somebody else has counted.
    release.refused(["(3 now)"])
    done, said = release.apply("upgrade", waive=["scale_down"])
    if done or "conflict" not in said or ".spec.replicas" not in said or len(release.pods()) != 3:
        raise Failed(f"no conflict over .spec.replicas, or {len(release.pods())} pods: {said}")
    pods = release.uids()
    release.upgrade(replicaCount=3)
    if release.uids() != pods:
        raise Failed("the same number restarts pods")
    scale(4)
    release.upgrade("--force-conflicts", replicaCount=3, waive=["scale_down"])
    if len(release.pods()) != 3:
        raise Failed(f"forced to 3, there are {len(release.pods())}")
    # A roll-back asks no guard, and goes back to that revision's number, volumes and all.
    told = release.helm("get", "values", release.name, "--revision=1", "--all")[1]
    if "replicaCount: 2" not in told:
        raise Failed(f"helm get values does not say the number to come: {told}")
    done, said = release.helm("rollback", release.name, "1", "--wait", "--timeout=60s")
    if not done:
        raise Failed(f"helm rollback: {said}")
    eventually("2 pods", SETTLE_SECONDS, lambda: len(release.pods()) == 2)
    if len(volumes := release.names_of("PersistentVolumeClaim")) != 4:
        raise Failed(f"4 volumes are expected: {volumes}")


def canary(control):
    """With `updateStrategy.partition` only the replicas from there on are new, until it is taken away."""
    release = Release(control, "canary", {**values_of("nats"), "replicaCount": 3})
    release.install()
    before = {name: pod["metadata"]["uid"] for name, pod in release.pods().items()}
    done, said = release.apply("upgrade", updateStrategy={"type": "RollingUpdate", "partition": 2}, podAnnotations={"example.com/turn": "2"})
    if not done:
        raise Failed(f"helm upgrade: {said}")

    def replaced():
        return {name for name, pod in release.pods().items() if before.get(name) != pod["metadata"]["uid"]}

    last = max(before)
    eventually("the last replica is new", SETTLE_SECONDS, lambda: len(release.pods()) == 3 and replaced() == {last})
    release.upgrade(updateStrategy={"type": "RollingUpdate", "partition": 0})
    if replaced() != set(before):
        raise Failed(f"without a partition, only these are new: {replaced()}")


def existing_config_map(control):
    """Looked up, so that the guards and the workload are as with `config`."""
    values = values_of("nats")
    text = values.pop("config")
    release = Release(control, "given", {**values, "existingConfigMap": "somebody-elses"})
    done, said = release.apply("install")
    if done or "there is no ConfigMap somebody-elses" not in said:
        raise Failed(f"the missing ConfigMap is not said: {said}")
    release.give_config(text)
    release.install()
    pods = release.uids()
    release.give_config(text + '\n[journal]\nsegment_size = "32MiB"\n')
    release.refused(["config: differs from hookbus.toml in ConfigMap somebody-elses"], config=text)
    release.upgrade()
    if pods & release.uids():
        raise Failed("pods go on with the old configuration")
    if [name for name in release.names_of("ConfigMap") if "dashboard" not in name]:
        raise Failed("the chart makes a ConfigMap of its own, too")


def larger_volumes(control):
    """The refusal says two commands, and they do it: as they stand there, and without a restart."""
    release = Release(control, "larger", values_of("nats"))
    release.install()
    pods = release.uids()
    larger = {"size": "24Gi"}
    for command in commands_of(release.refused(["16Gi of StatefulSet"], persistence=larger)):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], capture_output=True, text=True, env=control.environment, timeout=60)
        if done.returncode != 0:
            raise Failed(f"{command}: {done.stderr}")
    release.upgrade(persistence=larger)
    asked = {item["spec"]["resources"]["requests"]["storage"] for (kind, _), item in release.state().items() if kind == "PersistentVolumeClaim"}
    if asked != {"24Gi"} or release.uids() != pods:
        raise Failed(f"the claims ask for {asked}, and {len(pods - release.uids())} pods were restarted")


def commands_of(said):
    """The commands that a refusal to resize tells to give, in their order."""
    found = [re.search(pattern, said) for pattern in (r"\((kubectl get pvc .*?)\), then", r"then (kubectl delete statefulset .*? --cascade=orphan)")]
    if not all(found):
        raise Failed(f"no commands: {said}")
    return [each[1] for each in found]

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

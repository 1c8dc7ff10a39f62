"""What a change would leave behind or could not change: the guards name it before anything is half applied, and say a way that works."""

import time

from control import Failed, eventually
from release import SETTLE_SECONDS, Release, values_of

# Before the first pause between two attempts of a Job, and those that would follow.
AT_ONCE_SECONDS = 10
FIXED = {
    "storageClassName": "fast",
    "accessMode": "ReadWriteOncePod",
    "annotations": {"example.com/backup": "true"},
}


def every():
    return {
        "renamed": renamed,
        "what Kubernetes does not change": fixed,
        "autoscaling turned on": autoscaling,
        "a provisioning that is wrong": wrong_provisioning,
    }


def renamed(control):
    """Refused under any new name, also with the spool off; drained by Jobs; clean when the claims are deleted."""
    release = Release(control, "renamed", values_of("nats"))
    release.install()
    claims = release.names_of("PersistentVolumeClaim")
    off = release.values["config"] + '\n[journal]\nspool = "off"\n'
    for change in ({"fullnameOverride": "other"}, {"nameOverride": "other"}, {"fullnameOverride": "other", "config": off}):
        release.refused(["would remove replicas of StatefulSet hb-hookbus (2 now)", *claims], **change)
    release.upgrade(fullnameOverride="other", drain={"claims": claims})
    if release.workload()["metadata"]["name"] != "other":
        raise Failed("the release was not renamed")

    def drained():
        jobs = [job for job in release.get("jobs") if job["metadata"]["labels"]["app.kubernetes.io/component"] == "drain"]
        return len(jobs) == len(claims) and all(job["status"].get("succeeded") for job in jobs)

    eventually("a Job has drained each claim", SETTLE_SECONDS, drained)
    release.refused(["no replica mounts", *claims], drain={"claims": []})
    for claim in claims:
        release.kubectl("delete", "pvc", claim, "--wait=false")
    release.upgrade(drain={"claims": []})


def fixed(control):
    release = Release(control, "fixed", values_of("nats"))
    release.install()
    for field, value in FIXED.items():
        release.refused([f"persistence.{field}: Kubernetes does not change"], persistence={field: value})
    release.refused(["persistence.enabled: Kubernetes does not change"], persistence={"enabled": False}, waive=["ephemeral_spool"])


def autoscaling(control):
    """A count that left the manifest would fall to one."""
    release = Release(control, "autoscaling", {**values_of("spool-off"), "autoscaling": {"enabled": False}, "replicaCount": 3})
    release.install()
    pods = release.uids()
    release.upgrade(autoscaling={"enabled": True, "minReplicas": 2, "maxReplicas": 10})
    if release.uids() != pods:
        raise Failed(f"3 replicas became {release.workload()['spec']['replicas']}, and {len(pods - release.uids())} pods went")


def wrong_provisioning(control):
    """A configuration that is wrong (exit 64) ends the upgrade at once: no other attempt ends better."""
    values = {**values_of("provision"), "podAnnotations": {"hookbus.test/exit": "64"}}
    values["provision"] = {**values["provision"], "backoffLimit": 3}
    release = Release(control, "wrong", values)
    begin = time.monotonic()
    done, said = release.apply("install")
    took = time.monotonic() - begin
    if done:
        raise Failed(f"helm install is content: {said}")
    pods = release.get("pods")
    if len(pods) != 1 or took > AT_ONCE_SECONDS:
        raise Failed(f"{len(pods)} attempts in {took:.0f} s")

"""The whole life of a release, for each values file in helm/hookbus/ci and both helms: installed, upgraded to the same, changed, rolled
back, uninstalled, and installed again over its volumes."""

from control import Failed, eventually
from release import CHART, SETTLE_SECONDS, Release, values_of

# Names that YAML takes for a boolean and for a number; the second is no name of a Service by itself either.
NAMES = {3: "off", 4: "1099"}


def every():
    files = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
    return {f"life of {file}": lambda control, file=file: life(control, file) for file in files}


def life(control, file):
    # One after the other: a NodePort is there only once in a cluster.
    for helm, name in NAMES.items():
        release = Release(control, f"{file}-helm{helm}", values_of(file), helm, name)
        release.install()
        unchanged_upgrade(release)
        change_and_back(release)
        uninstalled(release)
        volumes = claims(release)
        release.install()
        if claims(release) != volumes:
            raise Failed(f"installed again, it has other volumes: {volumes} became {claims(release)}")
        uninstalled(release)


def unchanged_upgrade(release):
    before = release.state()
    release.upgrade()
    release.same(before, "an upgrade without a change")


def change_and_back(release):
    pods, before = release.uids(), written(release)
    release.upgrade(podAnnotations={**release.values.get("podAnnotations", {}), "example.com/turn": "2"})
    if kept := pods & release.uids():
        raise Failed(f"an upgrade with a new annotation leaves {len(kept)} old pods")
    done, said = release.helm("rollback", release.name, "1", "--wait", "--timeout=60s")
    if not done:
        raise Failed(f"helm rollback: {said}")
    release.settled()
    if (after := written(release)) != before:
        raise Failed(f"the roll-back is not what was: {[key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]}")


def written(release):
    """What the chart wrote, without what Kubernetes counts."""
    found = {}
    for (kind, name), item in release.state().items():
        if kind not in ("Pod", "ReplicaSet", "ControllerRevision"):
            found[kind, name] = (item.get("spec"), item.get("data"), item["metadata"].get("labels"))
    return found


def uninstalled(release):
    """Nothing is left but the volumes of a spool."""
    done, said = release.helm("uninstall", release.name, "--wait")
    if not done:
        raise Failed(f"helm uninstall: {said}")

    try:
        eventually("it is gone", SETTLE_SECONDS, lambda: not release.left())
    except Failed:
        raise Failed(f"helm uninstall leaves {release.left()}") from None


def claims(release):
    return {name: item["metadata"]["uid"] for (kind, name), item in release.state().items() if kind == "PersistentVolumeClaim"}

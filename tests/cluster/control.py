"""A control plane on loopback: etcd, the API server, its controllers and scheduler, and nodes that only say that they run their pods (idle_nodes.py).

In: the programs that scripts/cluster-tools.sh builds, and a folder for data and logs. Out: a kubeconfig, and a kubectl. Everything that
an API server judges is real here (schemas, defaulting, admission under Pod Security, server-side apply, controllers, garbage
collection); no container runs. All ends with the `with` block, or with this process.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).parent
BIN = ROOT / "target/cluster/bin"
START_SECONDS = 90
STOP_SECONDS = 10
POLL_SECONDS = 0.5
# Of each class; nobody cleans one that was used.
VOLUMES = 100
# The classes, and the access mode of their volumes: the one is the default, the other is what ci/journal-values.yaml asks for.
CLASSES = {"standard": "ReadWriteOnce", "fast": "ReadWriteOncePod"}
TOKEN = "loopback-only"


class Failed(Exception):
    """What a user would complain about."""


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def eventually(what, seconds, seen):
    """What `seen` returns, once it is true."""
    end = time.monotonic() + seconds
    while not (value := seen()):
        if time.monotonic() > end:
            raise Failed(f"after {seconds} s not: {what}")
        time.sleep(POLL_SECONDS)
    return value


class Control:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.kubeconfig = self.folder / "kubeconfig"
        self.environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": f"{BIN}:{os.environ['PATH']}"}
        self.running = []

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            self.begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The last one first: who watches the API server before the API server.
        for process in reversed(self.running):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def begin(self):
        """The control plane, and nodes that run nothing."""
        self.api()
        self.controllers()
        self.start("idle_nodes", program=HERE / "idle_nodes.py")
        # No kubelet will look for the volumes.
        self.furnish([HERE / "furniture.yaml", HERE / "nodes.yaml"], lambda _: {"hostPath": {"path": "/nowhere"}})
        eventually("every node is ready", START_SECONDS, self.nodes_ready)

    def api(self, *more):
        port, etcd, peer = free_port(), free_port(), free_port()
        self.keys()
        self.kubeconfig.write_text(json.dumps(self.access(port)))
        self.start("etcd", f"--data-dir={self.folder}/etcd", "--unsafe-no-fsync", "--log-level=warn",
                   *(f"--{which}-client-urls=http://127.0.0.1:{etcd}" for which in ("listen", "advertise")),
                   *(f"--{which}=http://127.0.0.1:{peer}" for which in ("listen-peer-urls", "initial-advertise-peer-urls")),
                   f"--initial-cluster=default=http://127.0.0.1:{peer}")
        self.start("kube-apiserver", f"--etcd-servers=http://127.0.0.1:{etcd}", f"--cert-dir={self.folder}/certificates",
                   "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={port}", "--endpoint-reconciler-type=none",
                   "--service-cluster-ip-range=10.97.0.0/16", f"--token-auth-file={self.folder}/tokens", "--authorization-mode=RBAC",
                   "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={self.folder}/accounts.pem",
                   f"--service-account-signing-key-file={self.folder}/accounts.pem", *more)
        eventually("the API server is ready", START_SECONDS, self.ready)

    def controllers(self, *more):
        watcher = (f"--kubeconfig={self.kubeconfig}",)
        self.start("kube-controller-manager", *watcher, "--leader-elect=false", "--secure-port=0", "--horizontal-pod-autoscaler-sync-period=1s",
                   f"--service-account-private-key-file={self.folder}/accounts.pem", f"--root-ca-file={self.folder}/certificates/apiserver.crt", *more)
        self.start("kube-scheduler", *watcher, "--leader-elect=false", "--secure-port=0")

    def start(self, name, *arguments, program=None):
        with open(self.folder / f"{name}.log", "wb") as log:
            # Whatever ends this process ends them.
            command = ["setpriv", "--pdeathsig", "KILL", program or BIN / name, *arguments]
            self.running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment))

    def keys(self):
        subprocess.run(["openssl", "genrsa", "-out", self.folder / "accounts.pem", "2048"], check=True, capture_output=True)
        (self.folder / "tokens").write_text(f"{TOKEN},admin,admin,system:masters\n")

    def access(self, port):
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": f"{self.folder}/certificates/apiserver.crt"}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }

    def ready(self):
        for process in self.running:
            if process.poll() is not None:
                name = pathlib.Path(process.args[3]).name
                raise Failed(f"{name} ended:\n{(self.folder / f'{name}.log').read_text()[-3000:]}")
        return self.kubectl("get", "--raw=/readyz", check=False).returncode == 0

    def nodes_ready(self):
        nodes = self.get("nodes")["items"]
        ready = [each["status"] for node in nodes for each in node["status"].get("conditions", []) if each["type"] == "Ready"]
        return nodes and ready == ["True"] * len(nodes)

    def furnish(self, files, place):
        """What a cluster has before anybody installs this chart: classes, custom resources, volumes, each at its `place`."""
        objects = [each for file in files for each in yaml.safe_load_all(file.read_text())]
        objects += [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "target/cluster/crds").glob("*.yaml"))]
        names = [(storage_class, f"{storage_class}-{number}") for storage_class in CLASSES for number in range(VOLUMES)]
        objects += [volume(storage_class, name, place(name)) for storage_class, name in names]
        self.kubectl("create", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def kubectl(self, *arguments, check=True, input=None):
        done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, env=self.environment, input=input, timeout=120)
        if check and done.returncode != 0:
            raise Failed(f"kubectl {' '.join(map(str, arguments))}: {done.stderr}")
        return done

    def get(self, *arguments):
        return json.loads(self.kubectl("get", *arguments, "--output=json").stdout)


def volume(storage_class, name, place):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": storage_class,
            "capacity": {"storage": "100Gi"},
            "accessModes": [CLASSES[storage_class]],
            **place,
        },
    }

"""A whole cluster of one real node: the control plane of control.py, and containerd, kubelet, kube-proxy, kube-router and DNS.

It runs in namespaces of its own (network, mounts, processes: see scripts/cluster.sh), so that nothing of it is seen outside or outlives
it, and nothing is pulled: each image is built here from files of this machine.
"""

import json
import pathlib
import shutil
import subprocess

from control import BIN, HERE, ROOT, START_SECONDS, Control, eventually

# The node's address, on a bridge without ports; pods are routed to, one by one.
ADDRESS = "10.88.0.1"
PODS = "10.89.0.0/24"
SERVICES = "10.97.0.0/16"
NAME = "node-0"
DEBIAN = ROOT / "target/cluster/debian"
PLUGINS = "/usr/lib/cni"
HOOKBUS = "registry.example.com/hookbus"
VERSION = next(line.split('"')[1] for line in (ROOT / "Cargo.toml").read_text().splitlines() if line.startswith("version = "))
IMAGE_SECONDS = 300


class Cluster(Control):
    def __init__(self, folder, hookbus):
        super().__init__(folder)
        self.hookbus = pathlib.Path(hookbus)
        self.socket = self.folder / "containerd.sock"
        path = [BIN, DEBIAN / "usr/bin", DEBIAN / "usr/sbin", self.environment["PATH"]]
        libraries = DEBIAN / "usr/lib" / subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True, check=True).stdout.strip()
        self.environment |= {"PATH": ":".join(map(str, path)), "LD_LIBRARY_PATH": str(libraries)}

    def begin(self):
        self.network()
        self.api("--kubelet-preferred-address-types=InternalIP", "--allow-privileged=false")
        self.controllers("--allocate-node-cidrs", f"--cluster-cidr={PODS}", f"--service-cluster-ip-range={SERVICES}", "--node-cidr-mask-size=24")
        self.containerd()
        self.images()
        self.furnish([HERE / "furniture.yaml"], self.place)
        self.kubelet()
        self.start("kube-proxy", "--proxy-mode=nftables", f"--kubeconfig={self.kubeconfig}", f"--hostname-override={NAME}", f"--cluster-cidr={PODS}",
                   "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s")
        self.start("dns", ADDRESS, program=HERE / "dns.py")
        eventually("the node is ready", START_SECONDS, self.nodes_ready)
        # It wants to see its node when it starts.
        self.start("kube-router", f"--kubeconfig={self.kubeconfig}", f"--hostname-override={NAME}", "--run-firewall=true", "--run-router=false",
                   "--run-service-proxy=false", f"--service-cluster-ip-range={SERVICES}", "--metrics-port=0", "--health-port=0")
        # As ci/pods-values.yaml wants it.
        self.kubectl("label", "node", NAME, "topology.kubernetes.io/zone=a", "example.com/zone=a")

    def network(self):
        for command in (
            "ip link set lo up",
            "ip link add node0 type bridge",
            f"ip address add {ADDRESS}/24 dev node0",
            "ip link set node0 up",
            f"ip route add {SERVICES} dev node0",
        ):
            subprocess.run(command.split(), check=True)
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def containerd(self):
        (self.folder / "cni").mkdir()
        (self.folder / "cni/10-pods.conflist").write_text(json.dumps({
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "ptp",
                    "ipam": {"type": "host-local", "dataDir": f"{self.folder}/addresses", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]},
                }
            ],
        }))
        (self.folder / "containerd.toml").write_text(f"""
version = 2
root = "{self.folder}/containerd"
state = "/run/containerd-state"
[grpc]
address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:1"
# Root may lack the right to lower it.
restrict_oom_score_adj = true
disable_apparmor = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = "{self.folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{shutil.which('runc')}"
SystemdCgroup = false
""")
        self.start("containerd", f"--config={self.folder}/containerd.toml", program=DEBIAN / "usr/bin/containerd")
        eventually("containerd answers", START_SECONDS, lambda: self.ctr("version", check=False).returncode == 0)

    def ctr(self, *arguments, check=True):
        return subprocess.run(["ctr", f"--address={self.socket}", "--namespace=k8s.io", *arguments], capture_output=True, text=True, env=self.environment, check=check)

    def images(self):
        for archive in build_images(self.hookbus, self.folder / "storage"):
            self.ctr("images", "import", archive)

    def kubelet(self):
        (self.folder / "resolv.conf").touch()
        (self.folder / "kubelet.yaml").write_text(json.dumps({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": ADDRESS,
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            "clusterDNS": [ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": f"{self.folder}/resolv.conf",
            "podLogsDir": f"{self.folder}/pods",
            "volumePluginDir": f"{self.folder}/plugins",
            # The node is a guest in this machine's control groups, and its disk is not its own: nothing is evicted, no image thrown away.
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            "maxPods": 200,
            # Without the groups of a whole pod (cgroupsPerQOS) it ends this kubelet, at the first pod that is made anew under its name.
            "featureGates": {"InPlacePodVerticalScaling": False},
        }))
        self.start("kubelet", f"--config={self.folder}/kubelet.yaml", f"--kubeconfig={self.kubeconfig}", f"--root-dir={self.folder}/kubelet",
                   f"--hostname-override={NAME}", f"--node-ip={ADDRESS}", f"--cert-dir={self.folder}/kubelet-certificates")

    def place(self, name):
        path = self.folder / "volumes" / name
        path.mkdir(parents=True)
        terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NAME]}]}]
        return {"local": {"path": str(path)}, "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}


def build_images(hookbus, storage):
    """The archives of three images, made of files of this machine: hookbus as deploy/Dockerfile has it, a pause, and nats-server."""
    storage.mkdir()
    options = ["--root", storage / "root", "--runroot", storage / "run", "--storage-driver", "vfs"]
    tag = f"{HOOKBUS}:{VERSION}"
    subprocess.run([ROOT / "deploy/image.sh", hookbus, tag, *options], check=True, capture_output=True, timeout=IMAGE_SECONDS)
    yield archive(tag, storage, options)

    pause = storage / "pause"
    pause.mkdir()
    source = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"
    subprocess.run(["gcc", "-static", "-O1", "-o", pause / "pause", "-x", "c", "-"], input=source, text=True, check=True)
    (pause / "Containerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
    yield built("localhost/pause:1", pause, storage, options)

    nats = storage / "nats"
    nats.mkdir()
    server = ROOT / "target/tools/bin/nats-server"
    shutil.copy(server, nats)
    for line in subprocess.run(["ldd", server], capture_output=True, text=True).stdout.splitlines():
        for word in (word for word in line.split() if word.startswith("/")):
            (nats / word.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(word, nats / word.lstrip("/"))
    (nats / "tmp").mkdir()
    (nats / "Containerfile").write_text('FROM scratch\nCOPY . /\nUSER 65532:65532\nENTRYPOINT ["/nats-server"]\n')
    yield built("localhost/nats:1", nats, storage, options)


def built(tag, context, storage, options):
    command = ["buildah", *options, "bud", "--isolation", "chroot", "--quiet", "--tag", tag, "--file", context / "Containerfile", context]
    subprocess.run(command, check=True, capture_output=True, timeout=IMAGE_SECONDS)
    return archive(tag, storage, options)


def archive(tag, storage, options):
    file = storage / f"{tag.rsplit('/', 1)[1].replace(':', '-')}.tar"
    subprocess.run(["buildah", *options, "push", "--quiet", tag, f"docker-archive:{file}:{tag}"], check=True, capture_output=True, timeout=IMAGE_SECONDS)
    return file

//! A real proxy in front of three gateways: set up so that it hides nothing (it keeps connections to them in a pool for 60 s and
//! tries no request twice), or as it comes (it also takes a gateway out that failed once).

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
};

use crate::support::{
    client::Connection,
    harness::free_port,
    process::{Process, log_file},
    wait::wait_until,
};

/// How many gateways stand behind a proxy.
pub const REPLICAS: usize = 3;

/// Who notices that a replica goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `HAProxy` asks each replica's `/readyz` itself.
    HaProxy,
    /// nginx as an ingress controller runs it: it is told, by a new configuration and a reload.
    Nginx,
}

/// How a proxy treats failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// No request is tried twice, no replica taken out: every failure is seen.
    None,
    /// As it comes.
    Stock,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::HaProxy => "haproxy",
            Kind::Nginx => "nginx",
        }
    }
}

/// A loopback network of its own for each run: replicas keep their addresses when they start anew, as pods of a
/// `StatefulSet` keep their names, and no outgoing connection takes such a port meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Network([u8; 2]);

impl Network {
    pub fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let [.., high, low] = std::process::id().to_be_bytes();
        Network([high.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)).max(1), low])
    }

    /// A free address of one host.
    pub fn address(self, host: usize) -> SocketAddr {
        let [high, low] = self.0;
        let ip = Ipv4Addr::new(127, high, low, u8::try_from(host).unwrap() + 1);
        (ip, free_port(ip)).into()
    }
}

/// Where a replica listens.
#[derive(Debug, Clone, Copy)]
pub struct Replica {
    pub webhooks: SocketAddr,
    pub admin: SocketAddr,
}

/// A running proxy; ended when dropped.
pub struct Proxy {
    kind: Kind,
    // Before its folder goes.
    process: Process,
    dir: tempfile::TempDir,
    care: Care,
    pub address: SocketAddr,
    replicas: [Replica; REPLICAS],
    listed: [bool; REPLICAS],
}

impl Proxy {
    /// Runs, with all replicas in its configuration.
    pub fn start(kind: Kind, care: Care, network: Network, replicas: [Replica; REPLICAS]) -> Self {
        Self::start_with(kind, care, network, replicas, "")
    }

    /// `server`: more words for each replica in `HAProxy`'s configuration.
    pub fn start_with(kind: Kind, care: Care, network: Network, replicas: [Replica; REPLICAS], server: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = network.address(REPLICAS);
        let listed = [true; REPLICAS];
        let (file, flags): (_, &[&str]) = match kind {
            Kind::HaProxy => (haproxy(care, address, &replicas, server), &["-db", "-f", "proxy.conf"]),
            Kind::Nginx => (nginx(care, dir.path(), address, &replicas, listed), &["-e", "stderr", "-c"]),
        };
        let path = dir.path().join("proxy.conf");
        fs::write(&path, file).unwrap();
        let log = log_file(&dir.path().join("log"));
        let mut command = command(kind.name());
        command.args(flags).current_dir(dir.path()).stdin(Stdio::null());
        if kind == Kind::Nginx {
            command.arg(&path);
        }
        // nginx has workers.
        let process = Process::start_group(command.stdout(log.try_clone().unwrap()).stderr(log));
        let proxy = Proxy { kind, process, dir, care, address, replicas, listed };
        wait_until("the proxy", || std::net::TcpStream::connect(address).is_ok());
        wait_until("the proxy's replicas", || {
            let ping =
                format!("GET {} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", crate::support::harness::POLICY);
            Connection::open(address).request(&ping, b"").status == 200
        });
        proxy
    }

    /// The endpoints have changed: a replica takes traffic or does not. `HAProxy` sees that by itself.
    pub fn list(&mut self, replica: usize, listed: bool) {
        self.listed[replica] = listed;
        if self.kind == Kind::Nginx {
            let file = nginx(self.care, self.dir.path(), self.address, &self.replicas, self.listed);
            // At once: the reload before may still be reading.
            let (new, path) = (self.dir.path().join("new.conf"), self.dir.path().join("proxy.conf"));
            fs::write(&new, file).unwrap();
            fs::rename(&new, &path).unwrap();
            self.process.signal("-HUP");
        }
    }

    /// What it has logged, and nothing of what went well.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

/// A proxy's binary, unpacked by `scripts/proxies.sh` together with its libraries.
fn command(name: &str) -> Command {
    let root = fs::canonicalize("target/tools/proxies/usr").unwrap_or_else(|_| PathBuf::from("(run `make tools`)"));
    let libraries: Vec<_> = fs::read_dir(root.join("lib"))
        .map(|entries| entries.map_while(Result::ok).map(|entry| entry.path().display().to_string()).collect())
        .unwrap_or_default();
    let mut command = Command::new(root.join("sbin").join(name));
    command.env("LD_LIBRARY_PATH", libraries.join(":"));
    command
}

fn haproxy(care: Care, address: SocketAddr, replicas: &[Replica; REPLICAS], more: &str) -> String {
    let servers = replicas.iter().enumerate().map(|(number, Replica { webhooks, admin })| {
        format!("  server replica-{number} {webhooks} check addr {} port {} {more}\n", admin.ip(), admin.port())
    });
    let (retries, reuse, pool) = match care {
        Care::None => ("retries 0", "http-reuse always", "pool-purge-delay 60s pool-max-conn -1"),
        Care::Stock => ("", "", ""),
    };
    format!(
        r"global
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option dontlog-normal
  option http-keep-alive
  option forwardfor
  {retries}
  timeout connect 5s
  timeout client 90s
  timeout http-keep-alive 90s
  timeout server 30s
  timeout check 3s
frontend webhooks
  bind {address}
  http-request add-header Forwarded for=%[src]
  default_backend hookbus
backend hookbus
  balance roundrobin
  {reuse}
  option httpchk GET /readyz
  http-check send hdr Host replica
  default-server inter 200ms fall 2 rise 1 {pool}
{}",
        servers.collect::<String>()
    )
}

fn nginx(
    care: Care,
    dir: &Path,
    address: SocketAddr,
    replicas: &[Replica; REPLICAS],
    listed: [bool; REPLICAS],
) -> String {
    let (max_fails, next) = match care {
        Care::None => (" max_fails=0", "proxy_next_upstream off;"),
        Care::Stock => ("", ""),
    };
    let servers = replicas
        .iter()
        .zip(listed)
        .filter(|(_, listed)| *listed)
        .map(|(replica, _)| format!("    server {}{max_fails};\n", replica.webhooks));
    let scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {}/{name};\n", dir.display()));
    format!(
        r#"daemon off;
pid {}/pid;
error_log stderr warn;
worker_processes 2;
events {{ worker_connections 1024; }}
http {{
  access_log off;
{}  upstream hookbus {{
{}    keepalive 64;
    keepalive_timeout 60s;
    keepalive_requests 1000000;
  }}
  server {{
    listen {address};
    client_body_buffer_size 64k;
    client_max_body_size 0;
    location / {{
      proxy_pass http://hookbus;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      {next}
    }}
  }}
}}
"#,
        dir.display(),
        scratch.concat(),
        servers.collect::<String>()
    )
}

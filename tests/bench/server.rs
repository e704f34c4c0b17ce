//! The httpd that is measured: one child process, event MPM, no module beyond what the row needs.
//!
//! Not here: measuring. The surprising thing: it runs with `-X`, in the process that was started, so that callgrind and strace
//! see the very process that serves and nothing has to be told apart.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::wait;

const PATIENCE: Duration = Duration::from_secs(120);
/// Mounts of the column with many.
const MANY_MOUNTS: u32 = 1_000;

/// Makes callgrind dump when httpd answers an OPTIONS request, which no measured request is.
const DUMP_BEFORE: &str = "--dump-before=ap_send_http_options";

/// Whom a row of the table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Ours,
    C,
    Proxy,
}

/// What a column of the table sends, and through what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// One worker, one mount.
    Plain,
    /// A balancer of four.
    Balanced,
    /// One worker, a thousand mounts.
    Mounts,
    /// One worker over a Unix domain socket; ours only.
    Unix,
}

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    httpd: PathBuf,
    modules: PathBuf,
    ours: PathBuf,
    c: PathBuf,
}

impl Installation {
    /// Asks apxs; MOD_JK_SO and C_MOD_JK_SO name other modules than the release build and Debian's.
    pub(crate) fn find() -> io::Result<Self> {
        let modules = PathBuf::from(apxs("LIBEXECDIR")?);
        let named = |variable: &str, usual: PathBuf| std::env::var_os(variable).map_or(usual, PathBuf::from);
        let ours = named("MOD_JK_SO", Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/libmod_jk.so"));
        let c = named("C_MOD_JK_SO", modules.join("mod_jk.so"));
        for (file, advice) in [(&ours, "make build"), (&c, "apt-get install libapache2-mod-jk, or set C_MOD_JK_SO")] {
            if !file.exists() {
                return Err(io::Error::other(format!("no {}: {advice}", file.display())));
            }
        }
        Ok(Self { httpd: PathBuf::from(apxs("SBINDIR")?).join(apxs("PROGNAME")?), modules, ours, c })
    }
}

fn apxs(name: &str) -> io::Result<String> {
    let program = std::env::var("APXS").unwrap_or_else(|_| "apxs".to_owned());
    let output = Command::new(&program).args(["-q", name]).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{program} -q {name} failed")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The program that httpd runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Under {
    Nothing,
    Callgrind,
}

/// A running httpd; ended when dropped.
pub(crate) struct Server {
    root: TempDir,
    port: u16,
    child: Child,
}

impl Server {
    /// Starts httpd for one cell of the table; `backends` are the ports of the containers.
    pub(crate) fn start(
        installation: &Installation,
        peer: Peer,
        setup: Setup,
        backends: &[u16],
        unix: &Path,
        under: Under,
    ) -> io::Result<Self> {
        let root = tempfile::Builder::new().prefix("mod_jk-bench-").tempdir()?;
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut config = base(installation, root.path(), port);
        config.push_str(&match peer {
            Peer::Ours => jk(&installation.ours, setup),
            Peer::C => jk(&installation.c, setup),
            Peer::Proxy => proxy(&installation.modules, setup, backends),
        });
        fs::write(root.path().join("httpd.conf"), config)?;
        fs::write(root.path().join("workers.properties"), workers(setup, backends, unix))?;
        let output = fs::File::create(root.path().join("output"))?;
        let mut words: Vec<OsString> = Vec::new();
        if rustix::process::geteuid().is_root() {
            // Not httpd's own User, which would leave the profiles to another user than the one who writes them.
            words.extend(["setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups"].map(OsString::from));
        }
        if under == Under::Callgrind {
            words.extend(
                ["valgrind", "--tool=callgrind", "--vgdb=no", "--quiet", "--compress-strings=no", DUMP_BEFORE]
                    .map(OsString::from),
            );
            words.push(format!("--callgrind-out-file={}/profile", root.path().display()).into());
        }
        words.push(installation.httpd.clone().into());
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments);
        command.arg("-d").arg(root.path()).arg("-f").arg(root.path().join("httpd.conf")).arg("-X");
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut server = Self { child: command.spawn()?, root, port };
        server.await_listening()?;
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A file in its folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn await_listening(&mut self) -> io::Result<()> {
        let address = self.address();
        let mut ended = false;
        wait::until(PATIENCE, "httpd to listen", || {
            ended = !matches!(self.child.try_wait(), Ok(None));
            ended || TcpStream::connect(address).is_ok()
        });
        if !ended {
            return Ok(());
        }
        let words = ["output", "error.log"].map(|name| fs::read_to_string(self.file(name)).unwrap_or_default());
        Err(io::Error::other(format!("httpd did not start:\n{}", words.concat())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It keeps nothing that an orderly end would save, and a profile is dumped before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn load(config: &mut String, modules: &Path, names: &[&str]) {
    for name in names {
        let file = modules.join(format!("mod_{name}.so"));
        // What is not a file is built in.
        if file.exists() {
            let _ = writeln!(config, "LoadModule {name}_module \"{}\"", file.display());
        }
    }
}

fn base(installation: &Installation, root: &Path, port: u16) -> String {
    let mut config = String::new();
    load(&mut config, &installation.modules, &["mpm_event", "unixd", "authz_core"]);
    let _ = write!(
        config,
        "ServerName 127.0.0.1:{port}\nListen 127.0.0.1:{port}\nDefaultRuntimeDir \"{root}\"\nPidFile \"{root}/httpd.pid\"\n\
         ErrorLog \"{root}/error.log\"\nLogLevel warn\nTimeout 600\nKeepAlive On\nKeepAliveTimeout 60\n\
         MaxKeepAliveRequests 0\nDocumentRoot \"{root}\"\nServerLimit 1\nStartServers 1\nThreadLimit 32\n\
         ThreadsPerChild 32\nMaxRequestWorkers 32\nMinSpareThreads 1\nMaxSpareThreads 32\n",
        root = root.display()
    );
    config
}

fn jk(module: &Path, setup: Setup) -> String {
    let mut config = format!(
        "LoadModule jk_module \"{}\"\nJkWorkersFile workers.properties\nJkLogFile mod_jk.log\nJkLogLevel info\n\
         JkShmFile jk-runtime-status\n",
        module.display()
    );
    let worker = if setup == Setup::Balanced { "lb" } else { "w1" };
    if setup == Setup::Mounts {
        for number in 1..MANY_MOUNTS {
            let _ = writeln!(config, "JkMount /context{number}/* {worker}");
        }
    }
    let _ = writeln!(config, "JkMount /app/* {worker}");
    config
}

fn workers(setup: Setup, backends: &[u16], unix: &Path) -> String {
    let mut text = String::new();
    let names: Vec<String> = (1..=backends.len()).map(|number| format!("w{number}")).collect();
    for (name, port) in names.iter().zip(backends) {
        let _ = write!(text, "worker.{name}.type=ajp13\nworker.{name}.host=127.0.0.1\nworker.{name}.port={port}\n");
    }
    match setup {
        Setup::Balanced => {
            let _ = write!(text, "worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers={}\n", names.join(","));
        }
        Setup::Unix => {
            let _ = write!(text, "worker.list=w1\njkx.worker.w1.unix_socket={}\n", unix.display());
        }
        Setup::Plain | Setup::Mounts => text.push_str("worker.list=w1\n"),
    }
    text
}

fn proxy(modules: &Path, setup: Setup, backends: &[u16]) -> String {
    let mut config = String::new();
    load(&mut config, modules, &["proxy", "proxy_ajp"]);
    let port = backends.first().copied().unwrap_or(0);
    match setup {
        Setup::Balanced => {
            load(&mut config, modules, &["slotmem_shm", "proxy_balancer", "lbmethod_byrequests"]);
            config.push_str("<Proxy balancer://lb>\n");
            for (number, port) in backends.iter().enumerate() {
                let _ = writeln!(config, "BalancerMember ajp://127.0.0.1:{port} route=w{}", number + 1);
            }
            config.push_str(
                "ProxySet stickysession=JSESSIONID|jsessionid\n</Proxy>\nProxyPass /app/ balancer://lb/app/\n",
            );
        }
        Setup::Mounts => {
            for number in 1..MANY_MOUNTS {
                let _ = writeln!(config, "ProxyPass /context{number}/ ajp://127.0.0.1:{port}/context{number}/");
            }
            let _ = writeln!(config, "ProxyPass /app/ ajp://127.0.0.1:{port}/app/");
        }
        Setup::Plain | Setup::Unix => {
            let _ = writeln!(config, "ProxyPass /app/ ajp://127.0.0.1:{port}/app/");
        }
    }
    config
}

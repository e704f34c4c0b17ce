//! A real httpd for one test: its own ServerRoot in a temporary directory, its own port, the module cargo has just built.
//!
//! Not here: the container behind it (`tomcat.rs` is scripted, `tomcat_server.rs` is real) and the client. The surprising
//! thing: dropping an [`Httpd`] is an assertion. It ends the server and fails the test if httpd's error log holds anything of
//! level error or worse, a crashed child, or text that somebody wrote to stderr, unless the test declared that line; and it
//! fails as well if a declared line never came.
//!
//! Set MOD_JK_SO to the path of another mod_jk.so (the C one, say) to run the same tests against that.
#![allow(dead_code, reason = "shared by several test binaries, none of which uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test stops where a fact is not as it must be, and shows the logs when it fails"
)]

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{process, wait};

/// How long httpd may take to start, to answer a signal, to end. Only a failing test ever waits that long.
const PATIENCE: Duration = Duration::from_secs(60);
/// httpd itself gives its children about ten seconds before it kills them, and says so in the error log.
const GENTLE_END: Duration = Duration::from_secs(30);
/// How long httpd is waited for to be quiet before it is ended.
const LULL: Duration = Duration::from_secs(1);
/// State of a connection in /proc/net/tcp that the client has closed and httpd has not.
const CLOSE_WAIT: &str = "08";
/// Another program may take the free port that was found before httpd binds it.
const PORT_ATTEMPTS: usize = 10;
/// Errors that httpd logs by itself in a test and that say nothing about the module.
const NOISE: &[&str] = &[
    // All children are busy or wanted: so it is meant in a test with a few children.
    "consider raising the MaxRequestWorkers setting",
    // The event MPM was told to end just when a connection became idle.
    "AH03093: process_socket: apr_pollset_add failure",
];
/// What a configuration usually needs besides the MPM. Those that are built into this httpd have no file and are passed over.
const STANDARD_MODULES: &[&str] = &[
    "mod_log_config",
    "mod_unixd",
    "mod_authz_core",
    "mod_alias",
    "mod_dir",
    "mod_mime",
    "mod_setenvif",
    "mod_env",
    "mod_headers",
    "mod_rewrite",
];

/// httpd's way to spread requests over processes and threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mpm {
    /// Threads, and one that waits for all idle keep-alive connections.
    Event,
    /// Threads, each busy with its connection until that is closed.
    Worker,
    /// Processes without threads: one request at a time in each.
    Prefork,
}

impl Mpm {
    /// All three; each must be there.
    ///
    /// # Panics
    /// If this httpd lacks one: that is an incomplete machine, not a reason to test less.
    pub(crate) fn available() -> [Mpm; 3] {
        let all = [Mpm::Event, Mpm::Worker, Mpm::Prefork];
        for mpm in all {
            let file = installation().modules.join(format!("{}.so", mpm.module()));
            assert!(file.exists(), "httpd's {} is not installed: no {}", mpm.module(), file.display());
        }
        all
    }

    fn module(self) -> &'static str {
        match self {
            Mpm::Event => "mod_mpm_event",
            Mpm::Worker => "mod_mpm_worker",
            Mpm::Prefork => "mod_mpm_prefork",
        }
    }

    /// Directives for exactly `children` processes from start to end, with `threads` threads each. After a graceful restart
    /// httpd only starts what its MinSpare asks for, so that asks for all; the scoreboard has room for old children beside.
    fn settings(self, children: usize, threads: usize) -> String {
        let limit = children * 3;
        if self == Mpm::Prefork {
            return format!(
                "StartServers {children}\nMinSpareServers {children}\nMaxSpareServers {limit}\nServerLimit {limit}\n\
                 MaxRequestWorkers {children}\n"
            );
        }
        let all = children * threads;
        format!(
            "ThreadLimit {threads}\nThreadsPerChild {threads}\nStartServers {children}\nServerLimit {limit}\n\
             MinSpareThreads {all}\nMaxSpareThreads {}\nMaxRequestWorkers {all}\n",
            limit * threads
        )
    }
}

/// Makes each function a module with three tests: `under_event`, `under_worker`, `under_prefork`.
///
/// ```ignore
/// under_every_mpm! {
///     fn forwards_a_request(mpm: Mpm) { let httpd = Httpd::builder().mpm(mpm).start(); }
/// }
/// ```
#[allow(unused_macros, reason = "shared by several test binaries, not all of which use it")]
macro_rules! under_every_mpm {
    ($($(#[$attribute:meta])* fn $name:ident($mpm:ident: Mpm) $body:block)+) => {
        $($(#[$attribute])*
        mod $name {
            #[allow(unused_imports, reason = "a body may need nothing of what surrounds it")]
            use super::*;

            fn body($mpm: $crate::support::httpd::Mpm) $body

            #[test]
            fn under_event() {
                body($crate::support::httpd::Mpm::Event);
            }

            #[test]
            fn under_worker() {
                body($crate::support::httpd::Mpm::Worker);
            }

            #[test]
            fn under_prefork() {
                body($crate::support::httpd::Mpm::Prefork);
            }
        })+
    };
}
#[allow(unused_imports, reason = "shared by several test binaries, none of which uses all of it")]
pub(crate) use under_every_mpm;

/// Where the httpd under test lies; apxs knows.
struct Installation {
    program: PathBuf,
    modules: PathBuf,
}

fn installation() -> &'static Installation {
    static INSTALLATION: OnceLock<Installation> = OnceLock::new();
    INSTALLATION.get_or_init(|| {
        let program = PathBuf::from(apxs("SBINDIR")).join(apxs("PROGNAME"));
        assert!(program.exists(), "no httpd at {}: make setup", program.display());
        Installation { program, modules: PathBuf::from(apxs("LIBEXECDIR")) }
    })
}

fn apxs(name: &str) -> String {
    let chosen = std::env::var("APXS").ok();
    let candidates: Vec<&str> = chosen.as_deref().map_or(vec!["apxs", "apxs2"], |path| vec![path]);
    let output = candidates.iter().find_map(|apxs| Command::new(apxs).args(["-q", name]).output().ok());
    let output =
        output.unwrap_or_else(|| panic!("httpd's apxs is not installed (looked for {candidates:?}): make setup"));
    assert!(output.status.success(), "apxs -q {name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The module that cargo built for this test run: it lies beside the test binary.
pub(crate) fn built_module() -> PathBuf {
    if let Some(other) = std::env::var_os("MOD_JK_SO") {
        return PathBuf::from(other);
    }
    let binary = std::env::current_exe().unwrap();
    let module = binary.parent().unwrap().join("libmod_jk.so");
    assert!(module.exists(), "cargo built no {}", module.display());
    module
}

/// The module with a feature of Cargo.toml that no other test wants, in a target folder of its own beside the usual one.
pub(crate) fn module_with_feature(feature: &str) -> PathBuf {
    static BUILT: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let binary = std::env::current_exe().unwrap();
    // <target>/<profile>/deps/<binary>
    let target = binary.ancestors().nth(3).unwrap().join(feature);
    let mut built = BUILT.lock().unwrap();
    if !built.iter().any(|known| known == feature) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.args(["build", "--locked", "--lib", "--features", feature, "--target-dir"]).arg(&target);
        let output = command.output().expect("cargo can be run");
        assert!(output.status.success(), "cargo build: {}", String::from_utf8_lossy(&output.stderr));
        built.push(feature.to_owned());
    }
    target.join("debug/libmod_jk.so")
}

/// What a test wants of its httpd. Nothing happens before [`Builder::start`] or its siblings.
///
/// The configuration may use `${ROOT}` (the ServerRoot), `${PORT}` and `${MODULES}` (the directory of httpd's own modules).
pub(crate) struct Builder {
    mpm: Mpm,
    children: usize,
    threads: usize,
    config: String,
    workers: Option<String>,
    files: Vec<(String, Vec<u8>)>,
    module_path: PathBuf,
    modules: Vec<String>,
    defaults: bool,
    environment: Vec<(String, String)>,
    expected: Vec<String>,
    allowed: Vec<String>,
}

impl Builder {
    /// The MPM; event if not called.
    pub(crate) fn mpm(mut self, mpm: Mpm) -> Builder {
        self.mpm = mpm;
        self
    }

    /// How many child processes serve, from start to end; 2 if not called.
    pub(crate) fn children(mut self, children: usize) -> Builder {
        self.children = children;
        self
    }

    /// Threads in each child under event and worker; 8 if not called.
    pub(crate) fn threads(mut self, threads: usize) -> Builder {
        self.threads = threads;
        self
    }

    /// Directives, added to those before. They stand in `test.conf`, line 1 first, so that messages can be compared.
    pub(crate) fn config(mut self, directives: &str) -> Builder {
        self.config.push_str(directives);
        if !directives.ends_with('\n') {
            self.config.push('\n');
        }
        self
    }

    /// The text of workers.properties, and a `JkWorkersFile workers.properties` for it.
    pub(crate) fn workers(mut self, text: &str) -> Builder {
        self.workers = Some(text.to_owned());
        self
    }

    /// A file below the ServerRoot, for example `htdocs/a.txt`; httpd's children may read it.
    pub(crate) fn file(mut self, name: &str, content: impl AsRef<[u8]>) -> Builder {
        self.files.push((name.to_owned(), content.as_ref().to_owned()));
        self
    }

    /// Loads another file than the one cargo built.
    pub(crate) fn module_path(mut self, path: impl Into<PathBuf>) -> Builder {
        self.module_path = path.into();
        self
    }

    /// Loads one of httpd's own modules besides the standard ones, for example `mod_ssl`.
    pub(crate) fn load(mut self, module: &str) -> Builder {
        self.modules.push(module.to_owned());
        self
    }

    /// Leaves out `JkLogFile logs/mod_jk.log` and `JkShmFile run/jk-runtime-status`, for tests of what comes without them.
    pub(crate) fn without_defaults(mut self) -> Builder {
        self.defaults = false;
        self
    }

    /// An environment variable of httpd.
    pub(crate) fn environment(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line of httpd's error log with this text must come, and is no reason to fail.
    pub(crate) fn expect_error_log(mut self, text: &str) -> Builder {
        self.expected.push(text.to_owned());
        self
    }

    /// A line of httpd's error log with this text may come, and is no reason to fail.
    pub(crate) fn allow_error_log(mut self, text: &str) -> Builder {
        self.allowed.push(text.to_owned());
        self
    }

    /// Starts httpd and returns when all its children are there and the port takes connections.
    ///
    /// # Panics
    /// With httpd's own words if it does not start.
    #[track_caller]
    pub(crate) fn start(self) -> Httpd {
        for _ in 0..PORT_ATTEMPTS {
            let root = self.prepare();
            let child = root.launch(&self.environment);
            let mut httpd = Httpd {
                root,
                child,
                mpm: self.mpm,
                children: self.children,
                threads: self.threads,
                expected: self.expected.clone(),
                allowed: self.allowed.clone(),
                checked: false,
            };
            if httpd.is_ready() {
                return httpd;
            }
            httpd.checked = true;
            process::kill(&mut httpd.child);
            let logs = httpd.root.everything();
            assert!(logs.contains("Address already in use"), "httpd did not start:\n{logs}");
        }
        panic!("no free port in {PORT_ATTEMPTS} attempts");
    }

    /// Runs `httpd -t` and returns what it says.
    pub(crate) fn config_test(self) -> Outcome {
        let root = self.prepare();
        let mut command = Command::new(&installation().program);
        command.args(root.arguments()).arg("-t").envs(self.environment.iter().cloned()).stdin(Stdio::null());
        let output = command.output().expect("httpd can be run");
        let text = [output.stdout, output.stderr].concat();
        root.outcome(output.status.success(), &String::from_utf8_lossy(&text))
    }

    /// Starts httpd, which must refuse to run, and returns what it says about that.
    ///
    /// # Panics
    /// If it runs.
    #[track_caller]
    pub(crate) fn start_fails(self) -> Outcome {
        let root = self.prepare();
        let mut child = root.launch(&self.environment);
        let ended = wait::until_some(PATIENCE, "httpd to end or to take connections", || {
            match child.try_wait().expect("a child of ours can be waited for") {
                Some(status) => Some(Some(status)),
                None => (root.resumptions() > 0).then_some(None),
            }
        });
        let Some(status) = ended else {
            process::end(&mut child, GENTLE_END);
            panic!("httpd was to refuse this configuration, but runs:\n{}", root.everything());
        };
        let output = root.read("logs/output");
        root.outcome(status.success(), &output)
    }

    fn prepare(&self) -> Root {
        // Children of an httpd that root started run as another user, who must be able to walk to the files.
        let dir = tempfile::Builder::new().prefix("mod_jk-httpd-").tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let root = Root { port: free.local_addr().unwrap().port(), dir };
        fs::set_permissions(root.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["logs", "run", "htdocs"] {
            root.make_folder(Path::new(folder));
        }
        root.write("httpd.conf", self.main_config(&root).as_bytes());
        root.write("test.conf", self.config.as_bytes());
        if let Some(workers) = &self.workers {
            root.write("workers.properties", workers.as_bytes());
        }
        for (name, content) in &self.files {
            root.write(name, content);
        }
        root
    }

    fn main_config(&self, root: &Root) -> String {
        let modules = &installation().modules;
        let mut text = format!(
            "Define ROOT \"{}\"\nDefine PORT {}\nDefine MODULES \"{}\"\n",
            root.dir.path().display(),
            root.port,
            modules.display()
        );
        let mut load = |name: &str| {
            let symbol = format!("{}_module", name.trim_start_matches("mod_"));
            writeln!(text, "LoadModule {symbol} \"{}\"", modules.join(format!("{name}.so")).display()).unwrap();
        };
        load(self.mpm.module());
        STANDARD_MODULES.iter().filter(|name| modules.join(format!("{name}.so")).exists()).for_each(|name| load(name));
        self.modules.iter().for_each(|name| load(name));
        writeln!(text, "LoadModule jk_module \"{}\"", self.module_path.display()).unwrap();
        text.push_str(
            "ServerName 127.0.0.1:${PORT}\nListen 127.0.0.1:${PORT}\nDefaultRuntimeDir run\nPidFile run/httpd.pid\n\
             ErrorLog logs/error.log\nLogLevel warn\nTimeout 30\nKeepAliveTimeout 30\nMaxKeepAliveRequests 0\n\
             LogFormat \"%P %{JK_WORKER_NAME}n %>s %X %O \\\"%r\\\"\" test\nCustomLog logs/access.log test\n\
             TypesConfig /dev/null\nAddType text/plain .txt\nAddType text/html .html\n\
             DocumentRoot \"${ROOT}/htdocs\"\n",
        );
        if rustix::process::geteuid().is_root() {
            let (user, group) = unprivileged_user();
            writeln!(text, "User #{user}\nGroup #{group}").unwrap();
        }
        text.push_str(&self.mpm.settings(self.children, self.threads));
        if self.defaults {
            text.push_str("JkLogFile logs/mod_jk.log\nJkShmFile run/jk-runtime-status\n");
        }
        if self.workers.is_some() {
            text.push_str("JkWorkersFile workers.properties\n");
        }
        text.push_str("Include test.conf\n");
        text
    }
}

/// User and group ids for the children of an httpd that root starts, which refuses to serve as root.
fn unprivileged_user() -> (u32, u32) {
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &&str| accounts.lines().find(|line| line.split(':').next() == Some(name)).map(str::to_owned);
    let line = ["www-data", "apache", "httpd", "daemon", "nobody"].iter().find_map(find);
    let line = line.expect("one of the usual accounts for httpd");
    let fields: Vec<&str> = line.split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

/// What httpd said when it checked its configuration or refused to start.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Did it end with status 0?
    pub(crate) success: bool,
    /// What it wrote to stdout and stderr.
    pub(crate) output: String,
    /// Its error log, empty if it got not that far.
    pub(crate) error_log: String,
    /// The module's log, likewise.
    pub(crate) jk_log: String,
}

impl Outcome {
    /// All three texts: for a message that must be somewhere.
    pub(crate) fn text(&self) -> String {
        [self.output.as_str(), &self.error_log, &self.jk_log].join("\n")
    }

    /// Asserts that httpd refused, and said all of this in any of the three places.
    #[track_caller]
    pub(crate) fn refuses_with(&self, words: &[&str]) {
        assert!(!self.success, "httpd accepts it:\n{}", self.text());
        for word in words {
            assert!(self.text().contains(word), "no {word:?} in:\n{}", self.text());
        }
    }
}

/// A ServerRoot and the port it listens on. Removed with all it holds when dropped.
struct Root {
    dir: TempDir,
    port: u16,
}

impl Root {
    fn write(&self, name: &str, content: &[u8]) {
        let path = self.dir.path().join(name);
        self.make_folder(Path::new(name).parent().unwrap());
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn make_folder(&self, relative: &Path) {
        let mut path = self.dir.path().to_owned();
        for part in relative {
            path.push(part);
            if !path.is_dir() {
                fs::create_dir(&path).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }

    fn arguments(&self) -> Vec<String> {
        let root = self.dir.path().display();
        vec!["-d".to_owned(), root.to_string(), "-f".to_owned(), format!("{root}/httpd.conf")]
    }

    fn launch(&self, environment: &[(String, String)]) -> Child {
        let output = fs::File::create(self.dir.path().join("logs/output")).unwrap();
        let mut arguments = self.arguments();
        arguments.push("-DFOREGROUND".to_owned());
        process::start(&installation().program.display().to_string(), &arguments, |command| {
            command.envs(environment.iter().cloned()).stdin(Stdio::null());
            command.stdout(output.try_clone().unwrap()).stderr(output);
        })
    }

    fn read(&self, name: &str) -> String {
        match fs::read(self.dir.path().join(name)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(_) => String::new(),
        }
    }

    /// How often httpd has come up: once at the start and once more for each restart.
    fn resumptions(&self) -> usize {
        self.read("logs/error.log").matches("resuming normal operations").count()
    }

    fn everything(&self) -> String {
        let names = ["test.conf", "workers.properties", "logs/output", "logs/error.log", "logs/mod_jk.log"];
        names.iter().map(|name| format!("---- {name}\n{}", last_lines(&self.read(name), 60))).collect()
    }

    fn outcome(&self, success: bool, output: &str) -> Outcome {
        Outcome {
            success,
            output: output.to_owned(),
            error_log: self.read("logs/error.log"),
            jk_log: self.read("logs/mod_jk.log"),
        }
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let kept = &lines[lines.len().saturating_sub(count)..];
    kept.iter().map(|line| format!("{line}\n")).collect()
}

/// A running httpd. Dropping it ends it and asserts that its error log is clean.
pub(crate) struct Httpd {
    root: Root,
    child: Child,
    mpm: Mpm,
    children: usize,
    threads: usize,
    expected: Vec<String>,
    allowed: Vec<String>,
    checked: bool,
}

impl Httpd {
    /// An httpd with the event MPM, two children and nothing to serve but `htdocs`.
    pub(crate) fn builder() -> Builder {
        Builder {
            mpm: Mpm::Event,
            children: 2,
            threads: 8,
            config: String::new(),
            workers: None,
            files: Vec::new(),
            module_path: built_module(),
            modules: Vec::new(),
            defaults: true,
            environment: Vec::new(),
            expected: Vec::new(),
            allowed: Vec::new(),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.root.port).into()
    }

    /// The URL of `path`, which begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// The ServerRoot, as `${ROOT}` in the configuration.
    pub(crate) fn root(&self) -> &Path {
        self.root.dir.path()
    }

    /// Writes a file below the ServerRoot while httpd runs (a changed workers file, say).
    pub(crate) fn write_file(&self, name: &str, content: impl AsRef<[u8]>) {
        self.root.write(name, content.as_ref());
    }

    /// httpd's error log so far.
    pub(crate) fn error_log(&self) -> String {
        self.root.read("logs/error.log")
    }

    /// The module's log so far (`logs/mod_jk.log`).
    pub(crate) fn jk_log(&self) -> String {
        self.root.read("logs/mod_jk.log")
    }

    /// The access log so far, per line: pid, worker or `-`, status, `+ - X` as httpd's %X (X: aborted), bytes sent, request.
    /// httpd writes a line after the client has its answer: wait with [`Httpd::await_access_log`].
    pub(crate) fn access_log(&self) -> String {
        self.root.read("logs/access.log")
    }

    /// Waits until a line of the error log holds `text`, and returns the line.
    #[track_caller]
    pub(crate) fn await_error_log(&self, text: &str) -> String {
        self.await_line("logs/error.log", text)
    }

    /// Waits until a line of the module's log holds `text`, and returns the line.
    #[track_caller]
    pub(crate) fn await_jk_log(&self, text: &str) -> String {
        self.await_line("logs/mod_jk.log", text)
    }

    /// Waits until a line of the access log holds `text`, and returns the line.
    #[track_caller]
    pub(crate) fn await_access_log(&self, text: &str) -> String {
        self.await_line("logs/access.log", text)
    }

    #[track_caller]
    fn await_line(&self, name: &str, text: &str) -> String {
        let what = format!("{text:?} in {name}");
        wait::until_some(PATIENCE, &what, || {
            self.root.read(name).lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    /// The process ids of the children that serve, lowest first.
    pub(crate) fn children(&self) -> Vec<u32> {
        let parent = self.child.id();
        let mut children: Vec<u32> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| parent_of(*pid) == Some(parent))
            .collect();
        children.sort_unstable();
        children
    }

    /// The most memory any present child has ever had resident (VmHWM), in KiB.
    pub(crate) fn peak_resident_kib(&self) -> u64 {
        let peak = |pid: u32| -> Option<u64> {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
        };
        self.children().into_iter().filter_map(peak).max().expect("a child with memory")
    }

    /// Graceful restart (SIGUSR1): returns when httpd has read its configuration anew and new children serve.
    #[track_caller]
    pub(crate) fn graceful(&mut self) {
        self.restart_with(Signal::USR1);
    }

    /// Hard restart (SIGHUP): as [`Httpd::graceful`], but requests in progress are cut off.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.restart_with(Signal::HUP);
    }

    #[track_caller]
    fn restart_with(&mut self, signal: Signal) {
        let (before, old) = (self.root.resumptions(), self.children());
        process::signal(&mut self.child, signal);
        wait::until(PATIENCE, "httpd to come up again", || {
            let ended = self.child.try_wait().expect("a child of ours can be waited for");
            assert!(ended.is_none(), "httpd ended at a restart:\n{}", self.root.everything());
            self.root.resumptions() > before && self.serving(&old) >= self.children
        });
    }

    /// How many children besides `old` have come so far as to serve. A signal that reaches a child earlier may be lost on
    /// it, for want of its own handlers. Threaded children are ready when their
    /// threads are there; a prefork child when it sleeps, which it first does to wait for a connection.
    fn serving(&self, old: &[u32]) -> usize {
        let ready = |pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let field = |name: &str| {
                let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
                value.to_owned()
            };
            let threads = field("Threads:").parse::<usize>().unwrap_or(0);
            threads > self.threads || (self.mpm == Mpm::Prefork && field("State:").starts_with('S'))
        };
        self.children().iter().filter(|pid| !old.contains(pid)).filter(|pid| ready(pid)).count()
    }

    /// Ends httpd, checks its error log, and returns what it left.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Outcome {
        self.end_and_check();
        self.root.outcome(true, "")
    }

    /// True when it serves, false when it ended instead.
    fn is_ready(&mut self) -> bool {
        let start = Instant::now();
        wait::until_some(PATIENCE * 2, "httpd to start", || {
            if self.child.try_wait().expect("a child of ours can be waited for").is_some() || start.elapsed() > PATIENCE
            {
                return Some(false);
            }
            let serves = self.root.resumptions() > 0 && self.serving(&[]) >= self.children;
            (serves && TcpStream::connect(self.address()).is_ok()).then_some(true)
        })
    }

    /// Waits until no thread of the children is at work, but not for long: a request may be stuck on purpose. The event MPM's
    /// children crash (close_worker_sockets) when they are ended just while a thread closes its connection.
    fn await_quiet(&self) {
        let limit = Instant::now() + LULL;
        let mut quiet = 0;
        wait::until_some(PATIENCE, "httpd to be quiet or its time to be over", || {
            let port = format!(":{:04X}", self.root.port);
            let closing = fs::read_to_string("/proc/net/tcp").unwrap_or_default().lines().any(|line| {
                let mut fields = line.split_whitespace().skip(1);
                fields.next().is_some_and(|local| local.ends_with(&port)) && fields.nth(1) == Some(CLOSE_WAIT)
            });
            let busy = closing || self.children().into_iter().any(is_at_work);
            quiet = if busy { 0 } else { quiet + 1 };
            (quiet == 2 || Instant::now() >= limit).then_some(())
        });
    }

    #[track_caller]
    fn end_and_check(&mut self) {
        if std::mem::replace(&mut self.checked, true) {
            return;
        }
        let crashed = self.child.try_wait().expect("a child of ours can be waited for");
        self.await_quiet();
        let (_, gently) = process::end(&mut self.child, GENTLE_END);
        if std::thread::panicking() {
            eprintln!("{}", self.root.everything());
            return;
        }
        let log = self.error_log();
        let findings = findings(&log, &self.expected, &self.allowed);
        let logs = self.root.everything();
        assert!(crashed.is_none(), "httpd ended by itself ({crashed:?}):\n{logs}");
        assert!(gently, "httpd did not end within {GENTLE_END:?} and was killed:\n{logs}");
        assert!(findings.is_empty(), "httpd's error log is not clean:\n{}\n{logs}", findings.join("\n"));
    }
}

impl Drop for Httpd {
    fn drop(&mut self) {
        self.end_and_check();
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, a closing parenthesis included. A zombie serves nobody.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.next()?.parse().ok()
}

/// Whether a thread of this process is running.
fn is_at_work(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok())
        .any(|stat| stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with('S')))
}

/// What in an error log is a reason to fail: undeclared trouble, and declared lines that never came.
fn findings(log: &str, expected: &[String], allowed: &[String]) -> Vec<String> {
    let declared = |line: &&str| expected.iter().chain(allowed).any(|text| line.contains(text.as_str()));
    let trouble = log.lines().filter(|line| is_trouble(line) && !declared(line)).map(str::to_owned);
    let missing = expected.iter().filter(|text| !log.contains(text.as_str()));
    trouble.chain(missing.map(|text| format!("declared, but never came: {text}"))).collect()
}

/// A line begins with `[time] [module:level] [pid ...]`; what does not was written to stderr past httpd's log. The exception
/// is what httpd logs without a stamp while it starts, such as the module's advice about its configuration.
fn is_trouble(line: &str) -> bool {
    let Some((_, rest)) = line.strip_prefix('[').and_then(|line| line.split_once("] [")) else {
        return !line.trim().is_empty() && !line.starts_with("mod_jk: ");
    };
    let level = rest.split_once(']').and_then(|(tag, _)| tag.rsplit(':').next());
    let noise = NOISE.iter().any(|text| line.contains(text));
    (matches!(level, Some("error" | "crit" | "alert" | "emerg")) && !noise) || line.contains("exit signal")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTICE: &str =
        "[Sun Nov 22 16:06:31.61 2026] [mpm_event:notice] [pid 1:tid 1] AH00489: resuming normal operations";
    const ERROR: &str = "[Sun Nov 22 16:06:31.61 2026] [jk:error] [pid 1:tid 1] [client 127.0.0.1:2] a worker failed";

    fn found(log: &str, expected: &[&str], allowed: &[&str]) -> usize {
        let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        findings(log, &texts(expected), &texts(allowed)).len()
    }

    #[test]
    fn notices_are_no_trouble() {
        assert_eq!(found(NOTICE, &[], &[]), 0);
    }

    #[test]
    fn undeclared_error_is_found() {
        assert_eq!(found(&format!("{NOTICE}\n{ERROR}\n"), &[], &[]), 1);
    }

    #[test]
    fn declared_error_is_accepted() {
        assert_eq!(found(ERROR, &["worker failed"], &[]), 0);
        assert_eq!(found(ERROR, &[], &["worker failed"]), 0);
    }

    #[test]
    fn declared_line_that_never_comes_is_found() {
        assert_eq!(found(NOTICE, &["worker failed"], &[]), 1);
        assert_eq!(found(NOTICE, &[], &["worker failed"]), 0);
    }

    #[test]
    fn crashed_child_is_found_although_httpd_calls_it_a_notice() {
        assert_eq!(
            found("[time] [core:notice] [pid 1] AH00052: child pid 2 exit signal Segmentation fault (11)", &[], &[]),
            1
        );
    }

    #[test]
    fn text_past_the_log_is_found() {
        assert_eq!(found("thread panicked", &[], &[]), 1);
        assert_eq!(found("", &[], &[]), 0);
        assert_eq!(found("mod_jk: no socket_timeout for w", &[], &[]), 0);
    }
}

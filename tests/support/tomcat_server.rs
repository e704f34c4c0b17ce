//! A real Tomcat for tests: its own CATALINA_BASE in a temporary directory, AJP on a port of its own, the JSPs of
//! `tests/data/webapp` at its root, and the pattern of bytes that those pages send and check.
//!
//! Not here: a container that misbehaves on purpose; that is `tomcat.rs`. The surprising thing: Tomcat itself picks the port
//! (0 in its server.xml) and its log tells which, so no two tests can collide; only a restarted one asks for a fixed port.
#![allow(dead_code, reason = "shared by several test binaries, none of which uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test stops where a fact is not as it must be, and shows the log when it fails"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{process, wait};

/// A loaded machine may take its time to start a JVM. Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(120);
const GENTLE_END: Duration = Duration::from_secs(30);
/// Where Debian's tomcat10 lies.
const CATALINA_HOME: &str = "/usr/share/tomcat10";
/// Where Debian's tomcat10-examples lie; mounted at /examples.
const EXAMPLES: &str = "/usr/share/tomcat10-examples/examples";

/// How a Tomcat is set up. `Options::default()` is an AJP connector as Tomcat has it, with a secret.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// `packetSize` of the connector; Tomcat's own default (8192) if None.
    pub(crate) packet_size: Option<u32>,
    /// `secret` of the connector; with None it requires none.
    pub(crate) secret: Option<String>,
    /// Listen on a Unix domain socket instead of a TCP port.
    pub(crate) uds: bool,
    /// More attributes of the Connector element, as XML: `tomcatAuthentication="false"`.
    pub(crate) extra: String,
    /// Replicate sessions with the Tomcats of this group.
    pub(crate) replication: Option<Replication>,
}

/// One Tomcat's place in a group that replicates sessions over loopback, its members known from the start.
#[derive(Clone, Debug)]
pub(crate) struct Replication {
    /// Ports of the members' receivers, in the order of their numbers.
    pub(crate) ports: Vec<u16>,
    /// Number of this one, from 0.
    pub(crate) own: usize,
    /// A response waits until the others have the session.
    pub(crate) synchronous: bool,
}

impl Replication {
    /// The Cluster element: static members, sessions that move take the new member's route.
    fn xml(&self) -> String {
        let member = |element: &str, at: usize, port: u16| {
            let id = format!("{{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,{}}}", at + 1);
            format!(
                "<{element} className=\"org.apache.catalina.tribes.membership.StaticMember\" host=\"127.0.0.1\" \
                 port=\"{port}\" uniqueId=\"{id}\"/>"
            )
        };
        let others: String = (self.ports.iter().enumerate())
            .filter(|(at, _)| *at != self.own)
            .map(|(at, port)| member("Member", at, *port))
            .collect();
        let (port, local) = (self.ports[self.own], member("LocalMember", self.own, self.ports[self.own]));
        let options = if self.synchronous { 6 } else { 8 };
        let tribes = "org.apache.catalina.tribes";
        format!(
            r#"<Cluster className="org.apache.catalina.ha.tcp.SimpleTcpCluster" channelSendOptions="{options}">
  <Manager className="org.apache.catalina.ha.session.DeltaManager" expireSessionsOnShutdown="false"/>
  <Channel className="{tribes}.group.GroupChannel">
    <Membership className="{tribes}.membership.StaticMembershipService">{local}{others}</Membership>
    <Receiver className="{tribes}.transport.nio.NioReceiver" address="127.0.0.1" port="{port}" autoBind="0"/>
    <Sender className="{tribes}.transport.ReplicationTransmitter">
      <Transport className="{tribes}.transport.nio.PooledParallelSender"/>
    </Sender>
    <Interceptor className="{tribes}.group.interceptors.TcpPingInterceptor"/>
    <Interceptor className="{tribes}.group.interceptors.TcpFailureDetector"/>
    <Interceptor className="{tribes}.group.interceptors.MessageDispatchInterceptor"/>
  </Channel>
  <Valve className="org.apache.catalina.ha.tcp.ReplicationValve" filter=""/>
  <Valve className="org.apache.catalina.ha.session.JvmRouteBinderValve"/>
  <ClusterListener className="org.apache.catalina.ha.session.ClusterSessionListener"/>
</Cluster>"#
        )
    }
}

impl Default for Options {
    fn default() -> Options {
        let secret = Some("secret-of-the-tests".to_owned());
        Options { packet_size: None, secret, uds: false, extra: String::new(), replication: None }
    }
}

/// A Tomcat, running unless it was killed or stopped. Dropping it ends it.
pub(crate) struct TomcatServer {
    name: String,
    options: Options,
    base: TempDir,
    /// None as long as it has never listened on TCP.
    port: Option<u16>,
    child: Child,
}

impl TomcatServer {
    /// Starts a Tomcat whose jvmRoute is `name` and returns when it listens.
    ///
    /// # Panics
    /// With Tomcat's own words if it does not, or if there is no Tomcat or Java on this machine.
    #[track_caller]
    pub(crate) fn start(name: &str, options: Options) -> TomcatServer {
        for place in [CATALINA_HOME, EXAMPLES] {
            assert!(Path::new(place).exists(), "there is no {place}: make setup");
        }
        remove_leftovers();
        let base =
            tempfile::Builder::new().prefix(&format!("mod_jk-tomcat-{}-", std::process::id())).tempdir().unwrap();
        // httpd's children run as another user and must reach the Unix domain socket.
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["conf", "lib", "logs", "temp", "webapps", "work"] {
            fs::create_dir(base.path().join(folder)).unwrap();
        }
        fs::copy(Path::new(CATALINA_HOME).join("etc/web.xml"), base.path().join("conf/web.xml")).unwrap();
        let child = launch(base.path(), name, &options, 0);
        let mut tomcat = TomcatServer { name: name.to_owned(), options, base, port: None, child };
        tomcat.await_listening();
        tomcat
    }

    /// One of two Tomcats that all tests of a binary share, `tomcat1` and `tomcat2`, started by whoever comes first.
    /// Nobody can stop them: only a shared reference exists.
    #[track_caller]
    pub(crate) fn shared(number: usize) -> &'static TomcatServer {
        static SHARED: [OnceLock<TomcatServer>; 2] = [OnceLock::new(), OnceLock::new()];
        SHARED[number - 1].get_or_init(|| TomcatServer::start(&format!("tomcat{number}"), Options::default()))
    }

    /// Its name, which is its jvmRoute as well.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The TCP port of its AJP connector.
    #[track_caller]
    pub(crate) fn port(&self) -> u16 {
        self.port.expect("this Tomcat listens on a Unix domain socket")
    }

    /// The path of its Unix domain socket, with [`Options::uds`].
    pub(crate) fn socket(&self) -> PathBuf {
        socket_of(self.base.path())
    }

    /// The lines of workers.properties that describe it as a worker of type ajp13 with its own name.
    pub(crate) fn worker(&self) -> String {
        let name = &self.name;
        let mut lines = if self.options.uds {
            format!("worker.{name}.type=ajp13\njkx.worker.{name}.unix_socket={}\n", self.socket().display())
        } else {
            format!("worker.{name}.type=ajp13\nworker.{name}.host=127.0.0.1\nworker.{name}.port={}\n", self.port())
        };
        if let Some(secret) = &self.options.secret {
            lines.push_str(&format!("worker.{name}.secret={secret}\n"));
        }
        if let Some(size) = self.options.packet_size {
            lines.push_str(&format!("worker.{name}.max_packet_size={size}\n"));
        }
        lines
    }

    /// What it has logged so far, over all its starts.
    pub(crate) fn log(&self) -> String {
        read_log(self.base.path())
    }

    /// Ends it as a crash would: no connection is closed in order.
    pub(crate) fn kill(&mut self) {
        process::kill(&mut self.child);
    }

    /// Ends it in order.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        let (_, gently) = process::end(&mut self.child, GENTLE_END);
        assert!(gently, "{} did not end within {GENTLE_END:?}:\n{}", self.name, self.log());
    }

    /// Starts it again, on the same port, after [`TomcatServer::kill`] or [`TomcatServer::stop`].
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        process::kill(&mut self.child);
        self.child = launch(self.base.path(), &self.name, &self.options, self.port.unwrap_or(0));
        self.await_listening();
    }

    /// Stops it from running without ending it (SIGSTOP): it accepts connections, as the kernel does that, and never answers.
    pub(crate) fn freeze(&mut self) {
        process::signal(&mut self.child, Signal::STOP);
        // A thread that still runs may begin an answer and stop in the middle of it.
        let threads = format!("/proc/{}/task", self.child.id());
        wait::until(PATIENCE, "Tomcat to stand still", || {
            fs::read_dir(&threads)
                .is_ok_and(|mut all| all.all(|thread| thread.is_ok_and(|one| is_stopped(&one.path()))))
        });
    }

    /// Lets it run on after [`TomcatServer::freeze`].
    pub(crate) fn thaw(&mut self) {
        process::signal(&mut self.child, Signal::CONT);
    }

    #[track_caller]
    fn await_listening(&mut self) {
        wait::until(PATIENCE, "Tomcat to start", || {
            let ended = self.child.try_wait().expect("a child of ours can be waited for");
            assert!(ended.is_none(), "{} did not start:\n{}", self.name, self.log());
            self.log().contains("Server startup in")
        });
        let log = self.log();
        let handler =
            log.lines().rev().find_map(|line| line.split_once("Starting ProtocolHandler [\"ajp-")?.1.split('"').next());
        let handler = handler.unwrap_or_else(|| panic!("{} has no AJP connector:\n{log}", self.name));
        if !self.options.uds {
            self.port = Some(handler.rsplit('-').next().unwrap().parse().unwrap());
        }
    }
}

impl Drop for TomcatServer {
    fn drop(&mut self) {
        process::signal(&mut self.child, Signal::CONT);
        process::end(&mut self.child, GENTLE_END);
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("---- log of {}\n{}", self.name, lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

fn socket_of(base: &Path) -> PathBuf {
    base.join("ajp.socket")
}

fn read_log(base: &Path) -> String {
    fs::read(base.join("logs/catalina.out"))
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

fn launch(base: &Path, name: &str, options: &Options, port: u16) -> Child {
    fs::write(base.join("conf/server.xml"), server_xml(base, name, options, port)).unwrap();
    let properties = format!(
        "common.loader=\"${{catalina.home}}/lib\",\"${{catalina.home}}/lib/*.jar\"\n\
         tomcat.util.scan.StandardJarScanFilter.jarsToSkip=*.jar\njvm.route={name}\n"
    );
    fs::write(base.join("conf/catalina.properties"), properties).unwrap();
    let log = base.join("logs/catalina.out");
    let earlier = base.join(format!("logs/before-{}.out", fs::read_dir(base.join("logs")).unwrap().count()));
    // Each start has a log of its own, so that its lines are not taken for those of the start before.
    let _ = fs::rename(&log, earlier);
    let output = fs::File::create(&log).unwrap();
    let program = format!("{CATALINA_HOME}/bin/catalina.sh");
    process::start(&program, &["run".to_owned()], |command| {
        for variable in ["CLASSPATH", "JAVA_HOME", "JAVA_OPTS", "CATALINA_PID"] {
            command.env_remove(variable);
        }
        command.env("JRE_HOME", java_home()).env("CATALINA_HOME", CATALINA_HOME).env("CATALINA_BASE", base);
        command.env("CATALINA_OPTS", "-Xmx256m -XX:+UseSerialGC -Djava.awt.headless=true");
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    })
}

fn server_xml(base: &Path, name: &str, options: &Options, port: u16) -> String {
    let mut connector = match &options.secret {
        Some(secret) => format!("secret=\"{secret}\" "),
        None => "secretRequired=\"false\" ".to_owned(),
    };
    if options.uds {
        let socket = socket_of(base);
        connector.push_str(&format!(
            "unixDomainSocketPath=\"{}\" unixDomainSocketPathPermissions=\"rw-rw-rw-\" ",
            socket.display()
        ));
    } else {
        connector.push_str(&format!("address=\"127.0.0.1\" port=\"{port}\" "));
    }
    if let Some(size) = options.packet_size {
        connector.push_str(&format!("packetSize=\"{size}\" "));
    }
    connector.push_str(&options.extra);
    let webapp = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/webapp");
    let cluster = options.replication.as_ref().map(Replication::xml).unwrap_or_default();
    let manager = if options.replication.is_some() { "" } else { r#"<Manager pathname=""/>"# };
    let webapp = if options.replication.is_some() { distributable_copy(base, &webapp) } else { webapp };
    format!(
        r#"<?xml version="1.0"?>
<Server port="-1">
  <Service name="test">
    <Connector protocol="AJP/1.3" {connector}/>
    <Engine name="test" defaultHost="localhost" jvmRoute="{name}">
      <Host name="localhost" appBase="webapps" autoDeploy="false">
        {cluster}
        <Context path="" docBase="{}">{manager}</Context>
        <Context path="/examples" docBase="{EXAMPLES}"><Manager pathname=""/></Context>
      </Host>
    </Engine>
  </Service>
</Server>
"#,
        webapp.display()
    )
}

/// Tomcat replicates the sessions of an application only if its own web.xml says that it may.
fn distributable_copy(base: &Path, webapp: &Path) -> PathBuf {
    let copy = base.join("distributable");
    fs::create_dir_all(copy.join("WEB-INF")).unwrap();
    for entry in fs::read_dir(webapp).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let namespace = r#"xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0""#;
    let text = format!("<?xml version=\"1.0\"?>\n<web-app {namespace}><distributable/></web-app>\n");
    fs::write(copy.join("WEB-INF/web.xml"), text).unwrap();
    copy
}

/// Where the Java runtime lies.
pub(crate) fn java_home() -> &'static str {
    static HOME: OnceLock<String> = OnceLock::new();
    HOME.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/demo/find-java.sh");
        let output = Command::new(script).output().expect("find-java.sh can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}

/// Shared Tomcats are never dropped, so their directories outlive the run: the next run removes those of dead processes.
fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("mod_jk-tomcat-").and_then(|rest| rest.split('-').next()).map(str::to_owned);
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Someone else may be removing it too, or own it.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The bytes that `bytes.jsp?n=N` sends and against which `sink.jsp` compares: SplitMix64, little-endian words.
///
/// Filled in order, in pieces of any size; memory stays small whatever the length.
pub(crate) struct Pattern {
    at: u64,
}

impl Pattern {
    /// From the first byte on.
    pub(crate) fn new() -> Pattern {
        Pattern { at: 0 }
    }

    /// The first `length` bytes.
    pub(crate) fn bytes(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        Pattern::new().fill(&mut bytes);
        bytes
    }

    /// Fills `buffer` with the next bytes.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) {
        let inside = usize::try_from(self.at % 8).unwrap();
        let (head, rest) = buffer.split_at_mut(((8 - inside) % 8).min(buffer.len()));
        head.copy_from_slice(&Pattern::word(self.at / 8)[inside..inside + head.len()]);
        self.at += head.len() as u64;
        // Whole words, because gigabytes pass here in unoptimised tests.
        for part in rest.chunks_mut(8) {
            part.copy_from_slice(&Pattern::word(self.at / 8)[..part.len()]);
            self.at += part.len() as u64;
        }
    }

    /// Asserts that `body` is what comes next.
    #[track_caller]
    pub(crate) fn assert_next(&mut self, body: &[u8]) {
        let start = self.at;
        let mut expected = vec![0; body.len()];
        self.fill(&mut expected);
        if body != expected {
            let place = body.iter().zip(&expected).position(|(a, b)| a != b).unwrap() as u64;
            panic!("the body differs at byte {}", start + place);
        }
    }

    /// How many bytes were filled or compared.
    pub(crate) fn passed(&self) -> u64 {
        self.at
    }

    fn word(k: u64) -> [u8; 8] {
        let z = k.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)).to_le_bytes()
    }
}

/// Whether the kernel has stopped the thread with this folder in /proc.
fn is_stopped(thread: &Path) -> bool {
    let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
    // The state comes behind the name, which is in parentheses and may hold any byte.
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_is_splitmix64_from_zero() {
        assert_eq!(Pattern::bytes(8), 0xE220_A839_7B1D_CDAF_u64.to_le_bytes());
    }

    #[test]
    fn pattern_does_not_depend_on_the_size_of_pieces() {
        let whole = Pattern::bytes(1000);
        let mut pattern = Pattern::new();
        let mut at = 0;
        for size in (0..).take_while(|size| size * (size + 1) / 2 <= 1000) {
            pattern.assert_next(&whole[at..at + size]);
            at += size;
        }
        assert_eq!(pattern.passed(), at as u64);
    }

    #[test]
    fn changed_byte_is_told_from_the_pattern() {
        let mut body = Pattern::bytes(100);
        body[57] ^= 1;
        let verdict = std::panic::catch_unwind(|| Pattern::new().assert_next(&body));
        assert_eq!(verdict.unwrap_err().downcast_ref::<String>().unwrap(), "the body differs at byte 57");
    }
}

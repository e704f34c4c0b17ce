//! The hosts of one test on a private network: three Tomcats, httpds with this module or with C's, the balancer before them.
//!
//! Not here: load and its figures (load.rs). The surprising thing: the httpds with C mod_jk are the same image and configuration with
//! one file copied over, the module itself.

use std::net::SocketAddr;
use std::time::Duration;

use super::docker::{Owner, docker, logs, must};
use crate::support::http_client::{Client, Request, Response};
use crate::support::wait;

/// Only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Where `make container-test` puts Debian's mod_jk.so.
const C_MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/oracle/mod_jk.so");
const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/container/cluster");
const MODULES: &str = "/usr/lib/apache2/modules";

/// Whose mod_jk an httpd loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Module {
    Ours,
    C,
}

/// When a Tomcat answers a request that changed a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replication {
    /// At once.
    Later,
    /// When the others have the session.
    First,
}

/// A private network and what is on it.
pub(crate) struct Hosts {
    owner: Owner,
    network: String,
    subnet: String,
}

/// An httpd that is reached through a port of 127.0.0.1.
#[derive(Clone, Debug)]
pub(crate) struct Web {
    pub(crate) container: String,
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// How the balancer calls it.
    pub(crate) member: String,
}

impl Hosts {
    /// The network and three Tomcats, which may still be starting.
    pub(crate) fn start(replication: Replication) -> Hosts {
        let owner = Owner::new();
        let network = format!("{}-net", owner.prefix);
        let subnet = owner.network(&network);
        let hosts = Hosts { owner, network, subnet };
        for number in 1..=3 {
            hosts.start_tomcat(number, replication);
        }
        hosts
    }

    fn start_tomcat(&self, number: usize, replication: Replication) {
        let name = format!("tomcat{number}");
        let options = if replication == Replication::First { 6 } else { 8 };
        let settings = [format!("ROUTE={name}"), format!("MEMBER={number}"), format!("SEND_OPTIONS={options}")];
        let mut command = self.create(&name, &self.tomcat_address(number));
        for setting in &settings {
            command.extend(["--env".to_owned(), setting.clone()]);
        }
        command.push("mod_jk-tomcat:latest".to_owned());
        must(&command.iter().map(String::as_str).collect::<Vec<_>>());
        must(&["start", &self.container(&name)]);
    }

    /// `docker create` for a host of this name and address, as far as its image.
    fn create(&self, name: &str, address: &str) -> Vec<String> {
        [
            "create",
            &self.owner.label,
            "--name",
            &self.container(name),
            "--hostname",
            name,
            "--network",
            &self.network,
            "--network-alias",
            name,
            "--ip",
            address,
            "--env",
            "AJP_SECRET=secret-of-the-tests",
            "--env",
            &format!("SUBNET={}", self.subnet),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// The container of a host.
    pub(crate) fn container(&self, name: &str) -> String {
        format!("{}-{name}", self.owner.prefix)
    }

    /// Where a Tomcat is.
    pub(crate) fn tomcat_address(&self, number: usize) -> String {
        format!("{}.1{number}", self.subnet)
    }

    /// httpds `<name>1` and `<name>2` with a module, both serving from all Tomcats when this returns.
    pub(crate) fn webs(&self, name: &str, module: Module) -> Vec<Web> {
        let tens = if module == Module::Ours { 2 } else { 4 };
        let webs: Vec<Web> = (1..=2)
            .map(|number| self.web(&format!("{name}{number}"), &format!("{}.{tens}{number}", self.subnet), module))
            .collect();
        webs.iter().for_each(Web::await_all_tomcats);
        webs
    }

    fn web(&self, name: &str, address: &str, module: Module) -> Web {
        let files = ["workers.properties", "uriworkermap.properties"]
            .map(|file| (format!("{CONFIGURATION}/{file}"), format!("/srv/httpd/conf/{file}")));
        let mut files = files.to_vec();
        files.push((format!("{CONFIGURATION}/cluster.conf"), "/srv/httpd/conf/conf.d/cluster.conf".to_owned()));
        if module == Module::C {
            files.push((C_MODULE.to_owned(), format!("{MODULES}/mod_jk.so")));
        }
        self.httpd(name, address, &files)
    }

    /// The balancer before web1 and web2.
    pub(crate) fn front(&self) -> Web {
        let files = [(format!("{CONFIGURATION}/front.conf"), "/srv/httpd/conf/httpd.conf".to_owned())];
        let front = self.httpd("front", &format!("{}.30", self.subnet), &files);
        wait::until(PATIENCE, "the balancer to serve", || {
            front.ask("/counter.jsp").is_ok_and(|response| response.status() == 200)
        });
        front
    }

    fn httpd(&self, name: &str, address: &str, files: &[(String, String)]) -> Web {
        let mut command = self.create(name, address);
        // A port that stays the same when the container is restarted.
        let port = free_port();
        command.extend(["--publish".to_owned(), format!("127.0.0.1:{port}:8080"), "mod_jk:latest".to_owned()]);
        must(&command.iter().map(String::as_str).collect::<Vec<_>>());
        let container = self.container(name);
        for (from, to) in files {
            must(&["cp", from, &format!("{container}:{to}")]);
        }
        must(&["start", &container]);
        let outside = SocketAddr::from(([127, 0, 0, 1], port));
        Web { container, name: name.to_owned(), address: outside, member: format!("http://{address}:8080") }
    }

    /// Cuts a host's cable.
    pub(crate) fn disconnect(&self, name: &str) {
        must(&["network", "disconnect", &self.network, &self.container(name)]);
    }

    /// Plugs it in again, at this address.
    pub(crate) fn connect(&self, name: &str, address: &str) {
        must(&["network", "connect", "--ip", address, "--alias", name, &self.network, &self.container(name)]);
    }

    /// Drops what an httpd and a Tomcat send each other, from now on or (`cut` false) no more.
    pub(crate) fn cut_link(&self, web: &Web, tomcat: usize, cut: bool) {
        let action = if cut { "--insert" } else { "--delete" };
        let address = self.tomcat_address(tomcat);
        for (chain, side) in [("OUTPUT", "--destination"), ("INPUT", "--source")] {
            let network = format!("container:{}", web.container);
            let run =
                ["run", "--rm", &self.owner.label, "--network", &network, "--cap-add", "NET_ADMIN", "--user", "root"];
            let rule = ["mod_jk-tomcat:latest", "iptables", action, chain, side, &address, "--jump", "DROP"];
            must(&[&run[..], &rule[..]].concat());
        }
    }

    /// Waits until the Tomcat takes connections on its AJP port, as its own health check tries.
    pub(crate) fn await_tomcat(&self, number: usize) {
        let (container, address) = (self.container(&format!("tomcat{number}")), self.tomcat_address(number));
        let knock = format!("exec 3<>/dev/tcp/{address}/8009");
        wait::until(PATIENCE, "the Tomcat to listen", || docker(&["exec", &container, "bash", "-c", &knock]).is_ok());
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let ours = format!("name={}", self.owner.prefix);
            let names = docker(&["ps", "--all", "--filter", &ours, "--format", "{{.Names}}"]).unwrap_or_default();
            for name in names.lines() {
                let log = logs(name);
                let lines: Vec<&str> = log.lines().filter(|line| !line.contains("\" 200 ")).collect();
                eprintln!("---- {name}\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            }
        }
    }
}

impl Web {
    /// GET.
    pub(crate) fn ask(&self, target: &str) -> std::io::Result<Response> {
        Client::once(self.address, &Request::new("GET", target))
    }

    /// GET of a page that must come.
    #[track_caller]
    pub(crate) fn page(&self, target: &str) -> String {
        let response = self.ask(target).unwrap();
        assert_eq!(response.status(), 200, "{target} of {}: {}", self.name, response.text());
        response.text()
    }

    /// The counter page in a session, or in a new one: its facts.
    #[track_caller]
    pub(crate) fn count(&self, session: Option<&str>) -> Count {
        let mut request = Request::new("GET", "/counter.jsp");
        if let Some(session) = session {
            request = request.header("Cookie", format!("JSESSIONID={session}"));
        }
        let response = Client::once(self.address, &request).unwrap();
        assert_eq!(response.status(), 200, "{}: {}", self.name, response.text());
        Count::read(&response.text()).unwrap_or_else(|| panic!("no counter: {}", response.text()))
    }

    /// A command for the status worker, which must agree.
    #[track_caller]
    pub(crate) fn command(&self, query: &str) {
        let text = self.page(&format!("/jkstatus?mime=prop&{query}"));
        assert!(text.contains("worker.result.type=OK"), "{query}: {text}");
    }

    /// A line `worker.<name>=` of the status page.
    #[track_caller]
    pub(crate) fn status(&self, name: &str) -> String {
        let (text, wanted) = (self.page("/jkstatus?mime=prop"), format!("worker.{name}="));
        let line = text.lines().find_map(|line| line.strip_prefix(&wanted));
        line.unwrap_or_else(|| panic!("no {wanted} in {text}")).to_owned()
    }

    /// Waits until new users come to all three Tomcats.
    #[track_caller]
    pub(crate) fn await_all_tomcats(&self) {
        for number in 1..=3 {
            self.await_tomcat(number);
        }
    }

    /// Waits until a new user comes to this Tomcat.
    #[track_caller]
    pub(crate) fn await_tomcat(&self, number: usize) {
        let wanted = format!("tomcat{number}");
        wait::until(PATIENCE, &format!("{} to serve from {wanted}", self.name), || {
            let page = self.ask("/counter.jsp").ok().filter(|response| response.status() == 200);
            page.and_then(|page| Count::read(&page.text())).is_some_and(|count| count.node == wanted)
        });
    }
}

/// What the counter page says.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    pub(crate) node: String,
    pub(crate) session: String,
    pub(crate) visits: u32,
}

impl Count {
    /// The facts of the page, `None` if it is another one.
    pub(crate) fn read(page: &str) -> Option<Count> {
        let fact =
            |name: &str| page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned);
        Some(Count { node: fact("node")?, session: fact("session")?, visits: fact("visits")?.parse().ok()? })
    }
}

/// A port of 127.0.0.1 that nobody uses, nor the two after it, below the range that the system gives to connections.
pub(crate) fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(std::process::id() % 500).unwrap() * 20;
    loop {
        let port = first + NEXT.fetch_add(3, Ordering::SeqCst) % 9_000;
        if (port..port + 3).all(|port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return port;
        }
    }
}

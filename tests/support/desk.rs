//! A status worker under test, without httpd: the workers it reports about, its log, and one call per query.
//!
//! Not here: connections; nothing is sent to any container. The surprising thing: the clock stands still, at [`NOW`].

use std::sync::{Arc, Mutex};

use jiff::tz::TimeZone;
use mod_jk::config::{self, Config, Defaults, WorkerConfig};
use mod_jk::log::{Level, Logger, Sink, Stamp};
use mod_jk::properties::{Properties, Severity};
use mod_jk::shm::{AjpSlot, LbSlot, MemberSlot, Plan, Region};
use mod_jk::status::{Ask, Clock, Host, Page, Provenance, Scene, Site, StatusWorker};
use mod_jk::uri_map::{RuleList, UriMapBuilder};
use mod_jk::worker::lb::LbWorker;
use mod_jk::worker::shared::Shared;
use mod_jk::worker::{AjpShared, AjpWorker, Log};

/// 2026-11-22 12:44:39 UTC.
pub(crate) const NOW: u64 = 1_795_351_479;

/// The workers, the status worker `st`, and what was logged.
pub(crate) struct Desk {
    config: Config,
    shared: Arc<Shared>,
    ajp: Vec<Arc<AjpWorker>>,
    lbs: Vec<Arc<LbWorker>>,
    sites: Vec<Site>,
    logger: Logger,
    lines: Arc<Lines>,
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Sink for Lines {
    fn write_line(&self, line: &[u8]) {
        self.0.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap());
    }
}

/// Properties of a balancer `lb` with members m1, m2, m3 at 127.0.0.1, an AJP worker `solo`, and the status worker.
pub(crate) const THREE: &str = "worker.list=lb,solo,st\nworker.lb.type=lb\nworker.lb.balance_workers=m1,m2,m3\n\
    worker.m1.host=127.0.0.1\nworker.m2.host=127.0.0.1\nworker.m3.host=127.0.0.1\nworker.solo.host=127.0.0.1\n\
    worker.m1.port=8011\nworker.m2.port=8012\nworker.m3.port=8013\nworker.solo.port=8014\nworker.st.type=status\n";

impl Desk {
    /// The workers of [`THREE`].
    pub(crate) fn new() -> Desk {
        Desk::of(THREE)
    }

    /// The workers of [`THREE`] with more properties.
    pub(crate) fn with(more: &str) -> Desk {
        Desk::of(&format!("{THREE}{more}"))
    }

    /// The workers of a properties text.
    pub(crate) fn of(text: &str) -> Desk {
        let mut findings = Vec::new();
        let mut properties = Properties::new();
        properties.read(text.as_bytes(), "workers.properties", &mut findings);
        let (config, more) = config::build(&properties, &Defaults::default());
        findings.extend(more);
        assert!(findings.iter().all(|finding| finding.severity != Severity::Error), "{findings:?}");
        let region = Region::anonymous(&Plan::new(&config, 2, NOW - 10).unwrap()).unwrap();
        let shared = Arc::new(Shared::new(Arc::new(region)));
        let worker = |(index, config): (usize, &config::AjpConfig)| {
            Arc::new(AjpWorker::new(config.clone(), Arc::new(AjpShared::new(Arc::clone(&shared), index))))
        };
        let ajp: Vec<_> = config.ajp.iter().enumerate().map(worker).collect();
        let balancers = config.list.iter().filter_map(|worker| match worker {
            WorkerConfig::Lb(lb) => Some(lb.clone()),
            _ => None,
        });
        let lb = |(index, lb): (usize, config::LbConfig)| {
            let members = lb.members.iter().map(|member| Arc::clone(&ajp[member.ajp])).collect();
            Arc::new(LbWorker::new(lb, Arc::clone(&shared), index, members))
        };
        let lbs = balancers.enumerate().map(lb).collect();
        let host = Host { names: vec!["www.example.org".to_owned()], addresses: Vec::new() };
        let sites = vec![Site { label: "www.example.org:80".into(), map: Arc::default(), host }];
        let lines = Arc::<Lines>::default();
        let logger = Logger::new(Level::Debug, Stamp::local(b""), Arc::clone(&lines) as Arc<dyn Sink>);
        Desk { config, shared, ajp, lbs, sites, logger, lines }
    }

    /// Adds a rule of `JkMount`.
    pub(crate) fn mount(self, pattern: &str, worker: &str) -> Desk {
        self.rule(|list| list.add_mount(pattern.as_bytes(), worker.as_bytes(), None))
    }

    /// Adds a rule of `JkUnMount`.
    pub(crate) fn unmount(self, pattern: &str, worker: &str) -> Desk {
        self.rule(|list| list.add_unmount(pattern.as_bytes(), worker.as_bytes(), None))
    }

    fn rule(mut self, add: impl FnOnce(&mut RuleList)) -> Desk {
        let mut list = RuleList::default();
        let at = usize::from(self.sites.len() > 1);
        let site = &mut self.sites[at];
        list.rules.extend(site.map.rules().iter().cloned());
        add(&mut list);
        assert!(list.diagnostics.is_empty(), "{:?}", list.diagnostics);
        site.map = Arc::new(UriMapBuilder::from_parts(list.rules, Vec::new(), Vec::new()).build());
        self
    }

    /// Adds a virtual host; rules that are added from now on are its.
    pub(crate) fn host(mut self, names: &[&str], address: &str, port: u16) -> Desk {
        let host = Host {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: vec![(address.to_owned(), port)],
        };
        // Where httpd puts the one written last.
        self.sites
            .insert(1, Site { label: format!("{} [{address}:{port}]", names[0]).into(), map: Arc::default(), host });
        self
    }

    /// The balancers.
    pub(crate) fn lbs(&self) -> &[Arc<LbWorker>] {
        &self.lbs
    }

    /// Where its log goes.
    pub(crate) fn log(&self) -> Log<'_> {
        Log { logger: &self.logger, context: b"id" }
    }

    /// The answer of `st` to a query.
    pub(crate) fn page(&self, query: &str) -> Page {
        self.page_for(query, |_| {})
    }

    /// The same, with changes to the request.
    pub(crate) fn page_for<'a>(&'a self, query: &'a str, change: impl FnOnce(&mut Ask<'a>)) -> Page {
        let mut ask = Ask {
            path: b"/jkstatus",
            query: query.as_bytes(),
            user: None,
            provenance: Provenance::default(),
            site: 0,
            server_name: b"www.example.org",
            server_port: 80,
            web_server: b"Apache/2.4",
            jk_version: "mod_jk/test",
            accept: None,
            now_s: NOW,
            clock: Clock { zone: TimeZone::UTC },
        };
        change(&mut ask);
        let sites = || self.sites.clone();
        let scene = Scene {
            config: &self.config,
            shared: &self.shared,
            ajp: &self.ajp,
            lbs: &self.lbs,
            sites: &sites,
            log: Log { logger: &self.logger, context: b"id" },
            now_s: NOW,
        };
        let status = self.config.list.iter().find_map(|worker| match worker {
            WorkerConfig::Status(status) => Some(StatusWorker::new(status.clone())),
            _ => None,
        });
        status.unwrap().answer(&scene, &ask)
    }

    /// The body of an answer with status 200.
    #[track_caller]
    pub(crate) fn ask(&self, query: &str) -> String {
        let page = self.page(query);
        assert_eq!(page.status, 200, "{}", page.body);
        page.body
    }

    /// Type and message of the result, in text format.
    #[track_caller]
    pub(crate) fn result(&self, query: &str) -> String {
        let body = self.ask(&format!("mime=txt&{query}"));
        let line = body.lines().last().unwrap();
        line.strip_prefix("Result: ").unwrap().to_owned()
    }

    /// A query that must succeed.
    #[track_caller]
    pub(crate) fn done(&self, query: &str) {
        assert_eq!(self.result(query), "type=OK message=\"Action finished\"", "{query}");
    }

    /// A query that must fail; returns the message.
    #[track_caller]
    pub(crate) fn refused(&self, query: &str) -> String {
        let result = self.result(query);
        let message = result.strip_prefix("type=ERROR message=\"").unwrap_or_else(|| panic!("{query}: {result}"));
        message.trim_end_matches('"').to_owned()
    }

    /// A field of a line of the text format, such as (`Member: name=m1`, `activation`).
    #[track_caller]
    pub(crate) fn field(&self, line: &str, name: &str) -> String {
        let body = self.ask("mime=txt");
        let found = body.lines().find(|text| text.starts_with(line)).unwrap_or_else(|| panic!("{line} in {body}"));
        let (_, rest) = found.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("{name} in {found}"));
        rest.split(' ').next().unwrap().trim_matches('"').to_owned()
    }

    /// A field of a member of `lb`.
    #[track_caller]
    pub(crate) fn member_field(&self, member: &str, name: &str) -> String {
        self.field(&format!("Member: name={member} "), name)
    }

    /// The slots.
    pub(crate) fn region(&self) -> &Region {
        &self.shared.region
    }

    /// Slot of a member of the first balancer.
    pub(crate) fn member(&self, index: usize) -> &MemberSlot {
        self.region().member(self.region().plan().members_of(0).nth(index).unwrap()).unwrap()
    }

    /// Slot of an AJP worker.
    pub(crate) fn ajp(&self, name: &str) -> &AjpSlot {
        self.region().ajp_named(name).unwrap()
    }

    /// Slot of the first balancer.
    pub(crate) fn lb(&self) -> &LbSlot {
        self.region().lb(0).unwrap()
    }

    /// The lines so far that contain `text`, without what stands before the message.
    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let lines = self.lines.0.lock().unwrap();
        let found = lines.iter().filter(|line| line.contains(text));
        found.map(|line| line.split_once("): ").unwrap().1.trim_end().to_owned()).collect()
    }

    /// The level of the first line with `text`.
    pub(crate) fn level_of(&self, text: &str) -> String {
        let lines = self.lines.0.lock().unwrap();
        let line = lines.iter().find(|line| line.contains(text)).unwrap();
        ["error", "warn", "info", "debug"]
            .iter()
            .find(|level| line.contains(&format!("[{level}]")))
            .unwrap()
            .to_string()
    }
}

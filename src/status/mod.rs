//! The status worker: pages and exports about the other workers, and commands to them.
//!
//! Not here: serving httpd's requests (`apache`), the slots (`shm`). The surprising thing: nearly every answer has status 200, errors
//! and denials included, because the scripts of twenty years expect that; the one exception is a change that another site made a
//! browser ask for.
//!
//! ```text
//!  Ask --> command (parse, checks) --> update (changes) --> view (snapshot) --> html | export --> Page
//! ```

pub mod command;
mod export;
pub mod field;
mod html;
mod json;
mod metrics;
mod provenance;
mod update;
pub mod view;

use std::sync::Arc;

use command::{Format, Verb};
pub use provenance::Provenance;
pub use view::Clock;

use crate::balancer::rating::Ratings;
use crate::config::{Config, StatusConfig};
use crate::uri_map::UriMap;
use crate::worker::shared::Shared;
use crate::worker::{AjpWorker, Log, say};
use command::{Access, Command, Options, Target};
use export::{Body, Head, Report};
use metrics::Syntax;
use view::{View, Viewer};

/// A status worker.
#[derive(Debug)]
pub struct StatusWorker {
    config: StatusConfig,
    ratings: Ratings,
}

/// What a status worker reports about and changes.
pub struct Scene<'a> {
    /// What the workers were built from.
    pub config: &'a Config,
    /// Their slots.
    pub shared: &'a Shared,
    /// The AJP workers, in the order of [`Config::ajp`].
    pub ajp: &'a [Arc<AjpWorker>],
    /// The servers and their URI rules as they are now; asked for at most once.
    pub sites: &'a dyn Fn() -> Vec<Site>,
    /// Where changes are logged.
    pub log: Log<'a>,
    /// Seconds since 1970.
    pub now_s: u64,
}

/// A server or virtual host with URI rules.
#[derive(Clone, Debug)]
pub struct Site {
    /// How it is named in listings.
    pub label: Arc<str>,
    /// Its rules.
    pub map: Arc<UriMap>,
}

/// One request.
pub struct Ask<'a> {
    /// Path, as links to this status worker begin.
    pub path: &'a [u8],
    /// Query string as it came.
    pub query: &'a [u8],
    /// Who the web server says it is.
    pub user: Option<&'a [u8]>,
    /// Which page a browser was on.
    pub provenance: Provenance<'a>,
    /// Name of the server.
    pub server_name: &'a [u8],
    /// Port of the server.
    pub server_port: u16,
    /// What the web server says it is.
    pub web_server: &'a [u8],
    /// What this module says it is.
    pub jk_version: &'a str,
    /// Accept.
    pub accept: Option<&'a [u8]>,
    /// Seconds since 1970.
    pub now_s: u64,
    /// Local time.
    pub clock: Clock,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// 200; 403 for a change that another site asks for, 400 for metrics that cannot be had.
    pub status: u16,
    /// Headers, Content-Type among them.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Failed(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Failed(_) => "ERROR",
        }
    }

    fn message(&self) -> &str {
        match self {
            Self::Ok => "Action finished",
            Self::Failed(message) => message,
        }
    }
}

impl<'a> Scene<'a> {
    fn ajp_name(&self, ajp: usize) -> &'a str {
        self.config.ajp.get(ajp).map_or("", |worker| &worker.name)
    }

    fn prefers_ipv6(&self, ajp: Option<usize>) -> bool {
        ajp.and_then(|ajp| self.config.ajp.get(ajp)).is_some_and(|worker| worker.prefer_ipv6)
    }
}

impl StatusWorker {
    /// A status worker of this configuration. What is odd about its ratings was said when the configuration was read.
    #[must_use]
    pub fn new(config: StatusConfig) -> Self {
        let (ratings, _) = Ratings::new(&config.good, &config.bad);
        Self { config, ratings }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Answers a request, and does what it asks for.
    #[must_use]
    pub fn answer(&self, scene: &Scene<'_>, ask: &Ask<'_>) -> Page {
        let access = Access { admitted: self.admits(ask.user, scene.log), read_only: self.config.read_only };
        let command = match Command::parse(ask.query, access) {
            Ok(command) => command,
            Err(rejected) => {
                return self.failure(scene, ask, rejected.format, None, rejected.message.to_owned());
            }
        };
        if command.verb.changes_state()
            && let Some(site) = ask.provenance.foreign()
        {
            say!(
                scene.log,
                Warn,
                "Status worker '{}' refused cmd={} that a page of {site} asked for",
                self.name(),
                command.verb.word()
            );
            let message = "Refused: a page of another site asked for this change.".to_owned();
            let page = self.failure(scene, ask, command.format, Some(&command), message);
            return Page { status: 403, ..page };
        }
        match command.target(scene.config) {
            Ok(target) => self.carry_out(scene, ask, &command, target.as_ref()),
            Err(message) => self.failure(scene, ask, command.format, Some(&command), message.to_owned()),
        }
    }

    /// Whether this user may use it at all.
    fn admits(&self, user: Option<&[u8]>, log: Log<'_>) -> bool {
        let users = &self.config.users;
        if users.is_empty() {
            return true;
        }
        let Some(user) = user else {
            say!(log, Warn, "Status worker '{}' got no user name, access denied", self.name());
            return false;
        };
        let is_user = |known: &String| match self.config.user_case_insensitive {
            true => known.as_bytes().eq_ignore_ascii_case(user),
            false => known.as_bytes() == user,
        };
        let admitted = users.iter().any(is_user);
        if !admitted {
            say!(log, Warn, "Status worker '{}' denied access to user '{}'", self.name(), crate::log::Shown(user));
        }
        admitted
    }

    fn carry_out(&self, scene: &Scene<'_>, ask: &Ask<'_>, command: &Command, target: Option<&Target<'_>>) -> Page {
        let changed = match (command.verb, target) {
            (Verb::Update, Some(target)) => update::update(self.name(), scene, target, &command.parameters),
            (Verb::Reset, Some(target)) => update::reset(self.name(), scene, target),
            (Verb::Recover, Some(target)) => update::recover(self.name(), scene, target),
            (Verb::Edit, Some(Target::Status)) if command.format == Format::Html => {
                Err("Error in generating this worker's configuration form.".to_owned())
            }
            _ => Ok(()),
        };
        if let Err(message) = changed {
            return self.failure(scene, ask, command.format, Some(command), message);
        }
        let view = self.view(scene, command, target);
        let is_listing = matches!(command.verb, Verb::List | Verb::Show);
        let body = match command.format {
            Format::Html => html::Screen { config: &self.config, scene, ask, command, target, view: &view }.render(),
            Format::Json => {
                let extra = json::extra(scene, command.verb);
                json::render(scene, ask, is_listing.then_some(&view), extra, &Outcome::Ok)
            }
            Format::Prom => metrics::render(&view, Syntax::accepted(ask.accept), ask),
            Format::Xml | Format::Txt | Format::Prop => self.export(scene, ask, command, &view),
        };
        self.page(ask, command.format, body)
    }

    fn export(&self, scene: &Scene<'_>, ask: &Ask<'_>, command: &Command, view: &View) -> String {
        let head = match command.verb {
            Verb::List | Verb::Show | Verb::Version | Verb::Dump => Head::Full,
            Verb::Edit => Head::Server,
            Verb::Update | Verb::Reset | Verb::Recover => Head::None,
        };
        let body = match command.verb {
            Verb::List => Body::List(view),
            Verb::Show => Body::Show(view),
            Verb::Dump => Body::Dump(&scene.config.properties_dump),
            _ => Body::Nothing,
        };
        let shows_maps = !command.options.has(Options::NO_MAPS);
        let report = Report { config: &self.config, ask, head, body, outcome: &Outcome::Ok, shows_maps };
        rendered(command.format, &report)
    }

    fn view(&self, scene: &Scene<'_>, command: &Command, target: Option<&Target<'_>>) -> View {
        let options = command.options;
        let viewer = || Viewer::new(scene, &self.ratings, !options.has(Options::NO_MEMBERS));
        match (command.verb, target) {
            (Verb::List, _) => viewer().all(!options.has(Options::NO_BALANCERS), !options.has(Options::NO_AJP)),
            (Verb::Show, Some(Target::Ajp(ajp))) => {
                View { workers: viewer().plain(*ajp).into_iter().collect(), ..View::default() }
            }
            (Verb::Show, Some(Target::Lb { lb, config, members })) => {
                let balancer = viewer().balancer(*lb, config, members.as_deref());
                View { balancers: balancer.into_iter().collect(), ..View::default() }
            }
            _ => View::default(),
        }
    }

    fn failure(
        &self,
        scene: &Scene<'_>,
        ask: &Ask<'_>,
        format: Format,
        command: Option<&Command>,
        message: String,
    ) -> Page {
        let outcome = Outcome::Failed(message);
        let body = match format {
            Format::Html => html::failure(&self.config, ask, command, outcome.message()),
            Format::Json => json::render(scene, ask, None, json::none(), &outcome),
            Format::Prom => format!("# ERROR - {}\n", outcome.message()),
            Format::Xml | Format::Txt | Format::Prop => {
                let (head, body) = (Head::None, Body::Nothing);
                let report = Report { config: &self.config, ask, head, body, outcome: &outcome, shows_maps: false };
                rendered(format, &report)
            }
        };
        let page = self.page(ask, format, body);
        // A scrape that fails must look like one; it has no field for a result.
        if format == Format::Prom { Page { status: 400, ..page } } else { page }
    }

    fn page(&self, ask: &Ask<'_>, format: Format, body: String) -> Page {
        let css = self.config.css.as_deref().and_then(html::origin_of).unwrap_or_default();
        let policy = format!(
            "default-src 'none'; style-src 'self' 'unsafe-inline'{css}; img-src 'self' data:{css}; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        let content_type = match format {
            Format::Prom => Syntax::accepted(ask.accept).content_type(),
            format => format.content_type(),
        };
        let headers = vec![
            ("Content-Type", content_type.to_owned()),
            ("Cache-Control", "no-cache, no-store".to_owned()),
            ("Pragma", "no-cache".to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            ("X-Frame-Options", "DENY".to_owned()),
            ("Referrer-Policy", "same-origin".to_owned()),
            ("Content-Security-Policy", policy),
        ];
        Page { status: 200, headers, body }
    }
}

fn rendered(format: Format, report: &Report<'_>) -> String {
    match format {
        Format::Xml => export::xml(report),
        Format::Txt => export::txt(report),
        _ => export::prop(report),
    }
}

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
mod drain;
mod effective;
mod explain;
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
pub use explain::balance_of;
pub use provenance::Provenance;
pub use view::Clock;

use crate::balancer::rating::Ratings;
use crate::config::{Config, StatusConfig};
use crate::uri_map::UriMap;
use crate::worker::lb::LbWorker;
use crate::worker::shared::Shared;
use crate::worker::{AjpWorker, Log, say};
use command::{Access, Command, Options, Target, on_one_line};
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
    /// The load balancers, in the order of their slots.
    pub lbs: &'a [Arc<LbWorker>],
    /// The servers and their URI rules as they are now, in httpd's order: the main one, then the virtual hosts from the last one written
    /// to the first.
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
    /// How requests find it.
    pub host: Host,
}

/// How requests find a server.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// ServerName and aliases, which may have `*` and `?`.
    pub names: Vec<String>,
    /// Addresses of its `<VirtualHost>` with ports (0 = any); none for the main server.
    pub addresses: Vec<(String, u16)>,
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
    /// Place of the server that was asked among [`Scene::sites`].
    pub site: usize,
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
                return self.failure(scene, ask, rejected.format, rejected.message.to_owned());
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
            let page = self.failure(scene, ask, command.format, message);
            return Page { status: 403, ..page };
        }
        match command.target(scene.config) {
            Ok(target) => self.carry_out(scene, ask, &command, target.as_ref()),
            Err(message) => self.failure(scene, ask, command.format, message.to_owned()),
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

    /// Does what the command asks for; a refusal is one line, whatever was asked.
    fn change(&self, scene: &Scene<'_>, command: &Command, target: Option<&Target<'_>>) -> Result<(), String> {
        let changed = match (command.verb, target) {
            (Verb::Update, Some(target)) => {
                let is_new = matches!(command.format, Format::Html | Format::Json | Format::Prom);
                let understood = if is_new { update::understood(target, &command.parameters) } else { Ok(()) };
                understood.and_then(|()| update::update(self.name(), scene, target, &command.parameters))
            }
            (Verb::Reset, Some(target)) => update::reset(self.name(), scene, target),
            (Verb::Recover, Some(target)) => update::recover(self.name(), scene, target),
            (Verb::Drain, Some(target)) => drain::drain(self.name(), scene, target, &command.parameters),
            (Verb::Edit, Some(Target::Status)) if command.format == Format::Html => {
                Err("Error in generating this worker's configuration form.".to_owned())
            }
            (Verb::Edit, Some(Target::Lb { members: None, .. })) if command.format == Format::Html => {
                command.parameters.get("att").and_then(update::no_aspect).map_or(Ok(()), Err)
            }
            _ => Ok(()),
        };
        let changed = changed.map_err(|message| on_one_line(&message));
        if let Err(message) = &changed
            && command.verb == Verb::Update
        {
            say!(scene.log, Warn, "Status worker '{}' refused cmd=update: {message}", self.name());
        }
        changed
    }

    fn carry_out(&self, scene: &Scene<'_>, ask: &Ask<'_>, command: &Command, target: Option<&Target<'_>>) -> Page {
        let changed = self.change(scene, command, target);
        // A drain that began has a page of its own, which shows what is left.
        let has_own_page = command.verb == Verb::Drain && changed.is_ok();
        if command.format == Format::Html && command.verb.changes_state() && !has_own_page {
            return self.after_change(scene, ask, command, target, changed);
        }
        if let Err(message) = changed {
            return self.failure(scene, ask, command.format, message);
        }
        let explanation = match explanation(scene, ask, command) {
            Ok(explanation) => explanation,
            Err(message) => return self.failure(scene, ask, command.format, on_one_line(&message)),
        };
        let explanation = explanation.as_ref();
        scene.shared.region.catch_up();
        let view = self.view(scene, command, target);
        let is_listing = matches!(command.verb, Verb::List | Verb::Show | Verb::Drain);
        let body = match command.format {
            Format::Html => {
                let (config, result) = (&self.config, command.verb.changes_state().then_some((command, &Outcome::Ok)));
                html::Screen { config, scene, ask, command, target, view: &view, explanation, result }.render()
            }
            Format::Json => {
                let content = json::Content { view: is_listing.then_some(&view), explanation };
                json::render(scene, ask, Some(command.verb), &content, &Outcome::Ok)
            }
            Format::Prom => metrics::render(&view, Syntax::accepted(ask.accept), ask),
            Format::Xml | Format::Txt | Format::Prop => {
                let told = explanation.map(explain::text::render).unwrap_or_default();
                told + &self.export(scene, ask, command, &view)
            }
        };
        self.page(ask, command.format, body)
    }

    /// The page after a change: what it was asked on, with the result and as things are now; or the form again, if that failed.
    fn after_change(
        &self,
        scene: &Scene<'_>,
        ask: &Ask<'_>,
        command: &Command,
        target: Option<&Target<'_>>,
        changed: Result<(), String>,
    ) -> Page {
        let outcome = changed.map_or_else(Outcome::Failed, |()| Outcome::Ok);
        let (config, explanation, result) = (&self.config, None, Some((command, &outcome)));
        if command.verb == Verb::Update && outcome != Outcome::Ok {
            let view = &View::default();
            let screen = html::Screen { config, scene, ask, command, target, view, explanation, result };
            return self.page(ask, Format::Html, screen.render());
        }
        let mut before = html::view_before(ask.path, command);
        let target = before.target(scene.config).unwrap_or_else(|_| {
            before.verb = Verb::List;
            None
        });
        let (command, target) = (&before, target.as_ref());
        scene.shared.region.catch_up();
        let view = self.view(scene, command, target);
        let screen = html::Screen { config, scene, ask, command, target, view: &view, explanation, result };
        self.page(ask, Format::Html, screen.render())
    }

    fn export(&self, scene: &Scene<'_>, ask: &Ask<'_>, command: &Command, view: &View) -> String {
        let head = match command.verb {
            Verb::List | Verb::Show | Verb::Version | Verb::Dump => Head::Full,
            Verb::Edit => Head::Server,
            Verb::Update | Verb::Reset | Verb::Recover | Verb::Explain | Verb::Drain => Head::None,
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
            (Verb::Show | Verb::Drain, Some(Target::Lb { lb, config, members })) => {
                let balancer = viewer().balancer(*lb, config, members.as_deref());
                View { balancers: balancer.into_iter().collect(), ..View::default() }
            }
            _ => View::default(),
        }
    }

    fn failure(&self, scene: &Scene<'_>, ask: &Ask<'_>, format: Format, message: String) -> Page {
        let outcome = Outcome::Failed(message);
        let body = match format {
            Format::Html => html::failure(&self.config, ask, outcome.message()),
            Format::Json => json::render(scene, ask, None, &json::Content::default(), &outcome),
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
            ("Content-Security-Policy", html::content_policy(self.config.css.as_deref())),
        ];
        Page { status: 200, headers, body }
    }
}

/// What `cmd=explain` asks for; `None` for other commands, and for the page with the form alone.
fn explanation<'a>(
    scene: &Scene<'a>,
    ask: &Ask<'_>,
    command: &Command,
) -> Result<Option<explain::Explanation<'a>>, String> {
    if command.verb != Verb::Explain {
        return Ok(None);
    }
    if !matches!(command.format, Format::Html | Format::Txt | Format::Json) {
        return Err("cmd=explain answers in html, txt and json.".to_owned());
    }
    if command.format == Format::Html && command.parameters.get("uri").is_none() {
        return Ok(None);
    }
    let question = explain::Question::of(ask.query)?;
    Ok(Some(explain::explain(scene, ask, &question)))
}

fn rendered(format: Format, report: &Report<'_>) -> String {
    match format {
        Format::Xml => export::xml(report),
        Format::Txt => export::txt(report),
        _ => export::prop(report),
    }
}

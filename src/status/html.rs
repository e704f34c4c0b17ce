//! The pages for people. Templates are checked at build time and escape everything.
//!
//! Not here: facts (`view.rs`). The surprising thing: nothing needs JavaScript. Buttons are forms that post, and what they ask for is in
//! the query string of their action, because that is all a status worker reads, whatever the method.

mod form;
mod link;
mod list;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::command::{Command, Format, Options, Target, Verb};
use super::view::View;
use super::{Ask, Scene};
use crate::config::StatusConfig;
use crate::log::Shown;
use link::Link;
pub(super) use list::rating_word;

/// The style of all pages.
const STYLE: &str = include_str!("html/style.css");

/// Seconds until a result page goes back.
const RESULT_S: u32 = 3;

/// What a page is made of.
pub(super) struct Screen<'a> {
    pub(super) config: &'a StatusConfig,
    pub(super) scene: &'a Scene<'a>,
    pub(super) ask: &'a Ask<'a>,
    pub(super) command: &'a Command,
    pub(super) target: Option<&'a Target<'a>>,
    pub(super) view: &'a View,
}

impl Screen<'_> {
    pub(super) fn render(&self) -> String {
        let (refresh, main) = match self.command.verb {
            Verb::List | Verb::Show => (self.refresh(), html! { (self.toolbar()) (list::workers(self)) }),
            Verb::Version => (None, self.version()),
            Verb::Dump => (None, self.dump()),
            Verb::Edit => (None, form::edit(self)),
            Verb::Update | Verb::Reset | Verb::Recover => {
                let back = self.way_back();
                (Some((RESULT_S, back.url())), self.done(&back))
            }
        };
        layout(self.config, self.ask, self.is_read_only(), refresh.as_ref(), &main)
    }

    fn has(&self, bit: u32) -> bool {
        self.command.options.has(bit)
    }

    fn is_read_only(&self) -> bool {
        self.config.read_only || self.has(Options::READ_ONLY)
    }

    fn link(&self) -> Link<'_> {
        Link::new(self.ask.path, &self.command.parameters)
    }

    /// The same view again.
    fn here(&self) -> Link<'_> {
        let mut link = self.link();
        for name in ["cmd", "w", "sw"] {
            if let Some(value) = self.command.parameters.get(name) {
                link = link.with(name, value);
            }
        }
        link
    }

    fn refresh(&self) -> Option<(u32, String)> {
        let seconds = self.command.parameters.get("re").map_or(0, super::command::leading_number);
        (seconds > 0).then(|| (seconds, self.here().url()))
    }

    /// Where the command came from: the list, or one worker.
    fn way_back(&self) -> Link<'_> {
        let parameters = &self.command.parameters;
        let mut link = self.link().verb(self.command.from());
        if self.command.from() == Verb::Show
            && let Some(worker) = parameters.get("w")
        {
            link = link.with("w", worker);
            if let Some(sub) = parameters.get("psw") {
                link = link.with("sw", sub);
            }
        }
        link
    }

    fn done(&self, back: &Link<'_>) -> Markup {
        html! {
            p.result.ok role="status" { strong { "Result: OK - You will be redirected in " (RESULT_S) " seconds." } }
            p { (back.anchor("Go back now")) }
        }
    }

    fn version(&self) -> Markup {
        html! {
            nav.toolbar aria-label="View" {
                (self.link().verb(Verb::List).anchor("Back to worker list"))
                (self.link().verb(Verb::Dump).anchor("Dump"))
            }
        }
    }

    fn dump(&self) -> Markup {
        html! {
            p { (self.link().verb(Verb::List).anchor("Back to worker list")) }
            section {
                h2 { "Configuration Data" }
                p { "These are the properties at the start; changes made by status workers since then are not among them." }
                pre tabindex="0" {
                    @for (key, value) in &self.scene.config.properties_dump { (key) "=" (value) "\n" }
                }
            }
        }
    }

    fn toolbar(&self) -> Markup {
        let read_only = Options::READ_ONLY;
        let refreshing = self.command.parameters.get("re").is_some();
        html! {
            nav.toolbar aria-label="View" {
                @if self.command.verb == Verb::Show { (self.link().verb(Verb::List).anchor("Back to worker list")) }
                @if !self.config.read_only {
                    (self.here().toggled(read_only).anchor(if self.has(read_only) { "Read/Write" } else { "Read Only" }))
                }
                (self.link().verb(Verb::Dump).anchor("Dump"))
                @if refreshing {
                    (self.here().without("re").anchor("Stop auto refresh"))
                } @else {
                    form method="get" action=(self.here().path()) {
                        (self.here().hidden(&["re"]))
                        button type="submit" { "Start auto refresh" }
                        label { " every " input name="re" type="number" min="1" max="86400" value="10"; " seconds" }
                    }
                }
                form method="get" action=(self.here().path()) {
                    (self.here().hidden(&["mime"]))
                    label { "Format " select name="mime" {
                        @for format in Format::ALL {
                            option value=(format.word()) selected[format == Format::Html] { (format.name()) }
                        }
                    } }
                    button type="submit" { "Change format" }
                }
                @for (bit, what) in HIDDEN_PARTS {
                    @if self.has(bit) { (self.here().toggled(bit).anchor(&format!("Show {what}"))) }
                }
            }
        }
    }
}

/// Parts of the page that a bit of `opt` hides.
const HIDDEN_PARTS: [(u32, &str); 8] = [
    (Options::NO_MEMBERS, "members"),
    (Options::NO_MAPS, "URI mappings"),
    (Options::NO_LEGEND, "legend"),
    (Options::NO_BALANCERS, "load balancers"),
    (Options::NO_AJP, "AJP workers"),
    (Options::NO_LB_CONFIG, "balancer settings"),
    (Options::NO_LB_SUMMARY, "balancer summaries"),
    (Options::NO_AJP_CONFIG, "AJP settings"),
];

/// The page of a command that failed or was refused.
pub(super) fn failure(config: &StatusConfig, ask: &Ask<'_>, command: Option<&Command>, message: &str) -> String {
    let form = command.filter(|command| command.verb == Verb::Update).map(|command| {
        let mut link = Link::new(ask.path, &command.parameters).verb(Verb::Edit);
        for name in ["from", "w", "sw", "psw", "att"] {
            if let Some(value) = command.parameters.get(name) {
                link = link.with(name, value);
            }
        }
        link
    });
    let main = html! {
        p.result.error role="alert" { strong { "Result: ERROR - " (message) } }
        @if let Some(form) = form { p { (form.anchor("Back to the form")) } }
    };
    layout(config, ask, false, None, &main)
}

fn layout(
    config: &StatusConfig,
    ask: &Ask<'_>,
    read_only: bool,
    refresh: Option<&(u32, String)>,
    main: &Markup,
) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "JK Status Manager" }
                @if let Some((seconds, url)) = refresh {
                    meta http-equiv="Refresh" content={ (seconds) ";url=" (url) };
                }
                style { (PreEscaped(STYLE)) }
                @if let Some(css) = &config.css { link rel="stylesheet" type="text/css" href=(css); }
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header {
                    h1 {
                        "JK Status Manager for " (Shown(ask.server_name).to_string()) ":" (ask.server_port)
                        @if read_only { " (read only)" }
                    }
                    dl.facts {
                        div { dt { "Server Version:" } dd { (Shown(ask.web_server).to_string()) } }
                        div { dt { "JK Version:" } dd { (ask.jk_version) } }
                        div { dt { "Server Time:" } dd { (ask.clock.readable(ask.now_s)) } }
                        div { dt { "Unix Seconds:" } dd { (ask.now_s) } }
                    }
                }
                main id="main" { (main) }
                footer { p { a href=(Link::start(ask.path)) { "JK Status Manager Start Page" } } }
            }
        }
    };
    page.into_string()
}

/// What a content policy must allow for a style sheet at this URL, with a blank in front; `None` for one of this server.
pub(super) fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    let is_plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:+[]".contains(&byte))
    };
    (is_plain(scheme) && is_plain(host)).then(|| format!(" {scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::origin_of;

    #[test]
    fn the_content_policy_names_the_server_of_a_foreign_style_sheet_and_nothing_else() {
        assert_eq!(origin_of("https://cdn.example:8443/a.css").as_deref(), Some(" https://cdn.example:8443"));
        assert_eq!(origin_of("/css/jk.css"), None);
        assert_eq!(origin_of("https://a;script-src *//x"), None);
    }
}

//! The pages for people. Templates are checked at build time and escape everything.
//!
//! Not here: facts (`view.rs`). The surprising thing: nothing needs JavaScript. Buttons are forms that post, and what they ask for is in
//! the query string of their action, because that is all a status worker reads, whatever the method.

mod card;
mod drain;
mod explain;
mod form;
mod link;
mod list;
mod spark;
mod tables;
mod words;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::command::{Command, Format, Options, Parameters, Target, Verb};
use super::explain::Explanation;
use super::view::View;
use super::{Ask, Outcome, Scene};
use crate::balancer::Activation;
use crate::config::StatusConfig;
use crate::log::Shown;
use link::Link;
pub(super) use words::rating_word;

/// The style of all pages.
const STYLE: &str = include_str!("html/style.css");

/// The only script.
const SCRIPT: &str = include_str!("html/live.js");

/// What a content policy allows of the two, and nothing else that stands in a page. A test says what these must be.
const STYLE_HASH: &str = "sha256-yt9obsicqkqBaGP231c06IrbY9gOmMM7rwf/orkBvdQ=";
const SCRIPT_HASH: &str = "sha256-eGM1a48EJK7qQzd0WPe4PAFAtteZ8eTMQYaTE2Jq0AI=";

/// Seconds until a result page goes back, where no script runs.
const RESULT_S: u32 = 3;

/// What a page is made of.
pub(super) struct Screen<'a> {
    pub(super) config: &'a StatusConfig,
    pub(super) scene: &'a Scene<'a>,
    pub(super) ask: &'a Ask<'a>,
    pub(super) command: &'a Command,
    pub(super) target: Option<&'a Target<'a>>,
    pub(super) view: &'a View,
    /// What `cmd=explain` found out.
    pub(super) explanation: Option<&'a Explanation<'a>>,
    /// The command that was carried out before this view, and how it went.
    pub(super) result: Option<(&'a Command, &'a Outcome)>,
}

impl Screen<'_> {
    pub(super) fn render(&self) -> String {
        let main = match self.command.verb {
            Verb::List | Verb::Show => html! { (self.done()) (list::workers(self)) },
            Verb::Version => self.version(),
            Verb::Dump => self.dump(),
            Verb::Edit | Verb::Update => form::edit(self),
            Verb::Explain => explain::page(self, self.explanation),
            Verb::Drain => drain::page(self),
            // Never shown: their result is told above a listing.
            Verb::Reset | Verb::Recover => Markup::default(),
        };
        let (seconds, here) = (self.seconds(), self.here().url());
        let turn = match (self.result, self.command.verb) {
            (Some(_), Verb::Drain) => Turn::Back(self.way_back().url()),
            (Some((_, Outcome::Ok)), _) => Turn::Back(here),
            (None, Verb::List | Verb::Show) if seconds > 0 => Turn::Refresh(seconds, here),
            _ => Turn::Stay,
        };
        layout(self.config, self.ask, self.is_read_only(), &turn, &main)
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

    /// Seconds from refresh to refresh; 0 = none.
    fn seconds(&self) -> u32 {
        self.command.parameters.get("re").map_or(0, super::command::leading_number)
    }

    fn way_back(&self) -> Link<'_> {
        way_back(self.ask.path, self.command)
    }

    /// The result of a command, above the view that shows what it did.
    fn done(&self) -> Markup {
        match self.result {
            None => Markup::default(),
            Some((command, Outcome::Ok)) => html! {
                div.result.ok role="status" {
                    noscript { p { strong { "Result: OK - You will be redirected in " (RESULT_S) " seconds." } } }
                    p.scripted { strong { "Result: OK" } " - " (done_words(command)) }
                }
            },
            Some((_, Outcome::Failed(message))) => html! {
                div.result.error role="alert" { p { strong { "Result: ERROR - " (message) } } }
            },
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

    /// A link for a command that comes back here.
    fn coming_back<'a>(&'a self, link: Link<'a>) -> Link<'a> {
        let link = link.with("from", if self.command.verb == Verb::Show { "show" } else { "list" });
        match self.command.parameters.get("sw").filter(|_| self.command.verb == Verb::Show) {
            Some(sub) => link.with("psw", sub),
            None => link,
        }
    }

    fn toolbar(&self) -> Markup {
        let read_only = Options::READ_ONLY;
        html! {
            nav.toolbar aria-label="View" data-key="toolbar" {
                @if self.command.verb == Verb::Show { (self.link().verb(Verb::List).anchor("Back to worker list")) }
                (self.refreshing())
                details.options {
                    summary { "View and export" }
                    div {
                        form method="get" action=(self.here().path()) {
                            (self.here().hidden(&["mime"]))
                            label { "Format " select name="mime" {
                                @for format in Format::ALL {
                                    option value=(format.word()) selected[format == Format::Html] { (format.name()) }
                                }
                            } }
                            button type="submit" { "Change format" }
                        }
                        ul {
                            @for (bit, what) in PARTS {
                                @let word = if self.has(bit) { "Show" } else { "Hide" };
                                li { (self.here().toggled(bit).anchor(&format!("{word} {what}"))) }
                            }
                            @if !self.config.read_only {
                                li { (self.here().toggled(read_only).anchor(if self.has(read_only) { "Read/Write" } else { "Read Only" })) }
                            }
                        }
                    }
                }
                (self.link().verb(Verb::Explain).anchor("Explain a URI"))
                (self.link().verb(Verb::Dump).anchor("Dump"))
            }
        }
    }

    fn refreshing(&self) -> Markup {
        let seconds = self.seconds();
        if seconds == 0 {
            return html! {
                form method="get" action=(self.here().path()) {
                    (self.here().hidden(&["re"]))
                    label { "Every " input name="re" type="number" min="1" max="86400" value="10"; " seconds" }
                    button type="submit" { "Start auto refresh" }
                }
            };
        };
        html! {
            span { "Refreshed every " (seconds) " s" }
            button #pause type="button" hidden data-own data-key="pause" data-every=(seconds) { "Pause" }
            span #note role="status" data-own data-key="note" {}
            (self.here().without("re").anchor("Stop auto refresh"))
        }
    }
}

/// What a command did, in words.
fn done_words(command: &Command) -> String {
    let worker = |name| command.parameters.get(name);
    let who = match (worker("sw"), worker("w").unwrap_or_default()) {
        (Some(member), lb) => format!("{member} in {lb}"),
        (None, worker) => worker.to_owned(),
    };
    match (command.verb, worker("vwa").and_then(Activation::parse)) {
        (Verb::Reset, _) => format!("the counters of {who} begin at 0"),
        (Verb::Drain, _) => format!("{who} gets no new sessions and is stopped when it is empty"),
        (Verb::Recover, _) => format!("{who} is tried again with the next request"),
        (_, Some(activation)) => format!("{who} is stored as {}", activation.name().to_lowercase()),
        _ => format!("the settings of {who} are stored"),
    }
}

/// The view that a command came from, as a command.
pub(super) fn view_before(path: &[u8], command: &Command) -> Command {
    let url = way_back(path, command).url();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    Command { verb: command.from(), parameters: Parameters::parse(query.as_bytes()), ..command.clone() }
}

/// Where a command came from: the list, or one worker.
fn way_back<'a>(path: &'a [u8], command: &'a Command) -> Link<'a> {
    let parameters = &command.parameters;
    let mut link = Link::new(path, parameters).verb(command.from());
    if command.from() == Verb::Show
        && let Some(worker) = parameters.get("w")
    {
        link = link.with("w", worker);
        if let Some(sub) = parameters.get("psw") {
            link = link.with("sw", sub);
        }
    }
    link
}

/// Parts of the page that a bit of `opt` hides.
const PARTS: [(u32, &str); 8] = [
    (Options::NO_MEMBERS, "members"),
    (Options::NO_MAPS, "URI mappings"),
    (Options::NO_LEGEND, "legend"),
    (Options::NO_BALANCERS, "load balancers"),
    (Options::NO_AJP, "AJP workers"),
    (Options::NO_LB_CONFIG, "balancer settings"),
    (Options::NO_LB_SUMMARY, "balancer summaries"),
    (Options::NO_AJP_CONFIG, "AJP settings"),
];

/// Members rated good, degraded, bad: the worst that there is.
fn worst(rated: [usize; 3]) -> &'static str {
    match rated {
        [_, 0, 0] => "good",
        [_, _, 0] => "degraded",
        _ => "bad",
    }
}

fn ratings(rated: [usize; 3]) -> Markup {
    html! {
        p.ratings {
            @for (count, word) in rated.into_iter().zip(["good", "degraded", "bad"]) {
                @if count > 0 || word == "good" { span class={ "badge " @if count > 0 { (word) } } { (words::number(count as u64)) " " (word) } " " }
            }
        }
    }
}

/// The page of a command that was refused or made no sense.
pub(super) fn failure(config: &StatusConfig, ask: &Ask<'_>, message: &str) -> String {
    let main = html! {
        div.result.error role="alert" {
            p { strong { "Result: ERROR - " (message) } }
            p { a href=(Link::start(ask.path)) { "Show all workers" } }
        }
    };
    layout(config, ask, false, &Turn::Stay, &main)
}

/// Where a page goes by itself.
enum Turn {
    /// Nowhere.
    Stay,
    /// To the same view after so many seconds.
    Refresh(u32, String),
    /// From a result to the view it was asked on.
    Back(String),
}

impl Turn {
    fn back(&self) -> Option<&str> {
        if let Self::Back(url) = self { Some(url) } else { None }
    }
}

fn layout(config: &StatusConfig, ask: &Ask<'_>, read_only: bool, turn: &Turn, main: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "JK Status Manager" }
                // Or else browsers ask the server for one.
                link rel="icon" href="data:,";
                // Where scripts run, one of ours does this better.
                @match turn {
                    Turn::Stay => {}
                    Turn::Refresh(seconds, url) => noscript { meta http-equiv="Refresh" content={ (seconds) ";url=" (url) }; },
                    Turn::Back(url) => noscript { meta http-equiv="Refresh" content={ (RESULT_S) ";url=" (url) }; },
                }
                style { (PreEscaped(STYLE)) }
                @if let Some(css) = &config.css { link rel="stylesheet" type="text/css" href=(css); }
            }
            body data-back=[turn.back()] {
                a.skip href="#main" { "Skip to content" }
                header {
                    h1 {
                        "JK Status Manager for " (Shown(ask.server_name).to_string()) ":" (ask.server_port)
                        @if read_only { " (read only)" }
                    }
                    dl.facts.small { div { dt { "Server Time:" } dd { (ask.clock.readable(ask.now_s)) } } }
                }
                main id="main" { (main) }
                @if !read_only { form id=(link::BUTTONS) method="post" action=(Link::start(ask.path)) {} }
                footer {
                    dl.facts.small {
                        div { dt { "Server Version:" } dd { (Shown(ask.web_server).to_string()) } }
                        div { dt { "JK Version:" } dd { (ask.jk_version) } }
                        div { dt { "Unix Seconds:" } dd { (ask.now_s) } }
                    }
                    p { a href=(Link::start(ask.path)) { "JK Status Manager Start Page" } }
                }
                @if !matches!(turn, Turn::Stay) { script { (PreEscaped(SCRIPT)) } }
            }
        }
    };
    page.into_string()
}

/// The content policy: our style and our script by their hashes, style sheets of this server and of the origin of `css`, and nothing else.
pub(super) fn content_policy(css: Option<&str>) -> String {
    let css = css.and_then(origin_of).unwrap_or_default();
    format!(
        "default-src 'none'; script-src '{SCRIPT_HASH}'; style-src 'self' '{STYLE_HASH}'{css}; connect-src 'self'; \
         img-src 'self' data:{css}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// What a content policy must allow for a style sheet at this URL, with a blank in front; `None` for one of this server.
fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    let is_plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:+[]".contains(&byte))
    };
    (is_plain(scheme) && is_plain(host)).then(|| format!(" {scheme}://{host}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]
mod tests {
    use base64::Engine;
    use sha2::{Digest, Sha256};

    use super::{SCRIPT, SCRIPT_HASH, STYLE, STYLE_HASH, origin_of};

    #[test]
    fn the_content_policy_allows_the_style_and_the_script_as_they_are() {
        for (text, hash) in [(STYLE, STYLE_HASH), (SCRIPT, SCRIPT_HASH)] {
            let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text));
            assert_eq!(format!("sha256-{digest}"), hash, "the left one belongs into src/status/html.rs");
        }
    }

    /// Red, green and blue of a colour of the style, as they are said there: `--name:#rrggbb` or `#rgb`.
    fn colour(scheme: &str, name: &str) -> [f64; 3] {
        let (_, rest) = scheme.split_once(&format!("--{name}:#")).unwrap();
        let digits: Vec<u32> = rest.chars().map_while(|digit| digit.to_digit(16)).collect();
        let part =
            |at: usize| if digits.len() == 3 { digits[at] * 17 } else { digits[at * 2] * 16 + digits[at * 2 + 1] };
        [0, 1, 2].map(|at| f64::from(part(at)) / 255.0)
    }

    /// The contrast ratio of WCAG 2.
    fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
        let linear = |part: f64| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) };
        let luminance =
            |[red, green, blue]: [f64; 3]| 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn texts_and_edges_stand_out_in_light_and_dark() {
        assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 0.01);
        let schemes: Vec<&str> =
            STYLE.split(":root{").skip(1).take(2).map(|rest| rest.split_once('}').unwrap().0).collect();
        let mut pairs = vec![("on-link", "link", 4.5)];
        for ground in ["paper", "card"] {
            pairs.extend(["ink", "dim", "link", "good", "warn", "bad"].map(|text| (text, ground, 4.5)));
            pairs.push(("edge", ground, 3.0));
        }
        pairs.extend([("good", "good-bg", 4.5), ("warn", "warn-bg", 4.5), ("bad", "bad-bg", 4.5)]);
        for scheme in schemes {
            for (front, ground, least) in &pairs {
                let ratio = contrast(colour(scheme, front), colour(scheme, ground));
                assert!(ratio >= *least, "{front} on {ground}: {ratio:.2} in {scheme}");
            }
        }
    }

    #[test]
    fn the_content_policy_names_the_server_of_a_foreign_style_sheet_and_nothing_else() {
        assert_eq!(origin_of("https://cdn.example:8443/a.css").as_deref(), Some(" https://cdn.example:8443"));
        assert_eq!(origin_of("/css/jk.css"), None);
        assert_eq!(origin_of("https://a;script-src *//x"), None);
    }
}

//! The query string of a status request, understood: what is wanted, in which format, of which worker. Pure.
//!
//! Not here: values of settings (`field.rs`), and doing it (`update.rs`). The surprising thing: the order of the checks is part of the
//! interface. Clients print the first message they get, and a value that cannot be decoded hides every parameter behind it, so that only
//! a `mime` in front of it still chooses the format of the answer (reference: lb-shm-status.md section 4.2).

use super::metrics::Syntax;
use crate::config::{Config, LbConfig, WorkerConfig};

/// How the answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A page for people.
    Html,
    /// Elements with attributes.
    Xml,
    /// One line per object.
    Txt,
    /// Properties.
    Prop,
    /// One JSON object.
    Json,
    /// Metrics.
    Prom,
}

impl Format {
    /// All of them, as the page offers them.
    pub const ALL: [Self; 6] = [Self::Html, Self::Xml, Self::Prop, Self::Txt, Self::Json, Self::Prom];

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.word() == word)
    }

    /// Value of `mime`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Xml => "xml",
            Self::Txt => "txt",
            Self::Prop => "prop",
            Self::Json => "json",
            Self::Prom => "prom",
        }
    }

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Html => "HTML",
            Self::Xml => "XML",
            Self::Txt => "Text",
            Self::Prop => "Properties",
            Self::Json => "JSON",
            Self::Prom => "Metrics",
        }
    }

    /// Content-Type. The page names its character set, the old formats do not, as ever.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Xml => "text/xml",
            Self::Txt | Self::Prop => "text/plain",
            Self::Json => "application/json",
            Self::Prom => Syntax::Prometheus.content_type(),
        }
    }
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// All workers.
    List,
    /// One worker.
    Show,
    /// The form for a worker.
    Edit,
    /// New settings.
    Update,
    /// Counters to zero.
    Reset,
    /// A member in error is tried again.
    Recover,
    /// The head alone.
    Version,
    /// The properties at the start.
    Dump,
    /// What would become of a request.
    Explain,
    /// A member is emptied and then stopped.
    Drain,
}

impl Verb {
    const ALL: [Self; 10] = [
        Self::List,
        Self::Show,
        Self::Edit,
        Self::Update,
        Self::Reset,
        Self::Recover,
        Self::Version,
        Self::Dump,
        Self::Explain,
        Self::Drain,
    ];

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.word() == word)
    }

    /// Value of `cmd`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Show => "show",
            Self::Edit => "edit",
            Self::Update => "update",
            Self::Reset => "reset",
            Self::Recover => "recover",
            Self::Version => "version",
            Self::Dump => "dump",
            Self::Explain => "explain",
            Self::Drain => "drain",
        }
    }

    /// Whether a read-only status worker refuses it.
    #[must_use]
    pub const fn needs_write(self) -> bool {
        matches!(self, Self::Edit) || self.changes_state()
    }

    /// Whether it changes anything, so that no other site may ask for it.
    #[must_use]
    pub const fn changes_state(self) -> bool {
        matches!(self, Self::Update | Self::Reset | Self::Recover | Self::Drain)
    }

    const fn needs_worker(self) -> bool {
        self.needs_write() || matches!(self, Self::Show)
    }
}

/// The bits of `opt`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options(pub u32);

impl Options {
    /// No members.
    pub const NO_MEMBERS: u32 = 1;
    /// No URI rules.
    pub const NO_MAPS: u32 = 2;
    /// No legend.
    pub const NO_LEGEND: u32 = 4;
    /// No load balancers.
    pub const NO_BALANCERS: u32 = 8;
    /// No AJP workers.
    pub const NO_AJP: u32 = 16;
    /// As if the status worker were read-only.
    pub const READ_ONLY: u32 = 32;
    /// No settings of load balancers.
    pub const NO_LB_CONFIG: u32 = 64;
    /// No summaries of load balancers.
    pub const NO_LB_SUMMARY: u32 = 128;
    /// No settings of AJP workers.
    pub const NO_AJP_CONFIG: u32 = 256;

    /// Whether the bit is set.
    #[must_use]
    pub const fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

/// The parameters of a query string, in order; a repeated one has its last value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
    /// A value could not be decoded; what follows it was not read.
    broken: bool,
}

impl Parameters {
    /// Takes a raw query string apart. Keys are not decoded; parameters without `=` or without a name do not count.
    #[must_use]
    pub fn parse(query: &[u8]) -> Self {
        let mut parameters = Self::default();
        for part in query.split(|&byte| byte == b'&') {
            let Some(equals) = memchr::memchr(b'=', part).filter(|&at| at > 0) else { continue };
            let (key, value) = part.split_at_checked(equals).unwrap_or((part, &[]));
            let Some(value) = decode(value.get(1..).unwrap_or_default()).map(lossy) else {
                parameters.broken = true;
                break;
            };
            parameters.set(&masked(&String::from_utf8_lossy(key)), masked(&value));
        }
        parameters
    }

    /// Value of a parameter.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// The last value of a parameter, decoded but not masked: for what is compared as bytes and escaped when it is printed.
    #[must_use]
    pub fn raw(query: &[u8], key: &str) -> Option<Vec<u8>> {
        let parts = query.split(|&byte| byte == b'&');
        let mut values = parts.filter_map(|part| part.strip_prefix(key.as_bytes())?.strip_prefix(b"="));
        decode(values.next_back()?)
    }

    /// All of them, in the order of their first appearance.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn set(&mut self, key: &str, value: String) {
        match self.pairs.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = value,
            None => self.pairs.push((key.to_owned(), value)),
        }
    }

    fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(known, _)| known == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// What Tomcat's Ant task still sends, under the names of today (DEVIATIONS section 6): `w` is the member, `l` its balancer.
    fn rename_old(&mut self) {
        if self.get("sw").is_none()
            && let Some(lb) = self.remove("l")
            && let Some(member) = self.remove("w")
        {
            self.set("w", lb);
            self.set("sw", member);
        }
        for (old, new) in OLD_NAMES {
            if self.get(new).is_none()
                && let Some(value) = self.remove(old)
            {
                self.set(new, value);
            }
        }
    }
}

/// Names before 1.2.27 and after; `wd` and `ws` are in `update.rs`, because together they make one value.
const OLD_NAMES: [(&str, &str); 7] =
    [("lr", "vlr"), ("lt", "vlt"), ("ls", "vls"), ("lf", "vlf"), ("wf", "vwf"), ("wr", "vwr"), ("wc", "vwc")];

/// `+` and `%XX`; `None` when a percent sign is not followed by two hex digits, or gives a NUL byte.
fn decode(value: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit()?, digit()?);
                Some(high << 4 | low).filter(|&byte| byte != 0)?
            }
            _ => byte,
        });
    }
    Some(bytes)
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What could begin or end an HTML element or attribute is replaced, wherever a parameter is printed or compared.
#[must_use]
pub fn masked(text: &str) -> String {
    text.replace(['<', '>', '?', '"'], "@")
}

/// Whether a letter begins a new line for some reader of text.
#[must_use]
pub fn ends_line(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

/// What could begin a new line is replaced, so that nothing that was asked forges a line of an answer.
#[must_use]
pub fn on_one_line(text: &str) -> String {
    text.replace(ends_line, "@")
}

/// A request that may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What is wanted.
    pub verb: Verb,
    /// How the answer looks.
    pub format: Format,
    /// Bits of `opt`.
    pub options: Options,
    /// All parameters.
    pub parameters: Parameters,
}

/// What the asker may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// On the list of users, or there is none.
    pub admitted: bool,
    /// The status worker is `read_only`.
    pub read_only: bool,
}

/// A request that is refused, and how to say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// How the answer looks.
    pub format: Format,
    /// For the client.
    pub message: &'static str,
}

impl Command {
    /// Understands a query string. The checks come in the order of C mod_jk.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn parse(query: &[u8], access: Access) -> Result<Self, Rejected> {
        let mut parameters = Parameters::parse(query);
        let options = Options(parameters.get("opt").map_or(0, leading_number));
        let format = parameters.get("mime").map_or(Some(Format::Html), Format::parse);
        let verb = parameters.get("cmd").map_or(Some(Verb::List), Verb::parse);
        let reject = |message| Err(Rejected { format: format.unwrap_or(Format::Prop), message });
        if !access.admitted {
            return reject("Access denied.");
        }
        if parameters.broken {
            return reject("Error during parsing of URI");
        }
        let read_only = access.read_only || options.has(Options::READ_ONLY);
        if read_only && verb.is_some_and(Verb::needs_write) {
            return reject("This command is not allowed in read only mode.");
        }
        let Some(verb) = verb else { return reject("Invalid command.") };
        let Some(format) = format else { return reject("Invalid mime type.") };
        if verb == Verb::Update {
            parameters.rename_old();
        }
        Ok(Self { verb, format, options, parameters })
    }

    /// The worker it is about; `None` for commands that need none.
    ///
    /// # Errors
    /// The message for the client.
    pub fn target<'c>(&self, config: &'c Config) -> Result<Option<Target<'c>>, &'static str> {
        if !self.verb.needs_worker() {
            return Ok(None);
        }
        let worker = self.parameters.get("w").filter(|name| !name.is_empty()).ok_or("NULL or EMPTY worker param")?;
        let sub = self.parameters.get("sw");
        if sub == Some("") {
            return Err("EMPTY sub worker param");
        }
        let mut target = find(config, worker).ok_or("Could not find given worker")?;
        let Some(sub) = sub else { return Ok(Some(target)) };
        let is_wildcard = sub.contains('*');
        if is_wildcard && self.verb != Verb::Update {
            return Err("wildcard not allowed in sub worker for this command");
        }
        let Target::Lb { config: lb, members, .. } = &mut target else { return Err("worker type has no sub workers") };
        let is_meant = |index: &usize| {
            let name =
                lb.members.get(*index).and_then(|member| config.ajp.get(member.ajp)).map(|ajp| ajp.name.as_str());
            name.is_some_and(|name| if is_wildcard { matches(sub, name) } else { name == sub })
        };
        let found: Vec<usize> = (0..lb.members.len()).filter(is_meant).collect();
        if found.is_empty() {
            return Err("could not find sub worker");
        }
        *members = Some(found);
        Ok(Some(target))
    }

    /// The command that this request came from, for the way back: `list` or `show`.
    #[must_use]
    pub fn from(&self) -> Verb {
        if self.parameters.get("from") == Some("show") { Verb::Show } else { Verb::List }
    }
}

/// The worker a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<'c> {
    /// Index of an AJP worker.
    Ajp(usize),
    /// A load balancer, or members of it.
    Lb {
        /// Index among the load balancers.
        lb: usize,
        /// Its configuration.
        config: &'c LbConfig,
        /// Places of the members, when they are meant and not the balancer.
        members: Option<Vec<usize>>,
    },
    /// A status worker.
    Status,
}

fn find<'c>(config: &'c Config, name: &str) -> Option<Target<'c>> {
    let mut lbs = 0_usize;
    for worker in &config.list {
        match worker {
            WorkerConfig::Ajp(index) if config.ajp.get(*index).is_some_and(|ajp| ajp.name == name) => {
                return Some(Target::Ajp(*index));
            }
            WorkerConfig::Lb(lb) if lb.name == name => {
                return Some(Target::Lb { lb: lbs, config: lb, members: None });
            }
            WorkerConfig::Status(status) if status.name == name => return Some(Target::Status),
            WorkerConfig::Lb(_) => lbs = lbs.saturating_add(1),
            WorkerConfig::Ajp(_) | WorkerConfig::Status(_) => {}
        }
    }
    None
}

/// Whether `pattern`, in which `*` is any run, covers the whole of `name`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(head) else { return false };
    let Some((middle, last)) = tail.rsplit_once('*') else { return rest.ends_with(tail) };
    for part in middle.split('*') {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// As C's `atoi`; what is no number is 0.
#[must_use]
pub fn leading_number(text: &str) -> u32 {
    let text = text.trim_start();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    const ALL: Access = Access { admitted: true, read_only: false };

    fn parsed(query: &str) -> Command {
        Command::parse(query.as_bytes(), ALL).unwrap()
    }

    fn rejected(query: &str) -> (&'static str, &'static str) {
        let rejected = Command::parse(query.as_bytes(), ALL).unwrap_err();
        (rejected.format.word(), rejected.message)
    }

    #[test]
    fn an_empty_query_lists_as_html() {
        let command = parsed("");
        assert_eq!((command.verb, command.format, command.options), (Verb::List, Format::Html, Options(0)));
    }

    #[test]
    fn commands_and_formats_are_exact_words() {
        assert_eq!(parsed("cmd=dump&mime=prop").format, Format::Prop);
        for query in ["cmd=Dump", "cmd=", "cmd=nosuch"] {
            assert_eq!(rejected(query), ("html", "Invalid command."));
        }
        for query in ["mime=XML", "mime=", "mime=pdf"] {
            assert_eq!(rejected(query), ("prop", "Invalid mime type."));
        }
    }

    #[test]
    fn the_command_is_checked_before_the_format() {
        assert_eq!(rejected("cmd=nosuch&mime=pdf"), ("prop", "Invalid command."));
    }

    #[test]
    fn a_broken_escape_hides_what_follows() {
        assert_eq!(rejected("w=%zz&mime=xml"), ("html", "Error during parsing of URI"));
        assert_eq!(rejected("mime=xml&w=%zz"), ("xml", "Error during parsing of URI"));
        for query in ["a=%", "a=%4", "a=%g0", "a=%00"] {
            assert_eq!(rejected(query).1, "Error during parsing of URI");
        }
    }

    #[test]
    fn values_are_decoded_and_keys_are_not() {
        let command = parsed("a=1%2b+2&%61=x&b=%C3%A4");
        assert_eq!(command.parameters.get("a"), Some("1+ 2"));
        assert_eq!(command.parameters.get("%61"), Some("x"));
        assert_eq!(command.parameters.get("b"), Some("\u{e4}"));
    }

    #[test]
    fn the_last_value_wins_and_nameless_parameters_do_not_count() {
        let command = parsed("w=1&=2&w&w=3&&;w=4");
        let pairs: Vec<_> = command.parameters.iter().collect();
        assert_eq!(pairs, [("w", "3"), (";w", "4")]);
    }

    #[test]
    fn what_could_be_markup_is_masked() {
        let command = parsed("a=%3Cb%3E&c=\"<>?&d<=%22%3f");
        assert_eq!(command.parameters.get("a"), Some("@b@"));
        assert_eq!(command.parameters.get("c"), Some("@@@@"));
        assert_eq!(command.parameters.get("d@"), Some("@@"));
    }

    #[test]
    fn strangers_are_denied_before_anything_else() {
        let access = Access { admitted: false, read_only: true };
        let rejected = Command::parse(b"mime=txt&cmd=nosuch&x=%", access).unwrap_err();
        assert_eq!((rejected.format, rejected.message), (Format::Txt, "Access denied."));
    }

    #[test]
    fn read_only_refuses_what_edits() {
        let access = Access { admitted: true, read_only: true };
        for verb in ["edit", "update", "reset", "recover", "drain"] {
            let message = "This command is not allowed in read only mode.";
            let query = format!("cmd={verb}");
            assert_eq!(Command::parse(query.as_bytes(), access).unwrap_err().message, message);
            assert_eq!(rejected(&format!("opt=33&{query}")).1, message);
        }
        for verb in ["list", "show", "version", "dump", "explain"] {
            assert!(Command::parse(format!("cmd={verb}").as_bytes(), access).is_ok());
        }
    }

    #[test]
    fn old_names_of_the_ant_task_are_today_s() {
        let command = parsed("cmd=update&w=lb&lr=3&lt=60&ls=true&lf=false");
        let pairs: Vec<_> = command.parameters.iter().collect();
        let expected = [("cmd", "update"), ("w", "lb"), ("vlr", "3"), ("vlt", "60"), ("vls", "true"), ("vlf", "false")];
        assert_eq!(pairs, expected);
        let command = parsed("cmd=update&w=m1&l=lb&wf=2&wr=m2");
        let pairs: Vec<_> = command.parameters.iter().collect();
        assert_eq!(pairs, [("cmd", "update"), ("w", "lb"), ("sw", "m1"), ("vwf", "2"), ("vwr", "m2")]);
    }

    #[test]
    fn old_names_are_other_parameters_elsewhere_and_yield_to_new_ones() {
        assert_eq!(parsed("cmd=show&w=x&lr=3").parameters.get("lr"), Some("3"));
        assert_eq!(parsed("cmd=update&w=x&lr=3&vlr=4").parameters.get("vlr"), Some("4"));
    }

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, name) in
            [("*", ""), ("*", "a"), ("a*", "a"), ("a*c", "abc"), ("a*b*c", "a1b2b3c"), ("*b*", "abc")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a*", "ba"), ("a*a", "a"), ("*b*", "ac"), ("a*b*c", "acb"), ("ab*bc", "abc")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}

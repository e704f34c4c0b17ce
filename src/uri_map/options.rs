//! What follows the worker of a rule: `;name=value` settings that hold for the requests of that rule only.
//!
//! Not here: what they do (`worker`, `apache`) and whether the named members exist (`advice`). The surprising things:
//! blanks around `;` belong to the names, and an empty `session_path=` takes the next segment as its value, because `;`
//! cannot be written in one (reference: apache-side.md section 3.6).

use super::near::{near, shown};
use crate::balancer::Activation;
use crate::properties::{Diagnostic, Origin, Severity};

/// The settings of one rule, or of the worker environment variable of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleOptions {
    /// `reply_timeout`: replaces the worker's; `Some(0)` = wait for ever, `None` = the worker's holds.
    pub reply_timeout_ms: Option<u32>,
    /// `sticky_ignore`: the balancer ignores the session of the request.
    pub sticky_ignore: bool,
    /// `stateless`: the balancer counts no session.
    pub stateless: bool,
    /// `use_server_errors`: statuses from this one up get httpd's error page; 0 = off.
    pub use_server_errors: i32,
    /// `fail_on_status`: replaces the worker's list unless empty; negative = soft. A part without a number is 0, which
    /// no status equals, so `fail_on_status=0` switches the worker's list off.
    pub fail_on_status: Vec<i32>,
    /// The same as written, for the status page.
    pub fail_on_status_text: Vec<u8>,
    /// `active`: members that count as active.
    pub active: Option<MemberList>,
    /// `disabled`: members that count as disabled.
    pub disabled: Option<MemberList>,
    /// `stopped`: members that count as stopped.
    pub stopped: Option<MemberList>,
    /// `session_cookie`: replaces the balancer's.
    pub session_cookie: Option<Vec<u8>>,
    /// `session_path`: replaces the balancer's, as written (usually without the leading `;`).
    pub session_path: Option<Vec<u8>>,
    /// `set_session_cookie`: the balancer sets a cookie; cannot switch it off.
    pub set_session_cookie: bool,
    /// `session_cookie_path`: PATH of that cookie.
    pub session_cookie_path: Option<Vec<u8>>,
    /// Names that begin with `x_` and their values (DEVIATIONS section 1): kept for those who know them, unjudged.
    pub extra: Vec<(Vec<u8>, Vec<u8>)>,
}

impl RuleOptions {
    /// Whether it says nothing, as those of most rules. The same as comparing with the default, without making one.
    #[inline]
    pub fn is_plain(&self) -> bool {
        let Self {
            reply_timeout_ms,
            sticky_ignore,
            stateless,
            use_server_errors,
            fail_on_status,
            fail_on_status_text,
            active,
            disabled,
            stopped,
            session_cookie,
            session_path,
            set_session_cookie,
            session_cookie_path,
            extra,
        } = self;
        let switches = *sticky_ignore | *stateless | *set_session_cookie | (*use_server_errors != 0);
        let lists = !fail_on_status.is_empty() | !fail_on_status_text.is_empty() | !extra.is_empty();
        let members = active.is_some() | disabled.is_some() | stopped.is_some();
        let names = session_cookie.is_some() | session_path.is_some() | session_cookie_path.is_some();
        !(switches | lists | members | names | reply_timeout_ms.is_some())
    }

    /// The activation this rule gives a balancer's member; `None` = its own. When the member is in several lists, the
    /// later of active, disabled, stopped holds (reference: apache-side.md section 3.6).
    pub fn activation_of(&self, member: &[u8]) -> Option<Activation> {
        let has = |list: &Option<MemberList>| list.as_ref().is_some_and(|l| l.names().any(|name| name == member));
        if has(&self.stopped) {
            Some(Activation::Stopped)
        } else if has(&self.disabled) {
            Some(Activation::Disabled)
        } else if has(&self.active) {
            Some(Activation::Active)
        } else {
            None
        }
    }

    /// Whether some member list is given, so that [`RuleOptions::activation_of`] can return anything.
    pub fn overrides_activations(&self) -> bool {
        self.active.is_some() || self.disabled.is_some() || self.stopped.is_some()
    }

    /// The value of an `x_*` setting; the last one when it is given more than once.
    pub fn extra(&self, name: &[u8]) -> Option<&[u8]> {
        self.extra.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}

/// Members of a balancer as a rule names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberList {
    /// As written, for the status page.
    pub text: Vec<u8>,
}

impl MemberList {
    /// The names, split at comma and blank.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        parts(&self.text).filter(|name| !name.is_empty())
    }
}

/// What was odd in a text of settings; each is a warning and the rest still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionProblem {
    /// No such setting.
    Unknown {
        /// The whole segment as written.
        segment: Vec<u8>,
        /// The setting it resembles.
        near: Option<&'static str>,
    },
    /// Given twice where only the first counts.
    Repeated {
        /// The setting.
        name: &'static str,
    },
    /// Not a number; ignored.
    NotANumber {
        /// The setting.
        name: &'static str,
        /// What was found.
        value: Vec<u8>,
    },
    /// A number with text behind it that nobody reads.
    TextAfterNumber {
        /// The setting.
        name: &'static str,
        /// What was found.
        value: Vec<u8>,
        /// What holds.
        used: i32,
    },
}

impl std::fmt::Display for OptionProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown { segment, near } => {
                write!(f, "unknown rule extension \"{}\" is ignored", shown(segment))?;
                match near {
                    Some(near) if segment.first().is_some_and(u8::is_ascii_whitespace) => {
                        write!(f, ": blanks are not allowed after ';', write \"{near}=\" directly behind it")
                    }
                    Some(near) => write!(f, ", did you mean \"{near}=\"?"),
                    None => Ok(()),
                }
            }
            Self::Repeated { name } => write!(f, "rule extension {name} is given twice, the second one is ignored"),
            Self::NotANumber { name, value } => {
                write!(f, "rule extension {name} must be a number, found \"{}\", which is ignored", shown(value))
            }
            Self::TextAfterNumber { name: "use_server_errors", value, used } => write!(
                f,
                "rule extension use_server_errors takes one number, found \"{}\": every status from {used} up gets httpd's error page",
                shown(value)
            ),
            Self::TextAfterNumber { name, value, used } => {
                write!(f, "rule extension {name} must be a number, found \"{}\", which counts as {used}", shown(value))
            }
        }
    }
}

impl OptionProblem {
    /// As a warning of the rule at `origin`.
    pub fn into_diagnostic(self, origin: Option<Origin>) -> Diagnostic {
        Diagnostic { origin, severity: Severity::Warning, message: self.to_string() }
    }
}

/// `worker;settings` at its first `;`. The worker is not trimmed (reference: apache-side.md section 3.3).
pub fn split_worker(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b';', text).unwrap_or(text.len());
    let (worker, rest) = text.split_at_checked(end).unwrap_or((text, b""));
    (worker, rest.get(1..).unwrap_or_default())
}

/// Reads `name=value;name=value`. Also called once per request whose worker comes from the environment variable, so it
/// allocates only for values that are texts and for problems.
pub fn parse_options(text: &[u8]) -> (RuleOptions, Vec<OptionProblem>) {
    let mut parsed = Parsed::default();
    let mut segments = text.split(|&byte| byte == b';').filter(|segment| !segment.is_empty());
    while let Some(segment) = segments.next() {
        let split = memchr::memchr(b'=', segment).and_then(|at| segment.split_at_checked(at));
        match split {
            // The empty value of session_path stands for "the next segment", whatever it is.
            Some((b"session_path", b"=")) => {
                let value = segments.next().unwrap_or_default();
                parsed.set(b"session_path", value, segment);
            }
            Some((name, value)) => parsed.set(name, value.get(1..).unwrap_or_default(), segment),
            None if segment.starts_with(b"x_") => parsed.set(segment, b"", segment),
            None => parsed.unknown(segment),
        }
    }
    (parsed.options, parsed.problems)
}

/// All settings, for near names. `Parsed::set` is where each one means something.
const NAMES: [&str; 12] = [
    "reply_timeout",
    "sticky_ignore",
    "stateless",
    "use_server_errors",
    "fail_on_status",
    "active",
    "disabled",
    "stopped",
    "session_cookie",
    "session_path",
    "set_session_cookie",
    "session_cookie_path",
];

#[derive(Default)]
struct Parsed {
    options: RuleOptions,
    problems: Vec<OptionProblem>,
}

impl Parsed {
    fn set(&mut self, name: &[u8], value: &[u8], segment: &[u8]) {
        let Self { options, problems } = self;
        match name {
            b"reply_timeout" => {
                if let Some(ms) = number("reply_timeout", value, problems) {
                    options.reply_timeout_ms = u32::try_from(ms).ok();
                }
            }
            b"sticky_ignore" => set_flag(&mut options.sticky_ignore, "sticky_ignore", value, problems),
            b"stateless" => set_flag(&mut options.stateless, "stateless", value, problems),
            b"use_server_errors" => {
                if let Some(status) = number("use_server_errors", value, problems) {
                    options.use_server_errors = status;
                }
            }
            b"fail_on_status" if options.fail_on_status.is_empty() => {
                let codes = parts(value).map(|part| match part {
                    b"" => 0,
                    _ => number("fail_on_status", part, problems).unwrap_or_default(),
                });
                options.fail_on_status = codes.collect();
                options.fail_on_status_text = value.to_vec();
            }
            b"fail_on_status" => problems.push(OptionProblem::Repeated { name: "fail_on_status" }),
            b"active" => set_members(&mut options.active, "active", value, problems),
            b"disabled" => set_members(&mut options.disabled, "disabled", value, problems),
            b"stopped" => set_members(&mut options.stopped, "stopped", value, problems),
            b"session_cookie" => set_text(&mut options.session_cookie, "session_cookie", value, problems),
            b"session_path" => set_text(&mut options.session_path, "session_path", value, problems),
            b"session_cookie_path" => {
                set_text(&mut options.session_cookie_path, "session_cookie_path", value, problems);
            }
            b"set_session_cookie" if options.set_session_cookie => {
                problems.push(OptionProblem::Repeated { name: "set_session_cookie" });
            }
            b"set_session_cookie" => {
                set_flag(&mut options.set_session_cookie, "set_session_cookie", value, problems);
            }
            _ if name.starts_with(b"x_") => options.extra.push((name.to_vec(), value.to_vec())),
            _ => self.unknown(segment),
        }
    }

    fn unknown(&mut self, segment: &[u8]) {
        let name = segment.split(|&byte| byte == b'=').next().unwrap_or_default().trim_ascii();
        let near = near(name, NAMES.iter().map(|known| known.as_bytes()));
        let near = near.and_then(|found| NAMES.into_iter().find(|known| known.as_bytes() == found));
        self.problems.push(OptionProblem::Unknown { segment: segment.to_vec(), near });
    }
}

fn set_flag(field: &mut bool, name: &'static str, value: &[u8], problems: &mut Vec<OptionProblem>) {
    if let Some(number) = number(name, value, problems) {
        *field = number != 0;
    }
}

fn set_text(field: &mut Option<Vec<u8>>, name: &'static str, value: &[u8], problems: &mut Vec<OptionProblem>) {
    match field {
        Some(_) => problems.push(OptionProblem::Repeated { name }),
        None => *field = Some(value.to_vec()),
    }
}

fn set_members(field: &mut Option<MemberList>, name: &'static str, value: &[u8], problems: &mut Vec<OptionProblem>) {
    match field {
        Some(_) => problems.push(OptionProblem::Repeated { name }),
        None => *field = Some(MemberList { text: value.to_vec() }),
    }
}

/// A list as written, split at each comma and blank; parts may be empty.
fn parts(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',' || byte == b' ')
}

/// A decimal number as C's `atoi` reads it, except that overflow stops at the limits. Without any digit it is ignored,
/// where C takes 0, which for `reply_timeout` would mean "wait for ever".
fn number(name: &'static str, value: &[u8], problems: &mut Vec<OptionProblem>) -> Option<i32> {
    let text = value.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, after) = digits.split_at_checked(length)?;
    if digits.is_empty() {
        problems.push(OptionProblem::NotANumber { name, value: value.to_vec() });
        return None;
    }
    let magnitude = digits.iter().fold(0i32, |sum, &digit| {
        let digit = i32::from(digit - b'0');
        sum.saturating_mul(10).saturating_add(digit)
    });
    let used = if negative { -magnitude } else { magnitude };
    if !after.trim_ascii().is_empty() {
        problems.push(OptionProblem::TextAfterNumber { name, value: value.to_vec(), used });
    }
    Some(used)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn clean(text: &str) -> RuleOptions {
        let (options, problems) = parse_options(text.as_bytes());
        assert_eq!(problems, [], "{text}");
        options
    }

    fn problem(text: &str) -> (RuleOptions, OptionProblem) {
        let (options, mut problems) = parse_options(text.as_bytes());
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        (options, problems.remove(0))
    }

    #[test]
    fn splits_the_worker_at_the_first_semicolon_without_trimming() {
        assert_eq!(split_worker(b"w1 ;x;y"), (b"w1 ".as_slice(), b"x;y".as_slice()));
        assert_eq!(split_worker(b"w1"), (b"w1".as_slice(), b"".as_slice()));
    }

    #[test]
    fn nothing_given_is_the_default() {
        for text in ["", ";", ";;;"] {
            assert_eq!(clean(text), RuleOptions::default());
        }
        let options = RuleOptions::default();
        assert_eq!(options.reply_timeout_ms, None);
        assert!(!options.overrides_activations());
    }

    #[test]
    fn reply_timeout_replaces_the_workers_from_zero_up() {
        assert_eq!(clean("reply_timeout=3000").reply_timeout_ms, Some(3000));
        assert_eq!(clean("reply_timeout=0").reply_timeout_ms, Some(0));
        assert_eq!(clean("reply_timeout=-1").reply_timeout_ms, None);
        assert_eq!(clean("reply_timeout=99999999999").reply_timeout_ms, Some(i32::MAX.unsigned_abs()));
    }

    #[test]
    fn of_two_numbers_the_last_wins() {
        assert_eq!(clean("reply_timeout=1;reply_timeout=2").reply_timeout_ms, Some(2));
        assert!(!clean("stateless=1;stateless=0").stateless);
        assert_eq!(clean("use_server_errors=400;use_server_errors=500").use_server_errors, 500);
    }

    #[test]
    fn flags_are_set_by_any_number_but_zero() {
        let options = clean("sticky_ignore=1;stateless=-3;set_session_cookie=2");
        assert!(options.sticky_ignore && options.stateless && options.set_session_cookie);
        let options = clean("sticky_ignore=0;stateless=0;set_session_cookie=0");
        assert!(!options.sticky_ignore && !options.stateless && !options.set_session_cookie);
    }

    #[test]
    fn fail_on_status_takes_commas_and_blanks_and_negative_codes() {
        let options = clean("fail_on_status=500,-404 503");
        assert_eq!(options.fail_on_status, [500, -404, 503]);
        assert_eq!(options.fail_on_status_text, b"500,-404 503");
        assert_eq!(clean("fail_on_status=500,,503").fail_on_status, [500, 0, 503]);
        assert_eq!(clean("fail_on_status=0").fail_on_status, [0]);
        assert_eq!(clean("fail_on_status=").fail_on_status, [0]);
    }

    #[test]
    fn member_lists_take_commas_and_blanks() {
        let options = clean("active=a1,a2;disabled=a3 a4;stopped=a5");
        assert_eq!(options.activation_of(b"a2"), Some(Activation::Active));
        assert_eq!(options.activation_of(b"a4"), Some(Activation::Disabled));
        assert_eq!(options.activation_of(b"a5"), Some(Activation::Stopped));
        assert_eq!(options.activation_of(b"a"), None);
        assert!(options.overrides_activations());
    }

    #[test]
    fn the_later_of_active_disabled_stopped_holds_whatever_their_order() {
        assert_eq!(clean("stopped=m;active=m").activation_of(b"m"), Some(Activation::Stopped));
        assert_eq!(clean("disabled=m;active=m").activation_of(b"m"), Some(Activation::Disabled));
    }

    #[test]
    fn texts_are_kept_as_written() {
        let options = clean("session_cookie=SID;session_path=sid;session_cookie_path=/app");
        assert_eq!(options.session_cookie.unwrap(), b"SID");
        assert_eq!(options.session_path.unwrap(), b"sid");
        assert_eq!(options.session_cookie_path.unwrap(), b"/app");
    }

    #[test]
    fn empty_session_path_takes_the_next_segment() {
        let options = clean("session_path=;jsessionid;stateless=1");
        assert_eq!(options.session_path.unwrap(), b"jsessionid");
        assert!(options.stateless);
        assert_eq!(clean("session_path=;stateless=1").session_path.unwrap(), b"stateless=1");
    }

    #[test]
    fn a_second_text_or_list_is_ignored_with_a_warning() {
        for name in [
            "active",
            "disabled",
            "stopped",
            "fail_on_status",
            "session_cookie",
            "session_path",
            "set_session_cookie",
            "session_cookie_path",
        ] {
            let (options, found) = problem(&format!("{name}=1;{name}=2"));
            assert!(matches!(found, OptionProblem::Repeated { name: n } if n == name), "{found:?}");
            assert_eq!(options, clean(&format!("{name}=1")));
        }
    }

    #[test]
    fn set_session_cookie_may_be_switched_on_after_off() {
        assert!(clean("set_session_cookie=0;set_session_cookie=1").set_session_cookie);
    }

    #[test]
    fn blanks_around_the_semicolon_make_a_name_unknown() {
        let (options, found) = problem(" reply_timeout=5");
        assert_eq!(options.reply_timeout_ms, None);
        assert!(found.to_string().contains("blanks are not allowed after ';'"), "{found}");
    }

    #[test]
    fn an_unknown_name_is_ignored_and_a_near_one_is_offered() {
        let (options, found) = problem("reply_timout=5");
        assert_eq!(options, RuleOptions::default());
        assert_eq!(
            found.to_string(),
            "unknown rule extension \"reply_timout=5\" is ignored, did you mean \"reply_timeout=\"?"
        );
        let (_, found) = problem("Stateless=1");
        assert!(matches!(found, OptionProblem::Unknown { near: Some("stateless"), .. }));
        let (_, found) = problem("whatever=1");
        assert!(matches!(found, OptionProblem::Unknown { near: None, .. }));
    }

    #[test]
    fn a_name_without_equals_sign_is_unknown() {
        assert!(matches!(problem("stateless").1, OptionProblem::Unknown { near: Some("stateless"), .. }));
    }

    #[test]
    fn names_that_begin_with_x_are_kept_without_a_word() {
        let options = clean("x_deadline=5000;x_flag;x_deadline=7000");
        assert_eq!(options.extra(b"x_deadline").unwrap(), b"7000");
        assert_eq!(options.extra(b"x_flag").unwrap(), b"");
        assert_eq!(options.extra(b"x_other"), None);
    }

    #[test]
    fn a_value_without_digits_is_ignored_with_a_warning() {
        let (options, found) = problem("reply_timeout=soon");
        assert_eq!(options.reply_timeout_ms, None);
        assert!(found.to_string().contains("must be a number, found \"soon\""), "{found}");
    }

    #[test]
    fn a_list_for_use_server_errors_is_explained() {
        let (options, found) = problem("use_server_errors=404,500,503");
        assert_eq!(options.use_server_errors, 404);
        assert!(found.to_string().contains("every status from 404 up"), "{found}");
    }
}

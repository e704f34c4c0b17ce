//! The settings that the status worker can change: one table for forms, parameters, checks and log lines.
//!
//! Not here: where they are stored (`shm`). The surprising thing: C mod_jk overlooks a value it does not like and answers OK; here
//! each value is either one of those that C accepts, or an error that says what is expected (DEVIATIONS section 6).

use super::command::ends_line;
use crate::balancer::{Activation, Lock, Method};
use crate::config::value::{self, Number};
use crate::config::{AjpSettings, LbSettings, MemberSettings};
use crate::shm::TEXT_MAX;

/// Settings of one worker. Parts that the worker does not have keep their defaults and are not looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Of a load balancer.
    pub lb: LbSettings,
    /// Of a member.
    pub member: MemberSettings,
    /// Of an AJP worker, or of the one behind a member.
    pub ajp: AjpSettings,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
    /// On or off.
    Flag(bool),
    /// The admin's will.
    Activation(Activation),
    /// A balancing method.
    Method(Method),
    /// A lock.
    Lock(Lock),
    /// `recovery_options` that were never set. Forms and the old formats show them as 0, which means something else.
    NotSet,
}

impl Value {
    /// As the log prints it.
    #[must_use]
    pub fn log_text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Flag(on) => u8::from(*on).to_string(),
            Self::Activation(activation) => activation.text().to_owned(),
            Self::Method(method) => method.text().to_owned(),
            Self::Lock(lock) => lock.text().to_owned(),
            Self::NotSet => "not set".to_owned(),
        }
    }

    /// As a form sends it.
    #[must_use]
    pub fn form_text(&self) -> String {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Flag(_) => self.log_text(),
            Self::Activation(activation) => activation.code().to_string(),
            Self::Method(method) => method.code().to_string(),
            Self::Lock(lock) => lock.code().to_string(),
            Self::NotSet => "0".to_owned(),
        }
    }
}

/// What a parameter accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number in these bounds.
    Number {
        /// Least.
        least: i64,
        /// Most.
        most: i64,
    },
    /// A text of at most 63 bytes; the word is its name in messages.
    Text(&'static str),
    /// On or off.
    Flag,
    /// The admin's will.
    Activation,
    /// A balancing method.
    Method,
    /// A lock.
    Lock,
    /// Bytes, rounded up to the next multiple of 1024 from 8192 to 65536.
    PacketSize,
}

/// One setting.
#[derive(Debug)]
pub struct Field {
    /// Parameter of `cmd=update`.
    pub param: &'static str,
    /// In the form.
    pub label: &'static str,
    /// Name of the property, for the log.
    pub attribute: &'static str,
    /// Unit, or what a special value means; may be empty.
    pub hint: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// Reads it.
    pub get: fn(&Draft) -> Value,
    /// Changes it.
    pub put: fn(&mut Draft, Value),
}

/// Why a value is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadValue {
    /// A text of more than 63 bytes: what it is.
    TooLong(&'static str),
    /// Anything else: what is expected.
    Expected(String),
}

/// Largest number that C mod_jk and its clients can hold.
const MOST: i64 = 2_147_483_647;

macro_rules! number {
    ($param:literal, $label:literal, $hint:literal, $part:ident.$field:ident as $attribute:literal, $least:literal) => {
        Field {
            param: $param,
            label: $label,
            attribute: $attribute,
            hint: $hint,
            kind: Kind::Number { least: $least, most: MOST },
            get: |draft| Value::Number(i64::from(draft.$part.$field)),
            put: |draft, value| {
                if let Value::Number(number) = value
                    && let Ok(number) = number.try_into()
                {
                    draft.$part.$field = number;
                }
            },
        }
    };
}

macro_rules! other {
    ($param:literal, $label:literal, $hint:literal, $part:ident.$field:ident as $attribute:literal, $kind:expr, $variant:ident) => {
        Field {
            param: $param,
            label: $label,
            attribute: $attribute,
            hint: $hint,
            kind: $kind,
            get: |draft| Value::$variant(draft.$part.$field.clone().into()),
            put: |draft, value| {
                if let Value::$variant(value) = value {
                    draft.$part.$field = value;
                }
            },
        }
    };
}

/// Of load balancers, in the order of the form.
pub static LB: [Field; 9] = [
    number!("vlr", "Retries", "rounds", lb.retries as "retries", 1),
    number!("vlri", "Retry Interval", "ms", lb.retry_interval_ms as "retry_interval", 1),
    number!("vlt", "Recover Wait Time", "seconds", lb.recover_time_s as "recover_time", 1),
    number!("vlee", "Error Escalation Time", "seconds", lb.error_escalation_time_s as "error_escalation_time", 1),
    number!("vlx", "Max Reply Timeouts", "tolerated", lb.max_reply_timeouts as "max_reply_timeouts", 0),
    other!("vls", "Sticky Sessions", "", lb.sticky_session as "sticky_session", Kind::Flag, Flag),
    other!("vlf", "Force Sticky Sessions", "", lb.sticky_session_force as "sticky_session_force", Kind::Flag, Flag),
    other!("vlm", "LB Method", "", lb.method as "method", Kind::Method, Method),
    other!("vll", "Locking", "", lb.lock as "lock", Kind::Lock, Lock),
];

/// Of members, in the order of the form.
pub static MEMBER: [Field; 6] = [
    other!("vwa", "Activation", "", member.activation as "activation", Kind::Activation, Activation),
    number!("vwf", "LB Factor", "share of the load", member.lb_factor as "lbfactor", 1),
    other!("vwn", "Route", "jvmRoute", member.route as "route", Kind::Text("route"), Text),
    other!("vwr", "Redirect Route", "", member.redirect as "redirect", Kind::Text("redirect"), Text),
    other!("vwc", "Cluster Domain", "", member.domain as "domain", Kind::Text("domain"), Text),
    number!("vwd", "Distance", "smaller is preferred", member.distance as "distance", 0),
];

/// Of AJP workers and of members, in the order of the form. The first two are one address.
pub static AJP: [Field; 13] = [
    other!("vahst", "Hostname", "", ajp.host as "host", Kind::Text("host name"), Text),
    Field {
        kind: Kind::Number { least: 0, most: 65_535 },
        ..number!("vaprt", "Port", "0 = no contact", ajp.port as "port", 0)
    },
    number!(
        "vacpt",
        "Connection Pool Timeout",
        "seconds, 0 = never",
        ajp.connection_pool_timeout_s as "connection_pool_timeout",
        0
    ),
    number!("vapng", "Ping Timeout", "ms", ajp.ping_timeout_ms as "ping_timeout", 0),
    number!("vact", "Connect Timeout", "ms, 0 = off", ajp.connect_timeout_ms as "connect_timeout", 0),
    number!("vapt", "Prepost Timeout", "ms, 0 = off", ajp.prepost_timeout_ms as "prepost_timeout", 0),
    number!("vart", "Reply Timeout", "ms, 0 = none", ajp.reply_timeout_ms as "reply_timeout", 0),
    number!("var", "Retries", "tries", ajp.retries as "retries", 1),
    number!("vari", "Retry Interval", "ms", ajp.retry_interval_ms as "retry_interval", 1),
    number!(
        "vacpi",
        "Connection Ping Interval",
        "seconds, 0 = off",
        ajp.connection_ping_interval_s as "connection_ping_interval",
        0
    ),
    Field {
        param: "varo",
        label: "Recovery Options",
        attribute: "recovery_options",
        hint: "sum of bits",
        kind: Kind::Number { least: 0, most: MOST },
        get: |draft| draft.ajp.recovery_options.map_or(Value::NotSet, |options| Value::Number(options.into())),
        put: |draft, value| {
            if let Value::Number(number) = value {
                draft.ajp.recovery_options = number.try_into().ok();
            }
        },
    },
    number!("vabl", "Busy Limit", "0 = none", ajp.busy_limit as "busy_limit", 0),
    Field {
        kind: Kind::PacketSize,
        ..number!("vamps", "Max Packet Size", "8192 to 65536", ajp.max_packet_size as "max_packet_size", 0)
    },
];

/// The settings that can be changed for all members at once (`att`), in the order of the list on the page.
pub fn aspects() -> impl Iterator<Item = &'static Field> {
    MEMBER.iter().chain(AJP.iter().skip(2))
}

impl Field {
    /// Reads a value of a parameter. A text that C mod_jk's own form sends for `current` is never refused.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(&self, text: &str, current: &Value) -> Result<Value, BadValue> {
        let bare = text.trim();
        if bare == current.form_text() {
            return Ok(current.clone());
        }
        let parsed = match self.kind {
            Kind::Number { least, most } => {
                whole(bare).filter(|number| (least..=most).contains(number)).map(Value::Number)
            }
            Kind::PacketSize => {
                whole(bare).filter(|number| *number >= 0).map(|number| Value::Number(packet_size(number)))
            }
            Kind::Text(what) => return checked_text(what, text).map(Value::Text),
            Kind::Flag => value::boolean(bare).map(|(on, _)| Value::Flag(on)),
            Kind::Activation => Activation::parse(bare).map(Value::Activation),
            Kind::Method => Method::parse(bare).map(Value::Method),
            Kind::Lock => Lock::parse(bare).map(Value::Lock),
        };
        parsed.ok_or_else(|| BadValue::Expected(self.expected()))
    }

    /// What is expected, in words.
    #[must_use]
    pub fn expected(&self) -> String {
        match self.kind {
            Kind::Number { least, most } if most == MOST => format!("a number of at least {least}"),
            Kind::Number { least, most } => format!("a number from {least} to {most}"),
            Kind::PacketSize => "a number from 8192 to 65536".to_owned(),
            Kind::Text(_) => format!("a text of at most {TEXT_MAX} bytes without control characters"),
            Kind::Flag => "on or off".to_owned(),
            Kind::Activation => "active, disabled or stopped".to_owned(),
            Kind::Method => "Request, Traffic, Busyness, Sessions or Next".to_owned(),
            Kind::Lock => "Optimistic or Pessimistic".to_owned(),
        }
    }
}

fn whole(text: &str) -> Option<i64> {
    match value::number(text) {
        Number::Whole(number) => Some(number.into()),
        Number::Trailing(_) | Number::TooBig | Number::Nothing => None,
    }
}

fn packet_size(wanted: i64) -> i64 {
    (wanted.clamp(8_192, 65_536) + 1_023) & !1_023
}

fn checked_text(what: &'static str, text: &str) -> Result<String, BadValue> {
    if text.len() > TEXT_MAX {
        return Err(BadValue::TooLong(what));
    }
    // A line break would forge a line of the text formats and of the log.
    if text.chars().any(ends_line) {
        return Err(BadValue::Expected(format!("a {what} without control characters")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Field> {
        LB.iter().chain(&MEMBER).chain(&AJP)
    }

    fn field(param: &str) -> &'static Field {
        all().find(|field| field.param == param).unwrap()
    }

    fn read(param: &str, text: &str) -> Result<String, BadValue> {
        let field = field(param);
        let current = match (field.get)(&Draft::default()) {
            Value::Number(_) | Value::NotSet => Value::Number(7),
            other => other,
        };
        field.parse(text, &current).map(|value| value.log_text())
    }

    fn refused(param: &str, text: &str) -> bool {
        matches!(read(param, text), Err(BadValue::Expected(_)))
    }

    #[test]
    fn every_setting_is_stored_where_it_is_read() {
        for field in all() {
            let mut draft = Draft::default();
            let new = match (field.get)(&draft) {
                Value::Number(_) | Value::NotSet => Value::Number(9_216),
                Value::Text(_) => Value::Text("other".to_owned()),
                Value::Flag(on) => Value::Flag(!on),
                Value::Activation(_) => Value::Activation(Activation::Stopped),
                Value::Method(_) => Value::Method(Method::Next),
                Value::Lock(_) => Value::Lock(Lock::Pessimistic),
            };
            (field.put)(&mut draft, new.clone());
            assert_eq!((field.get)(&draft), new, "{}", field.param);
            let changed = all().filter(|other| (other.get)(&draft) != (other.get)(&Draft::default())).count();
            assert_eq!(changed, 1, "{} changes itself alone", field.param);
        }
    }

    #[test]
    fn parameters_are_unique() {
        let mut names: Vec<_> = all().map(|field| field.param).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LB.len() + MEMBER.len() + AJP.len());
    }

    #[test]
    fn bounds_are_those_of_c() {
        for param in ["vlr", "vlri", "vlt", "vlee", "vwf", "var", "vari"] {
            assert!(refused(param, "0"), "{param}");
            assert_eq!(read(param, "1").unwrap(), "1");
        }
        for param in ["vlx", "vwd", "vacpt", "vapng", "vact", "vapt", "vart", "varo", "vabl", "vaprt"] {
            assert!(refused(param, "-1"), "{param}");
            assert_eq!(read(param, "0").unwrap(), "0");
        }
        assert!(refused("vaprt", "65536"));
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        for text in ["", "abc", "1x", "99999999999", "1 2"] {
            assert!(refused("vart", text), "{text:?}");
        }
        assert_eq!(read("vart", " 12 ").unwrap(), "12");
    }

    #[test]
    fn the_value_in_force_is_never_refused() {
        let field = field("vlee");
        assert_eq!(field.parse("0", &Value::Number(0)), Ok(Value::Number(0)));
    }

    #[test]
    fn packet_sizes_are_rounded_up_and_kept_in_bounds() {
        assert_eq!(read("vamps", "9000").unwrap(), "9216");
        assert_eq!(read("vamps", "1").unwrap(), "8192");
        assert_eq!(read("vamps", "99999").unwrap(), "65536");
    }

    #[test]
    fn first_letters_and_digits_are_enough() {
        assert_eq!(read("vwa", "stopped").unwrap(), "STP");
        assert_eq!(read("vwa", "1").unwrap(), "DIS");
        assert_eq!(read("vlm", "B").unwrap(), "Busyness");
        assert_eq!(read("vll", "1").unwrap(), "Pessimistic");
        assert_eq!(read("vls", "off").unwrap(), "0");
        for param in ["vwa", "vlm", "vll", "vls"] {
            assert!(refused(param, "zz") && refused(param, ""), "{param}");
        }
    }

    #[test]
    fn texts_may_be_empty_but_neither_long_nor_more_than_one_line() {
        assert_eq!(read("vwn", "").unwrap(), "");
        assert_eq!(read("vwr", &"r".repeat(63)).unwrap().len(), 63);
        assert_eq!(read("vwc", &"r".repeat(64)), Err(BadValue::TooLong("domain")));
        assert!(refused("vwn", "a\nb"));
    }
}

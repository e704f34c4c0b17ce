//! Settings in force, each with its origin: what JSON lists and what `cmd=explain` shows of them.
//!
//! Not here: the names and bounds of what can be edited (`field.rs`). The surprising thing: an edit is known by its value alone. A setting
//! that was changed and changed back has its old origin again.

use std::borrow::Cow;
use std::fmt;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::Scene;
use super::field::{AJP, Draft, Field, LB, MEMBER, Value};
use crate::config::{AjpConfig, AjpSettings, LbConfig, LbSettings, MemberSettings, SettingOrigin, WorkerOrigins};

/// One setting.
#[derive(Debug, Serialize)]
pub(super) struct Setting<'a> {
    #[serde(skip)]
    pub(super) name: &'static str,
    pub(super) value: Shape<'a>,
    pub(super) origin: Source<'a>,
}

/// A value as JSON has it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Shape<'a> {
    Number(i64),
    Flag(bool),
    Text(Cow<'a, str>),
    Numbers(&'a [i32]),
    /// Not set.
    Nothing,
}

impl fmt::Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Flag(on) => f.write_str(if *on { "on" } else { "off" }),
            Self::Text(text) => f.write_str(text),
            Self::Numbers(numbers) => {
                let words: Vec<_> = numbers.iter().map(ToString::to_string).collect();
                f.write_str(&words.join(","))
            }
            Self::Nothing => f.write_str("-"),
        }
    }
}

/// Where a setting comes from.
#[derive(Debug)]
pub(super) enum Source<'a> {
    /// The configuration, or its default.
    Config(&'a SettingOrigin),
    /// An edit of this page.
    StatusPage,
    /// An extension of a rule.
    Rule(String),
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(origin) => origin.fmt(f),
            Self::StatusPage => f.write_str("status page"),
            Self::Rule(origin) => write!(f, "rule of {origin}"),
        }
    }
}

impl Serialize for Source<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Config(SettingOrigin::Default) => serializer.serialize_str("default"),
            Self::StatusPage => serializer.serialize_str("status page"),
            other => serializer.collect_str(other),
        }
    }
}

/// Settings by name.
#[derive(Debug, Default)]
pub(super) struct Settings<'a>(pub(super) Vec<Setting<'a>>);

impl Serialize for Settings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for setting in &self.0 {
            map.serialize_entry(setting.name, setting)?;
        }
        map.end()
    }
}

/// Of an AJP worker; `now` is what is in force of what can be edited.
pub(super) fn of_ajp<'a>(scene: &Scene<'a>, index: usize, now: &AjpSettings) -> Settings<'a> {
    let Some(config) = scene.config.ajp.get(index) else { return Settings(Vec::new()) };
    let origins = scene.config.origins.of_worker(&config.name);
    let mut all = Settings(Vec::with_capacity(AJP.len() + MEMBER.len() + 13));
    all.edited_ajp(&origins, config, now);
    all.fixed_ajp(&origins, config);
    all
}

/// Of a member and of the AJP worker behind it; `start` is what was configured of the former.
pub(super) fn of_member<'a>(
    scene: &Scene<'a>,
    start: Option<&MemberSettings>,
    now: &MemberSettings,
    index: usize,
    ajp: &AjpSettings,
) -> Settings<'a> {
    let mut all = of_ajp(scene, index, ajp);
    let Some(config) = scene.config.ajp.get(index) else { return all };
    let origins = scene.config.origins.of_worker(&config.name);
    let now = Draft { member: now.clone(), ..Draft::default() };
    let start = Draft { member: start.cloned().unwrap_or_default(), ..Draft::default() };
    all.edited(&origins, MEMBER.iter(), &now, &start);
    all
}

/// Of a load balancer.
pub(super) fn of_lb<'a>(scene: &Scene<'a>, config: &'a LbConfig, now: &LbSettings) -> Settings<'a> {
    let origins = scene.config.origins.of_worker(&config.name);
    let mut all = Settings(Vec::with_capacity(LB.len() + 12));
    let now = Draft { lb: now.clone(), ..Draft::default() };
    let start = Draft { lb: config.settings.clone(), ..Draft::default() };
    all.edited(&origins, LB.iter(), &now, &start);
    all.fixed_lb(&origins, config);
    all
}

impl<'a> Settings<'a> {
    /// The one of this name.
    pub(super) fn take(&mut self, name: &str) -> Option<Setting<'a>> {
        let at = self.0.iter().position(|setting| setting.name == name)?;
        Some(self.0.remove(at))
    }

    fn edited_ajp(&mut self, origins: &WorkerOrigins<'a>, config: &AjpConfig, now: &AjpSettings) {
        let now = Draft { ajp: now.clone(), ..Draft::default() };
        let start = Draft { ajp: config.settings.clone(), ..Draft::default() };
        self.edited(origins, AJP.iter(), &now, &start);
    }

    fn edited(
        &mut self,
        origins: &WorkerOrigins<'a>,
        fields: impl Iterator<Item = &'static Field>,
        now: &Draft,
        start: &Draft,
    ) {
        self.0.extend(fields.map(|field| {
            let value = (field.get)(now);
            let is_edited = value != (field.get)(start);
            let origin = if is_edited { Source::StatusPage } else { Source::Config(origins.of(field.attribute)) };
            let value = match value {
                Value::Number(number) => Shape::Number(number),
                Value::Flag(on) => Shape::Flag(on),
                Value::Text(text) => Shape::Text(text.into()),
                Value::Activation(activation) => Shape::Text(activation.text().into()),
                Value::Method(method) => Shape::Text(method.text().into()),
                Value::Lock(lock) => Shape::Text(lock.text().into()),
                Value::NotSet => Shape::Nothing,
            };
            Setting { name: field.attribute, value, origin }
        }));
    }

    fn fixed(&mut self, origins: &WorkerOrigins<'a>, name: &'static str, value: Shape<'a>) {
        self.0.push(Setting { name, value, origin: Source::Config(origins.of(name)) });
    }

    fn fixed_ajp(&mut self, origins: &WorkerOrigins<'a>, config: &'a AjpConfig) {
        let number = |number: u32| Shape::Number(number.into());
        let text = |text: &'a Option<String>| text.as_deref().map_or(Shape::Nothing, |text| Shape::Text(text.into()));
        self.fixed(origins, "source", text(&config.source));
        self.fixed(origins, "prefer_ipv6", Shape::Flag(config.prefer_ipv6));
        self.fixed(origins, "socket_timeout", number(config.socket_timeout_s));
        self.fixed(origins, "socket_connect_timeout", number(config.socket_connect_timeout_ms));
        self.fixed(origins, "socket_keepalive", Shape::Flag(config.socket_keepalive));
        self.fixed(origins, "socket_buffer", number(config.socket_buffer));
        self.fixed(origins, "connection_pool_size", number(config.connection_pool_size));
        self.fixed(origins, "connection_pool_minsize", number(config.connection_pool_minsize));
        self.fixed(origins, "connection_acquire_timeout", number(config.connection_acquire_timeout_ms));
        let mode = config.ping_mode;
        let letters = [(mode.connect, 'C'), (mode.prepost, 'P'), (mode.interval, 'I')];
        let letters: String = letters.iter().filter(|(on, _)| *on).map(|(_, letter)| *letter).collect();
        self.fixed(origins, "ping_mode", Shape::Text(letters.into()));
        self.fixed(origins, "fail_on_status", Shape::Numbers(&config.fail_on_status));
        // Whether there is one, never which.
        self.fixed(origins, "secret", Shape::Flag(config.secret.is_some()));
        self.fixed(origins, "unix_socket", text(&config.unix_socket));
    }

    fn fixed_lb(&mut self, origins: &WorkerOrigins<'a>, config: &'a LbConfig) {
        let number = |number: u32| Shape::Number(number.into());
        let extras = &config.extras;
        self.fixed(origins, "lb_retries", number(config.lb_retries));
        self.fixed(origins, "session_cookie", Shape::Text((&*config.session_cookie).into()));
        self.fixed(origins, "session_path", Shape::Text((&*config.session_path).into()));
        self.fixed(origins, "set_session_cookie", Shape::Flag(config.set_session_cookie));
        self.fixed(origins, "session_cookie_path", Shape::Text((&*config.session_cookie_path).into()));
        self.fixed(origins, "health", Shape::Flag(extras.health));
        self.fixed(origins, "health_interval", number(extras.health_interval_s));
        self.fixed(origins, "health_timeout", number(extras.health_timeout_ms));
        self.fixed(origins, "health_rise", number(extras.health_rise));
        self.fixed(origins, "health_fall", number(extras.health_fall));
        self.fixed(origins, "slow_start", number(extras.slow_start_s));
        if let Some(crate::config::ExtraMethod::Latency) = extras.method
            && let Some(setting) = self.0.iter_mut().find(|setting| setting.name == "method")
        {
            *setting = Setting {
                name: "method",
                value: Shape::Text("latency".into()),
                origin: Source::Config(origins.of_ours("method")),
            };
        }
    }
}

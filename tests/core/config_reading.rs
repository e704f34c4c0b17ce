//! Short ways to read a configuration, for the tests beside this file. Not a test itself.

use mod_jk::config::{self, AjpConfig, Config, Defaults, LbConfig, MemberSettings, StatusConfig, WorkerConfig};
use mod_jk::properties::{Diagnostic, Properties, Severity};

/// Name of the file in all messages.
pub(crate) const FILE: &str = "workers.properties";

/// Reads a workers.properties; what the reader and the builder found is in one list.
pub(crate) fn read(text: &str) -> (Config, Vec<Diagnostic>) {
    let mut findings = Vec::new();
    let mut properties = Properties::new();
    properties.read(text.as_bytes(), FILE, &mut findings);
    let (config, more) = config::build(&properties, &Defaults { threads_per_child: 25 });
    findings.extend(more);
    (config, findings)
}

/// Reads a workers.toml likewise.
pub(crate) fn read_toml(text: &str) -> (Config, Vec<Diagnostic>) {
    let mut findings = Vec::new();
    let mut properties = Properties::new();
    config::toml::read(&mut properties, text.as_bytes(), "workers.toml", &mut findings);
    let (config, more) = config::build(&properties, &Defaults { threads_per_child: 25 });
    findings.extend(more);
    (config, findings)
}

/// Reads what must have no errors.
pub(crate) fn accepted(text: &str) -> Config {
    let (config, findings) = read(text);
    assert_eq!(of(&findings, Severity::Error), [""; 0], "{text}");
    config
}

/// The findings of one severity as printed.
pub(crate) fn of(findings: &[Diagnostic], severity: Severity) -> Vec<String> {
    findings.iter().filter(|finding| finding.severity == severity).map(ToString::to_string).collect()
}

/// The errors of a workers.properties.
pub(crate) fn errors(text: &str) -> Vec<String> {
    of(&read(text).1, Severity::Error)
}

/// The warnings of a workers.properties without errors.
pub(crate) fn warnings(text: &str) -> Vec<String> {
    let (_, findings) = read(text);
    assert_eq!(of(&findings, Severity::Error), [""; 0], "{text}");
    of(&findings, Severity::Warning)
}

/// The AJP worker of this name.
pub(crate) fn ajp<'a>(config: &'a Config, name: &str) -> &'a AjpConfig {
    config.ajp.iter().find(|worker| worker.name == name).unwrap_or_else(|| panic!("no ajp worker {name}"))
}

/// The balancer of this name.
pub(crate) fn lb<'a>(config: &'a Config, wanted: &str) -> &'a LbConfig {
    let find = config.list.iter().find_map(|worker| match worker {
        WorkerConfig::Lb(lb) if lb.name == wanted => Some(lb),
        _ => None,
    });
    find.unwrap_or_else(|| panic!("no balancer {wanted}"))
}

/// The status worker of this name.
pub(crate) fn status<'a>(config: &'a Config, wanted: &str) -> &'a StatusConfig {
    let find = config.list.iter().find_map(|worker| match worker {
        WorkerConfig::Status(status) if status.name == wanted => Some(status),
        _ => None,
    });
    find.unwrap_or_else(|| panic!("no status worker {wanted}"))
}

/// The member of the balancer `lb` with this name.
pub(crate) fn member<'a>(config: &'a Config, name: &str) -> &'a MemberSettings {
    let is_it = |place: usize| config.ajp.get(place).is_some_and(|worker| worker.name == name);
    let find = lb(config, "lb").members.iter().find(|member| is_it(member.ajp));
    find.map(|member| &member.settings).unwrap_or_else(|| panic!("no member {name}"))
}

/// Two configurations that mean the same, wherever they were written.
pub(crate) fn assert_same(left: &Config, right: &Config) {
    assert_eq!(left.list, right.list);
    assert_eq!(left.ajp, right.ajp);
    assert_eq!(left.mounts, right.mounts);
    assert_eq!(left.maintain_s, right.maintain_s);
}

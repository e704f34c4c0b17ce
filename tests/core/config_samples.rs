//! The samples under `conf/` are in order, and both forms say the same.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use mod_jk::config::{self, Config, Defaults};
use mod_jk::properties::{Diagnostic, Properties};

use crate::config_reading::{ajp, assert_same, lb, status};

fn sample(name: &str) -> (Config, Vec<Diagnostic>) {
    let text = std::fs::read(format!("{}/conf/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut findings = Vec::new();
    let mut properties = Properties::new().with_environment(|name| (name == "AJP_SECRET").then(|| "s3cret".to_owned()));
    match name.ends_with(".toml") {
        true => config::toml::read(&mut properties, &text, name, &mut findings),
        false => properties.read(&text, name, &mut findings),
    }
    let (config, more) = config::build(&properties, &Defaults::default());
    findings.extend(more);
    (config, findings)
}

#[test]
fn the_samples_have_no_findings_not_even_advice() {
    for name in ["workers.properties", "workers.toml"] {
        let (_, findings) = sample(name);
        assert_eq!(findings.iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
    }
}

#[test]
fn both_forms_say_the_same() {
    assert_same(&sample("workers.properties").0, &sample("workers.toml").0);
}

#[test]
fn the_sample_is_a_balancer_of_two_and_a_status_page() {
    let (config, _) = sample("workers.properties");
    assert_eq!(config.list.len(), 2);
    assert_eq!(lb(&config, "lb").members.len(), 2);
    assert!(!status(&config, "jkstatus").read_only);
    for (name, port) in [("tomcat1", 8_009), ("tomcat2", 8_010)] {
        let worker = ajp(&config, name);
        assert_eq!((worker.settings.host.as_str(), worker.settings.port), ("localhost", port));
        assert_eq!(worker.secret.as_deref(), Some("s3cret"));
    }
}

#[test]
fn converting_the_sample_changes_nothing() {
    let text = std::fs::read(format!("{}/conf/workers.properties", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let toml = config::toml::convert_properties_to_toml(&text, "workers.properties").unwrap();
    let mut properties = Properties::new().with_environment(|name| (name == "AJP_SECRET").then(|| "s3cret".to_owned()));
    config::toml::read(&mut properties, toml.as_bytes(), "t", &mut Vec::new());
    assert_same(&config::build(&properties, &Defaults::default()).0, &sample("workers.properties").0);
}

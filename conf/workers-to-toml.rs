//! `make toml FILE=workers.properties`: prints a workers.properties as workers.toml.
//!
//! Not here: the conversion, which is the module's own (`mod_jk::config::toml`). The surprising thing: a file with errors is not
//! converted; what would be wrong in httpd is told here, with the same words.

use std::io::Write;
use std::process::ExitCode;
use std::{env, fs, io};

use mod_jk::config::toml::convert_properties_to_toml;
use mod_jk::config::{Defaults, build};
use mod_jk::properties::{Diagnostic, Properties, Severity};

fn main() -> ExitCode {
    match env::args().nth(1).filter(|name| !name.is_empty()) {
        Some(name) => match converted(&name) {
            Ok(toml) => print(&toml),
            Err(findings) => fail(&findings),
        },
        None => {
            fail("expected the name of a workers.properties: make toml FILE=/etc/libapache2-mod-jk/workers.properties")
        }
    }
}

/// The file in TOML, or what is wrong with it, a finding per line: all that the module itself would refuse.
fn converted(name: &str) -> Result<String, String> {
    let text = fs::read(name).map_err(|error| format!("{name}: {error}"))?;
    let mut findings = Vec::new();
    let mut properties = Properties::new().with_environment(|variable| env::var(variable).ok());
    properties.read(&text, name, &mut findings);
    findings.extend(build(&properties, &Defaults::default()).1);
    findings.retain(|finding| finding.severity == Severity::Error);
    if !findings.is_empty() {
        return Err(lines(&findings));
    }
    convert_properties_to_toml(&text, name).map_err(|findings| lines(&findings))
}

fn lines(findings: &[Diagnostic]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("standard output: {error}")),
    }
}

fn fail(why: &str) -> ExitCode {
    // Where nothing can be written, the exit code still tells.
    let _ = writeln!(io::stderr(), "{why}");
    ExitCode::FAILURE
}

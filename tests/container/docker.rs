//! The docker command, and things in the engine that vanish with their owner: containers and networks of one test.
//!
//! Not here: what they mean (hosts.rs). The surprising thing: all of them carry one label whose value names host, process and its
//! start, and that label alone decides what is removed; what a killed run left behind goes before the first test of the next.

use std::fs;
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

const LABEL: &str = "org.mod-jk.test";

/// Runs docker; what it printed, or its complaint.
pub(crate) fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).output().map_err(|error| format!("docker: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The same where a refusal is the end of the test.
#[track_caller]
pub(crate) fn must(arguments: &[&str]) -> String {
    docker(arguments).unwrap_or_else(|complaint| panic!("docker {}: {complaint}", arguments.join(" ")))
}

/// Both streams of a container's log.
pub(crate) fn logs(container: &str) -> String {
    let output = Command::new("docker").args(["logs", container]).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// The owner of what one test has in the engine. Dropping it removes all of it, in a panic as well.
pub(crate) struct Owner {
    /// The beginning of all its names.
    pub(crate) prefix: String,
    /// `--label` for everything that is created.
    pub(crate) label: String,
    value: String,
}

impl Owner {
    /// A new one, after what dead runs left is gone.
    pub(crate) fn new() -> Owner {
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        Owner::of(&this_run())
    }

    fn of(run: &str) -> Owner {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let value = format!("{run}/{number}");
        let prefix = format!("mod_jk-test-{}-{number}", std::process::id());
        Owner { prefix, label: format!("--label={LABEL}={value}"), value }
    }

    /// A network whose addresses begin with what is returned, `172.29.7` for instance.
    pub(crate) fn network(&self, name: &str) -> String {
        let first = std::process::id();
        let mut complaint = String::new();
        for step in 0..250 {
            let subnet = format!("172.29.{}", (first + step * 7) % 250 + 1);
            let range = format!("--subnet={subnet}.0/24");
            match docker(&["network", "create", &self.label, &range, name]) {
                Ok(_) => return subnet,
                Err(why) => complaint = why,
            }
        }
        panic!("no network: {complaint}");
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        remove(&self.value);
    }
}

/// Host, process and the start of the process: no other run has had it.
fn this_run() -> String {
    let own = std::process::id();
    format!("{}/{own}/{}", host(), start_of(own).expect("this process runs"))
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}

/// When a process began, in ticks since the machine did; `None` if there is no such process.
fn start_of(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the command in parentheses and may hold blanks; the start is the 22nd.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

/// Removes what runs of this host left that are no more.
fn sweep() {
    let found = |kind: &str| {
        let format = format!("{{{{.Label \"{LABEL}\"}}}}");
        let all: &[&str] = if kind == "container" { &["--all"] } else { &[] };
        docker(&[&[kind, "ls", "--filter", &format!("label={LABEL}"), "--format", &format], all].concat())
            .unwrap_or_default()
    };
    for value in found("container").lines().chain(found("network").lines()) {
        let parts: Vec<&str> = value.split('/').collect();
        let &[on, process, start, _] = parts.as_slice() else { continue };
        let runs = process.parse().ok().and_then(start_of).is_some_and(|began| began == start);
        if on == host() && !runs {
            remove(value);
        }
    }
}

fn remove(value: &str) {
    let filter = format!("label={LABEL}={value}");
    let list = |arguments: &[&str]| docker(&[arguments, &["--filter", &filter]].concat()).unwrap_or_default();
    for container in list(&["container", "ls", "--all", "--quiet"]).lines() {
        let _ = docker(&["rm", "--force", "--volumes", container]);
    }
    for network in list(&["network", "ls", "--quiet"]).lines() {
        let _ = docker(&["network", "rm", network]);
    }
}

#[test]
fn sweep_takes_what_dead_runs_left_and_nothing_else() {
    let owners = [Owner::new(), Owner::of(&format!("{}/1/0", host())), Owner::of("another-host/1/0")];
    let names = [0, 1, 2].map(|at| format!("{}-net", owners[at].prefix));
    owners.iter().zip(&names).for_each(|(owner, name)| drop(owner.network(name)));
    sweep();
    let left = names.map(|name| docker(&["network", "inspect", &name]).is_ok());
    assert_eq!(left, [true, false, true]);
}

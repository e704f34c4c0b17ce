//! The images themselves: what is in them, who runs, what their samples do.
//!
//! Not here: how they are built (tests/container/image.sh). The surprising thing: nothing is mounted here; the samples must do as they are.

use super::docker::{Owner, docker, logs, must};
use super::hosts::PATIENCE;
use crate::support::wait;

/// Starts an image as it is and waits until it calls itself healthy.
fn healthy(owner: &Owner, image: &str) -> String {
    let name = format!("{}-image", owner.prefix);
    must(&["run", "--detach", &owner.label, "--name", &name, "--env", "AJP_SECRET=x", image]);
    wait::until(PATIENCE, &format!("{image} to be healthy"), || {
        must(&["inspect", "--format", "{{.State.Health.Status}}", &name]) == "healthy"
    });
    name
}

fn stands_alone(image: &str, modules: &str) {
    let owner = Owner::new();
    let container = healthy(&owner, image);
    let log = logs(&container);
    assert!(log.contains("mod_jk/1.3.0 initialized"), "the jk log goes to the container's: {log}");
    assert!(!log.contains("[error]") && !log.contains("[warn]"), "{log}");
    assert_ne!(must(&["exec", &container, "id", "-u"]), "0", "no root rights");
    assert!(docker(&["exec", &container, "test", "-f", &format!("{modules}/mod_jk.so")]).is_ok());
    for tool in ["cc", "gcc", "rustc", "cargo", "clang", "make"] {
        assert!(docker(&["exec", &container, "sh", "-c", &format!("command -v {tool}")]).is_err(), "{tool} in {image}");
    }
    let label = |name: &str| {
        let format = format!("{{{{index .Config.Labels \"org.opencontainers.image.{name}\"}}}}");
        must(&["image", "inspect", "--format", &format, image])
    };
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(must(&["image", "inspect", "--format", "{{.Config.StopSignal}}", image]), "SIGWINCH");
    must(&["stop", "--time", "60", &container]);
    assert_eq!(must(&["inspect", "--format", "{{.State.ExitCode}}", &container]), "0", "{}", logs(&container));
}

#[test]
fn image_runs_with_its_samples_and_without_root() {
    stands_alone("mod_jk:latest", "/usr/lib/apache2/modules");
}

#[test]
fn module_for_the_official_layout_runs_with_its_samples_and_without_root() {
    stands_alone("mod_jk:official", "/usr/local/apache2/modules");
}

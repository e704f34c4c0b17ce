//! Tomcat's own Ant task for the status worker, run for real: it still speaks the language of before 1.2.27, which C mod_jk ignores.
//!
//! Not here: what its parameters mean one by one (tests/core/status_update.rs). The surprising thing: the task wants an answer that begins
//! with `OK -`, which no mod_jk with four formats ever gave, so it is told to ignore that.

use std::process::Command;

use crate::support::backend::{Backend, get};
use crate::support::httpd::Httpd;
use crate::support::tomcat_server::java_home;

const JARS: [&str; 3] =
    ["/usr/share/java/ant.jar", "/usr/share/java/ant-launcher.jar", "/usr/share/java/tomcat10-catalina-ant.jar"];

/// Runs `jkupdate` with these attributes against /jkstatus.
#[track_caller]
fn ant(httpd: &Httpd, attributes: &str) {
    for jar in JARS {
        assert!(std::path::Path::new(jar).exists(), "{jar} is missing: make setup");
    }
    let url = httpd.url("/jkstatus");
    httpd.write_file(
        "build.xml",
        format!(
            "<project default=\"go\"><taskdef name=\"jkupdate\" classname=\"org.apache.catalina.ant.JKStatusUpdateTask\"/>\n\
             <target name=\"go\"><jkupdate url=\"{url}\" username=\"u\" password=\"p\" ignoreresponseconstraint=\"true\"\n\
             {attributes}/></target></project>\n"
        ),
    );
    let build = httpd.root().join("build.xml");
    let mut command = Command::new(format!("{}/bin/java", java_home()));
    command.args(["-Xmx128m", "-cp", &JARS.join(":"), "org.apache.tools.ant.Main", "-f"]).arg(build);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains("Action finished"), "{text}");
}

#[test]
fn the_ant_task_of_tomcat_changes_members_and_balancers() {
    let backend = Backend::named("m1");
    let workers = format!(
        "worker.list=lb,st\nworker.lb.type=lb\nworker.lb.balance_workers=m1\nworker.st.type=status\n{}",
        backend.worker("m1")
    );
    let httpd = Httpd::builder().workers(&workers).config("JkMount /jkstatus st\n").start();
    ant(
        &httpd,
        "worker=\"m1\" workerType=\"worker\" workerLb=\"lb\" workerLoadFactor=\"3\" workerDisabled=\"true\" \
         workerStopped=\"false\" workerRedirect=\"m2\" workerClusterDomain=\"dom\"",
    );
    ant(
        &httpd,
        "worker=\"lb\" workerType=\"lb\" lbRetries=\"5\" lbRecovertime=\"70\" lbStickySession=\"false\" lbForceSession=\"true\"",
    );
    let list = get(&httpd, "/jkstatus?mime=txt").text();
    assert!(list.contains(" activation=DIS lbfactor=3 route=\"m1\" redirect=\"m2\" domain=\"dom\""), "{list}");
    assert!(list.contains(" sticky_session=False sticky_session_force=True retries=5 recover_time=70 "), "{list}");
}

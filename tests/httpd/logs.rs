//! The module's log: where it goes, how a line looks, what a level lets through; the request log; notes in httpd's own log.
//!
//! Not here: the layout in all its corners (src/log.rs, src/request_log.rs).

use std::time::Duration;

use crate::support::backend::{Backend, ask, get, status};
use crate::support::http_client::{Body, Request};
use crate::support::httpd::{Httpd, under_every_mpm};
use crate::support::tomcat::Tomcat;
use crate::support::wait;

/// Only a failing test waits as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The parts of `[stamp] [context] [pid:tid] [level] function::file (line): message`.
struct Line<'l> {
    stamp: &'l str,
    context: &'l str,
    pid: u32,
    level: &'l str,
    function: &'l str,
    file: &'l str,
}

impl<'l> Line<'l> {
    /// `None` when the line has another shape.
    fn parse(line: &'l str) -> Option<Line<'l>> {
        let mut rest = line;
        let mut bracketed = || {
            let (inside, after) = rest.strip_prefix('[')?.split_once("] ")?;
            rest = after;
            Some(inside)
        };
        let (stamp, context, process, level) = (bracketed()?, bracketed()?, bracketed()?, bracketed()?);
        let (pid, thread) = process.split_once(':')?;
        thread.parse::<u64>().ok()?;
        let (function, rest) = rest.split_once("::")?;
        let (file, rest) = rest.split_once(" (")?;
        let (number, message) = rest.split_once("): ")?;
        number.parse::<u32>().ok()?;
        let word = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
        };
        (word(function) && word(file) && !message.is_empty()).then_some(())?;
        Some(Line { stamp, context, pid: pid.parse().ok()?, level, function, file })
    }
}

/// Waits until a file of the ServerRoot holds `text`, and returns all of it.
#[track_caller]
fn await_text(httpd: &Httpd, name: &str, text: &str) -> String {
    let path = httpd.root().join(name);
    wait::until_some(PATIENCE, text, || {
        let content = std::fs::read_to_string(&path).unwrap_or_default();
        content.contains(text).then_some(content)
    })
}

under_every_mpm! {
    fn lines_have_the_shape_that_people_parse(mpm: Mpm) {
        let backend = Backend::echo();
        let config = "JkLogLevel trace\nSetEnvIf X-Id (.+) UNIQUE_ID=$1\n";
        let httpd = backend.httpd().mpm(mpm).config(config).start();
        get(&httpd, "/plain");
        ask(&httpd, &Request::new("POST", "/").header("X-Id", "id-4711").body(Body::Length(b"abc".to_vec())));
        httpd.await_jk_log("[id-4711]");
        let log = httpd.jk_log();
        let lines: Vec<Line<'_>> = log.lines().map(|line| Line::parse(line).unwrap_or_else(|| panic!("shape of {line}"))).collect();
        assert!(lines.iter().all(|line| line.stamp.len() == "Sun Nov 22 12:48:02.035 2026".len()));
        assert!(lines.iter().all(|line| line.file.ends_with(".rs") && !line.function.is_empty()));
        let levels = ["trace", "debug", "info", "warn", "error", "emerg"];
        assert!(lines.iter().all(|line| levels.contains(&line.level)));
        let children = httpd.children();
        assert!(lines.iter().any(|line| line.context == "NO-ID" && children.contains(&line.pid)));
        assert!(lines.iter().any(|line| line.context == "id-4711" && children.contains(&line.pid)));
        assert!(lines.iter().any(|line| line.context == "JK_INIT" && line.level == "info"));
    }
}

#[test]
fn notice_of_the_start_names_the_version() {
    let httpd = Backend::echo().httpd().start();
    httpd.await_jk_log(&format!("mod_jk/{} initialized", env!("CARGO_PKG_VERSION")));
}

#[test]
fn level_decides_what_is_written() {
    for (level, shown) in
        [("debug", vec!["debug", "info"]), ("info", vec!["info"]), ("error", vec!["error"]), ("emerg", vec![])]
    {
        let backend = Backend::echo();
        let workers = format!(
            "worker.list=w,down\n{}worker.down.host=127.0.0.1\nworker.down.port={}\n",
            backend.worker("w"),
            Tomcat::closed_port()
        );
        let config =
            format!("JkLogLevel {level}\nJkMount /down down\nJkMount /* w\nJkRequestLogFormat \"request %U\"\n");
        let httpd = Httpd::builder().workers(&workers).config(&config).start();
        assert_eq!((status(&httpd, "/x"), status(&httpd, "/down")), (200, 503));
        let log = await_text(&httpd, "logs/mod_jk.log", "request /down");
        for name in &shown {
            assert!(log.contains(&format!("[{name}] ")), "{name} at {level}:\n{log}");
        }
        let order = ["trace", "debug", "info", "warn", "error", "emerg"];
        let least = order.iter().position(|name| *name == level).unwrap();
        for below in &order[..least] {
            assert!(!log.contains(&format!("[{below}] ")), "{below} at {level}:\n{log}");
        }
    }
}

#[test]
fn unknown_level_means_info() {
    let backend = Backend::echo();
    let httpd = backend.httpd().config("JkLogLevel chatty\n").start();
    get(&httpd, "/");
    assert!(httpd.jk_log().contains("[info] ") && !httpd.jk_log().contains("[debug] "));
}

#[test]
fn stamp_has_the_format_that_is_asked_for() {
    for (format, check) in [
        ("<%Y-%m-%d %H:%M:%S.%Q> ", "<dddd-dd-dd dd:dd:dd.ddd> ["),
        ("<%H.%q> ", "<dd.dddddd> ["),
        ("<no stamp> ", "<no stamp> ["),
        ("%%%Y|", "%dddd|["),
    ] {
        let httpd = Backend::echo().httpd().config(&format!("JkLogStampFormat \"{format}\"\n")).start();
        let log = await_text(&httpd, "logs/mod_jk.log", "initialized");
        let line = log.lines().last().unwrap();
        let shape: String =
            line.chars().take(check.len()).map(|char| if char.is_ascii_digit() { 'd' } else { char }).collect();
        assert_eq!(shape, check, "{line}");
    }
}

#[test]
fn log_file_is_under_the_server_root_and_readable_by_all() {
    use std::os::unix::fs::PermissionsExt as _;
    let httpd = Backend::echo().httpd().config("JkLogFile logs/other.log\n").start();
    await_text(&httpd, "logs/other.log", "initialized");
    let mode = std::fs::metadata(httpd.root().join("logs/other.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777 & !0o022, 0o644 & !0o022);
}

#[test]
fn missing_log_file_is_announced_with_the_default() {
    let backend = Backend::echo();
    let httpd = backend.httpd().without_defaults().config("JkShmFile run/shm\n").start();
    get(&httpd, "/");
    await_text(&httpd, "logs/mod_jk.log", "initialized");
    let said = httpd.error_log() + &std::fs::read_to_string(httpd.root().join("logs/output")).unwrap();
    assert!(said.contains("no JkLogFile is given, using logs/mod_jk.log"), "{said}");
}

#[test]
fn piped_log_gets_the_lines() {
    let backend = Backend::echo();
    let httpd = backend
        .httpd()
        .without_defaults()
        .config("JkShmFile run/shm\nJkLogFile \"|/usr/bin/tee ${ROOT}/logs/piped.log\"\nJkRequestLogFormat \"request %U\"\n")
        .start();
    get(&httpd, "/through-the-pipe");
    let log = await_text(&httpd, "logs/piped.log", "request /through-the-pipe");
    assert!(log.contains("initialized"));
}

/// The programs that run with `argument` on their command line.
fn programs_with(argument: &str) -> Vec<u32> {
    let runs = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|part| part == argument.as_bytes())
    };
    let numbers =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.filter(runs).collect()
}

#[test]
fn piped_log_goes_on_over_restarts_and_its_old_programs_end() {
    let backend = Backend::echo();
    let mut httpd = backend
        .httpd()
        .without_defaults()
        // httpd says so of the programs it ended itself at a restart, and of the one that is killed below.
        .allow_error_log("AH00488: long lost child came home")
        .allow_error_log("AH00106")
        .config("JkShmFile run/shm\nJkLogFile \"|/usr/bin/rotatelogs ${ROOT}/logs/rotated.log 86400\"\nJkRequestLogFormat \"request %U\"\n")
        .start();
    let target = httpd.root().join("logs/rotated.log").display().to_string();
    let logged = |text: &str| {
        let logs = httpd_logs(&target);
        logs.contains(text)
    };
    get(&httpd, "/first");
    wait::until(PATIENCE, "the first request", || logged("request /first"));
    for number in 0..3 {
        if number % 2 == 0 {
            httpd.graceful()
        } else {
            httpd.restart()
        }
        get(&httpd, &format!("/after-{number}"));
        wait::until(PATIENCE, "the request after a restart", || logged(&format!("request /after-{number}")));
        wait::until(PATIENCE, "one program for the log", || programs_with(&target).len() == 1);
    }
    // httpd starts a log program that dies again; what comes after goes to the new one.
    let old = programs_with(&target)[0];
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(old.cast_signed()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    wait::until(PATIENCE, "another program", || programs_with(&target).iter().any(|pid| *pid != old));
    get(&httpd, "/after-the-death");
    wait::until(PATIENCE, "the request after the death", || logged("request /after-the-death"));
    httpd.stop();
    wait::until(PATIENCE, "no program to be left", || programs_with(&target).is_empty());
}

/// All that rotatelogs wrote: it appends the time to the name.
fn httpd_logs(target: &str) -> String {
    let target = std::path::Path::new(target);
    let files = std::fs::read_dir(target.parent().unwrap()).unwrap().map(|entry| entry.unwrap());
    let ours = files.filter(|entry| entry.file_name().to_str().unwrap().starts_with("rotated.log."));
    ours.map(|entry| std::fs::read_to_string(entry.path()).unwrap()).collect()
}

#[test]
fn long_lines_of_a_piped_log_do_not_run_into_each_other() {
    let backend = Backend::echo();
    // A slow reader, so that the pipe is full most of the time.
    let reader = "#!/usr/bin/perl\nopen(my $out, '>', $ARGV[0]); $out->autoflush(1);\nwhile (sysread(STDIN, my $part, 3000)) { print $out $part; \
                  select(undef, undef, undef, 0.001) }\n";
    let httpd = backend
        .httpd()
        .without_defaults()
        .children(4)
        .file("reader.pl", reader)
        .config(
            "LimitRequestLine 20000\nJkShmFile run/shm\nJkLogLevel error\n\
             JkLogFile \"|/usr/bin/perl ${ROOT}/reader.pl ${ROOT}/run/lines\"\nJkRequestLogFormat \"BEGIN %U %q END\"\n",
        )
        .start();
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let address = httpd.address();
            std::thread::spawn(move || {
                for number in 0..15 {
                    let letter = char::from(b'a' + u8::try_from(sender).unwrap());
                    let query = letter.to_string().repeat(if number % 3 == 0 { 200 } else { 7_000 });
                    let target = format!("/{sender}-{number}?{query}");
                    // A connection each: while the log holds its threads up, httpd may close those that rest.
                    let answer = crate::support::http_client::Client::once(address, &Request::new("GET", &target));
                    assert_eq!(answer.unwrap().status(), 200);
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let path = httpd.root().join("run/lines");
    let lines = wait::until_some(PATIENCE, "all lines", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        (text.matches("BEGIN").count() == 120 && text.ends_with('\n')).then_some(text)
    });
    for line in lines.lines() {
        let (_, rest) = line.split_once("BEGIN /").expect("one request in each line");
        let query = rest.split_once('?').expect("its query").1;
        let first = query.chars().next();
        assert!(query.trim_end_matches(" END").chars().all(|letter| Some(letter) == first), "{line}");
        assert!(line.len() < 4_096 && (line.ends_with(" END") || line.len() == 4_095), "{}", line.len());
    }
}

#[test]
fn log_is_opened_anew_at_a_restart() {
    let backend = Backend::echo();
    let mut httpd = backend.httpd().start();
    let log = httpd.root().join("logs/mod_jk.log");
    std::fs::rename(&log, httpd.root().join("logs/mod_jk.log.1")).unwrap();
    httpd.graceful();
    get(&httpd, "/");
    assert!(await_text(&httpd, "logs/mod_jk.log", "initialized").lines().count() > 0);
}

#[test]
fn request_log_has_all_its_facts() {
    let a = Backend::named("hello");
    let workers = format!("worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers=a\n{}", a.worker("a"));
    let format = "REQ|%r|%U|%s|%b|%B|%V|%v|%p|%H|%m|%q|%w|%R|%T|a\\tb|";
    let config =
        format!("JkMount /* lb\nJkRequestLogFormat \"{format}\"\nServerName www.test:8088\nJkLogStampFormat \"S \"\n");
    let httpd = Httpd::builder().workers(&workers).config(&config).start();
    ask(&httpd, &Request::new("GET", "/a;x/b?c=d").header("Host", "h.test:99"));
    let line = httpd.await_jk_log("REQ|");
    let fields: Vec<&str> = line.split('|').collect();
    assert_eq!(
        fields[..14],
        [
            "S REQ",
            "GET /a;x/b?c=d HTTP/1.1",
            "/a/b",
            "200",
            "5",
            "5",
            "h.test",
            "www.test",
            "8088",
            "HTTP/1.1",
            "GET",
            "?c=d",
            "lb",
            "a"
        ]
    );
    let (seconds, micros) = fields[14].split_once('.').unwrap();
    assert!(seconds.parse::<u32>().is_ok() && micros.len() == 6, "{line}");
    assert_eq!(fields[15], "a\tb");
}

#[test]
fn request_log_writes_failures_and_dashes_and_leaves_httpds_own_requests_out() {
    let backend = Backend::start(|call| call.answer(200, &[], ""));
    let workers = format!(
        "worker.list=w,down\n{}worker.down.host=127.0.0.1\nworker.down.port={}\n",
        backend.worker("w"),
        Tomcat::closed_port()
    );
    let config = "JkMount /w w\nJkMount /down down\nJkLogLevel emerg\nJkRequestLogFormat \"REQ %U %s %b %B %R\"\n";
    let httpd = Httpd::builder().workers(&workers).config(config).file("htdocs/f.txt", "f").start();
    assert_eq!((status(&httpd, "/f.txt"), status(&httpd, "/w"), status(&httpd, "/down")), (200, 200, 503));
    assert!(httpd.await_jk_log("REQ /w ").ends_with("REQ /w 200 0 0 -"));
    assert!(httpd.await_jk_log("REQ /down ").contains("REQ /down 503 "));
    assert!(!httpd.jk_log().contains("f.txt"));
}

#[test]
fn notes_are_there_for_mod_log_config() {
    let (a, b) = (Backend::named("a"), Backend::named("b"));
    let down = Tomcat::closed_port();
    let workers = format!(
        "worker.list=lb,a\nworker.lb.type=lb\nworker.lb.balance_workers=down,b\n{}{}worker.down.host=127.0.0.1\nworker.down.port={down}\n",
        a.worker("a"),
        b.worker("b")
    );
    let note = |name: &str| format!("%{{JK_{name}}}n");
    let lb = ["NAME", "VALUE", "ACCESSED", "SESSIONS", "READ", "TRANSFERRED", "ERRORS", "BUSY", "ACTIVATION", "STATE"];
    let mut format: Vec<String> = ["WORKER_NAME", "WORKER_TYPE", "WORKER_ROUTE", "REQUEST_DURATION"].map(note).to_vec();
    for which in ["FIRST", "LAST"] {
        format.extend(lb.map(|name| note(&format!("LB_{which}_{name}"))));
    }
    let config = format!(
        "JkMount /lb lb\nJkMount /a a\nLogFormat \"NOTES|%U|{}|\" notes\nCustomLog logs/notes.log notes\n",
        format.join("|")
    );
    let httpd = Httpd::builder().workers(&workers).config(&config).start();
    assert_eq!(ask(&httpd, &Request::new("GET", "/lb").header("Cookie", "JSESSIONID=x.down")).text(), "b");
    assert_eq!(get(&httpd, "/a").text(), "a");
    let fields = |uri: &str| -> Vec<String> {
        let text = await_text(&httpd, "logs/notes.log", &format!("NOTES|{uri}|"));
        let line = text.lines().find(|line| line.contains(&format!("|{uri}|"))).unwrap();
        line.split('|').skip(2).map(str::to_owned).collect()
    };
    let plain = fields("/a");
    assert_eq!(plain[..3], ["a", "ajp13", "-"]);
    assert!(plain[4..24].iter().all(|field| field == "-"), "{plain:?}");
    let balanced = fields("/lb");
    assert_eq!(balanced[..3], ["lb", "lb", "b"]);
    assert!(balanced[3].split_once('.').is_some_and(|(_, micros)| micros.len() == 6), "{balanced:?}");
    let (first, last) = (&balanced[4..14], &balanced[14..24]);
    assert_eq!((first[0].as_str(), first[8].as_str()), ("down", "ACT"));
    assert_eq!((last[0].as_str(), last[8].as_str(), last[9].as_str()), ("b", "ACT", "OK"));
    assert!(first[1..8].iter().chain(&last[1..8]).all(|field| field.parse::<u64>().is_ok()), "{balanced:?}");
}

#[test]
fn request_id_comes_from_the_named_variable_or_unique_id() {
    let backend = Backend::echo();
    let config = "JkLogLevel debug\nJkRequestIdIndicator MY_ID\nSetEnvIf X-Mine (.+) MY_ID=$1\nSetEnvIf X-Unique (.+) UNIQUE_ID=$1\n";
    let httpd = backend.httpd().config(config).start();
    ask(&httpd, &Request::new("GET", "/").header("X-Mine", "mine").header("X-Unique", "other"));
    ask(&httpd, &Request::new("GET", "/").header("X-Unique", "unique"));
    httpd.await_jk_log("[mine]");
    httpd.await_jk_log("[unique]");
    assert!(!httpd.jk_log().contains("[other]"));
}

#[test]
fn mod_unique_id_names_the_requests() {
    let backend = Backend::echo();
    let httpd = backend.httpd().load("mod_unique_id").config("JkLogLevel debug\nJkEnvVar UNIQUE_ID\n").start();
    get(&httpd, "/");
    let id = backend.last().attribute("UNIQUE_ID").expect("mod_unique_id's variable");
    httpd.await_jk_log(&format!("[{id}]"));
}

#[test]
fn bytes_of_strangers_stay_on_one_line() {
    let backend = Backend::echo();
    let httpd = backend.httpd().config("JkLogLevel debug\n").start();
    status(&httpd, "/..;/%0A[fake]%1b");
    let line = httpd.await_jk_log("fake");
    assert!(Line::parse(&line).is_some() && !line.contains('\x1b'), "{line}");
}

//! Runs the cases of a group against one module: httpd, containers, client, logs. The result of a case is lines of text.
//!
//! Not here: the comparison (`table.rs`). The surprising thing: whether a connection was kept is found out with one more request,
//! for `/oracle-probe` and without Host, which httpd itself refuses before any module sees it.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::http_client::{Client, Response};
use crate::support::httpd::Httpd;
use crate::support::wait;

use super::case::{Case, Group, WORKERS};
use super::peer::{AS_TEXT, CHECKSUM, CONNECTION, Peer, checksum};

/// How httpd's own pages begin.
const PAGE: &[u8] = b"<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\"";
const PROBE: &[u8] = b"GET /oracle-probe HTTP/1.1\r\nConnection: close\r\n\r\n";
/// Only a failing case ever waits that long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Notes and other facts that mod_log_config can see, in one line of `logs/oracle.log`.
const LOG: &str = "LogFormat \"%X %>s %B \\\"%r\\\" uri=%U query=%q file=%f user=%u worker=%{JK_WORKER_NAME}n \
    type=%{JK_WORKER_TYPE}n route=%{JK_WORKER_ROUTE}n took=%{JK_REQUEST_DURATION}n \
    first=%{JK_LB_FIRST_NAME}n,%{JK_LB_FIRST_VALUE}n,%{JK_LB_FIRST_ACCESSED}n,%{JK_LB_FIRST_SESSIONS}n,\
%{JK_LB_FIRST_READ}n,%{JK_LB_FIRST_TRANSFERRED}n,%{JK_LB_FIRST_ERRORS}n,%{JK_LB_FIRST_BUSY}n,\
%{JK_LB_FIRST_ACTIVATION}n,%{JK_LB_FIRST_STATE}n \
    last=%{JK_LB_LAST_NAME}n,%{JK_LB_LAST_VALUE}n,%{JK_LB_LAST_ACCESSED}n,%{JK_LB_LAST_SESSIONS}n,\
%{JK_LB_LAST_READ}n,%{JK_LB_LAST_TRANSFERRED}n,%{JK_LB_LAST_ERRORS}n,%{JK_LB_LAST_BUSY}n,\
%{JK_LB_LAST_ACTIVATION}n,%{JK_LB_LAST_STATE}n\" oracle\nCustomLog logs/oracle.log oracle\n";

/// Lines of the module's log that begin so are request-log lines (groups that want them set stamp and format like this).
pub(crate) const REQUEST_LOG: &str = "T r ";

/// What each case of `group` comes to with the module at `module`.
pub(crate) fn run(group: &Group, module: &Path) -> Vec<Vec<String>> {
    let peer = Peer::start();
    let mut builder = Httpd::builder()
        .children(1)
        .threads(8)
        .module_path(module)
        .allow_error_log("")
        .workers(&peer.fill(&[WORKERS, group.workers].concat()))
        .config(&peer.fill(&group.config))
        .config(LOG);
    for (name, text) in &group.files {
        builder = builder.file(name, peer.fill(text));
    }
    for name in group.modules {
        builder = builder.load(name);
    }
    let httpd = builder.start();
    let side = Side { httpd, peer, connections: group.connections, counters: group.counters };
    let mut results: Vec<_> = group.cases.iter().map(|case| side.case(case)).collect();
    let crashes: Vec<_> =
        side.httpd.error_log().lines().filter(|line| line.contains("exit signal")).map(str::to_owned).collect();
    if let Some(last) = results.last_mut() {
        last.extend(crashes.iter().map(|line| format!("crash {line}")));
    }
    results
}

struct Side {
    connections: bool,
    counters: bool,
    httpd: Httpd,
    peer: Peer,
}

impl Side {
    fn case(&self, case: &Case) -> Vec<String> {
        self.peer.prepare(case.answers.clone());
        let logged = (self.log_lines().len(), self.request_log_lines().len());
        let mut client = Client::connect(self.httpd.address()).unwrap();
        let port = client.local_addr().unwrap().port();
        let bytes: Vec<u8> = case.requests.iter().flat_map(|request| request.encode()).collect();
        let _ = client.send_bytes(&bytes);
        if case.half_close {
            let _ = client.close_sending();
        }
        let (mut lines, mut answered) = (Vec::new(), 0);
        for (number, request) in (1..).zip(&case.requests) {
            let response = client.response(&request.method).and_then(|response| response.finish());
            let ended = response.is_err();
            answered += usize::from(!ended);
            lines.extend(described(response).into_iter().map(|line| format!("reply{number} {line}")));
            if ended {
                break;
            }
        }
        lines.push(format!("kept {}", is_kept(&mut client, case.half_close)));
        drop(client);
        lines.extend(self.logs(logged, answered.max(1)));
        let deliveries = self.peer.take();
        lines.push(format!("deliveries {}", deliveries.len()));
        for (number, delivery) in (1..).zip(deliveries) {
            let told = delivery.into_iter().filter(|line| self.connections || !line.starts_with(CONNECTION));
            lines.extend(told.map(|line| {
                format!("ajp{number} {}", if self.connections { line } else { line.replace(AS_TEXT, "") })
            }));
        }
        lines.into_iter().map(|line| self.masked(&line, port)).collect()
    }

    fn log_lines(&self) -> Vec<String> {
        let text = std::fs::read(self.httpd.root().join("logs/oracle.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().filter(|line| !line.contains("/oracle-probe")).map(str::to_owned).collect()
    }

    fn request_log_lines(&self) -> Vec<String> {
        self.httpd.jk_log().lines().filter(|line| line.starts_with(REQUEST_LOG)).map(str::to_owned).collect()
    }

    /// httpd writes the access log when the response is out: one line for each response is waited for.
    fn logs(&self, (access, requests): (usize, usize), expected: usize) -> Vec<String> {
        let start = Instant::now();
        let lines = wait::until_some(PATIENCE * 2, "the access log", || {
            let lines = self.log_lines().split_off(access);
            (lines.len() >= expected || start.elapsed() > PATIENCE).then_some(lines)
        });
        let request_log = self.request_log_lines().split_off(requests);
        lines
            .iter()
            .map(|line| format!("log {}", without_duration(line, "took=")))
            .chain(request_log.iter().map(|line| format!("request-log {}", without_duration(line, "took="))))
            .collect()
    }

    /// Without what differs from run to run: ports, the ServerRoot, times of files that httpd serves itself.
    fn masked(&self, line: &str, client: u16) -> String {
        let counters = if self.counters { None } else { line.find(" first=").filter(|_| line.starts_with("log ")) };
        let line = counters.map_or(line, |at| &line[..at]);
        if line.contains(CHECKSUM) {
            return line.to_owned();
        }
        if let Some(at) = line.find("Last-Modified: ").filter(|_| !line.contains(" 19")).or(line.find("ETag: W/")) {
            return format!("{}(of a file)", &line[..at]);
        }
        line.replace(&self.httpd.root().display().to_string(), "{ROOT}")
            .replace(&self.httpd.address().port().to_string(), "{PORT}")
            .replace(&client.to_string(), "{CLIENT}")
    }
}

fn is_kept(client: &mut Client, half_closed: bool) -> String {
    if half_closed {
        return "not asked".to_owned();
    }
    let surplus = client.unread().escape_ascii().to_string();
    if !surplus.is_empty() {
        return format!("unknown, surplus bytes: {surplus}");
    }
    let probed = client.send_bytes(PROBE).and_then(|()| client.response("GET").map(|response| response.head.status));
    match probed {
        Ok(400) => "yes".to_owned(),
        Ok(status) => format!("unknown, the probe got {status}"),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => "unknown, the probe got garbage".to_owned(),
        Err(_) => "no".to_owned(),
    }
}

fn described(response: io::Result<Response>) -> Vec<String> {
    let response = match response {
        Ok(response) => response,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return vec![format!("unreadable: {error}")],
        Err(_) => return vec!["none: the connection ended".to_owned()],
    };
    let head = &response.head;
    let mut lines: Vec<_> = response.interim.iter().map(|status| format!("interim {status}")).collect();
    lines.push(format!("line {} {} {}", head.version, head.status, head.reason));
    for (name, value) in &head.headers {
        let own = ["Date", "Server"].contains(&name.as_str());
        lines.push(format!("header {name}: {}", if own { "(httpd's)" } else { value }));
    }
    let body = &response.body;
    let shown = match body.len() {
        _ if body.starts_with(PAGE) => format!("(httpd's page) {}", title(body)),
        0..=600 => body.escape_ascii().to_string(),
        _ => format!("{CHECKSUM}{:x}", checksum(body)),
    };
    lines.push(format!("body {} bytes: {shown}", body.len()));
    lines.extend(response.trailers.iter().map(|(name, value)| format!("trailer {name}: {value}")));
    lines.push(format!("end {:?}", response.end));
    lines
}

fn title(page: &[u8]) -> String {
    let text = String::from_utf8_lossy(page);
    let paragraphs = text.split("<h1>").nth(1).unwrap_or_default();
    paragraphs.split("\n</body>").next().unwrap_or_default().escape_debug().to_string()
}

/// Replaces the number after `mark`, so that absence still shows.
fn without_duration(line: &str, mark: &str) -> String {
    let Some(at) = line.find(mark).map(|at| at + mark.len()) else { return line.to_owned() };
    let (before, after) = line.split_at(at);
    let digits = after.bytes().take_while(|byte| byte.is_ascii_digit()).count();
    let fraction =
        after[digits..].strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    if digits == 0 || fraction != 6 {
        return line.to_owned();
    }
    format!("{before}#{}", &after[digits + 7..])
}

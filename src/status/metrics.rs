//! The view as metrics: Prometheus text, or OpenMetrics for those who ask for it (`mime=prom`).
//!
//! Not here: rates and means, which the reader works out. The surprising thing: the two syntaxes differ in the name that announces a
//! counter (with `_total` in the one, without in the other), so a scrape gets the one that its Accept header names.

use std::fmt::Write as _;
use std::time::Duration;

use super::Ask;
use super::view::{Ajp, Balancer, Member, Times, View};
use crate::log::Shown;
use crate::shm::{BUCKETS, Failing, Histogram};

/// Which of the two syntaxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Prometheus,
    OpenMetrics,
}

impl Syntax {
    /// What an Accept header asks for.
    pub(super) fn accepted(accept: Option<&[u8]>) -> Self {
        let accept = accept.unwrap_or_default();
        if memchr::memmem::find(accept, b"application/openmetrics-text").is_some() {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

/// Buckets that are printed: every second one, from 64 microseconds to 67 seconds, because each costs a line per worker and scrape.
const STEP: usize = 2;

/// The metrics of all workers of the view.
pub(super) fn render(view: &View, syntax: Syntax, ask: &Ask<'_>) -> String {
    let members = view.balancers.iter().map(|balancer| balancer.members.len()).sum::<usize>();
    let mut out = Out { text: String::with_capacity(members * 5_000 + 8_192), syntax, bounds: bounds() };
    out.family("jk_build_info", Kind::Gauge, "", "Versions; always 1.");
    let (version, web_server) = (escaped(ask.jk_version), escaped(&Shown(ask.web_server).to_string()));
    let _ = writeln!(out.text, "jk_build_info{{version=\"{version}\",web_server=\"{web_server}\"}} 1");
    out.balancers(&view.balancers);
    out.members(&view.balancers);
    out.workers(&distinct(view));
    if syntax == Syntax::OpenMetrics {
        out.text.push_str("# EOF\n");
    }
    out.text
}

/// Each AJP worker once: members of several balancers share their counters.
fn distinct(view: &View) -> Vec<(String, &Ajp)> {
    let members = view.balancers.iter().flat_map(|balancer| &balancer.members).map(|member| &member.ajp);
    let mut seen = std::collections::HashSet::new();
    let once = members.chain(&view.workers).filter(|ajp| seen.insert(ajp.name.as_str()));
    once.map(|ajp| (format!("worker=\"{}\"", escaped(&ajp.name)), ajp)).collect()
}

/// Number of a member.
type OfMember = fn(&Member) -> i128;
/// Number of an AJP worker.
type OfWorker = fn(&Ajp) -> i128;

/// Families of members: name, kind, help, number.
const OF_MEMBERS: [(&str, Kind, &str, OfMember); 12] = [
    ("jk_member_usable", Kind::Gauge, "1 when new work may go to the member.", |member| i128::from(member.is_usable())),
    ("jk_member_state", Kind::Gauge, "0 idle, 1 ok, 2 recovering, 3 forced, 4 busy, 5 error, 6 probing.", |member| {
        member.state.code().into()
    }),
    ("jk_member_state_timestamp_seconds", Kind::Gauge, "Since when the state is what it is.", |member| {
        member.state_since.0.into()
    }),
    ("jk_member_activation", Kind::Gauge, "0 active, 1 disabled, 2 stopped.", |member| {
        member.settings.activation.code().into()
    }),
    ("jk_member_draining", Kind::Gauge, "1 while the member is emptied by cmd=drain.", |member| {
        i128::from(member.drain.is_some())
    }),
    ("jk_member_drain_sessions", Kind::Gauge, "Sessions seen since the drain began, about.", |member| {
        member.drain.map_or(0, |drain| drain.sessions).into()
    }),
    ("jk_member_sessions_total", Kind::Counter, "Elections for requests without a session.", |member| {
        member.sessions.into()
    }),
    ("jk_member_errors_total", Kind::Counter, "Failures counted against the member.", |member| member.errors.into()),
    ("jk_member_value", Kind::Gauge, "Accumulated load; the least one is elected.", |member| member.value.into()),
    ("jk_member_lbfactor", Kind::Gauge, "Share of the load.", |member| member.settings.lb_factor.into()),
    ("jk_member_distance", Kind::Gauge, "Smaller is preferred.", |member| member.settings.distance.into()),
    ("jk_member_error_timestamp_seconds", Kind::Gauge, "First of consecutive errors; 0 = none.", |member| {
        member.first_error.into()
    }),
];

/// Families of AJP workers: name, kind, unit, help, number.
const OF_WORKERS: [(&str, Kind, &str, &str, OfWorker); 14] = [
    ("jk_worker_requests_total", Kind::Counter, "", "Requests given to the worker.", |ajp| ajp.used.into()),
    ("jk_worker_errors_total", Kind::Counter, "", "Requests that failed because of the worker.", |ajp| {
        ajp.errors.into()
    }),
    ("jk_worker_client_errors_total", Kind::Counter, "", "Requests that failed because of their client.", |ajp| {
        ajp.client_errors.into()
    }),
    ("jk_worker_reply_timeouts", Kind::Gauge, "", "Replies that came too late; halves with each maintenance.", |ajp| {
        ajp.reply_timeouts.into()
    }),
    ("jk_worker_sent_bytes_total", Kind::Counter, "bytes", "Bytes sent to the worker.", |ajp| ajp.transferred.into()),
    ("jk_worker_received_bytes_total", Kind::Counter, "bytes", "Bytes received from the worker.", |ajp| {
        ajp.read.into()
    }),
    ("jk_worker_busy", Kind::Gauge, "", "Requests in progress.", |ajp| ajp.busy.into()),
    ("jk_worker_busy_max", Kind::Gauge, "", "Most requests in progress at a time since the last reset.", |ajp| {
        ajp.max_busy.into()
    }),
    ("jk_worker_connections", Kind::Gauge, "", "Open connections of all children.", |ajp| ajp.connected.into()),
    ("jk_worker_connections_max", Kind::Gauge, "", "Most connections at a time since the last reset.", |ajp| {
        ajp.max_connected.into()
    }),
    ("jk_worker_connections_idle", Kind::Gauge, "", "Open connections without a request.", |ajp| ajp.idle().into()),
    ("jk_worker_pool_size", Kind::Gauge, "", "Connections that each child may have.", |ajp| ajp.pool_size.into()),
    (
        "jk_worker_retries_total",
        Kind::Counter,
        "",
        "Attempts made again, here or on another member, because one on this worker failed.",
        |ajp| ajp.retries.into(),
    ),
    ("jk_worker_reset_timestamp_seconds", Kind::Gauge, "seconds", "When the counters began.", |ajp| {
        ajp.last_reset.into()
    }),
];

struct Out {
    text: String,
    syntax: Syntax,
    bounds: [Option<String>; BUCKETS],
}

impl Out {
    /// Announces a family of metrics. `name` is the one of the samples, of a counter with `_total`.
    fn family(&mut self, name: &str, kind: Kind, unit: &str, help: &str) {
        let family = match (kind, self.syntax) {
            (Kind::Counter, Syntax::OpenMetrics) => name.trim_end_matches("_total"),
            _ => name,
        };
        let word = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(self.text, "# TYPE {family} {word}");
        if self.syntax == Syntax::OpenMetrics && !unit.is_empty() {
            let _ = writeln!(self.text, "# UNIT {family} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {family} {help}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Into<i128>) {
        self.text.push_str(name);
        self.text.push('{');
        self.text.push_str(labels);
        self.text.push_str("} ");
        push_number(&mut self.text, value.into());
        self.text.push('\n');
    }

    fn balancers(&mut self, balancers: &[Balancer]) {
        let labels: Vec<_> = balancers.iter().map(|lb| (format!("lb=\"{}\"", escaped(&lb.name)), lb)).collect();
        self.family("jk_lb_members", Kind::Gauge, "", "Members by rating.");
        for (label, lb) in &labels {
            for (rating, count) in ["good", "degraded", "bad"].into_iter().zip(lb.rated) {
                self.sample("jk_lb_members", &format!("{label},rating=\"{rating}\""), i128_of(count));
            }
        }
        self.family("jk_lb_busy", Kind::Gauge, "", "Requests in progress.");
        labels.iter().for_each(|(label, lb)| self.sample("jk_lb_busy", label, lb.busy));
        self.family("jk_lb_busy_max", Kind::Gauge, "", "Most requests in progress at a time since the last reset.");
        labels.iter().for_each(|(label, lb)| self.sample("jk_lb_busy_max", label, lb.max_busy));
    }

    fn members(&mut self, balancers: &[Balancer]) {
        let mut labels = Vec::new();
        for lb in balancers {
            let name = escaped(&lb.name);
            labels.extend(
                lb.members
                    .iter()
                    .map(|member| (format!("lb=\"{name}\",worker=\"{}\"", escaped(&member.ajp.name)), member)),
            );
        }
        for (name, kind, help, number) in OF_MEMBERS {
            self.family(name, kind, if name.ends_with("_seconds") { "seconds" } else { "" }, help);
            labels.iter().for_each(|(label, member)| self.sample(name, label, number(member)));
        }
    }

    fn workers(&mut self, workers: &[(String, &Ajp)]) {
        for (name, kind, unit, help, number) in OF_WORKERS {
            self.family(name, kind, unit, help);
            workers.iter().for_each(|(label, ajp)| self.sample(name, label, number(ajp)));
        }
        let name = "jk_worker_attempt_failures_total";
        self.family(
            name,
            Kind::Counter,
            "",
            "Attempts that failed, by cause; those that were made again count as well.",
        );
        for (label, ajp) in workers {
            for (failing, count) in Failing::ALL.into_iter().zip(ajp.failures).filter(|(_, count)| *count > 0) {
                self.sample(name, &format!("{label},cause=\"{}\"", failing.word()), count);
            }
        }
        let name = "jk_worker_response_seconds";
        self.family(name, Kind::Histogram, "seconds", "From the first byte sent to the end of the response.");
        workers.iter().for_each(|(label, ajp)| self.histogram(name, label, &ajp.response));
        let name = "jk_worker_first_byte_seconds";
        self.family(name, Kind::Histogram, "seconds", "From the first byte sent to the first byte received.");
        workers.iter().for_each(|(label, ajp)| self.histogram(name, label, &ajp.first_byte));
    }

    fn histogram(&mut self, name: &str, labels: &str, times: &Times) {
        let mut count = 0_u64;
        for (bucket, bound) in times.counts.iter().zip(&self.bounds) {
            count = count.saturating_add(*bucket);
            let Some(bound) = bound else { continue };
            self.text.push_str(name);
            self.text.push_str("_bucket{");
            self.text.push_str(labels);
            self.text.push_str(bound);
            push_number(&mut self.text, count.into());
            self.text.push('\n');
        }
        for (suffix, is_sum) in [("_sum{", true), ("_count{", false)] {
            self.text.push_str(name);
            self.text.push_str(suffix);
            self.text.push_str(labels);
            self.text.push_str("} ");
            if is_sum {
                push_seconds(&mut self.text, times.sum_us);
            } else {
                push_number(&mut self.text, count.into());
            }
            self.text.push('\n');
        }
    }
}

/// The last label of each bucket that is printed, and what follows it.
fn bounds() -> [Option<String>; BUCKETS] {
    std::array::from_fn(|index| match Histogram::bound_us(index) {
        Some(bound) if index % STEP == 0 => {
            let mut text = ",le=\"".to_owned();
            push_seconds(&mut text, bound);
            text.push_str("\"} ");
            Some(text)
        }
        Some(_) => None,
        None => Some(",le=\"+Inf\"} ".to_owned()),
    })
}

fn i128_of(count: usize) -> i128 {
    i128::try_from(count).unwrap_or(i128::MAX)
}

/// Without the formatting machinery, which a scrape of a thousand workers would feel.
fn push_number(out: &mut String, number: i128) {
    match i64::try_from(number) {
        Ok(number) => out.push_str(itoa::Buffer::new().format(number)),
        Err(_) => {
            let _ = write!(out, "{number}");
        }
    }
}

/// Microseconds as decimal seconds.
fn push_seconds(out: &mut String, us: u64) {
    let time = Duration::from_micros(us);
    push_number(out, time.as_secs().into());
    let mut rest = time.subsec_micros();
    out.push('.');
    for unit in [100_000, 10_000, 1_000, 100, 10, 1] {
        out.push(char::from_digit(rest / unit % 10, 10).unwrap_or('0'));
        rest %= unit;
        if rest == 0 {
            break;
        }
    }
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_decimal_and_short() {
        let seconds = |us| {
            let mut out = String::new();
            push_seconds(&mut out, us);
            out
        };
        assert_eq!(seconds(64), "0.000064");
        assert_eq!(seconds(1_024), "0.001024");
        assert_eq!(seconds(2_000_000), "2.0");
        assert_eq!(seconds(67_108_864), "67.108864");
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        assert_eq!(Syntax::accepted(None), Syntax::Prometheus);
        assert_eq!(Syntax::accepted(Some(b"text/html,*/*")), Syntax::Prometheus);
        let prometheus = b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
        assert_eq!(Syntax::accepted(Some(prometheus)), Syntax::OpenMetrics);
    }
}

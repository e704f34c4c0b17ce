//! The prober: CPings to members of balancers and to idle connections, all at the same time, by the watchdog's one thread.
//!
//! Not here: what an answer means for a balancer (`lb`), when idle connections are due (`ajp`). The surprising thing: it never waits for a
//! peer. It opens connections and asks, and is woken by whoever answers first, so that a hung member delays nobody, and the end of the
//! child ends it at once.
//!
//! ```text
//!  due and claimed --> connecting --> asked --> answer      the claim is in shared memory: of all children one probes a
//!                          |             +----> silence     worker per interval, and if it dies, another one the next time
//!                          +------------------> no connection
//! ```

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ajp::AjpWorker;
use super::clock::Moment;
use super::connection::Connection;
use super::error::ReceiveError;
use super::lb::LbWorker;
use super::pool::Checkup;
use super::socket::{Alarm, Awaited, Connecting, is_own_shortage};
use super::{Log, say};
use crate::shm::Found;

/// Most peers that are asked at the same time; others wait for the next look. Bounds descriptors.
const MAX_EXAMS: usize = 256;

/// The prober of one child.
#[derive(Debug)]
pub struct Prober {
    patients: Vec<Patient>,
    exams: Vec<Exam>,
    /// Who is asked first at the next look: whoever had to wait at the last one, so that silent peers cannot keep the others waiting.
    first: usize,
}

/// An AJP worker that is a member of at least one balancer.
#[derive(Debug)]
struct Patient {
    worker: Arc<AjpWorker>,
    /// The balancers it is a member of, and which member.
    of: Vec<(Arc<LbWorker>, usize)>,
    /// An exam is under way in this child.
    is_asked: bool,
}

/// One question under way.
#[derive(Debug)]
struct Exam {
    stage: Stage,
    deadline: Instant,
    limit: Duration,
}

#[derive(Debug)]
enum Stage {
    /// Of the patient with this index.
    Connecting(usize, Connecting),
    Asked(usize, Connection),
    /// An idle connection of a pool.
    Idle(Arc<AjpWorker>, Checkup),
}

/// What became of a question.
enum Finding {
    Patient(usize, Found, String),
    /// Nothing can be said.
    Unknown(usize, String),
    Idle(Arc<AjpWorker>, Checkup, Result<(), ReceiveError>),
}

impl Prober {
    /// For the members of `balancers`.
    pub fn new<'a>(balancers: impl Iterator<Item = &'a Arc<LbWorker>>) -> Self {
        let mut patients: Vec<Patient> = Vec::new();
        let mut known = std::collections::HashMap::new();
        for balancer in balancers {
            for (index, worker) in balancer.workers().enumerate() {
                let at = *known.entry(Arc::as_ptr(worker)).or_insert(patients.len());
                if at == patients.len() {
                    patients.push(Patient { worker: Arc::clone(worker), of: Vec::new(), is_asked: false });
                }
                if let Some(patient) = patients.get_mut(at) {
                    patient.of.push((Arc::clone(balancer), index));
                }
            }
        }
        Self { patients, exams: Vec::new(), first: 0 }
    }

    /// Begins the probes that are due and that no other child has begun.
    pub fn begin_due(&mut self, now_s: u64, log: Log<'_>) {
        let first = self.first;
        for at in (first..self.patients.len()).chain(0..first) {
            if self.exams.len() >= MAX_EXAMS {
                self.first = at;
                break;
            }
            let Some(patient) = self.patients.get_mut(at) else { break };
            let wishes = patient.of.iter().filter_map(|(balancer, index)| balancer.wish(*index));
            let shortest = wishes.reduce(|a, b| super::lb::Wish {
                interval_s: a.interval_s.min(b.interval_s),
                timeout_ms: a.timeout_ms.min(b.timeout_ms),
            });
            let Some(wish) = shortest.filter(|_| !patient.is_asked) else { continue };
            // The next one not before this one has had its time.
            let interval_s = wish.interval_s.max(wish.timeout_ms.div_ceil(1_000));
            if !patient.worker.shared().claim_probe(now_s, interval_s) {
                continue;
            }
            let limit = Duration::from_millis(wish.timeout_ms);
            let now = Instant::now();
            match patient.worker.begin_probe(now, now + limit) {
                Ok(connecting) => {
                    patient.is_asked = true;
                    self.exams.push(Exam { stage: Stage::Connecting(at, connecting), deadline: now + limit, limit });
                }
                Err(cause) => self.conclude(Finding::Patient(at, Found::NoConnection, cause.to_string()), log),
            }
        }
        self.advance(log);
    }

    /// Begins the CPings of idle connections that `worker` wants now.
    pub fn begin_checkups(&mut self, worker: &Arc<AjpWorker>, log: Log<'_>) {
        let (now, limit) = (Moment::now(), worker.ping_timeout());
        let deadline = Instant::now() + limit;
        while self.exams.len() < MAX_EXAMS
            && let Some(mut checkup) = worker.take_for_checkup(now)
        {
            match checkup.connection.begin_cping(Duration::ZERO) {
                Ok(()) => {
                    let stage = Stage::Idle(Arc::clone(worker), checkup);
                    self.exams.push(Exam { stage, deadline, limit });
                }
                Err(cause) => worker.end_checkup(checkup, Err(cause), now, log),
            }
        }
    }

    /// Waits until somebody answers, the alarm rings, or `deadline` comes.
    pub fn wait(&self, alarm: &Alarm, deadline: Instant) {
        let deadline = self.exams.iter().map(Exam::wakes_at).fold(deadline, Instant::min);
        alarm.wait_with(self.exams.iter().filter_map(Exam::awaited), deadline);
    }

    /// Takes in the answers that are there, and gives up who had his time.
    pub fn advance(&mut self, log: Log<'_>) {
        let now = Instant::now();
        for exam in std::mem::take(&mut self.exams) {
            match exam.advance(now, &self.patients) {
                Continue(exam) => self.exams.push(exam),
                Break(finding) => self.conclude(finding, log),
            }
        }
    }

    fn conclude(&mut self, finding: Finding, log: Log<'_>) {
        match finding {
            Finding::Idle(worker, checkup, outcome) => worker.end_checkup(checkup, outcome, Moment::now(), log),
            Finding::Unknown(at, cause) => {
                let Some(patient) = self.patients.get_mut(at) else { return };
                patient.is_asked = false;
                say!(log, Warn, "({}) cannot be probed: {cause}", patient.worker.name());
            }
            Finding::Patient(at, found, cause) => {
                let Some(patient) = self.patients.get_mut(at) else { return };
                patient.is_asked = false;
                let (shared, name) = (patient.worker.shared(), patient.worker.name());
                shared.record_probe(found);
                if found == Found::Answer {
                    shared.note_cpong();
                    say!(log, Debug, "({name}) answered a probe");
                } else {
                    say!(log, Debug, "({name}) failed a probe: {cause}");
                }
                let is_down = patient.of.iter().any(|(balancer, index)| balancer.finds_down(*index));
                for (balancer, index) in &patient.of {
                    balancer.probed(*index, is_down, &cause, log);
                }
            }
        }
    }
}

impl Exam {
    fn wakes_at(&self) -> Instant {
        match &self.stage {
            Stage::Connecting(_, connecting) => connecting.deadline().min(self.deadline),
            Stage::Asked(..) | Stage::Idle(..) => self.deadline,
        }
    }

    fn awaited(&self) -> Option<Awaited<'_>> {
        match &self.stage {
            Stage::Connecting(_, connecting) => connecting.awaited(),
            Stage::Asked(_, connection) => Some(connection.awaited()),
            Stage::Idle(_, checkup) => Some(checkup.connection.awaited()),
        }
    }

    /// As far as possible without waiting: what is left of it, or what was found.
    fn advance(mut self, now: Instant, patients: &[Patient]) -> ControlFlow<Finding, Self> {
        let is_late = now >= self.deadline;
        let late = || ReceiveError::TimedOut { limit_ms: u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX) };
        match self.stage {
            Stage::Connecting(at, mut connecting) => match connecting.advance(now) {
                None if is_late => Break(Finding::Patient(at, Found::NoConnection, "no connection in time".to_owned())),
                None => Continue(Self { stage: Stage::Connecting(at, connecting), ..self }),
                Some(Err(cause)) if is_own_shortage(&cause) => Break(Finding::Unknown(at, cause.to_string())),
                Some(Err(cause)) => Break(Finding::Patient(at, Found::NoConnection, cause.to_string())),
                Some(Ok((stream, target))) => {
                    let Some(patient) = patients.get(at) else {
                        return Break(Finding::Unknown(at, "no such member".to_owned()));
                    };
                    let mut connection = patient.worker.probe_connection(stream, &target);
                    match connection.begin_cping(Duration::ZERO) {
                        Ok(()) => Continue(Self { stage: Stage::Asked(at, connection), ..self }),
                        Err(cause) => Break(Finding::Patient(at, Found::Silence, cause.to_string())),
                    }
                }
            },
            Stage::Asked(at, mut connection) => match connection.poll_cpong() {
                Some(Ok(())) => Break(Finding::Patient(at, Found::Answer, String::new())),
                Some(Err(cause)) => Break(Finding::Patient(at, Found::Silence, cause.to_string())),
                None if is_late => Break(Finding::Patient(at, Found::Silence, late().to_string())),
                None => Continue(Self { stage: Stage::Asked(at, connection), ..self }),
            },
            Stage::Idle(worker, mut checkup) => match checkup.connection.poll_cpong() {
                Some(outcome) => Break(Finding::Idle(worker, checkup, outcome)),
                None if is_late => Break(Finding::Idle(worker, checkup, Err(late()))),
                None => {
                    self.stage = Stage::Idle(worker, checkup);
                    Continue(self)
                }
            },
        }
    }
}

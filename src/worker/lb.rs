//! A load balancer: snapshot of its members, choice, attempt on the chosen one, next choice (reference: lb-shm-status.md section 2.9).
//!
//! Not here: whom to choose (`balancer`), the attempt itself (`ajp.rs`). The surprising thing: a request whose first attempt failed works on
//! its own copy of the members' states; a member that failed this request is in error in the copy, whatever the others think of it. The
//! first choice needs no copy and is made on the slots themselves, which is what keeps it cheap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::Duration;

use smallvec::SmallVec;

use super::ajp::{AjpWorker, Failure, Served};
use super::error::Error;
use super::shared::Shared;
use super::{Downstream, Log, MemberContext, Request, say};
use crate::balancer::session::{self, SessionIds};
use crate::balancer::{self, Activation, Choice, MemberView, Method, NoMember, RouteSent, Selection, State};
use crate::config::{ExtraMethod, LbConfig, LbSettings};
use crate::shm::{Cause, LbSlot, MemberSlot, MemberText, Text};

mod choice;
mod drain;
mod explain;
mod latency;
mod predict;
mod report;
mod settle;
mod upkeep;

use explain::Seldom;
pub use predict::{By, Predicted, Prediction};
pub use report::MemberReport;
pub use upkeep::Wish;

/// Members of one balancer whose views are kept without a heap allocation: 40 bytes each.
const INLINE_MEMBERS: usize = 64;

/// A load balancer in this child.
#[derive(Debug)]
pub struct LbWorker {
    config: LbConfig,
    shared: Arc<Shared>,
    /// Index of the balancer's slot.
    lb: usize,
    members: Vec<Member>,
    /// Where the next walk over the members starts, in this process.
    next_offset: AtomicU32,
    /// When a route that is nobody's was last told of; Unix seconds.
    route_told_s: AtomicU64,
    /// Choices by latency so far in this process; makes the random numbers.
    draws: AtomicU64,
    /// A watchdog probes members in error, so that no user's request has to.
    has_prober: AtomicBool,
    /// That nobody serves, as the prober knows.
    vain: Seldom,
}

/// One member.
#[derive(Debug)]
struct Member {
    /// Index of the member's slot.
    slot: usize,
    worker: Arc<AjpWorker>,
}

/// A rule's activation of a member, by the member's name.
pub type ActivationOf<'a> = Box<dyn Fn(&[u8]) -> Option<Activation> + 'a>;

/// What a request tells its balancer (reference: lb-shm-status.md section 2.6, apache-side.md section 3.6).
#[derive(Default)]
pub struct Balance<'a> {
    /// Environment variable JK_ROUTE; empty = not set.
    pub forced_route: &'a [u8],
    /// Path of the request, decoded, with path parameters.
    pub path: &'a [u8],
    /// Values of the Cookie headers.
    pub cookies: &'a [&'a [u8]],
    /// The session is not looked at.
    pub sticky_ignore: bool,
    /// The request creates no session.
    pub stateless: bool,
    /// Rule's name of the session cookie.
    pub session_cookie: Option<&'a [u8]>,
    /// Rule's name of the path parameter.
    pub session_path: Option<&'a [u8]>,
    /// The rule wants a cookie set.
    pub set_session_cookie: bool,
    /// Rule's PATH of that cookie.
    pub session_cookie_path: Option<&'a [u8]>,
    /// The client speaks TLS.
    pub secure: bool,
    /// The rule's activation of a member, by name.
    pub activation_of: Option<ActivationOf<'a>>,
}

/// What a balancer answers.
#[derive(Debug)]
pub struct Answer<'l> {
    /// The result of the last attempt.
    pub result: Result<Served, Failure>,
    /// The member of the first attempt, after it.
    pub first: Option<MemberReport<'l>>,
    /// The member of the last attempt, at the end.
    pub last: Option<MemberReport<'l>>,
    route: Option<Text>,
}

impl Answer<'_> {
    /// Route that the container was told last.
    pub fn route(&self) -> Option<&[u8]> {
        self.route.as_ref().map(Text::as_bytes).filter(|route| !route.is_empty())
    }
}

type Views = SmallVec<[MemberView; INLINE_MEMBERS]>;

/// The state of one request's way through the balancer.
struct Run<'r> {
    balance: &'r Balance<'r>,
    settings: LbSettings,
    log: Log<'r>,
    /// Copies of the members for this request alone; empty as long as it needs none.
    views: Views,
    sessions: SessionIds<'r>,
    /// Recovery was forced once already.
    forced: bool,
    /// ... of members that the prober knows to be silent, for this request alone.
    in_vain: bool,
    /// Attempts in this round.
    attempt: u32,
    /// Rounds.
    round: u32,
}

impl Run<'_> {
    fn selection(&self) -> Selection<'_> {
        Selection {
            session_ids: self.sessions.bytes(),
            sticky_force: self.settings.sticky_session_force,
            stateless: self.balance.stateless,
        }
    }
}

/// A member that is elected, and what the election added to its counts.
#[derive(Clone, Copy)]
struct Election {
    choice: Choice,
    view: MemberView,
    /// Added to the load for good; under Busyness nothing is.
    step: u64,
    /// Counted as a new session.
    new_session: bool,
}

impl LbWorker {
    /// A balancer over `members`, in the order of their slots.
    pub fn new(config: LbConfig, shared: Arc<Shared>, lb: usize, workers: Vec<Arc<AjpWorker>>) -> Self {
        let slots = shared.region.plan().members_of(lb);
        let members = slots.zip(workers).map(|(slot, worker)| Member { slot, worker }).collect();
        Self {
            config,
            shared,
            lb,
            members,
            next_offset: AtomicU32::new(0),
            route_told_s: AtomicU64::new(0),
            draws: AtomicU64::new(0),
            has_prober: AtomicBool::new(false),
            vain: Seldom::default(),
        }
    }

    /// Name of the balancer.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Its configuration; the settings in it are those of the start.
    pub fn config(&self) -> &LbConfig {
        &self.config
    }

    /// Sends `request` to a member, and to others while that fails and is allowed.
    pub fn service(
        &self,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        balance: &Balance<'_>,
        log: Log<'_>,
    ) -> Answer<'_> {
        let _busy = self.shared.region.enter_lb(self.shared.child(), self.lb);
        let settings = self.settings();
        let sessions = self.sessions(&settings, balance, log);
        let views = Views::new();
        let mut run =
            Run { balance, settings, log, views, sessions, forced: false, in_vain: false, attempt: 0, round: 0 };
        self.look(&mut run);
        self.rounds(&mut run, request, downstream)
    }

    fn rounds(&self, run: &mut Run<'_>, request: &mut Request<'_>, downstream: &mut dyn Downstream) -> Answer<'_> {
        let mut answer = Answer { result: Err(nobody()), first: None, last: None, route: None };
        let mut last_member: Option<(&Member, usize)> = None;
        while self.has_attempt_left(run) {
            let election = match self.elect(run) {
                Ok(election) => election,
                Err(reason) => {
                    if !run.forced && self.force_recovery(run, answer.first.is_some()) {
                        continue;
                    }
                    self.explain_nobody(reason, run);
                    answer.result = Err(nobody());
                    run.attempt = run.attempt.saturating_add(1);
                    last_member = None;
                    continue;
                }
            };
            let index = election.choice.index;
            let Some(member) = self.members.get(index) else { break };
            if let Some((failed, _)) = last_member {
                failed.worker.shared().count_retry();
            }
            let route = self.route(member, election.choice);
            answer.route = Some(route);
            answer.result = self.attempt(run, member, election, &route, request, downstream);
            last_member = Some((member, index));
            let is_first = answer.first.is_none();
            if is_first {
                answer.first = Some(self.report(member, index, run));
            }
            match &answer.result {
                // One silent member was as silent as was said: the user need not wait for the others.
                Err(failure) if run.in_vain && failure.recoverable && !is_refused(&failure.error) => break,
                Err(failure) if failure.recoverable && !downstream.committed() => {
                    run.attempt = run.attempt.saturating_add(1);
                }
                // The first attempt was the last one too: nothing has happened since the look at its member.
                Ok(_) if is_first => {
                    downstream.queue_header(None);
                    answer.last = answer.first;
                    return answer;
                }
                Err(failure) => {
                    self.explain_end(failure, member, run);
                    break;
                }
                Ok(_) => break,
            }
        }
        if let Err(failure) = &answer.result
            && (failure.recoverable || failure.attempts == 0)
        {
            self.explain_failed(&failure.error, run);
        }
        downstream.queue_header(None);
        answer.last = last_member.map(|(member, index)| self.report(member, index, run));
        answer
    }

    /// Starts another round when this one is used up (reference: lb-shm-status.md section 2.9).
    fn has_attempt_left(&self, run: &mut Run<'_>) -> bool {
        let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        if run.attempt < members && run.attempt < self.config.lb_retries.max(1) {
            return true;
        }
        run.round = run.round.saturating_add(1);
        if run.round >= run.settings.retries {
            let (name, attempt, round) = (self.name(), run.attempt, run.round);
            let text = "All tomcat instances failed, no more workers left";
            say!(run.log, Info, "({name}) {text} (attempt={attempt}, retry={round})");
            return false;
        }
        std::thread::sleep(Duration::from_millis(run.settings.retry_interval_ms.into()));
        // An admin may have changed both meanwhile.
        run.settings = self.settings();
        // Members that are tried in vain are so for this request alone: only its copy knows which are left.
        if !run.in_vain {
            self.look(run);
        }
        run.attempt = 0;
        true
    }

    #[inline(never)]
    fn settings(&self) -> LbSettings {
        self.shared.region.lb_settings(self.lb)
    }

    /// Begins to choose among the members as they are now, after the end of drains that are over. Copies of them are made when something in
    /// them is this request's alone, or is not in their slots.
    #[inline(never)]
    fn look(&self, run: &mut Run<'_>) {
        run.views.clear();
        if self.shared.region.lb(self.lb).is_some_and(LbSlot::has_drains) {
            self.end_drains(run.log);
        }
        let extras = &self.config.extras;
        if extras.method.is_some() || extras.slow_start_s > 0 || run.balance.activation_of.is_some() {
            self.copy(run);
        }
    }

    fn slots(&self) -> &[MemberSlot] {
        self.shared.region.members_of(self.lb)
    }

    /// Chooses a member and records it, then says so: the log may be a pipe that blocks, so nothing is written under the shared lock.
    #[inline(never)]
    fn elect(&self, run: &mut Run<'_>) -> Result<Election, NoMember> {
        let election = self.choose_and_record(run)?;
        self.explain_choice(&run.selection(), election.choice, run.log);
        Ok(election)
    }

    #[inline]
    fn choose_and_record(&self, run: &mut Run<'_>) -> Result<Election, NoMember> {
        let _held = match run.settings.lock {
            balancer::Lock::Pessimistic => self.shared.region.lock().ok(),
            balancer::Lock::Optimistic => None,
        };
        if run.attempt > 0 || run.settings.lock == balancer::Lock::Pessimistic {
            self.renew_values(run);
        }
        let choice = self.choose(run)?;
        let selection = run.selection();
        let new_session = selection.session_ids.is_none() && !run.balance.stateless;
        let mut election = Election { choice, view: UNUSABLE, step: 0, new_session };
        if let Some(slot) = self.slot(choice.index) {
            let copy = run.views.get_mut(choice.index);
            let mut view = copy.as_deref().copied().unwrap_or_else(|| slot.view(0));
            if let Some(state) = view.state.elected() {
                if slot.state.change(view.state, state) {
                    slot.note_state(Cause::Tried, self.shared.now_s());
                }
                view.state = state;
            }
            if let Some(copy) = copy {
                *copy = view;
            }
            election.view = view;
            if run.settings.method != Method::Busyness {
                election.step = run.settings.method.value_after_election(0, view.multiplier, new_session);
                slot.value.weigh(election.step);
            }
            if new_session {
                slot.sessions.add(1);
            }
            if view.activation == Activation::Disabled && slot.drain().is_on() {
                slot.drain().see(run.sessions.bytes().unwrap_or_default(), self.shared.now_s());
            }
        }
        Ok(election)
    }

    /// Loads as they are now: others, and this request, have elected members since [`Self::look`]. The states stay those of this request.
    fn renew_values(&self, run: &mut Run<'_>) {
        for (slot, view) in self.slots().iter().zip(&mut run.views) {
            view.value = slot.value.get();
        }
    }

    /// One election: the attempt on the member, and what it means for everybody.
    fn attempt(
        &self,
        run: &mut Run<'_>,
        member: &Member,
        election: Election,
        route: &Text,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
    ) -> Result<Served, Failure> {
        downstream.queue_header(self.session_cookie(run, election.choice, member).as_deref());
        let forced = (!run.balance.forced_route.is_empty()).then_some(run.balance.forced_route);
        let context = MemberContext {
            route: forced.or(Some(route.as_bytes()).filter(|route| !route.is_empty())),
            activation: election.view.activation,
            secret: None,
        };
        // Under Busyness a request is load as long as it runs, however it ends.
        let step = run.settings.method.value_after_election(0, election.view.multiplier, election.new_session);
        let _weight = (run.settings.method == Method::Busyness)
            .then(|| self.shared.region.weigh(self.shared.child(), member.slot, step));
        let shared = member.worker.shared();
        let bytes = || shared.read().saturating_add(shared.transferred());
        let before = if run.settings.method == Method::Traffic { bytes() } else { 0 };
        let result = match self.config.extras.method {
            Some(ExtraMethod::Latency) => self.timed(member, request, downstream, &context, run.log),
            None => member.worker.service(request, downstream, &context, run.log),
        };
        let bytes = if run.settings.method == Method::Traffic { bytes().saturating_sub(before) } else { 0 };
        self.settle(run, member, election, bytes, &result);
        result
    }

    #[inline(never)]
    fn sessions<'r>(&'r self, settings: &LbSettings, balance: &'r Balance<'r>, log: Log<'_>) -> SessionIds<'r> {
        let found = self.session_ids(settings, balance);
        if matches!(found, SessionIds::Empty) {
            say!(log, Info, "({}) Detected empty session identifier.", self.name());
        }
        found
    }

    fn session_ids<'r>(&'r self, settings: &LbSettings, balance: &'r Balance<'r>) -> SessionIds<'r> {
        if !settings.sticky_session || balance.sticky_ignore {
            return SessionIds::Absent;
        }
        let lookup = session::Lookup {
            forced_route: balance.forced_route,
            path: balance.path,
            path_name: balance.session_path.unwrap_or(self.config.session_path.as_bytes()),
            cookie_name: balance.session_cookie.unwrap_or(self.config.session_cookie.as_bytes()),
        };
        session::session_ids(&lookup, balance.cookies.iter().copied())
    }

    /// With the route of the member itself, also where the session was found by a domain (reference: lb-shm-status.md section 2.8): the
    /// cookie is there to lead to this member from now on.
    fn session_cookie(&self, run: &Run<'_>, choice: Choice, member: &Member) -> Option<Vec<u8>> {
        let balance = run.balance;
        if choice.sticky || !(self.config.set_session_cookie || balance.set_session_cookie) {
            return None;
        }
        let name =
            balance.session_cookie.map_or_else(|| self.config.session_cookie.as_str().into(), String::from_utf8_lossy);
        let path = balance
            .session_cookie_path
            .map_or_else(|| self.config.session_cookie_path.as_str().into(), String::from_utf8_lossy);
        let route = self.text(member, MemberText::Route);
        Some(session::session_cookie_header(&name, route.as_bytes(), &path, balance.secure))
    }

    #[inline(never)]
    fn route(&self, member: &Member, choice: Choice) -> Text {
        let which = match choice.route {
            RouteSent::Member => MemberText::Route,
            RouteSent::Domain => MemberText::Domain,
        };
        self.text(member, which)
    }

    fn text(&self, member: &Member, which: MemberText) -> Text {
        self.shared.region.member(member.slot).map(|slot| slot.text(which)).unwrap_or_default()
    }

    fn slot(&self, index: usize) -> Option<&MemberSlot> {
        self.shared.region.member(self.members.get(index)?.slot)
    }
}

/// Whether that cost no time, so that others may be asked the same.
fn is_refused(error: &Error) -> bool {
    match error {
        Error::Connect { cause, .. } => cause.kind() == std::io::ErrorKind::ConnectionRefused,
        Error::ContactDisabled => true,
        _ => false,
    }
}

/// Stands for a slot that is not there, which does not happen.
const UNUSABLE: MemberView = MemberView {
    state: State::Error,
    activation: Activation::Stopped,
    distance: 0,
    multiplier: 1,
    value: 0,
    busy: 0,
    route_hash: 0,
    domain_hash: 0,
};

/// Texts of the members, out of shared memory.
struct Texts<'l>(&'l LbWorker);

impl Texts<'_> {
    fn text(&self, member: usize, which: MemberText) -> Text {
        self.0.slot(member).map(|slot| slot.text(which)).unwrap_or_default()
    }
}

impl balancer::Texts for Texts<'_> {
    type Text<'a>
        = Text
    where
        Self: 'a;

    fn route(&self, member: usize) -> Text {
        self.text(member, MemberText::Route)
    }

    fn domain(&self, member: usize) -> Text {
        self.text(member, MemberText::Domain)
    }

    fn redirect(&self, member: usize) -> Text {
        self.text(member, MemberText::Redirect)
    }
}

/// No member took the request.
fn nobody() -> Failure {
    Failure { error: Box::new(Error::NoMember), attempts: 0, delivered: 0, recoverable: true, answered: false }
}

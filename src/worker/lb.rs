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
use crate::balancer::{self, Activation, Choice, MemberView, Method, NoMember, RouteSent, Selection, place_of};
use crate::config::{ExtraMethod, LbConfig, LbSettings};
use crate::shm::{Cause, LbSlot, MemberSlot, MemberText, PackedSettings, Text};

mod choice;
mod drain;
mod explain;
mod latency;
mod predict;
mod report;
mod sessions;
mod settle;
mod upkeep;

use explain::Seldom;
pub use predict::{By, Predicted, Prediction};
pub use report::{Last, MemberReport, Trail};
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
    /// The worker's, as the notes want it. Longer ones than fit have no slot.
    name: Text,
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

type Views = SmallVec<[MemberView; INLINE_MEMBERS]>;

/// The state of one request's way through the balancer.
struct Run<'r> {
    balance: &'r Balance<'r>,
    settings: PackedSettings,
    log: Log<'r>,
    /// Copies of the members for this request alone; empty as long as it needs none.
    views: Views,
    sessions: SessionIds<'r>,
    /// What was elected last.
    election: Election,
    /// The member of the last attempt.
    tried: Option<usize>,
    /// Why there was no attempt at last.
    refused: Option<NoMember>,
    /// Recovery was forced once already.
    forced: bool,
    /// ... of members that the prober knows to be silent, for this request alone.
    in_vain: bool,
    /// A header waits for the response.
    queued: bool,
    /// Attempts in this round.
    attempt: u32,
    /// Rounds.
    round: u32,
}

impl Run<'_> {
    #[inline]
    fn selection(&self) -> Selection<'_> {
        Selection {
            session_ids: self.sessions.bytes(),
            sticky_force: self.settings.sticky_session_force(),
            stateless: self.balance.stateless,
        }
    }
}

/// A member that is elected, and what the election added to its counts.
#[derive(Clone, Copy)]
struct Election {
    choice: Choice,
    /// As this request saw it.
    activation: Activation,
    /// See [`MemberView::multiplier`].
    multiplier: u64,
    /// Load of this request: added for good, or under Busyness as long as it runs.
    step: u64,
    /// Counted as a new session.
    new_session: bool,
}

impl Election {
    /// Before the first one.
    const NONE: Self = Self {
        choice: Choice { index: 0, sticky: false, route: RouteSent::Member },
        activation: Activation::Stopped,
        multiplier: 1,
        step: 0,
        new_session: false,
    };
}

impl LbWorker {
    /// A balancer over `members`, in the order of their slots.
    pub fn new(config: LbConfig, shared: Arc<Shared>, lb: usize, workers: Vec<Arc<AjpWorker>>) -> Self {
        let slots = shared.region.plan().members_of(lb);
        let member = |(slot, worker): (usize, Arc<AjpWorker>)| {
            let name = Text::new(worker.name()).unwrap_or_default();
            Member { slot, worker, name }
        };
        let members = slots.zip(workers).map(member).collect();
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

    /// Sends `request` to a member, and to others while that fails and is allowed. What it met on its way is left in `trail`.
    ///
    /// # Errors
    /// That of the last attempt.
    pub fn service<'l>(
        &'l self,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        balance: &Balance<'_>,
        log: Log<'_>,
        trail: &mut Trail<'l>,
    ) -> Result<Served, Failure> {
        let _busy = self.shared.region.enter_lb(self.shared.child(), self.lb);
        let mut run = Run {
            balance,
            settings: PackedSettings::UNREAD,
            log,
            views: Views::new(),
            sessions: SessionIds::Absent,
            election: Election::NONE,
            tried: None,
            refused: None,
            forced: false,
            in_vain: false,
            queued: false,
            attempt: 0,
            round: 0,
        };
        self.begin(&mut run);
        let mut result = None;
        while self.has_attempt_left(&mut run) {
            let outcome = result.insert(self.turn(&mut run, request, downstream, trail));
            if outcome.is_ok() || !self.may_go_on(&mut run, outcome, downstream, trail) {
                break;
            }
        }
        let result = result.unwrap_or_else(|| Err(nobody()));
        if !matches!(trail.last, Last::First) {
            self.end(&run, &result, trail);
        }
        if run.queued {
            downstream.queue_header(None);
        }
        result
    }

    /// After any but a first turn that went well.
    #[cold]
    fn end<'l>(&'l self, run: &Run<'_>, result: &Result<Served, Failure>, trail: &mut Trail<'l>) {
        if let Err(failure) = result
            && (failure.recoverable || failure.attempts == 0)
        {
            self.explain_failed(&failure.error, run);
        }
        trail.last = match run.tried.and_then(|index| self.members.get(index)) {
            Some(member) => Last::Other(self.report(member, run)),
            None => Last::Nobody,
        };
    }

    /// Chooses a member and tries it.
    #[inline]
    fn turn<'l>(
        &'l self,
        run: &mut Run<'_>,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        trail: &mut Trail<'l>,
    ) -> Result<Served, Failure> {
        let Some(member) = self.elect(run, trail) else { return Err(nobody()) };
        let index = run.election.choice.index;
        if let Some(failed) = run.tried.and_then(|index| self.members.get(index)) {
            failed.worker.shared().count_retry();
        }
        run.tried = Some(index);
        let route = trail.route.as_ref().map(Text::as_bytes).unwrap_or_default();
        let result = self.attempt(run, member, route, request, downstream);
        if trail.first.is_none() {
            trail.first = Some(self.report(member, run));
            if result.is_ok() {
                // It is the last one too, and nothing has happened since this look at its member.
                trail.last = Last::First;
            }
        }
        result
    }

    /// Whether another turn may follow one that failed so.
    #[cold]
    fn may_go_on(
        &self,
        run: &mut Run<'_>,
        result: &Result<Served, Failure>,
        downstream: &dyn Downstream,
        trail: &Trail<'_>,
    ) -> bool {
        if let Some(reason) = run.refused.take() {
            if !run.forced && self.force_recovery(run, trail.first.is_some()) {
                return true;
            }
            self.explain_nobody(reason, run);
            run.attempt = run.attempt.saturating_add(1);
            run.tried = None;
            return true;
        }
        match result {
            // One silent member was as silent as was said: the user need not wait for the others.
            Err(failure) if run.in_vain && failure.recoverable && !is_refused(&failure.error) => false,
            Err(failure) if failure.recoverable && !downstream.committed() => {
                run.attempt = run.attempt.saturating_add(1);
                true
            }
            Err(failure) => {
                if let Some(member) = run.tried.and_then(|index| self.members.get(index)) {
                    self.explain_end(failure, member, run);
                }
                false
            }
            Ok(_) => false,
        }
    }

    /// Starts another round when this one is used up (reference: lb-shm-status.md section 2.9).
    #[inline]
    fn has_attempt_left(&self, run: &mut Run<'_>) -> bool {
        let members = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        (run.attempt < members && run.attempt < self.config.lb_retries.max(1)) || self.has_round_left(run)
    }

    #[cold]
    fn has_round_left(&self, run: &mut Run<'_>) -> bool {
        run.round = run.round.saturating_add(1);
        if run.round >= run.settings.retries() {
            let (name, attempt, round) = (self.name(), run.attempt, run.round);
            let text = "All tomcat instances failed, no more workers left";
            say!(run.log, Info, "({name}) {text} (attempt={attempt}, retry={round})");
            return false;
        }
        std::thread::sleep(Duration::from_millis(run.settings.retry_interval_ms().into()));
        // An admin may have changed both meanwhile.
        run.settings = self.shared.region.packed_lb_settings(self.lb);
        // Members that are tried in vain are so for this request alone: only its copy knows which are left.
        if !run.in_vain {
            self.look(run);
        }
        run.attempt = 0;
        true
    }

    /// What comes before any choice: how to choose, and the sessions that the request belongs to.
    #[inline]
    fn begin<'r>(&'r self, run: &mut Run<'r>) {
        run.settings = self.shared.region.packed_lb_settings(self.lb);
        let balance = run.balance;
        let path_name = balance.session_path.unwrap_or(self.config.session_path.as_bytes());
        let is_plain = balance.cookies.is_empty() && balance.forced_route.is_empty();
        // Most requests without a cookie have no session, which needs no search.
        if !(is_plain && session::has_no_parameter(balance.path, path_name)) {
            run.sessions = self.sessions(run.settings.sticky_session(), balance, run.log);
        }
        self.look(run);
    }

    fn settings(&self) -> LbSettings {
        self.shared.region.lb_settings(self.lb)
    }

    /// Begins to choose among the members as they are now, after the end of drains that are over. Copies of them are made when something in
    /// them is this request's alone, or is not in their slots.
    #[inline]
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
    /// `None`: nobody, and why is in `run`.
    #[inline]
    fn elect(&self, run: &mut Run<'_>, trail: &mut Trail<'_>) -> Option<&Member> {
        let member = match self.choose_and_record(run) {
            Ok(member) => member,
            Err(reason) => {
                run.refused = Some(reason);
                return None;
            }
        };
        trail.route = Some(self.route(member, run.election.choice));
        self.explain_choice(&run.sessions, run.election.choice, member, run.log);
        Some(member)
    }

    #[inline]
    fn choose_and_record(&self, run: &mut Run<'_>) -> Result<&Member, NoMember> {
        let _held = match run.settings.lock() {
            balancer::Lock::Pessimistic => self.shared.region.lock().ok(),
            balancer::Lock::Optimistic => None,
        };
        if run.attempt > 0 || run.settings.lock() == balancer::Lock::Pessimistic {
            self.renew_values(run);
        }
        let new_session = run.sessions.bytes().is_none() && !run.balance.stateless;
        let choice = self.choose(run)?;
        // Indexes of choices are those of members, and each has its slot.
        let member = self.members.get(choice.index).ok_or(NoMember::NoneUsable)?;
        let slot = self.slots().get(choice.index).ok_or(NoMember::NoneUsable)?;
        let copy = run.views.get_mut(choice.index);
        let (state, activation, multiplier) = match &copy {
            Some(view) => (view.state, view.activation, view.multiplier),
            None => (slot.state.get(), place_of(balancer::Member::rank(slot)).0, slot.multiplier()),
        };
        if let Some(tried) = state.elected() {
            if slot.state.change(state, tried) {
                slot.note_state(Cause::Tried, self.shared.now_s());
            }
            if let Some(view) = copy {
                view.state = tried;
            }
        }
        let method = run.settings.method();
        let step = method.value_after_election(0, multiplier, new_session);
        // Under Busyness a request is load as long as it runs.
        if method != Method::Busyness {
            slot.value.weigh(step);
        }
        if new_session {
            slot.sessions.add(1);
        }
        if activation == Activation::Disabled && slot.drain().is_on() {
            slot.drain().see(run.sessions.bytes().unwrap_or_default(), self.shared.now_s());
        }
        run.election = Election { choice, activation, multiplier, step, new_session };
        Ok(member)
    }

    /// Loads as they are now: others, and this request, have elected members since [`Self::look`]. The states stay those of this request.
    fn renew_values(&self, run: &mut Run<'_>) {
        for (slot, view) in self.slots().iter().zip(&mut run.views) {
            view.value = slot.value.get();
        }
    }

    /// One election: the attempt on the member, and what it means for everybody.
    #[inline]
    fn attempt(
        &self,
        run: &mut Run<'_>,
        member: &Member,
        route: &[u8],
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
    ) -> Result<Served, Failure> {
        let cookie = self.session_cookie(run, run.election.choice, member);
        if cookie.is_some() || run.queued {
            downstream.queue_header(cookie.as_deref());
            run.queued = cookie.is_some();
        }
        let route = match run.balance.forced_route {
            [] => route,
            forced => forced,
        };
        let context = MemberContext {
            route: Some(route).filter(|route| !route.is_empty()),
            activation: run.election.activation,
            secret: None,
        };
        let mut bytes = 0;
        let result = match (run.settings.method(), self.config.extras.method) {
            (Method::Request | Method::Sessions | Method::Next, None) => {
                member.worker.service(request, downstream, &context, run.log)
            }
            _ => self.attempt_measured(run, member, &context, request, downstream, &mut bytes),
        };
        self.settle(run, member, bytes, &result);
        result
    }

    /// An attempt under a method for which it matters what happens during it. `bytes`: those of the member meanwhile, under Traffic.
    #[inline(never)]
    #[allow(clippy::too_many_arguments, reason = "the rare half of one function")]
    fn attempt_measured(
        &self,
        run: &Run<'_>,
        member: &Member,
        context: &MemberContext<'_>,
        request: &mut Request<'_>,
        downstream: &mut dyn Downstream,
        bytes: &mut u64,
    ) -> Result<Served, Failure> {
        let method = run.settings.method();
        // Under Busyness a request is load as long as it runs, however it ends.
        let _weight = (method == Method::Busyness)
            .then(|| self.shared.region.weigh(self.shared.child(), member.slot, run.election.step));
        let shared = member.worker.shared();
        let seen = || shared.read().saturating_add(shared.transferred());
        let before = if method == Method::Traffic { seen() } else { 0 };
        let result = match self.config.extras.method {
            Some(ExtraMethod::Latency) => self.timed(member, request, downstream, context, run.log),
            None => member.worker.service(request, downstream, context, run.log),
        };
        if method == Method::Traffic {
            *bytes = seen().saturating_sub(before);
        }
        result
    }

    #[inline]
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
#[cold]
fn nobody() -> Failure {
    Failure { error: Box::new(Error::NoMember), attempts: 0, delivered: 0, recoverable: true, answered: false }
}

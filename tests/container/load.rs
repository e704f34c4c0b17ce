//! Users who work while something happens, and what it cost them.
//!
//! Not here: what happens. The surprising thing: an outage is what one user saw, the longest time from one answer he could use to
//! the next, so a request that took 20 seconds and succeeded is an outage of 20 seconds.

use std::collections::HashMap;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::hosts::{Count, PATIENCE, Web};
use crate::support::http_client::{Client, Request};
use crate::support::wait;

/// Users of each httpd.
const USERS: usize = 4;
/// A user notices.
const SLOW: Duration = Duration::from_secs(2);
/// How long a user looks at a page.
const THOUGHT: Duration = Duration::from_millis(20);

/// What a load met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    /// Answers that took longer than [`SLOW`].
    pub(crate) slow: usize,
    /// Sessions that came back empty.
    pub(crate) lost: usize,
    /// Sessions that came back as they were before the last answer.
    pub(crate) stale: usize,
    pub(crate) outage: Duration,
    /// The first failures in words.
    pub(crate) failures: Vec<String>,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6} {:>4} {:>6.1} s {:>4} {:>4}",
            self.requests,
            self.failed,
            self.outage.as_secs_f64(),
            self.slow,
            self.lost
        )
    }
}

/// Users at some httpds until [`Load::end`].
pub(crate) struct Load {
    progress: Arc<Mutex<Progress>>,
    users: Vec<(Sender<()>, JoinHandle<()>)>,
    names: Vec<String>,
}

#[derive(Default)]
struct Progress {
    tally: Tally,
    /// Answers each user could use.
    served: Vec<usize>,
    /// Answers of each Tomcat through each httpd.
    nodes: HashMap<(String, String), usize>,
}

impl Load {
    /// Users with a session each who now and then come without one. They change between all of `webs` or stay with one.
    pub(crate) fn start(webs: &[Web], roam: bool) -> Load {
        let progress = Arc::new(Mutex::new(Progress::default()));
        progress.lock().unwrap().served = vec![0; webs.len() * USERS];
        let user = |number: usize| {
            let mut webs = webs.to_vec();
            webs.rotate_left(number / USERS);
            webs.truncate(if roam { webs.len() } else { 1 });
            let progress = Arc::clone(&progress);
            let (end, ends) = channel();
            (end, std::thread::spawn(move || User { number, webs, progress }.work(&ends)))
        };
        let users = (0..webs.len() * USERS).map(user).collect();
        Load { progress, users, names: webs.iter().map(|web| web.name.clone()).collect() }
    }

    /// Waits until each user has had so many more answers.
    #[track_caller]
    pub(crate) fn go_on(&self, answers: usize) {
        let before = self.progress.lock().unwrap().served.clone();
        wait::until(PATIENCE, "every user to go on", || {
            let now = self.progress.lock().unwrap().served.clone();
            before.iter().zip(now).all(|(before, now)| now >= before + answers)
        });
    }

    /// Waits until this Tomcat has answered through every httpd from now on.
    #[track_caller]
    pub(crate) fn await_node(&self, node: &str) {
        let count = || -> Vec<usize> {
            let progress = self.progress.lock().unwrap();
            let at = |name: &String| progress.nodes.get(&(name.clone(), node.to_owned())).copied().unwrap_or(0);
            self.names.iter().map(at).collect()
        };
        let before = count();
        wait::until(PATIENCE, &format!("{node} to serve through {}", self.names.join(" and ")), || {
            before.iter().zip(count()).all(|(before, now)| now > before + 2)
        });
    }

    /// What it has met so far.
    pub(crate) fn tally(&self) -> Tally {
        self.progress.lock().unwrap().tally.clone()
    }

    /// Forgets what it has met so far.
    pub(crate) fn reset(&self) {
        self.progress.lock().unwrap().tally = Tally::default();
    }

    /// Sends the users home.
    pub(crate) fn end(self) -> Tally {
        let (ends, users): (Vec<_>, Vec<_>) = self.users.into_iter().unzip();
        drop(ends);
        users.into_iter().for_each(|user| user.join().unwrap());
        let progress = self.progress.lock().unwrap();
        progress.tally.clone()
    }
}

struct User {
    number: usize,
    /// Where he goes, in turn.
    webs: Vec<Web>,
    progress: Arc<Mutex<Progress>>,
}

impl User {
    fn work(self, ends: &Receiver<()>) {
        let (mut session, mut visits, mut good) = (None::<String>, 0, Instant::now());
        for step in 0_usize.. {
            // With a session twice, then as a stranger.
            let stranger = step % 3 == 2;
            let web = &self.webs[step % self.webs.len()];
            let began = Instant::now();
            let answer = ask(web, session.as_deref().filter(|_| !stranger));
            let mut progress = self.progress.lock().unwrap();
            progress.tally.requests += 1;
            progress.tally.slow += usize::from(began.elapsed() > SLOW);
            match answer {
                Ok(count) => {
                    progress.tally.outage = progress.tally.outage.max(good.elapsed());
                    good = Instant::now();
                    progress.served[self.number] += 1;
                    *progress.nodes.entry((web.name.clone(), count.node)).or_default() += 1;
                    if !stranger {
                        let (is_lost, is_older) = (visits > 1 && count.visits == 1, count.visits <= visits);
                        progress.tally.lost += usize::from(is_lost);
                        progress.tally.stale += usize::from(is_older && !is_lost);
                        (session, visits) = (Some(count.session), count.visits);
                    }
                }
                Err(why) => {
                    progress.tally.failed += 1;
                    if progress.tally.failures.len() < 10 {
                        progress.tally.failures.push(format!("{} user {} {why}", web.name, self.number));
                    }
                }
            }
            drop(progress);
            if ends.recv_timeout(THOUGHT) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }
}

fn ask(web: &Web, session: Option<&str>) -> Result<Count, String> {
    let mut request = Request::new("GET", "/counter.jsp").header("Connection", "close");
    if let Some(session) = session {
        request = request.header("Cookie", format!("JSESSIONID={session}"));
    }
    let response = Client::once(web.address, &request).map_err(|error| error.to_string())?;
    let page = response.text();
    let count = Count::read(&page).filter(|_| response.status() == 200);
    count.ok_or_else(|| format!("{} {}", response.status(), page.lines().next().unwrap_or_default()))
}

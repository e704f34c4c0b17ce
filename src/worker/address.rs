//! Where a worker connects to: its host name resolved once per address change, and kept.
//!
//! Not here: connecting (`socket`). The surprising thing: nobody waits for a name that does not resolve; one request asks
//! the resolver again after a pause that doubles, all others fail at once with what it said last.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::Error;
use super::shared::AjpShared;
use super::socket::{Target, resolve};

/// First pause after a name did not resolve.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The addresses of one worker.
#[derive(Debug)]
pub struct AddressBook {
    unix_socket: Option<PathBuf>,
    prefer_ipv6: bool,
    source: Option<String>,
    kept: Mutex<Option<Entry>>,
}

/// What the resolver said for one address sequence.
#[derive(Clone, Debug)]
struct Entry {
    sequence: u32,
    outcome: Result<Resolved, Missing>,
}

/// Addresses, and the local ones to connect from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Address sequence of the settings they were derived from.
    pub sequence: u32,
    /// Places to connect to, best first.
    pub targets: Arc<[Target]>,
    /// Local addresses.
    pub source: Arc<[IpAddr]>,
}

#[derive(Clone, Debug)]
struct Missing {
    host: String,
    detail: String,
    pause: Duration,
    again_at: Instant,
}

impl AddressBook {
    /// Nothing is resolved yet; call [`Self::targets`] once at start to have the names looked up before the first request.
    pub fn new(unix_socket: Option<PathBuf>, prefer_ipv6: bool, source: Option<String>) -> Self {
        Self { unix_socket, prefer_ipv6, source, kept: Mutex::new(None) }
    }

    /// The addresses for the current settings. Resolves when they have changed, or when it is time to try a failed name
    /// again; two requests may then ask the resolver at the same time, which is harmless: the last answer is kept.
    ///
    /// # Errors
    /// [`Error::ContactDisabled`] for port 0, [`Error::Resolve`] for a name without address.
    pub fn targets(&self, shared: &AjpShared, now: Instant) -> Result<Resolved, Error> {
        let sequence = shared.address_sequence();
        let previous = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let previous = previous.filter(|entry| entry.sequence == sequence);
        match &previous {
            Some(Entry { outcome: Ok(resolved), .. }) => return Ok(resolved.clone()),
            Some(Entry { outcome: Err(missing), .. }) if now < missing.again_at => return Err(missing.error()),
            _ => {}
        }
        self.look_up(shared, now, previous)
    }

    /// The best address, when the settings in force have been looked up already; never asks the resolver.
    pub fn known_ip(&self, shared: &AjpShared) -> Option<IpAddr> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = kept.as_ref().filter(|entry| entry.sequence == shared.address_sequence())?;
        entry.outcome.as_ref().ok()?.targets.iter().find_map(|target| match target {
            Target::Tcp(address) => Some(address.ip()),
            Target::Unix(_) => None,
        })
    }

    fn look_up(&self, shared: &AjpShared, now: Instant, previous: Option<Entry>) -> Result<Resolved, Error> {
        let (sequence, host, port) = shared.address();
        let found = match &self.unix_socket {
            Some(path) => Ok(vec![Target::Unix(path.clone())]),
            None if port == 0 => return Err(Error::ContactDisabled),
            None => resolve(&host, port, self.prefer_ipv6),
        };
        let outcome = match found {
            Ok(targets) => Ok(Resolved { sequence, targets: targets.into(), source: self.source_addresses().into() }),
            Err(error) => {
                let last = previous.and_then(|entry| entry.outcome.err()).map(|missing| missing.pause);
                let pause = last.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
                Err(Missing { host, detail: error.to_string(), pause, again_at: now + pause })
            }
        };
        let result = outcome.clone().map_err(|missing| missing.error());
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Entry { sequence, outcome });
        result
    }

    /// A source that does not resolve is ignored, as C does.
    fn source_addresses(&self) -> Vec<IpAddr> {
        let Some(name) = &self.source else { return Vec::new() };
        let targets = resolve(name, 0, self.prefer_ipv6).unwrap_or_default();
        targets
            .into_iter()
            .filter_map(|target| match target {
                Target::Tcp(address) => Some(address.ip()),
                Target::Unix(_) => None,
            })
            .collect()
    }
}

impl Missing {
    fn error(&self) -> Error {
        Error::Resolve { host: self.host.clone(), detail: self.detail.clone() }
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise"
)]
mod tests {
    use super::*;
    use crate::config::AjpSettings;

    fn shared(host: &str, port: u16) -> AjpShared {
        AjpShared::alone(AjpSettings { host: host.to_owned(), port, ..AjpSettings::default() }).unwrap()
    }

    fn book() -> AddressBook {
        AddressBook::new(None, false, None)
    }

    #[test]
    fn follows_a_changed_address() {
        let (shared, book, now) = (shared("127.0.0.1", 1), book(), Instant::now());
        let before = book.targets(&shared, now).unwrap();
        shared.update(|settings| settings.port = 2).unwrap();
        let after = book.targets(&shared, now).unwrap();
        assert_ne!(before.sequence, after.sequence);
        assert_eq!(*after.targets, [Target::Tcp(([127, 0, 0, 1], 2).into())]);
    }

    #[test]
    fn keeps_the_answer_while_the_address_stays() {
        let (shared, book, now) = (shared("127.0.0.1", 1), book(), Instant::now());
        let first = book.targets(&shared, now).unwrap();
        shared.update(|settings| settings.retries = 7).unwrap();
        assert!(Arc::ptr_eq(&first.targets, &book.targets(&shared, now).unwrap().targets));
    }

    #[test]
    fn refuses_port_zero_and_works_again_when_it_is_set() {
        let (shared, book, now) = (shared("127.0.0.1", 0), book(), Instant::now());
        assert!(matches!(book.targets(&shared, now), Err(Error::ContactDisabled)));
        shared.update(|settings| settings.port = 8009).unwrap();
        assert!(book.targets(&shared, now).is_ok());
    }

    #[test]
    fn asks_again_for_a_missing_name_only_after_the_pause() {
        let (shared, book, now) = (shared("no-such-host.invalid", 1), book(), Instant::now());
        assert!(matches!(book.targets(&shared, now), Err(Error::Resolve { .. })));
        let pause = |book: &AddressBook| match &book.kept.lock().unwrap().as_ref().unwrap().outcome {
            Err(missing) => missing.pause,
            Ok(_) => panic!("resolved"),
        };
        assert_eq!(pause(&book), FIRST_PAUSE);
        assert!(book.targets(&shared, now + FIRST_PAUSE / 2).is_err());
        assert_eq!(pause(&book), FIRST_PAUSE, "not asked in between");
        assert!(book.targets(&shared, now + FIRST_PAUSE).is_err());
        assert_eq!(pause(&book), FIRST_PAUSE * 2);
    }

    #[test]
    fn needs_neither_name_nor_port_for_a_unix_domain_socket() {
        let book = AddressBook::new(Some("/tmp/x".into()), false, None);
        let resolved = book.targets(&shared("no-such-host.invalid", 0), Instant::now()).unwrap();
        assert_eq!(*resolved.targets, [Target::Unix("/tmp/x".into())]);
    }
}

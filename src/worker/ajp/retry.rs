//! Whether a failed attempt may be repeated. One function per question, no state.
//!
//! Not here: how often (`ajp.rs`). The surprising thing: `recovery_options` unset and `recovery_options=0` differ. Unset is
//! ours (DEVIATIONS section 2); a number means exactly what C means by it, before the headers (reference: ajp-side.md section 7.3).

use super::super::error::{Class, Error};
use super::Facts;
use crate::ajp::exchange::Progress;

/// Bit 1: nothing is repeated when the container fails after it got the request.
const NOT_AFTER_REQUEST: u32 = 1;
/// Bit 8: HEAD is repeated in spite of bit 1.
const HEAD_ANYWAY: u32 = 8;
/// Bit 16: GET is repeated in spite of bit 1.
const GET_ANYWAY: u32 = 16;

/// Whether the request may be sent again, here or to another member.
pub(super) fn is_recoverable(
    error: &Error,
    facts: &Facts,
    method: &[u8],
    idempotent: bool,
    recovery_options: Option<u32>,
) -> bool {
    if matches!(error.class(), Class::ClientError | Class::ServerError) || facts.body_consumed {
        return false;
    }
    // Of a listed status nothing was passed on; any other failure after the headers is too late.
    let listed = matches!(error, Error::Status { .. });
    if facts.progress >= Progress::HeadersSeen && !listed {
        return false;
    }
    if !facts.delivered {
        return true;
    }
    match recovery_options {
        None => idempotent && (listed || !facts.answered),
        Some(options) => match error {
            Error::Closed { .. }
            | Error::SocketTimeout { .. }
            | Error::BadFrame { .. }
            | Error::ReplyTimeout { .. } => {
                options & NOT_AFTER_REQUEST == 0
                    || (options & HEAD_ANYWAY != 0 && method == b"HEAD")
                    || (options & GET_ANYWAY != 0 && method == b"GET")
            }
            _ => true,
        },
    }
}

/// Whether the failure says only that a pooled connection was stale: the container closed it before it could read the
/// request, or nothing shows otherwise and repeating is harmless. Such an attempt does not count.
pub(super) fn is_free(error: &Error, facts: &Facts, idempotent: bool, recovery_options: Option<u32>) -> bool {
    if !facts.reused || facts.answered {
        return false;
    }
    match error {
        Error::Send { cause, .. } if cause.kind() == std::io::ErrorKind::TimedOut => false,
        Error::Send { body: false, .. } if !facts.delivered => true,
        Error::Send { body: false, .. } | Error::Closed { .. } => idempotent && recovery_options.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts { progress: Progress::Sent, body_consumed: false, delivered: true, answered: false, reused: false }
    }

    fn closed() -> Error {
        Error::Closed { address: String::new(), inside_packet: false, cause: None }
    }

    fn protocol() -> Error {
        Error::Protocol { address: String::new(), reason: String::new() }
    }

    fn connect() -> Error {
        Error::Connect { address: String::new(), cause: std::io::ErrorKind::ConnectionRefused.into() }
    }

    #[test]
    fn repeats_whatever_was_not_delivered() {
        for options in [None, Some(0), Some(3)] {
            let facts = Facts { delivered: false, ..facts() };
            assert!(is_recoverable(&connect(), &facts, b"POST", false, options), "{options:?}");
        }
    }

    #[test]
    fn repeats_by_default_only_idempotent_requests_that_had_no_answer() {
        assert!(is_recoverable(&closed(), &facts(), b"GET", true, None));
        assert!(!is_recoverable(&closed(), &facts(), b"POST", false, None));
        assert!(!is_recoverable(&closed(), &Facts { answered: true, ..facts() }, b"GET", true, None));
    }

    #[test]
    fn follows_the_bits_when_they_are_set() {
        for (options, get, head, post) in [
            (0, true, true, true),
            (1, false, false, false),
            (2, true, true, true),
            (4, true, true, true),
            (9, false, true, false),
            (17, true, false, false),
            (25, true, true, false),
        ] {
            let may =
                |method: &[u8], idempotent| is_recoverable(&closed(), &facts(), method, idempotent, Some(options));
            assert_eq!((may(b"GET", true), may(b"HEAD", true), may(b"POST", false)), (get, head, post), "{options}");
        }
    }

    #[test]
    fn repeats_malformed_packets_before_the_headers_whatever_the_bits_say() {
        let facts = Facts { answered: true, ..facts() };
        assert!(is_recoverable(&protocol(), &facts, b"POST", false, Some(3)));
        assert!(!is_recoverable(&protocol(), &facts, b"GET", true, None));
    }

    #[test]
    fn never_repeats_after_headers_or_a_consumed_body() {
        for options in [None, Some(0), Some(24)] {
            for progress in [Progress::HeadersSeen, Progress::Ended] {
                let facts = Facts { progress, ..facts() };
                assert!(!is_recoverable(&closed(), &facts, b"GET", true, options), "{options:?} {progress:?}");
            }
            let facts = Facts { body_consumed: true, ..facts() };
            let listed = Error::Status { status: 503, hard: true };
            assert!(!is_recoverable(&closed(), &facts, b"GET", true, options), "{options:?}");
            assert!(!is_recoverable(&listed, &facts, b"PUT", true, options), "{options:?}");
        }
    }

    #[test]
    fn repeats_a_listed_status_of_an_idempotent_request() {
        let error = Error::Status { status: 503, hard: true };
        let facts = Facts { progress: Progress::HeadersSeen, answered: true, ..facts() };
        assert!(is_recoverable(&error, &facts, b"GET", true, None));
        assert!(!is_recoverable(&error, &facts, b"POST", false, None));
        assert!(is_recoverable(&error, &facts, b"POST", false, Some(3)));
    }

    #[test]
    fn never_repeats_for_the_client_or_our_own_mistake() {
        for error in [Error::ClientRead, Error::ClientWrite, Error::Internal("x")] {
            assert!(!is_recoverable(&error, &facts(), b"GET", true, Some(0)), "{error}");
        }
    }

    #[test]
    fn forgives_a_stale_pooled_connection_once_it_is_harmless() {
        let reused = Facts { reused: true, ..facts() };
        assert!(is_free(&closed(), &reused, true, None));
        assert!(!is_free(&closed(), &reused, false, None), "POST may have been processed");
        assert!(!is_free(&closed(), &reused, true, Some(0)), "explicit options count every attempt");
        assert!(!is_free(&closed(), &facts(), true, None), "a fresh connection is not stale");
        let unsent =
            Error::Send { address: String::new(), sent: 0, body: false, cause: std::io::ErrorKind::BrokenPipe.into() };
        assert!(is_free(&unsent, &Facts { delivered: false, ..reused }, false, Some(0)));
    }
}

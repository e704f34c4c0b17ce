//! The lines of JkLogFile: level, time stamp, layout, and the macro [`log_at!`](crate::log_at) that writes one.
//!
//! Not here: files, pipes and httpd's ErrorLog; whoever opens them implements [`Sink`] (`apache/log_file.rs`). Only
//! [`Logger`] looks at the clock; all else is a function of its arguments. Facts: reference apache-side.md section 6.
//!
//! The surprising thing: a message may carry bytes of strangers, and still is one line. Control characters come out as
//! `\x0a` and the like, and a line longer than [`MAX_LINE`] is cut.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::strtime::{BrokenDownTime, Config, PosixCustom};
use jiff::tz::TimeZone;

/// Longest line in bytes, stamp included, newline not. Longer ones end in `...` (C cuts at 1,021).
pub const MAX_LINE: usize = 8_191;
/// Longest time stamp in bytes; what the format yields beyond it is cut.
pub const MAX_STAMP: usize = 512;
/// JkLogStampFormat when there is none.
pub const DEFAULT_STAMP_FORMAT: &[u8] = b"[%a %b %d %H:%M:%S.%Q %Y] ";
/// Context of a line that belongs to no request and no phase, or to a request without an id.
pub const NO_ID: &[u8] = b"NO-ID";

/// Writes one line if `level` is enabled; nothing is formatted, and no argument evaluated, if it is not.
///
/// `context` (bytes) is the request id or the phase; empty means [`NO_ID`]. Function, file and line are those of the caller.
///
/// ```
/// use mod_jk::log::{Level, Logger, log_at};
/// fn connect(logger: &Logger, request_id: &[u8]) {
///     log_at!(logger, Level::Info, request_id, "({}) connecting to {}:{}", "w1", "localhost", 8009);
/// }
/// ```
#[macro_export]
macro_rules! log_at {
    ($logger:expr, $level:expr, $context:expr, $($message:tt)+) => {{
        let logger: &$crate::log::Logger = &$logger;
        let level: $crate::log::Level = $level;
        if logger.enabled(level) {
            fn here() {}
            let place = $crate::log::Place::of(&here, file!(), line!());
            logger.write(level, $context, place, format_args!($($message)+));
        }
    }};
}
pub use crate::log_at;

/// How much a line matters, least first: error = this request or this worker failed; warn = we recovered; info = an admin's
/// act or a change of state; debug = the path of one request; trace = bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Bytes on the wire.
    Trace,
    /// The path of one request.
    Debug,
    /// An admin's act or a change of state.
    #[default]
    Info,
    /// Something failed and we recovered.
    Warn,
    /// This request or this worker failed.
    Error,
    /// Nothing can be served.
    Emerg,
}

impl Level {
    /// All of them, least first.
    pub const ALL: [Level; 6] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Emerg];

    /// The word in JkLogLevel and in the line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Emerg => "emerg",
        }
    }

    /// The level of a word in any case; `None` if there is no such word (the configuration check names it).
    #[must_use]
    pub fn from_word(word: &[u8]) -> Option<Level> {
        Level::ALL.into_iter().find(|level| word.eq_ignore_ascii_case(level.word().as_bytes()))
    }

    /// The level of JkLogLevel: as in C, any unknown word means info.
    #[must_use]
    pub fn parse(word: &[u8]) -> Level {
        Level::from_word(word).unwrap_or_default()
    }
}

/// Where lines go: a log file, a piped log, a list in a test.
pub trait Sink: Send + Sync {
    /// Takes one whole line, its newline included, in one write. What fails here is reported elsewhere or lost.
    fn write_line(&self, line: &[u8]);

    /// The number of the calling thread as httpd's ErrorLog prints it; a sink that does not know httpd says the process id.
    fn thread_id(&self) -> u64 {
        std::process::id().into()
    }
}

/// The log of one virtual host: what is written, how it is stamped, and where it goes.
pub struct Logger {
    level: Level,
    stamp: Stamp,
    sink: Arc<dyn Sink>,
}

impl Logger {
    /// A log of lines from `level` on. Virtual hosts with the same JkLogFile share the `sink`.
    #[must_use]
    pub fn new(level: Level, stamp: Stamp, sink: Arc<dyn Sink>) -> Logger {
        Logger { level, stamp, sink }
    }

    /// Whether a line of this level would be written. One comparison.
    #[must_use]
    pub fn enabled(&self, level: Level) -> bool {
        level >= self.level
    }

    /// Writes one line whatever its level; [`log_at!`](crate::log_at) asks [`Logger::enabled`] before.
    pub fn write(&self, level: Level, context: &[u8], place: Place<'_>, message: fmt::Arguments<'_>) {
        let (pid, tid) = (std::process::id(), self.sink.thread_id());
        let mut line = Vec::with_capacity(256);
        Line { context, pid, tid, level, place, message }.render(&self.stamp, SystemTime::now(), &mut line);
        self.sink.write_line(&line);
    }

    /// Writes a JkRequestLogFormat line: stamp and text alone, whatever the level. The text is taken as it is, because its
    /// format may ask for a newline; `request_log` has escaped what came from the client.
    pub fn write_request(&self, text: &[u8]) {
        let mut line = Vec::with_capacity(256);
        self.stamp.render(SystemTime::now(), &mut line);
        line.extend_from_slice(text);
        if line.len() > MAX_LINE {
            line.truncate(MAX_LINE - ELLIPSIS.len());
            line.extend_from_slice(ELLIPSIS);
        }
        line.push(b'\n');
        self.sink.write_line(&line);
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").field("level", &self.level).field("stamp", &self.stamp).finish_non_exhaustive()
    }
}

/// One line before it is text.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Request id or phase; empty means [`NO_ID`].
    pub context: &'a [u8],
    /// Process.
    pub pid: u32,
    /// Thread, as httpd's ErrorLog prints it.
    pub tid: u64,
    /// How much it matters.
    pub level: Level,
    /// Who says it.
    pub place: Place<'a>,
    /// What happened.
    pub message: fmt::Arguments<'a>,
}

impl Line<'_> {
    /// Appends `<stamp>[<context>] [<pid>:<tid>] [<level>] <function>::<file> (<line>): <message>` and a newline.
    pub fn render(&self, stamp: &Stamp, now: SystemTime, out: &mut Vec<u8>) {
        let mut line = OneLine { start: out.len(), cut: None, overflown: false, out };
        stamp.render(now, line.out);
        let Line { pid, tid, message, .. } = self;
        let Place { function, file, line: number } = self.place;
        let context = Shown(if self.context.is_empty() { NO_ID } else { self.context });
        let level = self.level.word();
        // The one error is "line is full", which `finish` knows too.
        let _ = write!(line, "[{context}] [{pid}:{tid}] [{level}] {function}::{file} ({number}): {message}");
        line.finish();
    }
}

/// Function, file (without its folders) and line that a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Name of the function, without its path.
    pub function: &'a str,
    /// Name of the file, without its folders.
    pub file: &'a str,
    /// Line, from 1.
    pub line: u32,
}

impl Place<'static> {
    /// The place of `marker`, a function declared inside the one that speaks: Rust has no macro for a function's name, but the
    /// type name of an inner function begins with its path.
    #[must_use]
    pub fn of<T>(_marker: &T, file: &'static str, line: u32) -> Place<'static> {
        let path = std::any::type_name::<T>();
        let outer = path.rsplit_once("::").map_or(path, |(outer, _marker)| outer);
        let function = outer.rsplit("::").find(|segment| !segment.starts_with('{')).unwrap_or(outer);
        Place { function, file: file.rsplit(['/', '\\']).next().unwrap_or(file), line }
    }
}

/// Bytes of a stranger in a message: text as it is, anything that is not UTF-8 as `\xNN`.
///
/// Control characters pass here; the line escapes them, so that nobody can forget to.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// JkLogStampFormat: strftime in local time and the C locale, plus one fraction of a second.
///
/// `%Q` is milliseconds, `%q` microseconds: the first `%Q` counts, without any the first `%q`; all others are literal. As with
/// glibc, an unknown letter is printed as it stands. Unlike C, the format is not cut at 63 characters and the fraction may stand
/// anywhere in it. No blank is added after the stamp.
#[derive(Debug)]
pub struct Stamp {
    pieces: Vec<Piece>,
    zone: TimeZone,
    /// The text of the last second seen by any thread. A thread that finds it taken renders for itself instead of waiting.
    latest: Mutex<Rendered>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Bytes of the format.
    Literal(Vec<u8>),
    /// One conversion, known to both glibc and jiff.
    Time(String),
    /// `%Q` or `%q`: where the fraction goes, with its number of digits.
    Fraction(usize),
}

/// A stamp without its fraction.
#[derive(Clone, Debug, Default)]
struct Rendered {
    second: Option<u64>,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Stamp {
    /// The format in the local time of this process: `TZ` or /etc/localtime, as read now; UTC if neither can be read.
    #[must_use]
    pub fn local(format: &[u8]) -> Stamp {
        Stamp::new(format, TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// The format in the local time of `zone`.
    #[must_use]
    pub fn new(format: &[u8], zone: TimeZone) -> Stamp {
        Stamp { pieces: compile(format), zone, latest: Mutex::default() }
    }

    /// Appends the stamp of `now`. Costs a copy while the second stays the same. A time before 1970 counts as 1970.
    pub fn render(&self, now: SystemTime, out: &mut Vec<u8>) {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let Ok(mut latest) = self.latest.try_lock() else {
            return self.second(since_epoch.as_secs()).append(since_epoch, self.digits(), out);
        };
        if latest.second != Some(since_epoch.as_secs()) {
            *latest = self.second(since_epoch.as_secs());
        }
        latest.append(since_epoch, self.digits(), out);
    }

    fn second(&self, second: u64) -> Rendered {
        let timestamp = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
        let time = BrokenDownTime::from(&timestamp.unwrap_or(Timestamp::MAX).to_zoned(self.zone.clone()));
        let config = Config::new().lenient(true).custom(PosixCustom::new());
        let mut rendered = Rendered { second: Some(second), ..Rendered::default() };
        let mut side = &mut rendered.before;
        let mut room = MAX_STAMP - MICROS;
        for piece in &self.pieces {
            let mut text = String::new();
            let bytes = match piece {
                Piece::Fraction(_) => {
                    side = &mut rendered.after;
                    continue;
                }
                Piece::Literal(bytes) => bytes.as_slice(),
                Piece::Time(directive) => {
                    // Not reachable for a known conversion of a complete time; nothing is the mildest outcome.
                    let _ = time.format_with_config(&config, directive, &mut text);
                    text.as_bytes()
                }
            };
            let bytes = bytes.get(..room).unwrap_or(bytes);
            side.extend_from_slice(bytes);
            room -= bytes.len();
        }
        rendered
    }

    fn digits(&self) -> usize {
        let fraction =
            self.pieces.iter().find_map(|piece| if let Piece::Fraction(digits) = piece { Some(*digits) } else { None });
        fraction.unwrap_or(0)
    }
}

impl Default for Stamp {
    fn default() -> Stamp {
        Stamp::local(DEFAULT_STAMP_FORMAT)
    }
}

impl Rendered {
    fn append(&self, since_epoch: Duration, digits: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        let mut unit = 100_000;
        for _ in 0..digits {
            out.push(b'0' + u8::try_from(since_epoch.subsec_micros() / unit % 10).unwrap_or(0));
            unit = (unit / 10).max(1);
        }
        out.extend_from_slice(&self.after);
    }
}

fn compile(format: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some(percent) = memchr::memchr(b'%', rest) {
        let (literal, from_percent) = rest.split_at_checked(percent).unwrap_or((rest, &[]));
        push_literal(&mut pieces, literal);
        let (piece, len) = directive(from_percent);
        pieces.push(piece);
        rest = from_percent.get(len..).unwrap_or_default();
    }
    push_literal(&mut pieces, rest);
    let chosen = if pieces.contains(&Piece::Fraction(MILLIS)) { MILLIS } else { MICROS };
    let chosen = pieces.iter().position(|piece| *piece == Piece::Fraction(chosen));
    for (index, piece) in pieces.iter_mut().enumerate() {
        if let Piece::Fraction(digits) = piece
            && Some(index) != chosen
        {
            *piece = Piece::Literal(if *digits == MILLIS { b"%Q".to_vec() } else { b"%q".to_vec() });
        }
    }
    pieces
}

fn push_literal(pieces: &mut Vec<Piece>, bytes: &[u8]) {
    if !bytes.is_empty() {
        pieces.push(Piece::Literal(bytes.to_vec()));
    }
}

/// The conversion at the start of `text`, which begins with `%`, and its length: `%`, flags, width, `E` or `O`, letter.
fn directive(text: &[u8]) -> (Piece, usize) {
    let after = |from: usize, wanted: fn(&u8) -> bool| {
        text.get(from..).unwrap_or_default().iter().take_while(|byte| wanted(byte)).count() + from
    };
    let flags_end = after(1, |byte| b"_-0^#+".contains(byte));
    let width_end = after(flags_end, u8::is_ascii_digit);
    let modifier = text.get(width_end).copied().filter(|byte| b"EO".contains(byte));
    let letter_at = width_end + usize::from(modifier.is_some());
    let letters = match modifier {
        Some(b'E') => E_LETTERS,
        Some(_) => O_LETTERS,
        None => LETTERS,
    };
    let end = (letter_at + 1).min(text.len());
    let whole = text.get(..end).unwrap_or(text);
    match whole {
        b"%Q" => return (Piece::Fraction(MILLIS), end),
        b"%q" => return (Piece::Fraction(MICROS), end),
        _ => {}
    }
    let Some(letter) = text.get(letter_at).filter(|letter| letters.contains(letter)) else {
        return (Piece::Literal(whole.to_vec()), end);
    };
    // jiff takes one flag, does not know `+`, and refuses widths above 255 (it pads to 20 at most).
    let flag = text.get(1..flags_end).unwrap_or_default().iter().rfind(|flag| **flag != b'+');
    let width = text.get(flags_end..width_end).and_then(|digits| str::from_utf8(digits).ok()).unwrap_or_default();
    let mut directive = String::from('%');
    directive.extend(flag.copied().map(char::from));
    if !width.is_empty() {
        directive.push_str(&width.parse::<u8>().unwrap_or(u8::MAX).to_string());
    }
    directive.push(char::from(*letter));
    (Piece::Time(directive), end)
}

/// Writes text at the end of `out` so that it stays one line of at most [`MAX_LINE`] bytes from `start`.
struct OneLine<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// The last boundary between characters that leaves room for `...`, once it is passed.
    cut: Option<usize>,
    overflown: bool,
}

impl OneLine<'_> {
    /// Appends one character or one escape, whole or not at all.
    fn push(&mut self, unit: &[u8]) -> fmt::Result {
        let end = self.out.len() - self.start + unit.len();
        if end > MAX_LINE - ELLIPSIS.len() {
            self.cut.get_or_insert(self.out.len());
        }
        if end > MAX_LINE {
            self.overflown = true;
            return Err(fmt::Error);
        }
        self.out.extend_from_slice(unit);
        Ok(())
    }

    fn finish(self) {
        if self.overflown {
            self.out.truncate(self.cut.unwrap_or(self.start));
            self.out.extend_from_slice(ELLIPSIS);
        }
        self.out.push(b'\n');
    }
}

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // 0xC2 begins the C1 controls, which some terminals obey.
        let plain = text.bytes().all(|byte| byte >= 0x20 && byte != 0x7F && byte != 0xC2);
        if plain && self.out.len() - self.start + text.len() <= MAX_LINE - ELLIPSIS.len() {
            self.out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        for character in text.chars() {
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).as_bytes();
            if character.is_control() {
                for byte in bytes {
                    self.push(&[b'\\', b'x', hex(byte >> 4), hex(byte & 0xF)])?;
                }
            } else {
                self.push(bytes)?;
            }
        }
        Ok(())
    }
}

fn hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

const ELLIPSIS: &[u8] = b"...";
/// Digits of `%Q`.
const MILLIS: usize = 3;
/// Digits of `%q`.
const MICROS: usize = 6;
/// What glibc's strftime knows in the C locale: alone, after `E`, after `O`.
const LETTERS: &[u8] = b"%aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ";
const E_LETTERS: &[u8] = b"cCxXyY";
const O_LETTERS: &[u8] = b"BbdeHhIklmMSuUVwWy";

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that fails here has done its work"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// Sunday, 22 November 2026, 11:48:02.035042 UTC.
    fn noon() -> SystemTime {
        UNIX_EPOCH + Duration::new(1_795_348_082, 35_042_999)
    }

    fn stamped(format: &str, zone: TimeZone, now: SystemTime) -> String {
        let mut out = Vec::new();
        Stamp::new(format.as_bytes(), zone).render(now, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn utc(format: &str) -> String {
        stamped(format, TimeZone::UTC, noon())
    }

    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Sink for Lines {
        fn write_line(&self, line: &[u8]) {
            self.0.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap());
        }

        fn thread_id(&self) -> u64 {
            140_522_509_158_080
        }
    }

    fn logger(level: Level) -> (Logger, Arc<Lines>) {
        let lines = Arc::new(Lines::default());
        (Logger::new(level, Stamp::new(b"stamp ", TimeZone::UTC), Arc::clone(&lines) as Arc<dyn Sink>), lines)
    }

    fn rendered(context: &[u8], message: &str) -> String {
        let place = Place { function: "service", file: "ajp.rs", line: 7 };
        let line =
            Line { context, pid: 4_788, tid: 99, level: Level::Error, place, message: format_args!("{message}") };
        let mut out = Vec::new();
        line.render(&Stamp::new(DEFAULT_STAMP_FORMAT, TimeZone::UTC), noon(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn level_words_are_read_in_any_case() {
        for level in Level::ALL {
            assert_eq!(Level::parse(level.word().as_bytes()), level);
            assert_eq!(Level::parse(level.word().to_uppercase().as_bytes()), level);
        }
    }

    #[test]
    fn unknown_level_word_means_info() {
        for word in ["", "notice", "warning", "debugg", "request"] {
            assert_eq!(
                (Level::parse(word.as_bytes()), Level::from_word(word.as_bytes())),
                (Level::Info, None),
                "{word}"
            );
        }
    }

    #[test]
    fn level_enables_itself_and_all_above() {
        let (logger, _) = logger(Level::Warn);
        let enabled: Vec<Level> = Level::ALL.into_iter().filter(|level| logger.enabled(*level)).collect();
        assert_eq!(enabled, [Level::Warn, Level::Error, Level::Emerg]);
    }

    #[test]
    fn conversions_read_as_glibc_prints_them() {
        let rows = [
            ("%a %A %b %B %h", "Sun Sunday Nov November Nov"),
            ("%c", "Sun Nov 22 11:48:02 2026"),
            ("%C %d %D %e %F", "20 22 11/22/26 22 2026-11-22"),
            ("%g %G %H %I %j", "26 2026 11 11 326"),
            ("%k|%l|%m|%M|%n|%p|%P", "11|11|11|48|\n|AM|am"),
            ("%r|%R|%s|%S|%t|%T", "11:48:02 AM|11:48|1795348082|02|\t|11:48:02"),
            ("%u %U %V %w %W", "7 47 47 0 46"),
            ("%x %X %y %Y %z %Z %%", "11/22/26 11:48:02 26 2026 +0000 UTC %"),
            ("%Ex %Od %EY %Oy", "11/22/26 22 2026 26"),
            ("%-H %_d %^a %3d", "11 22 SUN 022"),
            ("%-_S|%_-S|%+S|%4S", " 2|2|02|0002"),
            // glibc would print 999 digits.
            ("%999S", "00000000000000000002"),
        ];
        for (format, expected) in rows {
            assert_eq!(utc(format), expected, "{format}");
        }
    }

    #[test]
    fn unknown_conversions_are_printed_as_they_stand() {
        for format in
            ["%f", "%N", "%3N", "%:z", "%i%J", "%E", "%Ed", "%OY", "%", "100%", "%-", "%12", "%3Q", "%\u{e9}", "%.f"]
        {
            assert_eq!(utc(format), format);
        }
    }

    /// The same letters, asked of the C library of this machine through GNU date (another date would know other letters).
    #[cfg(target_os = "linux")]
    #[test]
    fn conversions_agree_with_the_c_library() {
        if !Command::new("date").arg("--version").output().is_ok_and(|output| output.stdout.starts_with(b"date (GNU")) {
            return;
        }
        let format =
            LETTERS.iter().fold(String::new(), |format, letter| format + "|%" + &char::from(*letter).to_string());
        // Either side of the changes of summer time, new years in all three week countings, a leap day, single digits.
        let seconds = [
            0,
            1_709_164_799,
            1_711_846_799,
            1_711_846_800,
            1_730_008_800,
            1_735_689_599,
            1_736_150_401,
            1_767_225_600,
            4_102_444_799,
        ];
        for zone in ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"] {
            for second in seconds {
                let output = Command::new("date")
                    .args(["-d", &format!("@{second}"), &format!("+{format}")])
                    .env("TZ", zone)
                    .env("LC_ALL", "C")
                    .output()
                    .unwrap();
                let ours = stamped(&format, TimeZone::get(zone).unwrap(), UNIX_EPOCH + Duration::from_secs(second));
                assert_eq!(ours + "\n", String::from_utf8(output.stdout).unwrap(), "{zone} {second}");
            }
        }
    }

    #[test]
    fn default_stamp_has_milliseconds() {
        assert_eq!(utc("[%a %b %d %H:%M:%S.%Q %Y] "), "[Sun Nov 22 11:48:02.035 2026] ");
    }

    #[test]
    fn one_marker_becomes_the_fraction() {
        let rows = [
            ("%Q", "035"),
            ("%q", "035042"),
            ("%Q %Q", "035 %Q"),
            ("%q %q", "035042 %q"),
            ("%q %Q", "%q 035"),
            ("%%Q", "%Q"),
            ("", ""),
        ];
        for (format, expected) in rows {
            assert_eq!(utc(format), expected, "{format}");
        }
    }

    #[test]
    fn format_longer_than_the_buffer_of_c_is_kept() {
        let format = format!("{}%Q{}", "a".repeat(100), "b".repeat(100));
        assert_eq!(utc(&format), format.replace("%Q", "035"));
    }

    #[test]
    fn endless_stamp_is_cut() {
        assert_eq!(utc(&format!("%Q{}", "%c".repeat(1_000))).len(), MAX_STAMP - MICROS + MILLIS);
    }

    #[test]
    fn bytes_that_are_not_utf8_pass_through_the_stamp() {
        let mut out = Vec::new();
        Stamp::new(b"\xe9%H\xff", TimeZone::UTC).render(noon(), &mut out);
        assert_eq!(out, b"\xe911\xff");
    }

    #[test]
    fn stamp_follows_the_clock_in_both_directions() {
        let stamp = Stamp::new(b"%S.%Q ", TimeZone::UTC);
        let mut out = Vec::new();
        for millis in [0, 1, 999, 1_000, 2_001, 1_999] {
            stamp.render(noon() - Duration::from_micros(35_042) + Duration::from_millis(millis), &mut out);
        }
        assert_eq!(String::from_utf8(out).unwrap(), "02.000 02.001 02.999 03.000 04.001 03.999 ");
    }

    #[test]
    fn stamp_is_rendered_while_another_thread_holds_the_cache() {
        let stamp = Stamp::new(b"%T.%q", TimeZone::UTC);
        let _held = stamp.latest.lock().unwrap();
        let mut out = Vec::new();
        stamp.render(noon(), &mut out);
        assert_eq!(out, b"11:48:02.035042");
    }

    #[test]
    fn times_out_of_range_do_not_panic() {
        assert_eq!(stamped("%Y", TimeZone::UTC, UNIX_EPOCH - Duration::from_secs(1)), "1970");
        assert_eq!(stamped("%Y", TimeZone::UTC, UNIX_EPOCH + Duration::from_secs(1 << 60)), "9999");
    }

    #[test]
    fn line_has_the_layout_of_c() {
        assert_eq!(
            rendered(b"abc@1", "(w1) no response"),
            "[Sun Nov 22 11:48:02.035 2026] [abc@1] [4788:99] [error] service::ajp.rs (7): (w1) no response\n"
        );
    }

    #[test]
    fn empty_context_reads_no_id() {
        assert!(rendered(b"", "x").contains("] [NO-ID] [4788:99] "));
    }

    #[test]
    fn control_characters_cannot_start_a_line() {
        let rows = [
            ("a\r\n[forged]", r"a\x0d\x0a[forged]"),
            ("\0\t\u{1b}[31m\u{7f}", r"\x00\x09\x1b[31m\x7f"),
            ("\u{85}\u{9b}31m", r"\xc2\x85\xc2\x9b31m"),
            ("gr\u{fc}n \u{a7}", "gr\u{fc}n \u{a7}"),
        ];
        for (message, expected) in rows {
            let line = rendered(b"id", message);
            assert!(line.ends_with(&format!("(7): {expected}\n")), "{line}");
        }
    }

    #[test]
    fn context_is_escaped_too() {
        assert!(rendered(b"a\n\xffb", "x").contains(r"[a\x0a\xffb] [4788"));
    }

    #[test]
    fn line_of_exactly_the_limit_is_whole() {
        let room = MAX_LINE + 1 - rendered(b"id", "").len();
        let line = rendered(b"id", &"m".repeat(room));
        assert_eq!((line.len(), line.ends_with("mmm\n")), (MAX_LINE + 1, true));
    }

    #[test]
    fn line_one_byte_too_long_ends_in_dots() {
        let room = MAX_LINE + 1 - rendered(b"id", "").len();
        let line = rendered(b"id", &"m".repeat(room + 1));
        assert_eq!((line.len(), line.ends_with("m...\n")), (MAX_LINE + 1, true));
    }

    #[test]
    fn cut_splits_neither_a_character_nor_an_escape() {
        for offset in 0..8 {
            for unit in ["\u{20ac}", "\n"] {
                let line = rendered(b"id", &("m".repeat(offset) + &unit.repeat(MAX_LINE)));
                let body = line.strip_suffix("...\n").unwrap();
                assert!(body.ends_with("\u{20ac}") || body.ends_with(r"\x0a"), "{offset}");
                assert!(line.len() <= MAX_LINE + 1);
            }
        }
    }

    #[test]
    fn macro_names_the_function_and_file_that_speak() {
        let (logger, lines) = logger(Level::Info);
        log_at!(logger, Level::Warn, b"id", "({}) lost", "w1");
        let say = || log_at!(&logger, Level::Info, b"", "from a closure");
        say();
        let line = line!() - 2;
        let pid = std::process::id();
        let me = "macro_names_the_function_and_file_that_speak::log.rs";
        assert_eq!(
            *lines.0.lock().unwrap(),
            [
                format!("stamp [id] [{pid}:140522509158080] [warn] {me} ({}): (w1) lost\n", line - 1),
                format!("stamp [NO-ID] [{pid}:140522509158080] [info] {me} ({line}): from a closure\n"),
            ]
        );
    }

    struct Worker<T>(T);

    impl<T: fmt::Debug> Worker<T> {
        fn service(&self, logger: &Logger) {
            log_at!(logger, Level::Info, b"", "{:?}", self.0);
        }
    }

    #[test]
    fn macro_names_a_method_of_a_generic_type() {
        let (logger, lines) = logger(Level::Info);
        Worker(vec![1_u8]).service(&logger);
        assert!(lines.0.lock().unwrap()[0].contains(" service::log.rs ("));
    }

    #[test]
    fn disabled_line_evaluates_nothing() {
        let (logger, lines) = logger(Level::Info);
        let mut evaluated = false;
        log_at!(logger, Level::Debug, b"", "{}", {
            evaluated = true;
            1
        });
        assert_eq!((evaluated, lines.0.lock().unwrap().len()), (false, 0));
    }

    #[test]
    fn request_line_is_stamp_and_text_whatever_the_level() {
        let (logger, lines) = logger(Level::Emerg);
        logger.write_request(b"w1 GET 200");
        assert_eq!(*lines.0.lock().unwrap(), ["stamp w1 GET 200\n"]);
    }

    #[test]
    fn long_request_line_is_cut() {
        let (logger, lines) = logger(Level::Info);
        logger.write_request(&vec![b'r'; 2 * MAX_LINE]);
        let lines = lines.0.lock().unwrap();
        assert_eq!((lines[0].len(), lines[0].ends_with("r...\n")), (MAX_LINE + 1, true));
    }

    proptest! {
        #[test]
        fn any_message_is_one_bounded_line(context in prop::collection::vec(any::<u8>(), 0..40), message in "\\PC*|(?s:.{0,200})") {
            let line = rendered(&context, &message);
            prop_assert!(line.len() <= MAX_LINE + 1);
            prop_assert_eq!(line.find(char::is_control), Some(line.len() - 1));
        }

        #[test]
        fn any_format_renders(format in prop::collection::vec(prop_oneof![Just(b'%'), any::<u8>()], 0..60)) {
            let mut out = Vec::new();
            Stamp::new(&format, TimeZone::UTC).render(noon(), &mut out);
            prop_assert!(out.len() <= MAX_STAMP);
        }
    }
}

//! Scripted members of a balancer whose condition a test changes while httpd runs: down, mute, breaking, back again.
//!
//! Not here: one script per connection (`tomcat.rs`), one behaviour for good (`backend.rs`). The surprising thing: a member that is down
//! keeps its port bound without listening, so that connections are refused and nobody else can take it.
#![allow(dead_code, reason = "shared by several test binaries, none of which uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where a fact is not as it must be"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use mod_jk::ajp::request::{CPING, DecodedRequest, decode};
use mod_jk::ajp::response::{CPONG, encode_body_chunk, encode_end, encode_send_headers};
use socket2::{Domain, SockAddr, Socket, Type};

use super::http_client::{Client, Request};
use super::httpd::{Builder, Httpd};
use super::wait;

/// Only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Answers requests with its name, and CPings.
    Serve,
    /// Answers requests, and closes connections on which a CPing comes.
    KnowsNoCping,
    /// Takes everything and answers nothing, until the mode changes.
    Mute,
    /// Answers CPings, but no requests, until the mode changes.
    MuteButCpong,
    /// Reads a request and closes the connection.
    Break,
    /// Answers a request with the head of a response and closes the connection.
    BreakAfterHead,
    /// Answers requests with this status.
    Status(u16),
    /// Refuses connections.
    Down,
}

/// Several members, and what was delivered to them in order.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Member>,
    journal: Journal,
}

type Journal = Arc<Mutex<Vec<(String, DecodedRequest)>>>;

impl Cluster {
    /// `count` members named w1, w2, ... that serve.
    pub(crate) fn start(count: usize) -> Cluster {
        let journal = Journal::default();
        let members = (1..=count).map(|number| Member::start(format!("w{number}"), Arc::clone(&journal))).collect();
        Cluster { members, journal }
    }

    /// workers.properties: balancer `lb` over all members, and `more`, in which `$W` stands for each member in turn.
    pub(crate) fn workers(&self, more: &str) -> String {
        let names: Vec<_> = self.members.iter().map(|member| member.name.as_str()).collect();
        let mut text = format!("worker.list=lb\nworker.lb.type=lb\nworker.lb.balance_workers={}\n", names.join(","));
        for member in &self.members {
            let (name, port) = (&member.name, member.address.port());
            text.push_str(&format!("worker.{name}.host=127.0.0.1\nworker.{name}.port={port}\n"));
        }
        for line in more.lines() {
            let times = if line.contains("$W") { names.as_slice() } else { &["lb"] };
            times.iter().for_each(|name| text.push_str(&format!("{}\n", line.replace("$W", name))));
        }
        text
    }

    /// An httpd that sends everything to the balancer.
    pub(crate) fn httpd(&self, more: &str) -> Builder {
        Httpd::builder().children(1).workers(&self.workers(more)).config("JkMount /* lb\n")
    }

    /// Member `number`, from 1.
    pub(crate) fn member(&self, number: usize) -> &Member {
        &self.members[number - 1]
    }

    /// The numbers of the members that requests were delivered to since the last call, in order: `123323`.
    pub(crate) fn picks(&self) -> String {
        self.take().iter().map(|(name, _)| name.trim_start_matches('w')).collect()
    }

    /// Name of the member and request of each delivery since the last call.
    pub(crate) fn take(&self) -> Vec<(String, DecodedRequest)> {
        std::mem::take(&mut *self.journal.lock().unwrap())
    }
}

/// GET; status, and the name of the member that answered (empty for an error page).
#[track_caller]
pub(crate) fn fetch(httpd: &Httpd, session: Option<&str>) -> (u16, String) {
    fetch_at(httpd.address(), "/x", session)
}

/// The same, elsewhere.
#[track_caller]
pub(crate) fn fetch_at(address: SocketAddr, target: &str, session: Option<&str>) -> (u16, String) {
    let mut request = Request::new("GET", target);
    if let Some(session) = session {
        request = request.header("Cookie", format!("JSESSIONID={session}"));
    }
    let response = Client::once(address, &request).unwrap();
    let status = response.status();
    (status, if status == 200 { response.text() } else { String::new() })
}

/// One member.
pub(crate) struct Member {
    pub(crate) name: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
    /// Keeps the port while the member is down.
    placeholder: Option<Socket>,
}

struct Shared {
    name: String,
    journal: Journal,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    mode: Mode,
    /// The test is over, or the member goes down.
    ends: bool,
    /// Requests for `/hold...` are answered.
    open: bool,
    held: usize,
    cpings: usize,
    connections: usize,
    streams: Vec<TcpStream>,
}

impl Member {
    fn start(name: String, journal: Journal) -> Member {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            mode: Mode::Serve,
            ends: false,
            open: false,
            held: 0,
            cpings: 0,
            connections: 0,
            streams: Vec::new(),
        };
        let shared =
            Arc::new(Shared { name: name.clone(), journal, state: Mutex::new(state), changed: Condvar::new() });
        let acceptor = Some(accept(listener, Arc::clone(&shared)));
        Member { name, address, shared, acceptor, placeholder: None }
    }

    /// Changes what it does; open connections are closed when it goes down, else they go on.
    pub(crate) fn set(&mut self, mode: Mode) {
        if mode == Mode::Down && self.acceptor.is_some() {
            self.end();
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_reuse_address(true).unwrap();
            socket.bind(&SockAddr::from(self.address)).unwrap();
            self.placeholder = Some(socket);
        } else if mode != Mode::Down && self.acceptor.is_none() {
            self.placeholder = None;
            self.shared.state.lock().unwrap().ends = false;
            let listener = TcpListener::bind(self.address).unwrap();
            self.acceptor = Some(accept(listener, Arc::clone(&self.shared)));
        }
        self.shared.state.lock().unwrap().mode = mode;
        self.shared.changed.notify_all();
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// CPings so far.
    pub(crate) fn cpings(&self) -> usize {
        self.shared.state.lock().unwrap().cpings
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state.lock().unwrap().connections
    }

    /// Waits until `count` requests for `/hold...` are held.
    #[track_caller]
    pub(crate) fn await_held(&self, count: usize) {
        wait::until(PATIENCE, "requests to be held", || self.shared.state.lock().unwrap().held >= count);
    }

    /// Answers the requests for `/hold...`, those to come included.
    pub(crate) fn release(&self) {
        self.shared.state.lock().unwrap().open = true;
        self.shared.changed.notify_all();
    }

    fn end(&mut self) {
        let Some(acceptor) = self.acceptor.take() else { return };
        self.shared.state.lock().unwrap().ends = true;
        self.shared.changed.notify_all();
        let _ = TcpStream::connect(self.address);
        let failed = acceptor.join().is_err();
        assert!(!failed || std::thread::panicking(), "member {} failed", self.name);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

fn accept(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut running = Vec::new();
        loop {
            let (stream, _) = listener.accept().unwrap();
            let mut state = shared.state.lock().unwrap();
            if state.ends {
                break;
            }
            state.connections += 1;
            state.streams.push(stream.try_clone().unwrap());
            let shared = Arc::clone(&shared);
            running.push(std::thread::spawn(move || shared.serve(stream)));
        }
        drop(listener);
        for stream in shared.state.lock().unwrap().streams.drain(..) {
            // The peer may have closed it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
        running.into_iter().for_each(|connection| connection.join().unwrap());
    })
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        while let Some(payload) = read_packet(&mut stream) {
            if payload == CPING[4..] {
                let mode = self.mode_when(|state| state.mode != Mode::Mute);
                self.state.lock().unwrap().cpings += 1;
                if mode == Mode::KnowsNoCping || stream.write_all(&CPONG).is_err() {
                    break;
                }
                continue;
            }
            // Anything else that can come here is a request, or the unasked first packet of its body.
            let Ok(request) = decode(&payload) else { continue };
            let held = request.uri.starts_with(b"/hold");
            self.journal.lock().unwrap().push((self.name.clone(), request.clone()));
            if held {
                self.state.lock().unwrap().held += 1;
            }
            let mute = |mode| matches!(mode, Mode::Mute | Mode::MuteButCpong);
            let mode = self.mode_when(|state| !mute(state.mode) && (state.open || !held));
            let status = match mode {
                Mode::Break | Mode::Down => break,
                Mode::Status(status) => status,
                _ => 200,
            };
            let mut bytes = answer(status, &self.name, &request);
            if mode == Mode::BreakAfterHead {
                bytes.clear();
                encode_send_headers(&mut bytes, status, None, &[]).unwrap();
            }
            if stream.write_all(&bytes).is_err() || mode == Mode::BreakAfterHead {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// Waits until `condition` holds or the member ends; its mode then.
    fn mode_when(&self, condition: impl Fn(&State) -> bool) -> Mode {
        let state = self.state.lock().unwrap();
        let state = self.changed.wait_while(state, |state| !state.ends && !condition(state)).unwrap();
        if state.ends { Mode::Down } else { state.mode }
    }
}

/// The member's name, and behind it as many bytes as `/x?more=<n>` asks for.
fn answer(status: u16, name: &str, request: &DecodedRequest) -> Vec<u8> {
    let query = String::from_utf8_lossy(request.query_string.as_deref().unwrap_or_default()).into_owned();
    let more = query.strip_prefix(&format!("{name}=")).and_then(|more| more.parse().ok()).unwrap_or(0);
    let body = [name.as_bytes(), &vec![b'+'; more]].concat();
    let mut bytes = Vec::new();
    encode_send_headers(&mut bytes, status, None, &[]).unwrap();
    for part in body.chunks(8_000) {
        let mut chunk = Vec::new();
        encode_body_chunk(&mut chunk, part).unwrap();
        bytes.extend(chunk);
    }
    bytes.extend(encode_end(true));
    bytes
}

fn read_packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    assert_eq!(head[..2], [0x12, 0x34], "magic of the web server");
    let mut payload = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
    stream.read_exact(&mut payload).ok()?;
    Some(payload)
}

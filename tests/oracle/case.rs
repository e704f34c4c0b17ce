//! What a case is: the bytes of one client connection, the container's answers, and the difference that is meant, if any.
//!
//! Not here: how it is run. The surprising thing: requests of one case are sent in one piece, so two of them are pipelined.

/// One configuration and its cases. `@1@`, `@2@`, `@3@` in texts stand for the ports of the recording containers.
#[derive(Clone)]
pub(crate) struct Group {
    /// Name in the table.
    pub(crate) name: &'static str,
    /// Directives.
    pub(crate) config: String,
    /// Added to [`WORKERS`].
    pub(crate) workers: &'static str,
    /// Files under ServerRoot.
    pub(crate) files: Vec<(&'static str, String)>,
    /// httpd's modules besides the usual ones.
    pub(crate) modules: &'static [&'static str],
    /// Whether it matters which deliveries came over a new connection, and which names went as codes.
    pub(crate) connections: bool,
    /// Whether the counters of balancers are compared: one other choice changes all that follow.
    pub(crate) counters: bool,
    /// In order; they share the two httpds, so state (of a balancer, say) is handed on.
    pub(crate) cases: Vec<Case>,
}

/// The workers every group has.
pub(crate) const WORKERS: &str = "\
worker.list=w1,w2,w3,lb,down
worker.maintain=36000
worker.w1.type=ajp13
worker.w1.host=127.0.0.1
worker.w1.port=@1@
worker.w2.reference=worker.w1
worker.w2.port=@2@
worker.w3.reference=worker.w1
worker.w3.port=@3@
worker.down.reference=worker.w1
worker.down.port=1
worker.down.retries=1
worker.lb.type=lb
worker.lb.balance_workers=w1,w2,w3
";

impl Group {
    /// A group with the usual workers and modules.
    pub(crate) fn new(name: &'static str, config: &str, cases: Vec<Case>) -> Group {
        Group {
            name,
            config: config.to_owned(),
            workers: "",
            files: Vec::new(),
            modules: &[],
            connections: false,
            counters: true,
            cases,
        }
    }

    /// Adds to workers.properties.
    pub(crate) fn workers(mut self, text: &'static str) -> Group {
        self.workers = text;
        self
    }

    /// Adds directives.
    pub(crate) fn config(mut self, directives: &str) -> Group {
        self.config.push_str(directives);
        self
    }

    /// Compares as well which deliveries came over a new connection, and which names went as codes.
    pub(crate) fn connections(mut self) -> Group {
        self.connections = true;
        self
    }

    /// Leaves out the counters of balancers.
    pub(crate) fn without_counters(mut self) -> Group {
        self.counters = false;
        self
    }

    /// Adds a file.
    pub(crate) fn file(mut self, name: &'static str, text: &str) -> Group {
        self.files.push((name, text.to_owned()));
        self
    }

    /// Loads more of httpd's modules.
    pub(crate) fn modules(mut self, names: &'static [&'static str]) -> Group {
        self.modules = names;
        self
    }
}

/// One connection of a client.
#[derive(Clone)]
pub(crate) struct Case {
    /// Name in the table.
    pub(crate) name: String,
    /// Sent at once, in order.
    pub(crate) requests: Vec<Request>,
    /// What the container does with the first delivery, the second, ...; the last one stands for all that follow.
    pub(crate) answers: Vec<Vec<Step>>,
    /// The client sends no more after its requests, and says so.
    pub(crate) half_close: bool,
}

/// One request as text.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: Vec<u8>,
    pub(crate) version: &'static str,
    /// Lines without their ends; `Host: h` is put before them unless one of them is a Host.
    pub(crate) headers: Vec<Vec<u8>>,
    pub(crate) body: Vec<u8>,
}

/// What the container does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Reads the request body as its headers say.
    ReadBody,
    /// Asks for so many bytes and reads one packet.
    Ask(u16),
    /// Status, reason ("" sends null), header lines `Name: value`.
    Head(u16, &'static str, &'static [&'static str]),
    /// A piece of the response body.
    Chunk(Vec<u8>),
    /// A chunk without data.
    Flush,
    /// The end; the connection stays open.
    End,
    /// The end; the web server is to close the connection.
    EndWithoutReuse,
    /// Bytes as they are.
    Raw(Vec<u8>),
    /// Closes the connection.
    Close,
}

/// 200, text/plain, `ok`.
pub(crate) fn usual() -> Vec<Step> {
    answer(200, "OK", &["Content-Type: text/plain"], "ok")
}

/// Reads the request body and answers at once.
pub(crate) fn answer(status: u16, reason: &'static str, headers: &'static [&'static str], body: &str) -> Vec<Step> {
    let mut steps = vec![Step::ReadBody, Step::Head(status, reason, headers)];
    if !body.is_empty() {
        steps.push(Step::Chunk(body.as_bytes().to_vec()));
    }
    steps.push(Step::End);
    steps
}

/// A request without headers of its own.
pub(crate) fn request(method: &str, target: impl AsRef<[u8]>) -> Request {
    Request {
        method: method.to_owned(),
        target: target.as_ref().to_vec(),
        version: "HTTP/1.1",
        headers: Vec::new(),
        body: Vec::new(),
    }
}

impl Request {
    /// The bytes on the wire.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let is_host = |line: &Vec<u8>| line.len() >= 5 && line[..5].eq_ignore_ascii_case(b"host:");
        let mut bytes = [self.method.as_bytes(), b" ", &self.target, b" ", self.version.as_bytes(), b"\r\n"].concat();
        if !self.headers.iter().any(is_host) {
            bytes.extend(b"Host: h\r\n");
        }
        for line in &self.headers {
            bytes.extend([line.as_slice(), b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

/// GET of a target; the target is the case's name as well.
pub(crate) fn get(target: &str) -> Case {
    case("GET", target)
}

/// A request; method and target are the case's name as well.
pub(crate) fn case(method: &str, target: &str) -> Case {
    let name = if method == "GET" { target.to_owned() } else { format!("{method} {target}") };
    Case { name, requests: vec![request(method, target)], answers: vec![usual()], half_close: false }
}

/// `len` bytes in which no stretch looks like another.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| b"abcdefghijklmnopqrstuvwxyz0123456789-"[(at + at / 37 + at / 1369) % 37]).collect()
}

impl Case {
    /// Another name in the table.
    pub(crate) fn named(mut self, name: impl Into<String>) -> Case {
        self.name = name.into();
        self
    }

    fn last(&mut self) -> &mut Request {
        self.requests.last_mut().expect("a case has a request")
    }

    /// Host of the last request.
    pub(crate) fn host(self, host: &str) -> Case {
        self.header(format!("Host: {host}"))
    }

    /// A header line of the last request.
    pub(crate) fn header(mut self, line: impl AsRef<[u8]>) -> Case {
        self.last().headers.push(line.as_ref().to_vec());
        self
    }

    /// Version of the last request.
    pub(crate) fn version(mut self, version: &'static str) -> Case {
        self.last().version = version;
        self
    }

    /// Bytes after the head of the last request, with no header about them.
    pub(crate) fn sent(mut self, bytes: impl AsRef<[u8]>) -> Case {
        self.last().body = bytes.as_ref().to_vec();
        self
    }

    /// A body with its length.
    pub(crate) fn body(self, bytes: impl AsRef<[u8]>) -> Case {
        let length = format!("Content-Length: {}", bytes.as_ref().len());
        self.header(length).sent(bytes)
    }

    /// A chunked body.
    pub(crate) fn chunked(self, pieces: &[usize]) -> Case {
        let mut bytes = Vec::new();
        for piece in pieces {
            bytes.extend([format!("{piece:x}\r\n").as_bytes(), &pattern(*piece), b"\r\n"].concat());
        }
        bytes.extend(b"0\r\n\r\n");
        self.header("Transfer-Encoding: chunked").sent(bytes)
    }

    /// One more request on the same connection.
    pub(crate) fn then(mut self, request: Request) -> Case {
        self.requests.push(request);
        self
    }

    /// What the container does with every delivery.
    pub(crate) fn answer(mut self, steps: Vec<Step>) -> Case {
        self.answers = vec![steps];
        self
    }

    /// A plain answer.
    pub(crate) fn answers(
        self,
        status: u16,
        reason: &'static str,
        headers: &'static [&'static str],
        body: &str,
    ) -> Case {
        self.answer(answer(status, reason, headers, body))
    }

    /// What the container does with the first delivery, the second, ...
    pub(crate) fn answers_in_turn(mut self, answers: Vec<Vec<Step>>) -> Case {
        self.answers = answers;
        self
    }

    /// The client shuts down its side after the request.
    pub(crate) fn half_close(mut self) -> Case {
        self.half_close = true;
        self
    }
}

/// A name-based virtual host.
pub(crate) fn vhost(name: &str, directives: &str) -> String {
    format!("<VirtualHost *:${{PORT}}>\nServerName {name}\n{directives}</VirtualHost>\n")
}

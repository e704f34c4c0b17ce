//! A headless Chromium for one test, driven through W3C WebDriver by Debian's chromedriver, as an admin's browser is used.
//!
//! Not here: what the pages are to look like. The surprising thing: dropping a [`Browser`] is an assertion, as with httpd: the test
//! fails if any page it saw left an error in the console, a breach of the content policy above all.
#![allow(dead_code, reason = "shared by several test binaries, none of which uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where a fact is not as it must be"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};

use super::{process, wait};

/// A loaded machine may take its time to start a browser. Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Name of the one member of an element reference, as the standard says.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The keys that an admin without a mouse has, as WebDriver names them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    /// To the next thing.
    Tab,
    /// Press it.
    Enter,
    /// Tick it.
    Space,
    /// The next choice.
    Down,
}

impl Key {
    fn text(self) -> &'static str {
        match self {
            Key::Tab => "\u{e004}",
            Key::Enter => "\u{e007}",
            Key::Space => " ",
            Key::Down => "\u{e015}",
        }
    }
}

/// A browser with one window.
pub(crate) struct Browser {
    driver: Child,
    agent: ureq::Agent,
    /// URL of the session, or of the driver while there is none.
    base: String,
}

impl Browser {
    /// Starts chromedriver and a browser.
    ///
    /// # Panics
    /// If either is not installed.
    pub(crate) fn open() -> Browser {
        let mut driver = process::start("chromedriver", &["--port=0".to_owned()], |command| {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        });
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let started = lines.find_map(|line| {
            let line = line.expect("chromedriver speaks text");
            line.rsplit_once("successfully on port ").map(|(_, port)| port.trim_end_matches('.').to_owned())
        });
        let port = started.expect("chromedriver is not installed, or does not start: make setup");
        // What it says from now on is read by nobody, and must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        let agent = config.build().into();
        let mut browser = Browser { driver, agent, base: format!("http://127.0.0.1:{port}") };
        let mut arguments = vec![
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--force-color-profile=srgb",
            "--hide-scrollbars",
        ];
        if rustix::process::geteuid().is_root() {
            // Chromium's sandbox refuses to work for root.
            arguments.push("--no-sandbox");
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = browser.post("/session", &wanted);
        browser.base = format!("{}/session/{}", browser.base, session["sessionId"].as_str().unwrap());
        browser
    }

    /// The same, and no page runs any script.
    pub(crate) fn without_scripts() -> Browser {
        let browser = Browser::open();
        browser.devtools("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
        browser
    }

    /// Loads a page; returns when it is loaded.
    pub(crate) fn go(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.get("/url").as_str().unwrap().to_owned()
    }

    /// The page as it is now, as markup.
    pub(crate) fn source(&self) -> String {
        self.get("/source").as_str().unwrap().to_owned()
    }

    /// The first element that matches a CSS selector; waits for it.
    #[track_caller]
    pub(crate) fn find(&self, css: &str) -> Element<'_> {
        wait::until_some(PATIENCE, css, || self.all(css).into_iter().next())
    }

    /// All elements that match now.
    pub(crate) fn all(&self, css: &str) -> Vec<Element<'_>> {
        let found = self.post("/elements", &json!({ "using": "css selector", "value": css }));
        found.as_array().unwrap().iter().map(|element| Element::new(self, element)).collect()
    }

    /// The element that has the focus.
    pub(crate) fn focused(&self) -> Element<'_> {
        Element::new(self, &self.get("/element/active"))
    }

    /// Waits until the text of the page contains `text`.
    #[track_caller]
    pub(crate) fn await_text(&self, text: &str) {
        // The body that was found may be gone with its page when its text is asked for.
        let shows = |body: &Element<'_>| body.text_now().is_some_and(|shown| shown.contains(text));
        wait::until(PATIENCE, text, || self.all("body").iter().any(shows));
    }

    /// Presses a key where the focus is.
    pub(crate) fn press(&self, key: Key) {
        self.type_text(key.text());
    }

    /// Types where the focus is.
    pub(crate) fn type_text(&self, text: &str) {
        let keys: Vec<_> = text
            .chars()
            .flat_map(|key| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })])
            .collect();
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] }));
    }

    /// Presses Tab until the focus is on the element that matches `css`.
    ///
    /// # Panics
    /// If it never comes there.
    #[track_caller]
    pub(crate) fn tab_to(&self, css: &str) {
        for _ in 0..500 {
            self.press(Key::Tab);
            if self.focused().matches(css) {
                return;
            }
        }
        panic!("the keyboard does not reach {css}");
    }

    /// Runs the body of a function in the page; it may return a promise.
    pub(crate) fn script(&self, body: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// The size of the window, in CSS pixels; narrow ones are phones.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// What the admin's system prefers: a `feature` of CSS media queries.
    pub(crate) fn prefer(&self, feature: &str, value: &str) {
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": [{ "name": feature, "value": value }] }));
    }

    /// Writes a picture of the whole page to `target/screenshots/<name>.png`, up to a height that people still look at.
    pub(crate) fn screenshot(&self, name: &str) {
        let metrics = self.devtools("Page.getLayoutMetrics", &json!({}));
        let size = &metrics["cssContentSize"];
        let width = size["width"].as_f64().unwrap();
        let height = size["height"].as_f64().unwrap().min(width * 6.0);
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let shot = self.devtools("Page.captureScreenshot", &json!({ "clip": clip, "captureBeyondViewport": true }));
        let bytes = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        let folder = artefacts("screenshots");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    /// What the console got since the last call, of the level of an error.
    pub(crate) fn console_errors(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A command of the browser's own protocol.
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap_or_else(|message| panic!("{path}: {message}"))
    }

    fn try_get(&self, path: &str) -> Result<Value, String> {
        value(self.agent.get(format!("{}{path}", self.base)).call().expect("chromedriver answers"))
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        let answer = request.send(body.to_string()).expect("chromedriver answers");
        value(answer).unwrap_or_else(|message| panic!("{path}: {message}"))
    }
}

/// The value of an answer, or why there is none.
fn value(mut answer: ureq::http::Response<ureq::Body>) -> Result<Value, String> {
    let text = answer.body_mut().with_config().limit(1 << 28).read_to_string().unwrap();
    let mut body: Value = serde_json::from_str(&text).unwrap();
    if answer.status() != 200 {
        return Err(body["value"]["message"].to_string());
    }
    Ok(body["value"].take())
}

/// A folder of what tests leave for people to look at.
pub(crate) fn artefacts(name: &str) -> PathBuf {
    let binary = std::env::current_exe().unwrap();
    // <target>/<profile>/deps/<binary>
    binary.ancestors().nth(3).unwrap().join(name)
}

impl Drop for Browser {
    fn drop(&mut self) {
        let errors = if std::thread::panicking() { Vec::new() } else { self.console_errors() };
        // The driver closes the browser; if it cannot, both are ended with their process group.
        let _ = self.agent.delete(&self.base).call();
        process::end(&mut self.driver, PATIENCE);
        assert!(errors.is_empty(), "errors in the console:\n{}", errors.join("\n"));
    }
}

/// Something on the page.
pub(crate) struct Element<'b> {
    browser: &'b Browser,
    id: String,
}

impl<'b> Element<'b> {
    fn new(browser: &'b Browser, reference: &Value) -> Element<'b> {
        Element { browser, id: reference[ELEMENT].as_str().expect("an element").to_owned() }
    }

    /// Clicks its middle, which must not be covered; a page that this leads to is loaded afterwards.
    #[track_caller]
    pub(crate) fn click(&self) {
        self.browser.post(&self.path("/click"), &json!({}));
    }

    /// Empties a field and types into it.
    #[track_caller]
    pub(crate) fn fill(&self, text: &str) {
        self.browser.post(&self.path("/clear"), &json!({}));
        self.browser.post(&self.path("/value"), &json!({ "text": text }));
    }

    /// What of its text can be seen.
    pub(crate) fn text(&self) -> String {
        self.browser.get(&self.path("/text")).as_str().unwrap_or_default().to_owned()
    }

    fn text_now(&self) -> Option<String> {
        self.browser.try_get(&self.path("/text")).ok()?.as_str().map(str::to_owned)
    }

    /// A property, such as `value` of a field as it stands now.
    pub(crate) fn property(&self, name: &str) -> Value {
        self.browser.get(&self.path(&format!("/property/{name}")))
    }

    /// An attribute; empty if it has none.
    pub(crate) fn attribute(&self, name: &str) -> String {
        self.browser.get(&self.path(&format!("/attribute/{name}"))).as_str().unwrap_or_default().to_owned()
    }

    /// Whether a CSS selector means it.
    pub(crate) fn matches(&self, css: &str) -> bool {
        self.browser.all(css).iter().any(|other| other.id == self.id)
    }

    fn path(&self, rest: &str) -> String {
        format!("/element/{}{rest}", self.id)
    }
}

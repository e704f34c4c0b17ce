//! Whether everybody can use the status pages: WCAG 2.2 at level AA, as far as a machine can tell, by axe-core in Chromium; and what
//! axe-core leaves out: the size of targets, a focus that is seen.
//!
//! Not here: the contrast of the colours by themselves (src/status/html.rs). The surprising thing: axe-core is not part of this tree;
//! `make setup` fetches it into target/.

use std::collections::BTreeSet;

use super::status_browser::Trouble;
use crate::support::backend::get;
use crate::support::browser::{Browser, Key, artefacts};

/// Every kind of page, on a site with trouble.
const PAGES: [(&str, &str); 21] = [
    ("list", ""),
    ("list that refreshes", "?re=600"),
    ("list, read only", "?opt=32"),
    ("list with all hidden", "?opt=511"),
    ("filter that finds nothing", "?find=nothing"),
    ("balancer", "?cmd=show&w=shop"),
    ("member", "?cmd=show&w=shop&sw=tomcat2"),
    ("AJP worker", "?cmd=show&w=solo"),
    ("form of a balancer", "?cmd=edit&w=shop"),
    ("form of a member", "?cmd=edit&w=shop&sw=tomcat1"),
    ("form of an AJP worker", "?cmd=edit&w=solo"),
    ("form of all members", "?cmd=edit&w=shop&att=vwa"),
    ("form that failed", "?cmd=update&w=shop&sw=tomcat1&vwf=x&vwa=x&vart=-1"),
    ("result", "?cmd=update&w=shop&sw=tomcat1&vwa=a"),
    ("drain", "?cmd=drain&w=shop&sw=tomcat1&until=30m"),
    ("member that is drained", "?cmd=show&w=shop&sw=tomcat1"),
    ("question for explain", "?cmd=explain"),
    ("explanation", "?cmd=explain&uri=/app/x&cookie=JSESSIONID=1.tomcat1"),
    ("error", "?cmd=show&w=nobody"),
    ("version", "?cmd=version"),
    ("dump", "?cmd=dump"),
];

/// axe-core, then a run of it over the page with everything unfolded; the rules that were broken and where.
fn script() -> String {
    let path = artefacts("axe-core").join("0.1.8/axe_playwright_python/axe.min.js");
    let axe = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {}: make setup", path.display()));
    format!(
        "document.querySelectorAll('details').forEach(it => it.open = true); {axe};
         return axe.run(document, {{ preload: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', \
         'best-practice'] }}).then(found => found.violations.flatMap(rule => rule.nodes.map(node => \
         rule.id + ': ' + node.html + ' ' + node.failureSummary)))"
    )
}

fn violations(browser: &Browser, script: &str) -> Vec<String> {
    let found = browser.script(script);
    found.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

fn breaks_no_rule(width: u32, scheme: &str, pages: &[(&str, &str)]) {
    let trouble = Trouble::start();
    let browser = Browser::open();
    browser.resize(width, 900);
    browser.prefer("prefers-color-scheme", scheme);
    let script = script();
    let mut broken = BTreeSet::new();
    for (name, query) in pages {
        browser.go(&trouble.httpd.url(&format!("/jkstatus{query}")));
        broken.extend(violations(&browser, &script).into_iter().map(|line| format!("{name}: {line}")));
    }
    let list: Vec<_> = broken.into_iter().collect();
    assert!(list.is_empty(), "{}", list.join("\n\n"));
}

#[test]
fn no_page_breaks_a_rule_of_wcag_on_a_light_screen() {
    breaks_no_rule(1_600, "light", &PAGES);
}

/// Layout and colours change, the markup does not, so that some pages are enough.
#[test]
fn no_page_breaks_a_rule_of_wcag_on_a_dark_phone() {
    let pages = PAGES.iter().filter(|(name, _)| {
        ["list", "form that failed", "result", "drain", "member that is drained", "explanation", "error", "dump"]
            .contains(name)
    });
    breaks_no_rule(320, "dark", &pages.copied().collect::<Vec<_>>());
}

#[test]
fn axe_finds_what_is_wrong_on_purpose() {
    let trouble = Trouble::start();
    let browser = Browser::open();
    browser.go(&trouble.httpd.url("/jkstatus"));
    browser.script(
        "document.querySelector('input[name=find]').parentElement.replaceWith(document.createElement('input'))",
    );
    let found = violations(&browser, &script());
    assert!(found.iter().any(|line| line.starts_with("label: <input>")), "{found:?}");
}

/// Whatever can be pressed is 24 pixels high and wide; links in a running text need not be.
#[test]
fn everything_that_is_pressed_is_large_enough_for_a_thumb() {
    let trouble = Trouble::start();
    let browser = Browser::open();
    let script = "document.querySelectorAll('details').forEach(it => it.open = true);
        return [...document.querySelectorAll('a, button, input, select, summary')].filter(it => {
            const box = it.getBoundingClientRect();
            const seen = box.width > 0 && box.right > 0 && it.type !== 'hidden';
            // A radio button is pressed by its label as well.
            const target = it.type === 'radio' ? it.parentElement.getBoundingClientRect() : box;
            return seen && (target.width < 24 || target.height < 24);
        }).map(it => it.outerHTML)";
    for width in [320, 1_600] {
        browser.resize(width, 900);
        for (name, query) in PAGES {
            browser.go(&trouble.httpd.url(&format!("/jkstatus{query}")));
            let small = browser.script(script);
            assert_eq!(small.as_array().unwrap().len(), 0, "{name} at {width}: {small}");
        }
    }
}

#[test]
fn the_focus_is_seen_wherever_the_keyboard_leads() {
    let trouble = Trouble::start();
    let browser = Browser::open();
    for query in ["?opt=4", "?cmd=edit&w=shop&sw=tomcat1"] {
        browser.go(&trouble.httpd.url(&format!("/jkstatus{query}")));
        let mut stops = 0;
        loop {
            browser.press(Key::Tab);
            let seen = browser.script(
                "const it = document.activeElement; if (it === document.body) return null; it.scrollIntoView({ block: 'nearest' });
                 const style = getComputedStyle(it), box = it.getBoundingClientRect();
                 return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && box.bottom > 0 && box.right > 0
                     ? 'seen' : it.outerHTML",
            );
            if seen.is_null() {
                break;
            }
            assert_eq!(seen, "seen", "{query}");
            stops += 1;
        }
        assert!(stops > 20, "{query}: only {stops} stops");
    }
    // Nothing was changed on the way.
    assert!(get(&trouble.httpd, "/jkstatus?mime=txt").text().contains("name=tomcat1"));
}

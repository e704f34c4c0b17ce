//! Which requests reach which worker: patterns, order, exclusions, disabled rules.

use super::case::{Group, get};

const CONFIG: &str = r#"
JkMount /app/* w1
JkMount /*.jsp w2
JkMount /exact w3
JkMount /ctx|/* w1
JkUnMount /app/static/* w1
JkUnMount /app/other/* w2
JkUnMount /app/any/* *
JkMount /q/?.do w3
JkMount "/x y" w2
JkMount /p%q w2
JkMount /dup w1
JkMount /dup|/z w2
"#;

/// Twenty cases to begin with.
pub(crate) fn group() -> Group {
    let targets = [
        "/app/", "/app", "/app/x", "/app/x.jsp", "/x.jsp", "/a/b/c.jsp", "/exact", "/exact/", "/exactly", "/ctx", "/ctx/a",
        "/ctxa", "/app/static/a", "/app/other/a", "/app/any/a", "/q/a.do", "/q/ab.do", "/q//.do", "/x%20y", "/p%25q", "/dup",
        "/dup/z", "/App/x", "/", "/a.txt",
    ];
    Group::new("mapping", CONFIG, targets.iter().map(|target| get(target)).collect()).file("htdocs/a.txt", "static\n")
}

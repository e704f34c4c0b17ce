"use strict";
// Refreshes the page in place. Without scripts, the Refresh in the head loads it anew.
(() => {
  const doc = document, body = doc.body, pause = doc.getElementById("pause"), note = doc.getElementById("note");
  // A reload then shows the view and does not repeat the change.
  if (body.dataset.back) history.replaceState(null, "", body.dataset.back);
  if (!pause) return;
  const key = node => node.nodeType === 1 && node.dataset.key || "";
  const same = (old, now) => old.nodeName === now.nodeName && key(old) === key(now);
  // Which details are open is the admin's; typed text stays by itself, for it is no attribute.
  const attributes = (old, now) => {
    const own = name => name === "open";
    for (const { name } of [...old.attributes]) if (!own(name) && !now.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of now.attributes) if (!own(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  };
  // Nodes that stay are never moved, so that they keep focus and scroll.
  const renew = (old, now) => {
    if (old.nodeType !== 1) { if (old.data !== now.data) old.data = now.data; return; }
    if (old.hasAttribute("data-own")) return;
    attributes(old, now);
    const wanted = new Map(), keyed = new Map();
    for (const child of now.children) if (key(child)) wanted.set(key(child), child);
    for (const child of [...old.children]) if (key(child)) {
      const other = wanted.get(key(child));
      if (other && same(child, other)) keyed.set(key(child), child); else child.remove();
    }
    let at = old.firstChild;
    for (const child of [...now.childNodes]) {
      let found = keyed.get(key(child));
      if (!key(child)) for (found = at; found && !same(found, child);) found = key(found) ? null : found.nextSibling;
      if (!found || !same(found, child)) { old.insertBefore(child, at); continue; }
      if (key(child)) { if (found !== at) old.insertBefore(found, at); }
      else while (at !== found) { const gone = at; at = at.nextSibling; gone.remove(); }
      if (found === at) at = at.nextSibling;
      renew(found, child);
    }
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
  };
  let paused = false;
  const refresh = async () => {
    if (!paused && !doc.hidden) try {
      const answer = await fetch(location.href, { cache: "no-store" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!answer.ok || !page.getElementById("pause")) throw 0;
      if (!paused) for (const part of ["header", "main", "footer"]) renew(doc.querySelector(part), page.querySelector(part));
      if (note.textContent) note.textContent = "";
    } catch {
      note.textContent = "The server does not answer; what you see is old.";
    }
    setTimeout(refresh, pause.dataset.every * 1000);
  };
  pause.hidden = false;
  pause.onclick = () => {
    paused = !paused;
    pause.textContent = paused ? "Resume" : "Pause";
    note.textContent = paused ? "Paused." : "";
  };
  setTimeout(refresh, pause.dataset.every * 1000);
})();

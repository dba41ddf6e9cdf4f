// Keeps an open page true: counts the ages on, and takes over what is new without reloading.
"use strict";
(() => {
  const ASK_FOR_S = 10;
  const LONGEST_PAUSE_MS = 30000;
  const notice = document.getElementById("notice");
  const CHECK_AFTER_MS = 350;
  const ENDED = "Your session has ended. Sign in again in another tab, then go on here: what you typed stays.";
  const OTHER = "Somebody else has signed in in another tab. Load this page again to go on as them.";
  // 0: what stands on the page is being typed, or tells of an error; nothing may take its place
  let pauseMs = Number(document.body.dataset.liveS) * 1000;
  let tag = null;
  let failures = 0;
  let lastAnswer = new Date();
  let timer = 0;
  let asking = false;
  // whether somebody has touched the page since it asked last; what it asks by itself keeps no session alive
  let touched = true;
  // Ages are counted by the cloud master's clock; this machine's may be wrong.
  let ahead = Date.parse(document.body.dataset.now) - Date.now();

  function age(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min";
    if (s < 48 * 3600) return Math.floor(s / 3600) + " h";
    return Math.floor(s / 86400) + " days";
  }

  function tick() {
    for (const time of document.querySelectorAll("time[data-age]")) {
      const words = age((Date.now() + ahead - Date.parse(time.dateTime)) / 1000)
        + (time.dataset.age === "ago" ? " ago" : "");
      if (time.textContent !== words) time.textContent = words;
    }
  }

  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

  function takeAttributes(old, fresh) {
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      // "open" is the reader's own doing
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
  }

  function takeChildren(old, fresh) {
    const keyed = new Map();
    for (const child of old.children) {
      if (keyOf(child) !== null) keyed.set(keyOf(child), child);
    }
    let at = old.firstChild;
    for (const wanted of [...fresh.childNodes]) {
      const key = keyOf(wanted);
      const moved = key === null ? undefined : keyed.get(key);
      if (moved !== undefined) {
        keyed.delete(key);
        if (moved === at) at = at.nextSibling;
        else old.insertBefore(moved, at);
        take(moved, wanted);
      } else if (key === null && at !== null && keyOf(at) === null && at.nodeName === wanted.nodeName) {
        const next = at.nextSibling;
        take(at, wanted);
        at = next;
      } else {
        old.insertBefore(document.importNode(wanted, true), at);
      }
    }
    while (at !== null) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  // Makes `old` like `fresh`, touching only what differs, so that focus, selection and scrolling stay.
  function take(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    } else if (!old.hasAttribute("data-still")) {
      takeAttributes(old, fresh);
      // the words of an age are ours
      if (!(old.nodeName === "TIME" && old.hasAttribute("data-age"))) takeChildren(old, fresh);
    }
  }

  function takePage(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.getElementById("main");
    if (fresh === null) return;
    if (readerOf(page) !== readerOf(document)) {
      location.reload();
      return;
    }
    ahead = Date.parse(page.body.dataset.now) - Date.now();
    pauseMs = Number(page.body.dataset.liveS) * 1000;
    const focused = document.activeElement;
    take(document.getElementById("main"), fresh);
    takeToken(page);
    if (document.title !== page.title) document.title = page.title;
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    tick();
  }

  function tell(words) {
    if (notice.textContent !== words) notice.textContent = words;
    notice.hidden = words === "";
  }

  function tellOfFailure(status) {
    const when = lastAnswer.toLocaleTimeString();
    if (status === 404) tell("What this page shows is no longer there. It stands as it was at " + when + ".");
    else if (status) tell("The cloud master cannot answer right now (" + status + "). Figures are from " + when + ".");
    else tell("The cloud master has not answered since " + when + ". Trying again.");
  }

  // The session has ended: to the login, and from there back here.
  function leave() {
    location.replace("/login?next=" + encodeURIComponent(location.pathname + location.search));
  }

  const ledAway = (answer) => answer.type === "opaqueredirect";

  function headersOf() {
    const headers = { Accept: "text/html" };
    if (!touched) headers["X-Unasked"] = "1";
    touched = false;
    return headers;
  }

  // In another tab somebody else may have signed in.
  function readerOf(page) {
    const name = page.querySelector(".who a");
    return name === null ? "" : name.textContent;
  }

  // Forms carry what the present session gives them, also where they stand still.
  function takeToken(page) {
    const fresh = page.querySelector("main input[name=csrf], .who input[name=csrf]");
    if (fresh === null) return;
    for (const field of document.querySelectorAll("input[name=csrf]")) field.value = fresh.value;
  }

  // On a page that stands still: somebody may have signed out, or in again, in another tab.
  async function renew() {
    try {
      const answer = await fetch(location.href, {
        headers: headersOf(), cache: "no-store", credentials: "same-origin", redirect: "manual",
      });
      if (ledAway(answer)) {
        if (location.pathname === "/login") location.reload();
        else tell(ENDED);
        return;
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      // what tells of an error may be no page at all
      if (readerOf(page) === "") return;
      if (readerOf(page) !== readerOf(document)) {
        tell(OTHER);
        return;
      }
      takeToken(page);
      if (notice.textContent === ENDED || notice.textContent === OTHER) tell("");
    } catch (error) {
      // offline: whoever sends the form will see
    }
  }

  async function ask() {
    if (asking || document.hidden || pauseMs === 0) return;
    asking = true;
    const abort = new AbortController();
    const deadline = setTimeout(() => abort.abort(), ASK_FOR_S * 1000);
    try {
      const headers = headersOf();
      if (tag !== null) headers["If-None-Match"] = tag;
      const answer = await fetch(location.href, {
        headers, cache: "no-store", credentials: "same-origin", redirect: "manual", signal: abort.signal,
      });
      if (ledAway(answer)) {
        leave();
      } else if (answer.status === 200) {
        const text = await answer.text();
        tag = answer.headers.get("ETag");
        takePage(text);
      } else if (answer.status !== 304) {
        throw answer.status;
      }
      failures = 0;
      lastAnswer = new Date();
      tell("");
    } catch (error) {
      failures += 1;
      // one lost answer is no news
      if (failures > 1 || typeof error === "number") tellOfFailure(typeof error === "number" ? error : 0);
    } finally {
      clearTimeout(deadline);
      asking = false;
      plan();
    }
  }

  function look() {
    if (pauseMs === 0) renew();
    else ask();
  }

  function plan() {
    clearTimeout(timer);
    if (!document.hidden && pauseMs > 0) timer = setTimeout(ask, Math.min(pauseMs * (1 + failures), LONGEST_PAUSE_MS));
  }

  function resetForms() {
    for (const button of document.querySelectorAll("form[data-busy] button")) {
      if (button.dataset.idle) button.textContent = button.dataset.idle;
      button.disabled = false;
    }
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset.busy) return;
    const pressed = event.submitter || form.querySelector("button");
    // only after the form was read: a disabled button does not send what it stands for
    setTimeout(() => {
      for (const button of form.querySelectorAll("button")) button.disabled = true;
      pressed.dataset.idle = pressed.textContent;
      pressed.textContent = pressed.dataset.busy || form.dataset.busy;
    }, 0);
  });

  // A form with a preview: asks its own page for it after each change, as its button "Check" does.
  const checked = document.querySelector("form[data-check]");
  let checkTimer = 0;
  let checking = null;

  async function check(renewed) {
    if (checking !== null) checking.abort();
    const mine = new AbortController();
    checking = mine;
    const deadline = setTimeout(() => mine.abort(), ASK_FOR_S * 1000);
    const typed = new URLSearchParams(new FormData(checked));
    typed.set("do", "check");
    try {
      const answer = await fetch(checked.action, {
        method: "POST", body: typed, headers: { Accept: "text/html" }, cache: "no-store",
        credentials: "same-origin", redirect: "manual", signal: mine.signal,
      });
      if (ledAway(answer)) {
        tell(ENDED);
        return;
      }
      if (answer.status === 403 && renewed !== true) {
        // signed in again in another tab: the form carries what the session before gave it
        await renew();
        if (checking === mine) check(true);
        return;
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("[data-preview]");
      if (fresh === null) throw answer.status;
      if (checking === mine) take(document.querySelector("[data-preview]"), fresh);
      tell("");
    } catch (error) {
      if (checking === mine) tell("The cloud master cannot say right now where it would go. Creating it may still work.");
    } finally {
      clearTimeout(deadline);
      if (checking === mine) checking = null;
    }
  }

  if (checked !== null) {
    const later = () => {
      clearTimeout(checkTimer);
      checkTimer = setTimeout(check, CHECK_AFTER_MS);
    };
    checked.addEventListener("input", later);
    checked.addEventListener("submit", () => clearTimeout(checkTimer));
  }

  const errors = document.getElementById("errors");
  if (errors !== null) errors.focus();

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else { tick(); look(); }
  });
  window.addEventListener("pageshow", (event) => {
    resetForms();
    // a page that comes back as it was may be one of somebody who has signed out
    if (event.persisted) look();
  });
  for (const sign of ["pointermove", "pointerdown", "keydown", "wheel"]) {
    window.addEventListener(sign, () => { touched = true; }, { passive: true });
  }
  setInterval(() => { if (!document.hidden) tick(); }, 1000);
  tick();
  plan();
})();

// What every page does: times in the reader's zone, toasts, copying, and renewing what is live.
(() => {
  const seen = new Map(); // the HTML of each live element as the service sent it, by id
  let etag = "", asOf = new Date(), waiting = null;

  // Times -------------------------------------------------------------------------------------------------------------
  function localize(root) {
    const today = new Date().toDateString();
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      time.title = at.toLocaleString();
      time.textContent = at.toDateString() === today
        ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
        : at.toLocaleDateString([], { day: "numeric", month: "short" });
      if (time.hasAttribute("data-seconds")) time.textContent = at.toLocaleTimeString();
    }
  }

  // Toasts stay until they are dismissed ------------------------------------------------------------------------------
  function toast(message, action) {
    const box = document.createElement("div"), text = document.createElement("span"), close = document.createElement("button");
    box.className = "toast";
    text.textContent = message;
    close.className = "btn";
    close.type = "button";
    close.textContent = "Dismiss";
    close.addEventListener("click", () => box.remove());
    box.append(text, close);
    if (action) {
      const button = document.createElement("button");
      button.className = "btn";
      button.type = "button";
      button.textContent = action.word;
      button.addEventListener("click", () => { box.remove(); action.act(); });
      text.after(button);
    }
    document.getElementById("toasts").append(box);
  }

  function problemOf(request) {
    try {
      const problem = JSON.parse(request.responseText);
      return [problem.detail, problem.hint].filter(Boolean).join(". ");
    } catch {
      return `The service answered ${request.status}.`;
    }
  }

  // Renewing ----------------------------------------------------------------------------------------------------------
  const FOCUSABLE = "a[href], button, input, select, summary, textarea";

  function replace(old, fresh) {
    const inside = old.contains(document.activeElement) ? [...old.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement) : -1;
    for (const box of old.querySelectorAll("input[type=checkbox]:checked"))
      for (const twin of fresh.querySelectorAll("input[type=checkbox]")) if (twin.value === box.value) twin.checked = true;
    for (const part of old.querySelectorAll("details[open][id]"))
      for (const twin of fresh.querySelectorAll("details[id]")) if (twin.id === part.id) twin.open = true;
    old.replaceWith(fresh);
    ready(fresh);
    if (inside >= 0) fresh.querySelectorAll(FOCUSABLE)[inside]?.focus({ preventScroll: true });
  }

  function ready(element) {
    localize(element);
    window.htmx?.process(element);
    element.dispatchEvent(new CustomEvent("face:renewed", { bubbles: true }));
  }

  // A sentence that readers of screens hear is renewed at most each ten seconds, unless the status in data-slow changed.
  const slow = new Map();
  function tooSoon(fresh) {
    if (!("slow" in fresh.dataset)) return false;
    const before = slow.get(fresh.id), now = Date.now();
    if (before && before.status === fresh.dataset.slow && now - before.at < 10000) return true;
    slow.set(fresh.id, { status: fresh.dataset.slow, at: now });
    return false;
  }

  function renew(old, fresh) {
    if (seen.get(fresh.id) === fresh.outerHTML || tooSoon(fresh)) return old;
    seen.set(fresh.id, fresh.outerHTML);
    const adopted = document.importNode(fresh, true);
    replace(old, adopted);
    return adopted;
  }

  // A log stays at its end, unless a person reads further up.
  const follow = (log) => { log.scrollTop = log.scrollHeight; };

  function renewRows(list, freshList) {
    const log = list.closest("[data-follows]"), atEnd = log && log.scrollTop + log.clientHeight > log.scrollHeight - 30;
    let at = list.firstElementChild;
    for (const fresh of [...freshList.children]) {
      const old = fresh.id ? document.getElementById(fresh.id) : null;
      let row = old;
      if (old) {
        row = renew(old, fresh);
        if (at === old) at = row;
      } else {
        row = document.importNode(fresh, true);
        if (fresh.id) seen.set(fresh.id, fresh.outerHTML);
      }
      if (row === at) at = at.nextElementSibling;
      else list.insertBefore(row, at);
      if (!old) ready(row);
    }
    while (at) {
      const gone = at;
      at = at.nextElementSibling;
      gone.remove();
    }
    if (atEnd) follow(log);
  }

  function remember() {
    for (const element of document.querySelectorAll("[data-live]")) seen.set(element.id, element.outerHTML);
    for (const row of document.querySelectorAll("[data-live-rows] > [id]")) seen.set(row.id, row.outerHTML);
  }

  // Fetch this page again and renew its elements with data-live, and the rows of data-live-rows, that are different.
  async function refresh() {
    let answer;
    try {
      answer = await fetch(location.href, { headers: { Accept: "text/html", "If-None-Match": etag }, cache: "no-store" });
    } catch {
      connected(false);
      return false;
    }
    if (answer.redirected) location.reload(); // to the login
    if (answer.status !== 304 && !answer.ok) {
      connected(answer.status < 500);
      return false;
    }
    connected(true);
    if (answer.status === 304) return true;
    etag = answer.headers.get("ETag") || "";
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const fresh of page.querySelectorAll("[data-live]")) {
      const old = document.getElementById(fresh.id);
      if (old) renew(old, fresh);
    }
    for (const fresh of page.querySelectorAll("[data-live-once]")) { // renewed only where what it is of has changed
      const old = document.getElementById(fresh.id);
      if (!old || old.dataset.liveOnce === fresh.dataset.liveOnce) continue;
      const adopted = document.importNode(fresh, true);
      replace(old, adopted);
    }
    for (const fresh of page.querySelectorAll("[data-live-rows]")) {
      const old = document.getElementById(fresh.id);
      if (old) renewRows(old, fresh);
    }
    return true;
  }

  // The banner of a lost connection: nothing else changes meanwhile.
  function connected(yes) {
    const banner = document.getElementById("offline");
    if (yes) asOf = new Date();
    banner.querySelector("[data-as-of]").textContent = asOf.toLocaleTimeString();
    banner.hidden = yes;
  }

  // A list asks every few seconds, and seldom where nothing happens or nobody looks. An equal page is answered with 304.
  function poll() {
    clearTimeout(waiting);
    const busy = document.querySelector("[data-live-rows] .status:is([data-is=running], [data-is=queued])");
    waiting = setTimeout(async () => {
      if (!document.hidden) await refresh();
      poll();
    }, busy || !document.getElementById("offline").hidden ? 3000 : 15000);
  }

  // Jobs chosen to be compared ----------------------------------------------------------------------------------------
  function showChosen() {
    const button = document.querySelector("[data-compare]");
    if (!button) return;
    const chosen = document.querySelectorAll("input[name=job]:checked").length;
    button.disabled = chosen < 2 || chosen > 8;
    button.textContent = chosen < 2 ? "Compare" : `Compare ${chosen}`;
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches("input[name=job]")) showChosen();
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copies]");
    if (!button) {
      for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
      return;
    }
    try {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
      button.querySelector("[data-word]").textContent = "Copied";
    } catch { // a page over plain HTTP on a network has no clipboard: select it, so that a key copies it
      getSelection().selectAllChildren(document.getElementById(button.dataset.copies));
    }
  });

  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // A list that was filtered is another page at another address.
  document.addEventListener("htmx:afterSettle", () => {
    etag = "";
    remember();
    localize(document);
    showChosen();
  });

  // Changes are sent by htmx to the routes of the API -----------------------------------------------------------------
  document.addEventListener("htmx:responseError", (event) => {
    const { elt, xhr, pathInfo } = event.detail;
    const may = xhr.status === 409 && elt.dataset.forces && !pathInfo.requestPath.includes("force=");
    toast(problemOf(xhr), may && {
      word: elt.dataset.forces,
      act: () => htmx.ajax("DELETE", `${pathInfo.requestPath}?force=true`, { source: elt, swap: "none" }),
    });
  });
  document.addEventListener("htmx:sendError", () => toast("The service does not answer. Nothing was changed; try again."));
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful || !event.detail.elt.matches("[data-changes]")) return;
    event.detail.elt.closest("details.menu")?.removeAttribute("open");
    const then = event.detail.elt.dataset.then;
    if (then) location.assign(then);
    else document.dispatchEvent(new CustomEvent("face:changed"));
  });

  window.face = { connected, localize, refresh, toast };
  remember();
  localize(document);
  for (const log of document.querySelectorAll("[data-follows]")) follow(log);
  document.addEventListener("toggle", (event) => event.target.querySelectorAll?.("[data-follows]").forEach(follow), true);
  showChosen();
  if (document.querySelector("[data-polls]")) {
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
    poll();
  }
})();

// The page of one job listens to one stream of the job's events, and renews itself at each.
(() => {
  const KINDS = ["status", "warning", "waiting", "resumed", "prepared", "predicted", "phase", "stage", "epoch", "checkpoint",
    "recognition", "enlargement", "batch_split", "rolled_back", "steps_skipped", "step_chosen", "stopped_early"];
  const place = () => document.getElementById("stream").dataset;
  let source = null, last = Number(place().after), due = 0, timer = null, busy = false, opened = false;

  // At most one renewal a second, and none beside another; what comes meanwhile is in the next.
  function renewSoon(milliseconds) {
    const at = Date.now() + milliseconds;
    if (timer && due <= at) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(async () => {
      timer = null;
      if (busy) return renewSoon(500);
      busy = true;
      const renewed = await face.refresh();
      busy = false;
      if (!renewed) return renewSoon(2000);
      last = Math.max(last, Number(place().after));
      listen();
    }, milliseconds);
  }

  function seen(event) {
    if (event.lastEventId) last = Math.max(last, Number(event.lastEventId));
    renewSoon(1000);
  }

  function progressed(event) {
    const bar = document.querySelector("[data-progress]"), progress = JSON.parse(event.data);
    if (bar) bar.value = progress.progress;
    renewSoon(10000);
  }

  // The browser reconnects by itself and sends the number of the last event. Where it gave up, a new stream begins after it.
  function listen() {
    if (place().terminal === "yes") {
      source?.close();
      source = null;
      return;
    }
    if (source && source.readyState !== EventSource.CLOSED) return;
    source = new EventSource(`/jobs/${place().job}/events?after=${last}`);
    for (const kind of KINDS) source.addEventListener(kind, seen);
    source.addEventListener("message", seen);
    source.addEventListener("progress", progressed);
    source.addEventListener("open", () => {
      if (opened) renewSoon(0); // after a lost connection: all that was missed
      opened = true;
    });
    source.addEventListener("error", () => {
      const dead = source;
      face.connected(false);
      renewSoon(2000); // an ended job ends its stream too
      if (dead.readyState === EventSource.CLOSED) setTimeout(() => { if (source === dead) listen(); }, 2000);
    });
  }

  const labels = document.getElementById("labels");
  labels?.addEventListener("submit", async (event) => {
    event.preventDefault();
    forms.clear(labels);
    const { name, tags, notes } = labels.elements;
    const given = tags.value.split(",").map((tag) => tag.trim()).filter(Boolean);
    try {
      await forms.send("PATCH", `/jobs/${place().job}`, { name: name.value, tags: given, notes: notes.value });
    } catch (error) {
      const { found, rest } = forms.mark(labels, error.fields || []);
      if (rest.length || !found.size) face.toast(rest.join(" ") || forms.words(error));
      [...found.keys()][0]?.focus();
      return;
    }
    document.getElementById("labels-fold").open = false;
    renewSoon(0);
  });

  document.addEventListener("face:changed", () => renewSoon(0));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) renewSoon(0); });
  listen();
})();

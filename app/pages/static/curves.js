// Draws the curves of a page by uPlot, from the JSON in data-curves, and reads them by pointer or arrow keys.
(() => {
  const DASHES = { 1: [], 2: [7, 4], 3: [2, 4], 4: [9, 3, 2, 3], 5: [1, 3], 6: [12, 4], 7: [5, 2], 8: [3, 6] };
  const plots = new Map();
  let curves = null;

  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  function color(name) { // a custom property with light-dark() is resolved where it is used
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  }

  const shown = (value, chart) => value == null ? "–"
    : chart.logarithmic ? value.toExponential(1) : value.toFixed(chart.digits);

  // A logarithmic axis has the powers of ten as its scale: uPlot's own finds no end of ticks in some ranges.
  const placed = (value, chart) => value != null && chart.logarithmic ? Math.log10(value) : value;

  function valuesText(chart, index) {
    const parts = chart.series.filter((series) => series.values[index] != null)
      .map((series) => `${chart.series.length > 1 ? `${series.label} ` : ""}${shown(series.values[index], chart)}`);
    return `${curves.names[index]}: ${parts.join(", ") || "not measured"}${chart.unit ? ` ${chart.unit}` : ""}`;
  }

  function label(chart, title) {
    const parts = [`${title} by epoch.`];
    if (chart.before != null) parts.push(`${shown(chart.before, chart)} ${chart.before_is || "before"}.`);
    for (const series of chart.series)
      if (series.best != null && series.values[series.best] != null)
        parts.push(`Best ${series.label} ${shown(series.values[series.best], chart)} at ${curves.names[series.best]}.`);
    for (const series of chart.series) {
      const last = series.values.findLastIndex((value) => value != null);
      if (last >= 0) parts.push(`${series.label} ${shown(series.values[last], chart)} at ${curves.names[last]}.`);
    }
    if (!curves.places.length) parts.push("No epoch yet.");
    return parts.join(" ");
  }

  // A ring around the best epoch of a series, with its figure unless another is `written` there.
  function ring(plot, chart, series, font, written) {
    const value = series.best == null ? null : series.values[series.best];
    if (value == null) return;
    const { ctx, bbox } = plot, ratio = devicePixelRatio;
    const x = plot.valToPos(curves.places[series.best], "x", true), y = plot.valToPos(value, "y", true);
    if (y > bbox.top + bbox.height) return; // off the axis
    ctx.strokeStyle = color(`--series-${series.style}`);
    ctx.fillStyle = color("--surface");
    ctx.lineWidth = 2 * ratio;
    ctx.beginPath();
    ctx.arc(x, y, 5 * ratio, 0, 2 * Math.PI);
    ctx.fill();
    ctx.stroke();
    ctx.fillStyle = color("--ink");
    ctx.font = `600 ${12 * ratio}px ${font}`;
    const text = `best ${shown(value, chart)}`, half = ctx.measureText(text).width / 2;
    const middle = Math.min(Math.max(x, bbox.left + half), bbox.left + bbox.width - half), top = Math.max(y - 12 * ratio, bbox.top + 10 * ratio);
    if (written.some((other) => Math.abs(other.middle - middle) < half + other.half + 4 && Math.abs(other.top - top) < 14 * ratio)) return;
    written.push({ middle, half, top });
    ctx.textAlign = "center";
    ctx.fillText(text, middle, top);
  }

  function marks(chart) {
    return (plot) => {
      const { ctx, bbox } = plot, ratio = devicePixelRatio;
      const x = (value) => plot.valToPos(value, "x", true), y = (value) => plot.valToPos(value, "y", true);
      const font = getComputedStyle(document.body).fontFamily;
      ctx.save();
      ctx.font = `${12 * ratio}px ${font}`;
      ctx.lineWidth = ratio;
      if (curves.boundary && curves.planned > curves.boundary) {
        const at = Math.round(x(curves.boundary + 0.5));
        ctx.strokeStyle = color("--line-strong");
        ctx.setLineDash([2 * ratio, 3 * ratio]);
        ctx.beginPath();
        ctx.moveTo(at, bbox.top);
        ctx.lineTo(at, bbox.top + bbox.height);
        ctx.stroke();
        ctx.fillStyle = color("--ink-3");
        ctx.textAlign = "left";
        ctx.fillText("stage 2", at + 6 * ratio, bbox.top + bbox.height - 6 * ratio);
      }
      if (chart.before != null) {
        const at = Math.round(y(chart.before));
        ctx.strokeStyle = color("--series-before");
        ctx.lineWidth = 2 * ratio;
        ctx.setLineDash([3 * ratio, 4 * ratio]);
        ctx.beginPath();
        ctx.moveTo(bbox.left, at);
        ctx.lineTo(bbox.left + bbox.width, at);
        ctx.stroke();
        ctx.fillStyle = color("--ink-3");
        ctx.textAlign = "right";
        ctx.fillText(`${chart.before_is || "before"} ${shown(chart.before, chart)}`, bbox.left + bbox.width, at - 6 * ratio);
      }
      ctx.setLineDash([]);
      const ends = [];
      for (const series of chart.series) {
        const last = series.values.findLastIndex((value) => value != null);
        if (last < 0) continue;
        const bottom = bbox.top + bbox.height, level = y(placed(series.values[last], chart)), falls = level > bottom;
        let at = falls ? bottom - 8 * ratio : level;
        while (ends.some((other) => Math.abs(other - at) < 14 * ratio)) at += 14 * ratio;
        ends.push(at);
        ctx.fillStyle = color("--ink");
        ctx.textAlign = "left";
        const left = x(curves.places[last]) + 8 * ratio;
        const text = falls ? `${series.label} falls to ${shown(series.values[last], chart)}` : series.label;
        const fits = left + ctx.measureText(text).width < ctx.canvas.width;
        if (!fits) ctx.textAlign = "right";
        ctx.fillText(text, fits ? left : ctx.canvas.width - 2 * ratio, at + (fits ? 4 : -10) * ratio);
      }
      const written = [];
      for (const series of chart.series) ring(plot, chart, series, font, written);
      ctx.restore();
    };
  }

  function range(chart) {
    return (_, low, high) => {
      const values = [low, high, chart.before].filter((value) => value != null);
      if (!values.length) return [0, 1];
      let [least, most] = [Math.min(...values), Math.max(...values)];
      if (chart.logarithmic) return [Math.floor(least), Math.max(Math.floor(least) + 1, Math.ceil(most))];
      if (chart.floor != null) least = Math.max(least, chart.floor);
      const room = (most - least || Math.abs(most) || 1) * 0.12;
      if (chart.floor != null) return [least - 2 * room, most + room * 1.6]; // room for the words of what falls
      return [least >= 0 ? Math.max(0, least - room) : least - room, most + room * 1.6];
    };
  }

  // Round numbers of epochs in each stage, with the first epoch of stage 2.
  function ticks(_, __, ___, ____, step) {
    const { boundary, planned } = curves, found = [];
    for (let epoch = step; epoch < boundary; epoch += step) found.push(epoch);
    if (boundary && step < 5) found.push(boundary);
    if (boundary && planned > boundary && step > 1 && step < 5) found.push(boundary + 1);
    for (let epoch = step; epoch <= planned - boundary; epoch += step) found.push(boundary + epoch);
    return found.sort((a, b) => a - b);
  }

  function draw(element) {
    const chart = curves.charts.find((each) => each.id === element.dataset.plot);
    if (!chart) return;
    plots.get(element)?.destroy();
    element.setAttribute("aria-label", label(chart, element.dataset.title));
    const width = element.clientWidth, narrow = width < 480;
    if (!width) return; // in a folded part: drawn when it opens
    const height = element.classList.contains("main") ? (narrow ? 240 : 320) : 176;
    const axis = { stroke: color("--ink-3"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: `12px ${getComputedStyle(document.body).fontFamily}` };
    const places = curves.places.length ? curves.places : [null];
    const name = (place) => place > curves.boundary ? place - curves.boundary : place;
    plots.set(element, new uPlot({
      width, height,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 8 }, y: false },
      padding: [16, narrow ? 44 : 72, 0, 0],
      scales: {
        x: { time: false, range: () => [Math.min(1, curves.planned), Math.max(2, curves.planned)] },
        y: { range: range(chart) },
      },
      axes: [
        { ...axis, size: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000], space: 36, grid: { show: false }, splits: ticks, values: (_, splits) => splits.map((split) => Number.isInteger(split) && split > 0 ? String(name(split)) : "") },
        { ...axis, size: chart.digits > 3 || chart.logarithmic ? 56 : 44, space: 32, ...(chart.logarithmic ? { incrs: [1, 2, 5] } : {}), values: (_, splits) => splits.map((split) => split == null ? "" : chart.logarithmic ? (10 ** split).toExponential(0) : String(+split.toFixed(6))) },
      ],
      series: [{}, ...chart.series.map((series) => ({
        label: series.label, stroke: color(`--series-${series.style}`), width: 2, dash: DASHES[series.style], spanGaps: true,
        points: { show: places.length < 3, size: 7 },
      }))],
      hooks: { draw: [marks(chart)], setCursor: [(plot) => readout(element, chart, plot.cursor.idx)] },
    }, [places, ...chart.series.map((series) => curves.places.length ? series.values.map((value) => placed(value, chart)) : [null])], element));
    readout(element, chart, null);
  }

  function readout(element, chart, index) {
    const text = document.querySelector(`[data-readout="${chart.id}"]`);
    const at = index ?? curves.places.length - 1;
    if (text) text.textContent = at >= 0 && curves.names[at] ? valuesText(chart, at) : "no epoch yet";
  }

  function step(event) {
    const plot = plots.get(event.target), move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!plot || !move) return;
    event.preventDefault();
    const last = curves.places.length - 1, now = plot.cursor.idx;
    const at = Math.max(0, Math.min(last, now == null ? (move > 0 ? 0 : last) : now + move));
    plot.setCursor({ left: plot.valToPos(curves.places[at], "x"), top: 0 });
  }

  function drawAll() {
    const found = document.querySelector("[data-curves]");
    if (!found) return;
    curves = JSON.parse(found.dataset.curves);
    for (const element of plots.keys()) if (!element.isConnected) plots.delete(element);
    for (const element of document.querySelectorAll("[data-plot]")) draw(element);
  }

  let later = null;
  const drawSoon = () => {
    clearTimeout(later);
    later = setTimeout(drawAll, 60);
  };
  document.addEventListener("keydown", step);
  document.addEventListener("face:renewed", (event) => { if (event.target.matches("[data-curves], [data-live-once]")) drawAll(); });
  document.addEventListener("toggle", drawSoon, true);
  document.addEventListener("focusout", (event) => plots.get(event.target)?.setCursor({ left: -10, top: -10 }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawSoon);
  new MutationObserver(drawSoon).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  addEventListener("resize", drawSoon);
  drawAll();
})();

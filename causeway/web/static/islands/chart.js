// Charts: where the server drew an SVG, its table's numbers become an interactive chart: what is under the pointer is told,
// a click leads to the traces of that step, a stretch that is dragged over becomes the page's time. Needs vendor/uplot.

const SIZE = 11;
const FOOT_PX = 24;
const SIDE_PX = 47;
const LEAST_DRAG_PX = 6;
const FONT = `${SIZE}px Inter, system-ui, sans-serif`;

const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumSignificantDigits: 3 });
const three = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const money = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", maximumSignificantDigits: 3 });
const share = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const SAYS = {
  count: (value) => compact.format(value),
  tokens: (value) => compact.format(value),
  usd: (value) => money.format(value),
  share: (value) => share.format(value),
  ms: (value) => (value >= 60_000 ? `${three.format(value / 60_000)} min` : value >= 1000 ? `${three.format(value / 1000)} s` : `${three.format(value)} ms`),
};
const moment = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const hour = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

const live = [];

function read(figure) {
  const rows = [...figure.querySelectorAll("tbody tr")];
  const legend = [...figure.querySelectorAll(".chart-legend li")];
  const step = Number(figure.dataset.step);
  return {
    kind: figure.dataset.chart,
    says: SAYS[figure.dataset.unit],
    isShare: figure.dataset.unit === "share",
    since: Date.parse(figure.dataset.since) / 1000,
    until: Date.parse(figure.dataset.until) / 1000,
    step,
    at: rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000),
    links: rows.map((row) => row.querySelector("th a")?.href),
    series: legend.map((item, number) => ({
      name: item.textContent.trim(),
      key: item.querySelector(".chart-key"),
      values: rows.map((row) => {
        const value = row.cells[number + 1].dataset.v;
        return value === undefined ? null : Number(value);
      }),
    })),
  };
}

/** Layers as heights above the foot, the topmost first, so that each is drawn over what it holds. */
function stacked(series) {
  const sums = series[0].values.map(() => 0);
  return series.map((each) => each.values.map((value, number) => (sums[number] += value ?? 0))).reverse();
}

const colour = (element, property = "color") => getComputedStyle(element)[property];

function build(figure, chart) {
  const plot = figure.querySelector(".chart-plot");
  const box = document.createElement("div");
  box.className = "chart-live";
  box.setAttribute("aria-hidden", "true");
  plot.append(box);
  const tip = document.createElement("div");
  tip.className = "chart-tip";
  tip.hidden = true;
  plot.append(tip);

  const isBars = chart.kind === "bars";
  const shift = isBars ? 0 : chart.step / 2;
  const drawn = isBars ? stacked(chart.series) : chart.series.map((each) => each.values);
  const order = isBars ? [...chart.series].reverse() : chart.series;
  const isWithinDays = chart.until - chart.since <= 2 * 86_400;
  const ink = colour(figure.querySelector(".chart-y"));
  const line = colour(figure, "borderTopColor");
  const bars = uPlot.paths.bars({ align: 1, size: [0.82, Infinity], gap: 0 });

  const options = {
    width: box.clientWidth,
    height: box.clientHeight,
    padding: [8, 2, 0, 0],
    legend: { show: false },
    cursor: {
      y: false,
      sync: { key: "page" },
      drag: { x: Boolean(figure.dataset.zoom), y: false, setScale: false, dist: LEAST_DRAG_PX },
      points: { show: !isBars, size: 7 },
    },
    scales: {
      x: { time: true, range: [chart.since, chart.until] },
      y: { range: (_, __, most) => [0, most > 0 ? (chart.isShare && most > 0.8 ? 1.02 : most * 1.1) : 1] },
    },
    axes: [
      { stroke: ink, font: FONT, size: FOOT_PX, gap: 6, space: 56, grid: { show: false }, ticks: { show: false }, values: (_, all) => all.map((at) => (isWithinDays ? hour : day).format(at * 1000)), incrs: isWithinDays ? [3600, 7200, 10_800, 21_600, 43_200] : [86_400, 172_800, 432_000, 604_800, 1_209_600, 2_592_000, 5_184_000] },
      { stroke: ink, font: FONT, size: SIDE_PX, gap: 6, space: 32, grid: { stroke: line, width: 1 }, ticks: { show: false }, values: (_, all) => all.map((value) => (value === null ? "" : chart.says(value))) },
    ],
    series: [
      {},
      ...order.map((each) => {
        const tone = colour(each.key);
        if (isBars) return { fill: tone, stroke: tone, width: 0, paths: bars, points: { show: false } };
        return { stroke: tone, width: 1.75, spanGaps: chart.kind === "points", points: { show: chart.kind === "points", size: 6, fill: tone } };
      }),
    ],
    hooks: {
      setCursor: [(u) => tell(u, chart, tip, shift)],
      setSelect: [(u) => zoom(u, figure, chart)],
      ready: [(u) => u.over.addEventListener("click", (event) => open(u, event, chart))],
    },
  };
  const u = new uPlot(options, [chart.at.map((at) => at + shift), ...drawn], box);
  figure.classList.add("is-live");
  return { u, box, tip };
}

function tell(u, chart, tip, shift) {
  const { idx, left, event } = u.cursor;
  const isHere = event && u.over.contains(event.target);
  tip.hidden = idx === null || idx === undefined || left < 0 || !isHere;
  if (tip.hidden) return;
  const head = document.createElement("b");
  head.textContent = moment.format(chart.at[idx] * 1000);
  tip.replaceChildren(
    head,
    ...chart.series.filter((each) => each.values[idx] !== null).map((each) => {
      const row = document.createElement("span");
      const value = document.createElement("i");
      value.textContent = chart.says(each.values[idx]);
      row.append(each.key.cloneNode(), each.name, value);
      row.className = each.key.parentElement.className;
      return row;
    }),
  );
  const at = SIDE_PX + u.valToPos(chart.at[idx] + shift, "x");
  const width = tip.offsetWidth;
  const right = u.root.clientWidth - width;
  tip.style.transform = `translateX(${Math.max(0, at + 14 + width < u.root.clientWidth ? at + 14 : Math.min(at - width - 14, right))}px)`;
}

function zoom(u, figure, chart) {
  if (u.select.width < LEAST_DRAG_PX) return;
  const snap = (value, round) => (chart.step ? round((value - chart.since) / chart.step) * chart.step + chart.since : value);
  const from = Math.max(chart.since, snap(u.posToVal(u.select.left, "x"), Math.floor));
  const to = Math.min(chart.until, snap(u.posToVal(u.select.left + u.select.width, "x"), Math.ceil));
  const target = new URL(figure.dataset.zoom, location.href);
  target.searchParams.set("from", new Date(from * 1000).toISOString());
  target.searchParams.set("to", new Date(to * 1000).toISOString());
  location.assign(target);
}

/** A touch only tells: its way to the traces is the table. */
function open(u, event, chart) {
  if (event.pointerType === "touch" || u.select.width >= LEAST_DRAG_PX || u.cursor.idx == null) return;
  const link = chart.links[u.cursor.idx];
  if (link) location.assign(link);
}

function enhance(figure) {
  const chart = read(figure);
  if (!chart.at.length || figure.querySelector(".chart-none")) return;
  let made = build(figure, chart);
  const again = () => {
    made.u.destroy();
    made.box.remove();
    made.tip.remove();
    made = build(figure, chart);
  };
  live.push(again);
  new ResizeObserver(() => {
    const { clientWidth, clientHeight } = made.box;
    if (clientWidth && clientWidth !== made.u.width) made.u.setSize({ width: clientWidth, height: clientHeight });
  }).observe(figure);
}

async function start() {
  await document.fonts?.ready; // labels are measured when they are drawn
  document.querySelectorAll("[data-chart]").forEach(enhance);
}

const drawAgain = () => live.forEach((again) => again());
new MutationObserver(drawAgain).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);

if (window.uPlot) start();

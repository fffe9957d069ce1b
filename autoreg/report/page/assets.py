"""The style sheet and the script of the page."""

from __future__ import annotations

CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1240px; padding: 24px 20px 64px; background: #fff; color: #1f2430;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 44px 0 10px; padding-top: 12px; border-top: 1px solid #e5e7eb; }
h3 { font-size: 1.02rem; margin: 26px 0 6px; }
p { max-width: 76ch; }
ul { padding-left: 1.2em; max-width: 84ch; }
li { margin: 5px 0; }
small, .muted { color: #6b7280; }
nav { margin: 14px 0 22px; display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: .92rem; }
nav a { color: #1d4ed8; text-decoration: none; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.card { border: 1px solid #e5e7eb; border-radius: 10px; padding: 12px 14px; background: #fafbfc; }
.card b { display: block; font-size: 1.55rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.card span, .card small { display: block; line-height: 1.35; }
.note, .warning { padding: 10px 14px; border-radius: 0 8px 8px 0; }
.note { border-left: 4px solid #1d4ed8; background: #eff6ff; }
.warning { border-left: 4px solid #b91c1c; background: #fef2f2; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 12px 0; }
dt { color: #6b7280; }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 10px 0; border: 1px solid #e5e7eb; border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th { text-align: left; font-weight: 600; background: #f6f7f9; vertical-align: bottom; line-height: 1.3; }
th, td { padding: 7px 9px; border-bottom: 1px solid #eef0f3; }
tbody tr:last-child td { border-bottom: 0; }
td { vertical-align: top; }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
th.num { white-space: normal; }
.recipe { min-width: 280px; }
tr.baseline td { background: #fff8ec; }
tr.gone td { color: #6b7280; }
tbody.file tr:not(:last-child) td { border-bottom: 0; }
tbody.file tr:last-child td { border-bottom: 1px solid #eef0f3; }
tbody.file .num { white-space: normal; }
.name { white-space: nowrap; }
table.files { min-width: 1000px; }
tr.why td { padding-top: 0; color: #4b5563; }
summary { cursor: pointer; }
pre {
  overflow: auto; max-height: 420px; font-size: .8rem; line-height: 1.4; background: #f6f7f9; padding: 10px;
  border-radius: 8px;
}
.axes { display: flex; flex-wrap: wrap; gap: 8px 20px; align-items: center; margin: 8px 0; }
select { font: inherit; padding: 4px 8px; border: 1px solid #c7ccd4; border-radius: 6px; background: #fff; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 18px; }
figure { margin: 8px 0; overflow-x: auto; }
img { max-width: 100%; height: auto; display: block; }
@media (max-width: 640px) {
  body { padding: 16px 12px 48px; }
  h1 { font-size: 1.5rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 8px; }
  figure.wide img { max-width: none; width: 640px; }
}
"""

SCRIPT = """
(function () {
  var data = JSON.parse(document.getElementById("front-data").textContent);
  var xs = document.getElementById("axis-x"), ys = document.getElementById("axis-y");
  var metrics = {};
  data.metrics.forEach(function (m) {
    metrics[m.name] = m;
    [xs, ys].forEach(function (select) {
      var option = document.createElement("option");
      option.value = m.name;
      option.textContent = m.title;
      select.appendChild(option);
    });
  });
  xs.value = data.x;
  ys.value = data.y;
  function usable(point, name) {
    var v = point.values[name];
    return v !== undefined && !(metrics[name].log && v <= 0);
  }
  function pick(points, name) {
    return points.map(function (p) { return p.values[name]; });
  }
  function staircase(points, x, y) {
    var sx = metrics[x].direction === "min" ? 1 : -1, sy = metrics[y].direction === "min" ? 1 : -1;
    var sorted = points.slice().sort(function (a, b) {
      return sx * (a.values[x] - b.values[x]) || sy * (a.values[y] - b.values[y]);
    });
    var best = Infinity;
    return sorted.filter(function (p) {
      var better = sy * p.values[y] < best;
      if (better) { best = sy * p.values[y]; }
      return better;
    });
  }
  var places = ["top center", "bottom center", "middle left", "middle right", "top left", "bottom right"];
  function trace(group, points, x, y) {
    var spread = points.map(function (p) { return (p.spread || {})[y] || 0; });
    var open = group.symbol.indexOf("open") >= 0;
    return {
      x: pick(points, x), y: pick(points, y), type: "scatter", name: group.name,
      mode: group.name === "baseline" ? "markers+text" : "markers",
      text: points.map(function (p) { return p.label; }),
      textposition: points.map(function (p, i) { return places[i % places.length]; }),
      customdata: points.map(function (p) { return p.text; }),
      hovertemplate: "<b>%{text}</b><br>%{customdata}<br>" + metrics[x].title + ": %{x:.4g}<br>" +
        metrics[y].title + ": %{y:.4g}<extra></extra>",
      error_y: { type: "data", array: spread, visible: Math.max.apply(null, spread) > 0, thickness: 1.2, width: 3 },
      marker: {
        color: group.color, symbol: group.symbol, size: group.size, opacity: group.opacity,
        line: { width: open ? 1.6 : 1, color: open ? group.color : "#ffffff" }
      }
    };
  }
  function short(v) {
    var units = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
    for (var i = 0; i < units.length; i++) {
      if (v >= units[i][0]) { return +(v / units[i][0]).toPrecision(3) + units[i][1]; }
    }
    return String(+v.toPrecision(3));
  }
  function ticks(values) {
    var low = Math.min.apply(null, values), high = Math.max.apply(null, values), found = [];
    var span = Math.log10(high / low), steps = span < 1 ? [1, 1.5, 2, 3, 5, 7] : span < 2.5 ? [1, 2, 5] : [1];
    for (var p = Math.floor(Math.log10(low)) - 1; p <= Math.log10(high) + 1; p++) {
      steps.forEach(function (s) { found.push(s * Math.pow(10, p)); });
    }
    return found;
  }
  function axis(name, range) {
    var m = metrics[name], at;
    if (m.log) {
      at = data.groups.reduce(function (all, g) {
        return all.concat(pick(g.points.filter(function (p) { return usable(p, name); }), name));
      }, []);
      at = at.length ? ticks(at) : undefined;
    }
    return {
      title: { text: m.title + (m.log ? ", log scale" : "") }, type: m.log ? "log" : "linear", gridcolor: "#e5e7eb",
      zeroline: false, automargin: true, nticks: 8, range: range, tickvals: at, ticktext: at && at.map(short)
    };
  }
  function focus(name) {
    var m = metrics[name], values = [], rest = [];
    if (m.log) { return undefined; }
    data.groups.forEach(function (g) {
      var found = pick(g.points.filter(function (p) { return usable(p, name); }), name);
      if (g.name === "dominated") { rest = rest.concat(found); }
      else if (g.name.indexOf("stopped") < 0 && g.name.indexOf("breaks") < 0) { values = values.concat(found); }
    });
    if (!values.length) { return undefined; }
    var low = Math.min.apply(null, values), high = Math.max.apply(null, values), pad = high - low;
    if (pad <= 0) { pad = Math.abs(high) || 1; }
    rest.sort(function (a, b) { return a - b; });
    var middle = rest.length ? rest[Math.floor(rest.length / 2)] : low;
    if (m.direction === "min") { return [low - 0.08 * pad, Math.max(high + 0.5 * pad, middle)]; }
    return [Math.min(low - 0.5 * pad, middle), high + 0.08 * pad];
  }
  function draw() {
    var x = xs.value, y = ys.value, traces = [], candidates = [];
    function here(group) {
      return group.points.filter(function (p) { return usable(p, x) && usable(p, y); });
    }
    data.groups.forEach(function (g) {
      if (g.name === "front" || g.name === "dominated") { candidates = candidates.concat(here(g)); }
    });
    var line = staircase(candidates, x, y);
    traces.push({
      x: pick(line, x), y: pick(line, y), mode: "lines", hoverinfo: "skip", name: "front of this pair",
      line: { shape: metrics[x].direction === "min" ? "hv" : "vh", color: "#1d4ed8", width: 1.5 }
    });
    data.groups.forEach(function (g) {
      var points = here(g);
      if (points.length) { traces.push(trace(g, points, x, y)); }
    });
    var narrow = window.innerWidth < 640;
    Plotly.react("front-plot", traces, {
      xaxis: axis(x), yaxis: axis(y, focus(y)), height: narrow ? 480 : 540,
      margin: { l: 60, r: 16, t: 16, b: 56 }, paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff",
      hovermode: "closest", font: { family: "inherit", size: 13, color: "#1f2430" },
      legend: { orientation: "h", y: narrow ? -0.3 : -0.16, x: 0 }, hoverlabel: { align: "left" }
    }, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] });
  }
  xs.addEventListener("change", draw);
  ys.addEventListener("change", draw);
  draw();
})();
"""

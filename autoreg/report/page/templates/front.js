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
  // baselines are mostly dearer than the front: their names would be cut off at the right edge
  var places = ["middle left", "top left", "bottom left"];
  function trace(group, points, x, y) {
    var spread = points.map(function (p) { return (p.spread || {})[y] || 0; });
    var open = group.symbol.indexOf("open") >= 0;
    return {
      x: pick(points, x), y: pick(points, y), type: "scatter", name: group.name,
      mode: group.name.indexOf("baseline") === 0 ? "markers+text" : "markers",
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
      else if (g.name.indexOf("pruned") < 0 && g.name !== "infeasible") { values = values.concat(found); }
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
      if (g.name === "front" || g.name === "baseline on the front") { candidates = candidates.concat(here(g)); }
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

// The page's script: an emulator of x, moved by sliders, drawn over the observations. No library, no request.
// shared.js comes before it.
// The first part is arithmetic and runs anywhere (the tests run it beside Python's); the second part draws.
(function () {
  "use strict";
  const { monomials, combine, ticks, svg, written, path } = typeof document === "undefined" ? require("./shared.js") : shared;

  // --- arithmetic ---------------------------------------------------------------------------------------------------

  /** Mean, ends of the 90 % band and standard deviation of each number of x, and the mean learned scores, at z. */
  function emulate(emulator, z) {
    const f = monomials(z, emulator.powers), both = combine(f, emulator.mean);
    const size = combine(f, emulator.scale).map(Math.exp), k = size.length;
    const mean = both.slice(0, k), [least, most] = emulator.ends;
    const end = (which, j) =>
      emulator.heldAt[which][j]
        ? emulator.ends[which][j]
        : Math.min(most[j], Math.max(least[j], mean[j] + size[j] * emulator.band[which][j]));
    return {
      mean,
      low: mean.map((_, j) => end(0, j)),
      high: mean.map((_, j) => end(1, j)),
      sd: size.map((value, j) => value * Math.sqrt(emulator.variance[j])),
      scores: both.slice(k),
    };
  }

  /** Mean of squares of difference / error, without what has no error, and what is missing. */
  function meanSquare(difference, error) {
    let sum = 0, count = 0;
    difference.forEach((value, j) => {
      if (error[j] > 0 && !Number.isNaN(value)) { sum += (value / error[j]) ** 2; count += 1; }
    });
    return count ? sum / count : 0;
  }

  /** How well a setting fits: standard errors between observations and simulations; of a row, its own deviations. */
  function misfit(data, z, row) {
    const found = emulate(data.emulator, z), observed = data.observed, k = found.mean.length;
    if (row) return Math.sqrt(meanSquare(row.x.map((value, j) => (value === null ? NaN : value - found.mean[j])), found.sd));
    const [mean, meanError, variance, varianceError] = observed.moments, [scores, scoreError] = observed.scores;
    const off = data.emulator.error, roughness = data.emulator.roughness;
    const own = found.sd.map((value) => value * value);
    const groups = [
      meanSquare(mean.map((value, j) => value - found.mean[j]), meanError.map((e, j) => Math.hypot(e, off[j]))),
      meanSquare(
        variance.map((value, j) => value - own[j]),
        varianceError.map((e, j) => Math.hypot(e, roughness[j] * own[j])),
      ),
      meanSquare(scores.map((value, j) => value - found.scores[j]), scoreError.map((e, j) => Math.hypot(e, off[k + j]))),
    ];
    return Math.sqrt(groups.reduce((sum, value) => sum + value, 0) / groups.length);
  }

  /** Squared distance from the estimate in units of the kept simulations' spread. */
  function distance(data, z) {
    return z.reduce((sum, a, i) => sum + z.reduce((part, b, j) => part + a * data.precision[i][j] * b, 0), 0);
  }

  /** Move the sliders that are not locked, one after another, to where the misfit is least. */
  function best(data, start, locked, row) {
    const at = start.slice(), z = () => at.map((step, i) => data.parameters[i].z[step]);
    let least = misfit(data, z(), row);
    for (let sweep = 0, moved = true; moved && sweep < 60; sweep += 1) {
      moved = false;
      at.forEach((_, i) => {
        if (locked[i]) return;
        for (const stride of [-40, 40, -10, 10, -3, 3, -1, 1]) {
          const old = at[i], last = data.parameters[i].z.length - 1;
          at[i] = Math.min(last, Math.max(0, old + stride));
          const found = misfit(data, z(), row);
          if (found < least - 1e-9) { least = found; moved = true; } else { at[i] = old; }
        }
      });
    }
    return at;
  }

  if (typeof document === "undefined") {
    module.exports = { monomials, emulate, misfit, distance, best, ticks };
    return;
  }

  // --- drawing ------------------------------------------------------------------------------------------------------

  const holder = document.getElementById("data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent), chart = document.getElementById("chart");
  const middle = data.parameters.map((parameter) => (parameter.z.length - 1) / 2);

  const area = (x, low, high) =>
    path([...x.map((at, i) => [at, low[i]]), ...x.map((at, i) => [at, high[i]]).reverse()]) + "Z";

  /** Ends of an axis: what is observed, and what the sliders reach one by one, but not far beyond what is observed. */
  function range(j, list) {
    const observed = list([...data.observed.quantiles, data.observed.moments[0]]);
    const rowValues = data.rows.flatMap((row) => j(row.x)).filter((value) => value !== null);
    const low = Math.min(...observed, ...rowValues), high = Math.max(...observed, ...rowValues);
    const wide = 1.5 * (high - low || 1);
    const reached = corners.flatMap((found) => [...j(found.low), ...j(found.high)]);
    const ends = [Math.max(Math.min(low, ...reached), low - wide), Math.min(Math.max(high, ...reached), high + wide)];
    const room = 0.04 * (ends[1] - ends[0] || 1);
    return [ends[0] - room, ends[1] + room];
  }

  const corners = data.parameters.flatMap((parameter, i) =>
    [0, middle[i], parameter.z.length - 1].map((step) =>
      emulate(data.emulator, data.parameters.map((other, j) => other.z[j === i ? step : middle[j]]))));

  /** A panel of lines for each channel of a series. */
  function series(width) {
    const { t, name, channels } = data.chart, count = channels.length, height = count > 1 ? 170 : width < 560 ? 220 : 300;
    const left = 52, right = 8, top = 22, bottom = 36, root = frame(width, count * height);
    const x = (value) => left + ((value - t[0]) / (t[t.length - 1] - t[0] || 1)) * (width - left - right);
    const updates = channels.map((channel, c) => {
      const pick = (values) => values.filter((_, j) => j % count === c);
      const [low, high] = range(pick, (quantiles) => quantiles.flatMap(pick));
      const base = (c + 1) * height - bottom;
      const y = (value) => base - ((value - low) / (high - low)) * (height - top - bottom);
      const cut = (values) => pick(values).map((value) => (value === null ? null : y(Math.min(high, Math.max(low, value)))));
      const at = t.map(x), [first, last] = data.observed.quantiles;
      ticks(low, high, 5).forEach((value) => {
        root.append(svg("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "grid" }));
        root.append(svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, written(value)));
      });
      ticks(t[0], t[t.length - 1], width / 90).forEach((value) =>
        root.append(svg("text", { x: x(value), y: base + 16, "text-anchor": "middle" }, written(value))));
      root.append(svg("text", { x: left, y: base - height + top + bottom - 8 }, channel));
      root.append(svg("path", { d: area(at, cut(first), cut(last)), class: "observed band" }));
      root.append(svg("path", { d: path(cut(data.observed.moments[0]).map((value, i) => [at[i], value])), class: "observed line" }));
      const band = svg("path", { class: "simulated band" }), line = svg("path", { class: "simulated line" });
      const own = svg("path", { class: "row line" });
      root.append(band, line, own);
      return (found, row) => {
        band.setAttribute("d", area(at, cut(found.low), cut(found.high)));
        line.setAttribute("d", path(cut(found.mean).map((value, i) => [at[i], value])));
        own.setAttribute("d", row ? path(cut(row.x).map((value, i) => [at[i], value])) : "");
      };
    });
    root.append(svg("text", { x: (left + width) / 2, y: count * height - 4, "text-anchor": "middle" }, name));
    return (found, row) => updates.forEach((update) => update(found, row));
  }

  /** A strip for each number of a vector: a histogram of what is observed, over it the simulated mean and band. */
  function strips(width) {
    const { names, histograms } = data.chart, count = names.length, height = count === 1 ? 260 : count < 5 ? 110 : 72;
    const left = 10, right = 10, top = 20, bottom = 22, root = frame(width, count * height);
    const updates = names.map((name, j) => {
      const pick = (values) => [values[j]], histogram = histograms[j];
      let [low, high] = range(pick, (quantiles) => quantiles.map((row) => row[j]));
      if (histogram.counts.length) [low, high] = [Math.min(low, histogram.low), Math.max(high, histogram.high)];
      const base = (j + 1) * height - bottom, tall = height - top - bottom;
      const x = (value) => left + ((Math.min(high, Math.max(low, value)) - low) / (high - low)) * (width - left - right);
      const most = Math.max(...histogram.counts, 1), wide = (histogram.high - histogram.low) / histogram.counts.length;
      histogram.counts.forEach((bar, i) => {
        const start = x(histogram.low + i * wide), size = (bar / most) * tall;
        const end = x(histogram.low + (i + 1) * wide);
        root.append(svg("rect", {
          x: start, width: Math.max(0.5, end - start - 0.5), y: base - size, height: size, class: "observed bar",
        }));
      });
      root.append(svg("line", { x1: left, x2: width - right, y1: base, y2: base, class: "axis" }));
      ticks(low, high, width / 90).forEach((value) =>
        root.append(svg("text", { x: x(value), y: base + 15, "text-anchor": "middle" }, written(value))));
      root.append(svg("text", { x: left, y: base - tall - 6, class: "name" }, count === 1 && name === "x" ? "" : name));
      const upright = (value) => path([[x(value), base], [x(value), base - tall]]);
      root.append(svg("path", { d: upright(data.observed.moments[0][j]), class: "observed line" }));
      const band = svg("path", { class: "simulated band" }), line = svg("path", { class: "simulated line" });
      const own = svg("path", { class: "row line" });
      root.append(band, line, own);
      return (found, row) => {
        const [a, b] = [x(found.low[j]), x(found.high[j])];
        band.setAttribute("d", area([a, b], [base, base], [base - tall, base - tall]));
        line.setAttribute("d", upright(found.mean[j]));
        own.setAttribute("d", row && row.x[j] !== null ? upright(row.x[j]) : "");
      };
    });
    return (found, row) => updates.forEach((update) => update(found, row));
  }

  /** Images of what is observed, what is simulated, their difference and the width of the band, at one scale. */
  function image(width) {
    const [rows, columns] = data.chart.shape, across = width < 560 ? 2 : 4, gap = 12, top = 20;
    const side = (width - (across - 1) * gap) / across, [pixelRows, pixelColumns] = data.chart.pixels;
    // Pixels are square: an image taller than wide is as tall as the place is wide
    const scale = side / Math.max(pixelRows, pixelColumns), cell = (scale * pixelColumns) / columns;
    const h = (scale * pixelRows) / rows, tall = h * rows + top + gap, root = frame(width, (4 / across) * tall);
    const high = Math.max(...data.observed.moments[0]), low = Math.min(...data.observed.moments[0]);
    const names = ["observed, mean", "simulated, mean", "simulated - observed", "width of the 90 % band"];
    const grids = names.map((name, n) => {
      const x = (n % across) * (side + gap), y = Math.floor(n / across) * tall;
      root.append(svg("text", { x, y: y + 13 }, name));
      return Array.from({ length: rows * columns }, (_, i) => {
        const square = svg("rect", {
          x: x + (i % columns) * cell, y: y + top + Math.floor(i / columns) * h, width: cell + 0.3, height: h + 0.3,
          class: ["observed", "simulated", "difference", "width"][n] + " cell",
        });
        root.append(square);
        return square;
      });
    });
    const widest = Math.max(...corners.flatMap((found) => found.high.map((value, i) => value - found.low[i]))) || 1;
    const shade = (square, share) => square.setAttribute("fill-opacity", Math.min(1, Math.max(0, share)).toFixed(3));
    return (found, row) => {
      const seen = row ? row.x : data.observed.moments[0], size = high - low || 1;
      seen.forEach((value, i) => {
        const apart = value === null ? 0 : found.mean[i] - value;
        shade(grids[0][i], value === null ? 0 : (value - low) / size);
        shade(grids[1][i], (found.mean[i] - low) / size);
        shade(grids[2][i], Math.abs(apart) / size);
        grids[2][i].classList.toggle("less", apart < 0);
        shade(grids[3][i], (found.high[i] - found.low[i]) / widest);
      });
    };
  }

  function frame(width, height) {
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
    root.setAttribute("aria-label", "Simulated mean and 90 % band at the sliders' setting over the observations.");
    chart.replaceChildren(root);
    chart.classList.toggle("tall", height > 0.6 * window.innerHeight);
    if (chart.scrollHeight > chart.clientHeight + 1) chart.setAttribute("tabindex", "0");
    else chart.removeAttribute("tabindex");
    return root;
  }

  // --- the sliders --------------------------------------------------------------------------------------------------

  const sliders = data.parameters.map((_, i) => document.getElementById(`slider-${i}`));
  const locks = data.parameters.map((_, i) => document.getElementById(`lock-${i}`));
  const chosen = document.getElementById("row"), told = document.getElementById("misfit");
  let update = () => {};

  const row = () => (chosen ? data.rows[Number(chosen.value)] : undefined);
  const setting = () => sliders.map((slider) => Number(slider.value));

  /** Where "back" leads: the estimate, or what the chosen row says of its own parameters. */
  function home() {
    const own = row();
    if (!own) return middle;
    const nearest = (places, z) => places.reduce((at, place, i) => (Math.abs(place - z) < Math.abs(places[at] - z) ? i : at), 0);
    return data.parameters.map((parameter, i) => nearest(parameter.z, own.z[i]));
  }

  function show() {
    const z = setting().map((step, i) => data.parameters[i].z[step]), own = row();
    data.parameters.forEach((parameter, i) => {
      const words = [parameter.theta[setting()[i]], parameter.unit].filter(Boolean).join(" ");
      document.getElementById(`value-${i}`).textContent = words;
      sliders[i].setAttribute("aria-valuetext", words);
    });
    update(emulate(data.emulator, z), own);
    const found = misfit(data, z, own), { high } = data.right;
    const verdict = found <= high ? "no more than a right model's" : found <= 3 * high ? "more than a right model's" : "far from the observations";
    const beyond = distance(data, z) > data.far;
    told.className = found <= high ? "good" : found <= 3 * high ? "fair" : "bad";
    told.replaceChildren();
    const number = document.createElement("strong");
    number.textContent = found < 10 ? found.toFixed(1) : found.toFixed(0);
    const unit = own ? " standard deviations between this row and its simulations: " : " standard errors from the observations: ";
    told.append("Misfit ", number, `${unit}${verdict}. In 19 of 20 cases a right model's is below ${high.toFixed(1)}.`);
    document.getElementById("beyond").hidden = !beyond;
    chart.classList.toggle("beyond", beyond);
  }

  function move(steps, all) {
    steps.forEach((step, i) => { if (all || !locks[i].checked) sliders[i].value = step; });
    show();
  }

  function draw() {
    const width = Math.max(260, chart.clientWidth);
    update = { series, strips, image }[data.chart.kind](width);
    show();
  }

  sliders.forEach((slider, i) => {
    slider.addEventListener("input", show);
    locks[i].addEventListener("change", () => { slider.disabled = locks[i].checked; });
  });
  if (chosen) chosen.addEventListener("change", () => move(home(), false));
  document.getElementById("back").addEventListener("click", () => move(home(), false));
  document.getElementById("best").addEventListener("click", () =>
    move(best(data, setting(), locks.map((lock) => lock.checked), row()), false));
  let last = 0;
  new ResizeObserver(() => {
    if (chart.clientWidth !== last) { last = chart.clientWidth; draw(); }
  }).observe(chart);
  last = chart.clientWidth;
  draw();
  move(home(), true);
})();

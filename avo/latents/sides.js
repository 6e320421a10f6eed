// The script of a page with two sides: a simulator's parameters, and a model's latents. No library, no request.
// The report's shared.js comes before it.
(function () {
  "use strict";
  const { monomials, ticks, svg, written, path } = shared;
  const data = JSON.parse(document.getElementById("data").textContent), chart = document.getElementById("chart");
  const byId = (id) => document.getElementById(id);

  // --- arithmetic ---------------------------------------------------------------------------------------------------

  function unpacked(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  const logistic = (a) => 1 / (1 + Math.exp(-a));
  const ACTIVATIONS = {
    "": (a) => a,
    silu: (a) => a * logistic(a),
    relu: (a) => Math.max(0, a),
    tanh: Math.tanh,
    sigmoid: logistic,
    softplus: (a) => Math.max(0, a) + Math.log1p(Math.exp(-Math.abs(a))),
    elu: (a) => (a > 0 ? a : Math.expm1(a)),
  };

  /** Make a function of what Python wrote down: layers of a network, polynomials in a box, or one constant. */
  function curve(words) {
    if (words.kind === "constant") { const value = Array.from(unpacked(words.value)); return () => value; }
    if (words.kind === "network") {
      const layers = words.layers.map((layer) => ({
        out: layer.shape[0], into: layer.shape[1], act: ACTIVATIONS[layer.activation],
        weight: unpacked(layer.weight), bias: unpacked(layer.bias),
      }));
      return (z) => layers.reduce((h, layer) => {
        const found = new Array(layer.out);
        for (let i = 0; i < layer.out; i += 1) {
          let sum = layer.bias[i];
          for (let j = 0, at = i * layer.into; j < layer.into; j += 1) sum += layer.weight[at + j] * h[j];
          found[i] = layer.act(sum);
        }
        return found;
      }, z);
    }
    const c = unpacked(words.coefficients), k = words.size;
    return (v) => {
      const f = monomials(v.map((a) => Math.min(1, Math.max(-1, a))), words.powers), found = new Array(k).fill(0);
      f.forEach((value, p) => { for (let j = 0; j < k; j += 1) found[j] += value * c[p * k + j]; });
      return found;
    };
  }

  const x = Array.from(unpacked(data.x)), channels = data.chart.channels.length;

  /** Root mean square difference from the signal, and the share of the signal's variance that is explained. */
  function misfit(made) {
    let square = 0, total = 0;
    for (let c = 0; c < channels; c += 1) {
      const own = x.filter((_, j) => j % channels === c), mean = own.reduce((a, b) => a + b, 0) / own.length;
      own.forEach((value) => { total += (value - mean) ** 2; });
    }
    made.forEach((value, j) => { square += (value - x[j]) ** 2; });
    return { off: Math.sqrt(square / x.length), explained: total > 0 ? 1 - square / total : NaN };
  }

  /** Solve A y = b by elimination; A is symmetric and small. */
  function solve(A, b) {
    const n = b.length, M = A.map((row, i) => [...row, b[i]]);
    for (let i = 0; i < n; i += 1) {
      let top = i;
      for (let r = i + 1; r < n; r += 1) if (Math.abs(M[r][i]) > Math.abs(M[top][i])) top = r;
      [M[i], M[top]] = [M[top], M[i]];
      for (let r = i + 1; r < n; r += 1) {
        const share = M[r][i] / M[i][i];
        for (let c = i; c <= n; c += 1) M[r][c] -= share * M[i][c];
      }
    }
    const y = new Array(n).fill(0);
    for (let i = n - 1; i >= 0; i -= 1) {
      y[i] = (M[i][n] - M[i].slice(i + 1, n).reduce((sum, a, j) => sum + a * y[i + 1 + j], 0)) / M[i][i];
    }
    return y;
  }

  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

  /** Choose among rows those that are not made of the ones before, each with what of it is its own. */
  function independent(rows) {
    const basis = [];
    return rows.filter((row) => {
      const length = dot(row, row);
      let rest = row.slice();
      basis.forEach((unit) => { const along = dot(rest, unit); rest = rest.map((a, i) => a - along * unit[i]); });
      const size = dot(rest, rest);
      if (!(size > 1e-6 * length) || !(length > 0)) return false;
      basis.push(rest.map((a) => a / Math.sqrt(size)));
      return true;
    });
  }

  /** The step next to a wished one at which each row times it is as wanted. */
  function step(rows, wanted, wish) {
    if (!rows.length) return wish;
    const gram = rows.map((a, i) => rows.map((b, j) => dot(a, b) * (i === j ? 1 + 1e-12 : 1)));
    const weights = solve(gram, rows.map((row, i) => wanted[i] - dot(row, wish)));
    return wish.map((value, j) => value + rows.reduce((sum, row, i) => sum + weights[i] * row[j], 0));
  }

  // --- the sides ----------------------------------------------------------------------------------------------------

  const LEAST = 0.02;  // share of a direction that locks must leave
  const STRIDE = 0.1;  // sizes of a latent, of one small step
  const SLIDE = 10;  // steps of a slider, of one press of its button

  /** The simulator: sliders stand alone, and what is locked is not moved. */
  function left() {
    const { parameters, surface } = data.left, mean = curve(surface);
    const start = parameters.map(() => 100), locked = parameters.map(() => false);
    const side = {
      kind: "parameter", count: parameters.length, state: start.slice(), start,
      names: parameters.map((one) => one.name),
      made: (state) => mean(state.map((at, i) => parameters[i].v[at])),
      at: (i, state) => state[i],
      said: (i, state) => [parameters[i].theta[state[i]], parameters[i].unit].filter(Boolean).join(" "),
      moved: (i, to, state) => {
        if (locked[i]) return null;
        const next = state.slice();
        next[i] = Math.min(200, Math.max(0, Math.round(to)));
        return next;
      },
      home: () => side.state.map((at, i) => (locked[i] ? at : start[i])),
      beyond: () => false,
      lock: (i, on) => { locked[i] = on; },
      held: () => side.names.filter((_, i) => locked[i]),
      isLocked: (i) => locked[i],
    };
    return side;
  }

  /** The latents, in units of their sizes about their centres; others make up for what locks hold. */
  function right() {
    const { latents, attributes, decoder } = data.right, decode = curve(decoder);
    const start = latents.map((one) => (data.right.z[one.k] - one.centre) / one.size);
    const reach = latents.map((one) => one.half / one.size);
    const fixed = new Map(), held = new Map();  // latent, or attribute -> the value that its lock keeps

    const value = (attribute, v) => dot(monomials(v, attribute.powers), attribute.coefficients);
    const gradient = (attribute, v) => v.map((_, i) => attribute.powers.reduce((sum, row, p) => {
      if (!row[i]) return sum;
      const rest = row.reduce((product, power, j) => product * Math.pow(v[j], j === i ? power - 1 : power), row[i]);
      return sum + attribute.coefficients[p] * rest;
    }, 0));
    const unit = (i) => latents.map((_, j) => (i === j ? 1 : 0));
    const code = (v) => {
      const z = data.right.z.slice();
      latents.forEach((one, i) => { z[one.k] = one.centre + one.size * v[i]; });
      return z;
    };

    /** Rows of what is held at v, in units of a size and of an attribute's deviation, and what they lack. */
    function locks(v, but) {
      const rows = [], lack = [];
      fixed.forEach((target, i) => { rows.push(unit(i)); lack.push(target - v[i]); });
      held.forEach((target, a) => {
        if (a === but) return;
        const one = attributes[a];
        rows.push(gradient(one, v).map((g) => g / one.sd));
        lack.push((target - value(one, v)) / one.sd);
      });
      const chosen = new Set(independent(rows));
      return { rows: rows.filter((row) => chosen.has(row)), lack: lack.filter((_, i) => chosen.has(rows[i])) };
    }

    /** How much of a row locks leave of its own. */
    function free(row, rows) {
      const rest = step(rows, rows.map(() => 0), row);
      return dot(rest, rest) / (dot(row, row) || 1);
    }

    /** Go by small steps: along(v) is the row that moves by `by` in all, or null, with a wish; null where locks forbid. */
    function travel(v, along, by, wish, but) {
      const far = Math.max(Math.abs(by), wish ? Math.sqrt(dot(wish, wish)) : 0);
      const parts = Math.min(400, Math.max(1, Math.ceil(far / STRIDE)));
      let at = v.slice();
      for (let n = 0; n < parts; n += 1) {
        const { rows, lack } = locks(at, but), own = along && along(at);
        if (own && free(own, rows) < LEAST) return n ? at : null;
        const part = wish ? wish.map((a) => a / parts) : at.map(() => 0);
        const move = step(own ? [...rows, own] : rows, own ? [...lack, by / parts] : lack, part);
        at = at.map((a, i) => a + move[i]);
      }
      for (let n = 0; n < 3 && held.size; n += 1) {  // what the last step lost, with what was moved where it is
        const { rows, lack } = locks(at, but), own = along && along(at);
        const both = own && free(own, rows) >= LEAST;
        const move = step(both ? [...rows, own] : rows, both ? [...lack, 0] : lack, at.map(() => 0));
        at = at.map((a, i) => a + move[i]);
      }
      return at;
    }

    const side = {
      kind: "latent", count: latents.length, state: start.slice(), start, attributes,
      names: latents.map((one) => `latent ${one.k}`),
      code: () => code(side.state),
      decode: (z) => (decoder.kind === "network" ? decode(z)
        : decode(latents.map((one) => (z[one.k] - one.centre) / one.half))),
      made: (v) => side.decode(code(v)),
      at: (i, v) => Math.min(200, Math.max(0, Math.round(100 + (100 * v[i]) / reach[i]))),
      said: (i, v) => (latents[i].centre + latents[i].size * v[i]).toFixed(2),
      moved: (i, to, v) => {
        if (fixed.has(i)) return null;
        return travel(v, () => unit(i), ((to - 100) / 100) * reach[i] - v[i]);
      },
      home: () => travel(side.state, null, 0, start.map((a, i) => a - side.state[i])),
      beyond: (v) => v.some((a, i) => Math.abs(a) > 1.2 * reach[i]),
      lock: (i, on) => { if (on) fixed.set(i, side.state[i]); else fixed.delete(i); },
      held: () => [...[...fixed.keys()].map((i) => side.names[i]), ...[...held.keys()].map((a) => attributes[a].name)],
      isLocked: (i) => fixed.has(i),
      value: (a, v) => value(attributes[a], v),
      hold: (a, on) => { if (on) held.set(a, value(attributes[a], side.state)); else held.delete(a); },
      isHeld: (a) => held.has(a),
      press: (a, sign, v) => {
        const one = attributes[a];
        if (held.has(a)) return null;
        return travel(v, (at) => gradient(one, at).map((g) => g / one.sd), (sign * one.step) / one.sd, null, a);
      },
      add: (direction, v) => travel(v, null, 0, direction),
    };
    return side;
  }

  /** Move the sliders that are not locked, one after another, to where the misfit is least. */
  function best(side) {
    let state = side.state, least = misfit(side.made(state)).off;
    for (let sweep = 0, moved = true; moved && sweep < 30; sweep += 1) {
      moved = false;
      for (let i = 0; i < side.count; i += 1) {
        if (side.isLocked(i)) continue;
        for (const stride of [-30, 30, -8, 8, -2, 2, -1, 1]) {
          const here = side.at(i, state), to = Math.min(200, Math.max(0, here + stride));
          const next = to === here ? null : side.moved(i, to, state);
          if (next === null || side.beyond(next)) continue;
          const found = misfit(side.made(next)).off;
          if (found < least * (1 - 1e-6)) { least = found; state = next; moved = true; }
        }
      }
    }
    return state;
  }

  const sides = { left: data.left && left(), right: right() };

  // --- drawing ------------------------------------------------------------------------------------------------------

  let lines = {};
  const pick = (values, c) => values.filter((_, j) => j % channels === c);

  /** Ends of an axis: the signal, and what sliders reach one by one, but not far beyond the signal. */
  function range(c) {
    const own = pick(x, c), low = Math.min(...own), high = Math.max(...own), wide = 0.7 * (high - low || 1);
    const reached = Object.values(sides).filter(Boolean).flatMap((side) =>
      side.start.flatMap((_, i) => [0, 200].flatMap((to) => {
        const state = side.start.slice();
        state[i] = side.kind === "parameter" ? to : (side.start[i] + (to ? 1 : -1) * 2);
        return pick(side.made(state), c);
      })));
    const ends = [Math.max(Math.min(low, ...reached), low - wide), Math.min(Math.max(high, ...reached), high + wide)];
    const room = 0.04 * (ends[1] - ends[0] || 1);
    return [ends[0] - room, ends[1] + room];
  }
  const ranges = data.chart.channels.map((_, c) => range(c));

  function draw() {
    const width = Math.max(260, chart.clientWidth), { t, name, labels, points } = data.chart;
    const most = window.innerWidth < 640 ? 0.4 * window.innerHeight : 0.78 * window.innerHeight;
    const height = Math.max(110, Math.min(channels > 1 ? 190 : 0.75 * width, 420, most / channels));
    const margin = { left: 56, right: 8, top: 22, bottom: 36 }, gap = width - margin.left - margin.right;
    const root = svg("svg", { viewBox: `0 0 ${width} ${channels * height}`, width, height: channels * height, role: "img" });
    root.setAttribute("aria-label", "The signal in black, the simulated mean and the decoded signal over it.");
    chart.replaceChildren(root);
    const least = Math.min(...t), wide = Math.max(...t) - least || 1;
    const across = (value) => margin.left + ((value - least) / wide) * gap;
    lines = { left: [], right: [] };
    data.chart.channels.forEach((channel, c) => {
      const [low, high] = ranges[c], base = (c + 1) * height - margin.bottom, tall = height - margin.top - margin.bottom;
      const y = (value) => base - ((Math.min(high, Math.max(low, value)) - low) / (high - low)) * tall;
      ticks(low, high, Math.max(2, tall / 45)).forEach((value) => {
        root.append(svg("line", { x1: margin.left, x2: width - margin.right, y1: y(value), y2: y(value), class: "grid" }));
        root.append(svg("text", { x: margin.left - 6, y: y(value) + 4, "text-anchor": "end" }, written(value)));
      });
      if (labels.length) {
        const every = Math.ceil((labels.length * 80) / gap);
        labels.forEach((label, i) => {
          if (i % every === 0) root.append(svg("text", { x: across(t[i]), y: base + 16, "text-anchor": "middle" }, label));
        });
      } else {
        ticks(least, least + wide, gap / 90).forEach((value) =>
          root.append(svg("text", { x: across(value), y: base + 16, "text-anchor": "middle" }, written(value))));
      }
      root.append(svg("text", { x: margin.left, y: base - tall - 8 }, channel));
      const marks = points && t.length <= 40;
      const put = (kind) => {
        const line = svg("path", { class: `${kind} line` }), dots = marks ? t.map(() => svg("circle", { r: 3, class: kind })) : [];
        root.append(line, ...dots);
        return (made) => {
          const at = pick(made, c).map((value, i) => [across(t[i]), y(value)]);
          line.setAttribute("d", path(at));
          dots.forEach((dot, i) => { dot.setAttribute("cx", at[i][0]); dot.setAttribute("cy", at[i][1]); });
        };
      };
      put("signal")(x);
      if (sides.left) lines.left.push(put("simulated"));
      lines.right.push(put("decoded"));
    });
    root.append(svg("text", { x: margin.left + gap / 2, y: channels * height - 4, "text-anchor": "middle" }, name));
    Object.keys(sides).forEach(show);
  }

  const short = (value) => Number(value.toPrecision(3)).toString();

  /** The misfit along one slider of a side, the others as they are, or as locks have them. */
  function along(which, i) {
    const side = sides[which], holder = byId(`${which}-curve`);
    if (!holder || side.last === undefined) return;
    const places = [], width = Math.max(200, holder.clientWidth), height = 88;
    for (let to = 0; to <= 200; to += 8) {
      const next = side.isLocked(i) ? null : side.moved(i, to, side.state);
      if (next !== null) places.push([to, misfit(side.made(next)).off]);
    }
    const here = misfit(side.made(side.state)).off, most = Math.max(here, ...places.map((place) => place[1])) || 1;
    const px = (to) => 8 + (to / 200) * (width - 16), py = (value) => height - 22 - (value / most) * (height - 42);
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
    root.setAttribute("aria-label", `Misfit along ${side.names[i]}`);
    root.append(svg("line", { x1: 8, x2: width - 8, y1: height - 22, y2: height - 22, class: "axis" }));
    root.append(svg("path", { d: path(places.map(([to, value]) => [px(to), py(value)])), class: "along" }));
    root.append(svg("circle", { cx: px(side.at(i, side.state)), cy: py(here), r: 4, class: "here" }));
    root.append(svg("text", { x: 8, y: 12 }, `up to ${short(most)}${data.unit && ` ${data.unit}`}`));
    root.append(svg("text", { x: width / 2, y: height - 6, "text-anchor": "middle" }, `misfit along ${side.names[i]}`));
    holder.replaceChildren(root);
  }

  function show(which) {
    const side = sides[which];
    if (!side) return;
    const made = side.made(side.state), found = misfit(made);
    lines[which].forEach((line) => line(made));
    if (!side.count) return;
    side.names.forEach((_, i) => {
      const words = side.said(i, side.state);
      byId(`${side.kind}-value-${i}`).textContent = words;
      byId(`${side.kind}-${i}`).value = side.at(i, side.state);
      byId(`${side.kind}-${i}`).setAttribute("aria-valuetext", words);
    });
    (side.attributes || []).forEach((one, a) => {
      byId(`attribute-value-${a}`).textContent = side.value(a, side.state).toFixed(one.digits);
    });
    const told = byId(`${which}-misfit`), number = document.createElement("strong");
    number.textContent = short(found.off);
    told.replaceChildren("Misfit ", number, `${data.unit && ` ${data.unit}`}`);
    if (!Number.isNaN(found.explained)) told.append(`; ${(100 * found.explained).toFixed(1)} % of the variance explained`);
    say(which, side.beyond(side.state) ? "Beyond the signals that the model knows: what is drawn is a guess." : "");
    along(which, side.last === undefined ? 0 : side.last);
  }

  const say = (which, words) => { byId(`${which}-beyond`).textContent = words; };

  /** Take a new state, or say that locks forbid it. */
  function take(which, next, name) {
    const side = sides[which];
    if (next !== null) side.state = next;
    show(which);
    if (next === null) say(which, `${name} cannot move while ${side.held().join(", ")} ${side.held().length > 1 ? "are" : "is"} locked.`);
  }

  function wire(which) {
    const side = sides[which];
    if (!side || !side.count) return;
    side.last = 0;
    side.names.forEach((name, i) => {
      const slider = byId(`${side.kind}-${i}`), lock = byId(`${side.kind}-lock-${i}`);
      const move = (to) => { side.last = i; take(which, side.moved(i, to, side.state), name); };
      const less = byId(`${side.kind}-less-${i}`), more = byId(`${side.kind}-more-${i}`);
      slider.addEventListener("input", () => move(Number(slider.value)));
      less.addEventListener("click", () => move(Math.max(0, side.at(i, side.state) - SLIDE)));
      more.addEventListener("click", () => move(Math.min(200, side.at(i, side.state) + SLIDE)));
      lock.checked = false;
      lock.addEventListener("change", () => {
        side.lock(i, lock.checked);
        [slider, less, more].forEach((one) => { one.disabled = lock.checked; });
        show(which);
      });
    });
    byId(`${which}-back`).addEventListener("click", () => take(which, side.home()));
    byId(`${which}-best`).addEventListener("click", () => take(which, best(side)));
  }

  function wireAttributes() {
    const side = sides.right;
    side.attributes.forEach((one, a) => {
      const lock = byId(`attribute-lock-${a}`), less = byId(`attribute-less-${a}`), more = byId(`attribute-more-${a}`);
      less.addEventListener("click", () => take("right", side.press(a, -1, side.state), one.name));
      more.addEventListener("click", () => take("right", side.press(a, 1, side.state), one.name));
      lock.checked = false;
      lock.addEventListener("change", () => {
        side.hold(a, lock.checked);
        [less, more].forEach((button) => { button.disabled = lock.checked; });
        show("right");
      });
    });
    const strength = byId("strength"), { groups } = data.right;
    if (!strength) return;
    const told = () => { byId("strength-value").textContent = (Number(strength.value) / 10).toFixed(1); };
    byId("to").value = "0";
    byId("from").value = "1";
    strength.addEventListener("input", told);
    told();
    byId("add").addEventListener("click", () => {
      const [to, from] = ["to", "from"].map((id) => groups[Number(byId(id).value)].mean), s = Number(strength.value) / 10;
      take("right", side.add(to.map((value, i) => s * (value - from[i])), side.state));
    });
  }

  wire("left");
  wire("right");
  wireAttributes();
  let last = chart.clientWidth;
  new ResizeObserver(() => {
    if (chart.clientWidth !== last) { last = chart.clientWidth; draw(); }
  }).observe(chart);
  draw();
  // For the browser's console: the code that is shown, and what the page makes of any code
  window.avo = { code: sides.right.code, decode: sides.right.decode, shown: () => sides.right.made(sides.right.state) };
})();

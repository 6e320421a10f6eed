// What the scripts of avo's pages share: polynomials, ticks, and the drawing of lines. It comes before each of them.
const shared = (function () {
  "use strict";

  /** Products of powers, z_1^a_1 ... z_d^a_d, for each row of exponents. */
  function monomials(z, powers) {
    return powers.map((row) => row.reduce((product, power, i) => product * Math.pow(z[i], power), 1));
  }

  /** Sum of f_i B_ij over the rows of B, for each column j. */
  function combine(f, B) {
    const found = new Array(B[0].length).fill(0);
    B.forEach((row, i) => row.forEach((value, j) => { found[j] += f[i] * value; }));
    return found;
  }

  /** Places of ticks: at most so many round numbers inside a range. */
  function ticks(low, high, most) {
    const rough = (high - low) / Math.max(1, most), power = Math.pow(10, Math.floor(Math.log10(rough)));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) found.push(i * step);
    return found.map((value) => Number(value.toPrecision(12)));
  }

  function svg(name, attributes, words) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    if (words !== undefined) element.textContent = words;
    return element;
  }

  function written(value) {
    return Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(0) : String(value);
  }

  /** A line through points, which breaks where y is missing; a point between two gaps is a short stroke. */
  const path = (points) =>
    points.map(([x, y], i) => {
      if (y === null) return "";
      const first = !i || points[i - 1][1] === null, alone = first && i + 1 < points.length && points[i + 1][1] === null;
      return `${first ? "M" : "L"}${x.toFixed(2)} ${y.toFixed(2)}${alone ? "h1.5" : ""}`;
    }).join("");

  return { monomials, combine, ticks, svg, written, path };
})();
if (typeof module !== "undefined") module.exports = shared;

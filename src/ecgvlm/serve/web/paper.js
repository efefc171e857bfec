/** Where the paper's millimetres lie in the picture, through the mesh of 5-mm nodes that the server found. */

export class Paper {
  /** read: the JSON object of /v1/read with its overlay. */
  constructor(read) {
    const { mesh, traces } = read.overlay;
    Object.assign(this, mesh);
    this.msPerMm = 1000 / read.page.mm_per_s;
    this.mvPerMm = 1 / read.page.mm_per_mv;
    this.vertices = traces.flatMap((trace) => trace.lines.flatMap(extremes));
  }

  /** mm -> [x, y] px, bilinear in a mesh cell, continued beyond the mesh's edge. */
  toPx([x, y]) {
    const [i, j, u, v] = this.#cell(x, y);
    const [a, b, c, d] = this.#corners(i, j);
    return [0, 1].map((k) => (1 - v) * ((1 - u) * a[k] + u * b[k]) + v * ((1 - u) * c[k] + u * d[k]));
  }

  /** px -> [x, y] mm: Newton's method on `toPx`, from the nearest node. */
  toMm([px, py]) {
    let nearest = 0;
    let best = Infinity;
    this.points.forEach(([x, y], k) => {
      const far = (x - px) ** 2 + (y - py) ** 2;
      if (far < best) [best, nearest] = [far, k];
    });
    let x = this.x0 + (nearest % this.columns) * this.step;
    let y = this.y0 + Math.floor(nearest / this.columns) * this.step;
    for (let round = 0; round < 8; round++) {
      const [i, j, u, v] = this.#cell(x, y);
      const [a, b, c, d] = this.#corners(i, j);
      const at = this.toPx([x, y]);
      const [xu, yu] = [0, 1].map((k) => ((1 - v) * (b[k] - a[k]) + v * (d[k] - c[k])) / this.step);
      const [xv, yv] = [0, 1].map((k) => ((1 - u) * (c[k] - a[k]) + u * (d[k] - b[k])) / this.step);
      const [dx, dy] = [px - at[0], py - at[1]];
      const area = xu * yv - xv * yu;
      x += (dx * yv - dy * xv) / area;
      y += (dy * xu - dx * yu) / area;
      if (Math.hypot(dx, dy) < 1e-3) break;
    }
    return [x, y];
  }

  /** The lines of the 5-mm grid, each as [[x, y], ...] px. */
  lines() {
    const rows = Array.from({ length: this.rows }, (_, j) => this.points.slice(j * this.columns, (j + 1) * this.columns));
    const columns = Array.from({ length: this.columns }, (_, i) => rows.map((row) => row[i]));
    return [...rows, ...columns];
  }

  /**
   * The point that a caliper's end means: the trace where it is within `reach` px, its peaks before all, else the
   * paper's nearest whole millimetre if that is as near, else the point itself.
   */
  snap([px, py], reach) {
    let found = null;
    let best = 1;
    for (const { x, y, peak } of this.vertices) {
      const far = Math.hypot(x - px, y - py) / (peak ? 2 * reach : reach);
      if (far < best) [best, found] = [far, [x, y]];
    }
    if (found) return found;
    const corner = this.toPx(this.toMm([px, py]).map(Math.round));
    return Math.hypot(corner[0] - px, corner[1] - py) <= reach ? corner : [px, py];
  }

  /** What lies between two points in px: {ms, mv, mm: [dx, dy]}, mv positive where b is higher on the page. */
  between(a, b) {
    const [ax, ay] = this.toMm(a);
    const [bx, by] = this.toMm(b);
    return { ms: Math.abs(bx - ax) * this.msPerMm, mv: (ay - by) * this.mvPerMm, mm: [bx - ax, ay - by] };
  }

  #cell(x, y) {
    const place = (mm, start, count) => {
      const at = (mm - start) / this.step;
      const cell = Math.min(Math.max(Math.floor(at), 0), count - 2);
      return [cell, at - cell];
    };
    const [i, u] = place(x, this.x0, this.columns);
    const [j, v] = place(y, this.y0, this.rows);
    return [i, j, u, v];
  }

  #corners(i, j) {
    const k = j * this.columns + i;
    return [this.points[k], this.points[k + 1], this.points[k + this.columns], this.points[k + this.columns + 1]];
  }
}

/** A trace's points with `peak` set where none within 6 points is higher, or none is lower, and the trace bends there. */
function extremes(line) {
  return line.map(([x, y], k) => {
    const near = line.slice(Math.max(0, k - 6), k + 7).map((point) => point[1]);
    const [low, high] = [Math.min(...near), Math.max(...near)];
    return { x, y, peak: high - low > 4 && (y === low || y === high) };
  });
}

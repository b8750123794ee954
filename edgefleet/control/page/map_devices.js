// Where the devices are, told every few seconds, and where they are in between; and their squares on a canvas.

const LOST = 1; // number of the state of a device that has no connection, as the run tells it
const RING_M = 30;
const TURN = Math.PI * (3 - Math.sqrt(5));

export class MapDevices {
  ids = [];
  version = null;

  // `list` as of v1/map/devices; `sites` by their names, with east and north.
  take(list, sites) {
    const count = list.ids.length;
    Object.assign(this, { ids: list.ids, kinds: list.kinds, kind: list.kind, version: list.version, of: list.of, unit: list.unit_m });
    this.nowhere = list.nowhere;
    this.site = list.site;
    this.siteNames = list.sites;
    const found = list.sites.map((name) => sites.get(name));
    this.baseEast = Float64Array.from(list.site, (site) => found[site]?.east ?? 0);
    this.baseNorth = Float64Array.from(list.site, (site) => found[site]?.north ?? 0);
    this.from = null;
    this.to = null;
    this.states = new Uint8Array(count);
    this.x = new Float32Array(count);
    this.y = new Float32Array(count);
  }

  // Returns whether the places are those of this list.
  note(buffer, version, deviceMs, nowMs) {
    const count = this.ids.length;
    if (version !== this.version || buffer.byteLength !== 5 * count) return false;
    if (this.to?.deviceMs === deviceMs) return true; // the run has not looked again meanwhile
    const east = new Int16Array(buffer, 0, count);
    const north = new Int16Array(buffer, 2 * count, count);
    const places = { east: new Float64Array(count), north: new Float64Array(count), atMs: nowMs, deviceMs };
    const ring = new Uint32Array(this.siteNames.length);
    for (let row = 0; row < count; row++) {
      let [e, n] = [east[row] * this.unit, north[row] * this.unit];
      if (east[row] === this.nowhere) {
        // No place of its own: around the middle of its site, in the order of the list.
        const place = ring[this.site[row]]++;
        e = RING_M * Math.sqrt(place) * Math.cos(place * TURN);
        n = RING_M * Math.sqrt(place) * Math.sin(place * TURN);
      }
      places.east[row] = this.baseEast[row] + e;
      places.north[row] = this.baseNorth[row] + n;
    }
    this.states = new Uint8Array(buffer, 4 * count, count);
    this.from = this.to ?? places;
    this.to = places;
    this.everyMs = Math.max(1000, places.atMs - this.from.atMs);
    this.isMoving = this.from !== places && places.east.some((one, row) => one !== this.from.east[row] || places.north[row] !== this.from.north[row]);
    return true;
  }

  // Where each is in pixels; between two places it drives straight on, a period late.
  locate(view, nowMs, isSmooth) {
    if (!this.to) return;
    const done = isSmooth ? Math.min(1, (nowMs - this.to.atMs) / this.everyMs) : 1;
    const { from, to, x, y } = this;
    const [left, top] = [view.width / 2 - view.east * view.scale, view.height / 2 + view.north * view.scale];
    for (let row = 0; row < x.length; row++) {
      x[row] = left + (from.east[row] + (to.east[row] - from.east[row]) * done) * view.scale;
      y[row] = top - (from.north[row] + (to.north[row] - from.north[row]) * done) * view.scale;
    }
  }

  nearest(x, y, reach) {
    let [found, least] = [-1, reach * reach];
    for (let row = 0; row < this.x.length; row++) {
      const distance = (this.x[row] - x) ** 2 + (this.y[row] - y) ** 2;
      if (distance < least) [found, least] = [row, distance];
    }
    return found;
  }

  // By site: how many there are, have no connection, and have moved.
  bySite() {
    const counts = this.siteNames?.map(() => ({ devices: 0, lost: 0, moving: 0 })) ?? [];
    for (let row = 0; row < this.ids.length; row++) {
      const one = counts[this.site[row]];
      one.devices++;
      if (this.states[row] === LOST) one.lost++;
      if (this.to && (this.from.east[row] !== this.to.east[row] || this.from.north[row] !== this.to.north[row])) one.moving++;
    }
    return new Map(counts.map((one, number) => [this.siteNames[number], one]));
  }
}

// Thousands of squares are set as pixels: to fill each by the canvas takes several times as long.
export class Squares {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
  }

  // `colours`: of each kind, then of a device without connection and of one at rest, as numbers; `sizes`: of each kind.
  draw(devices, colours, sizes, ratio) {
    const { width, height } = this.canvas;
    if (this.image?.width !== width || this.image?.height !== height) {
      this.image = this.pen.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    const { pixels } = this;
    pixels.fill(0);
    const { kind, states, x, y } = devices;
    const [lost, resting] = colours.slice(-2);
    for (let row = 0; row < x.length; row++) {
      const half = Math.round((sizes[kind[row]] * ratio) / 2);
      const [left, top] = [Math.round(x[row] * ratio) - half, Math.round(y[row] * ratio) - half];
      if (left < 0 || top < 0 || left + 2 * half >= width || top + 2 * half >= height) continue;
      const colour = states[row] === 0 ? colours[kind[row]] : states[row] === LOST ? lost : resting;
      // By hand: a call of `fill` for three pixels costs more than they do.
      for (let at = top * width + left, down = 0; down <= 2 * half; down++, at += width) {
        for (let right = 0; right <= 2 * half; right++) pixels[at + right] = colour;
      }
    }
    this.pen.putImageData(this.image, 0, 0);
  }
}

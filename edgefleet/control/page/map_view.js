// What part of the world a map shows: world metres (east, north) to pixels and back. Knows nothing of what is drawn.

export const METRES_PER_DEGREE = 111320;
const CLOSEST = 4; // pixels a metre
const FARTHEST = 1e-5;

export class MapView {
  width = 1;
  height = 1;
  east = 0; // of the middle
  north = 0;
  scale = 0.05; // pixels a metre

  x(east) {
    return this.width / 2 + (east - this.east) * this.scale;
  }

  y(north) {
    return this.height / 2 - (north - this.north) * this.scale;
  }

  // Keeps the point under a pixel where it is.
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(CLOSEST, Math.max(FARTHEST, this.scale * factor));
    const shift = 1 / this.scale - 1 / scale;
    this.east += (x - this.width / 2) * shift;
    this.north -= (y - this.height / 2) * shift;
    this.scale = scale;
  }

  pan(dx, dy) {
    this.east -= dx / this.scale;
    this.north += dy / this.scale;
  }

  // `points`: [[east, north], ...], each with so many metres around it.
  fit(points, around) {
    const easts = points.map(([east]) => east);
    const norths = points.map(([, north]) => north);
    const [west, east, south, north] = [Math.min(...easts), Math.max(...easts), Math.min(...norths), Math.max(...norths)];
    this.east = (west + east) / 2;
    this.north = (south + north) / 2;
    const scale = Math.min(this.width / (east - west + 2 * around), this.height / (north - south + 2 * around));
    this.scale = Math.min(CLOSEST, Math.max(FARTHEST, scale));
  }

  shows(east, north, around) {
    const reach = around * this.scale;
    const x = this.x(east);
    const y = this.y(north);
    return x > -reach && x < this.width + reach && y > -reach && y < this.height + reach;
  }
}

// Sites in metres on one plane: true to scale at the middle of their latitudes.
export function placeSites(sites) {
  const latitudes = sites.map((one) => one.latitude);
  const middle = (Math.min(...latitudes) + Math.max(...latitudes)) / 2;
  const perDegree = METRES_PER_DEGREE * Math.max(0.01, Math.cos((middle * Math.PI) / 180));
  return sites.map((one) => ({ ...one, east: one.longitude * perDegree, north: one.latitude * METRES_PER_DEGREE }));
}

// From pen strokes to 8 x 8 pixels, in the way the data set's were made.

/** How far a point is from the line between two others. */
function distance([x, y], [ax, ay], [bx, by]) {
  const dx = bx - ax, dy = by - ay, length = dx * dx + dy * dy;
  const at = length ? Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / length)) : 0;
  return Math.hypot(x - ax - at * dx, y - ay - at * dy);
}

/** Strokes, lists of [x, y], as 8 rows of 8 grey levels, 0 to 16: the drawing fills a picture of
 *  32 x 32 bits, and each block of 4 x 4 counts its ink. */
export function digitOf(strokes, pen = 2.5) {
  const points = strokes.flat(), side = 32, room = side - 2 * pen;
  if (points.length === 0) return Array.from({ length: 8 }, () => Array(8).fill(0));
  const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
  const scale = room / Math.max(width, height, 1e-9);
  const placed = strokes.map((stroke) => stroke.map(([x, y]) => [
    side / 2 + (x - left - width / 2) * scale, side / 2 + (y - top - height / 2) * scale]));
  const inked = (x, y) => placed.some((stroke) => stroke.some((point, i) =>
    distance([x, y], stroke[Math.max(0, i - 1)], point) <= pen));
  return Array.from({ length: 8 }, (_, row) => Array.from({ length: 8 }, (_, column) => {
    let count = 0;
    for (let i = 0; i < 16; i++) count += inked(4 * column + (i % 4) + 0.5, 4 * row + (i >> 2) + 0.5);
    return count;
  }));
}

/** Grey levels as the model takes them: k of 0 to 16 is k/8 - 1. */
export const asImage = (levels) => levels.map((row) => row.map((k) => k / 8 - 1));

/** The line through some measurements. */
export interface Trend {
  /** In units of y for each unit of x. */
  slope: number
  /** The slope is within this of what was found, with 95 % confidence. */
  margin: number
}

export interface Point {
  x: number
  y: number
}

/** As many blocks as tell a trend from noise; neighbouring samples of memory say much the same, means of blocks less so. */
const blocks = 12

/**
 * Least squares through the means of twelve blocks of neighbouring points. Needs as many points, in the order of x and not all at one;
 * else the margin is infinite: nothing is known.
 */
export function trend(points: readonly Point[]): Trend {
  if (points.length < blocks) return { slope: 0, margin: Number.POSITIVE_INFINITY }
  const means = Array.from({ length: blocks }, (_, index) => meanOf(points.slice(edge(points, index), edge(points, index + 1))))
  const centre = meanOf(means)
  const spread = sum(means.map(({ x }) => (x - centre.x) ** 2))
  if (spread === 0) return { slope: 0, margin: Number.POSITIVE_INFINITY }
  const slope = sum(means.map(({ x, y }) => (x - centre.x) * (y - centre.y))) / spread
  const left = sum(means.map(({ x, y }) => (y - centre.y - slope * (x - centre.x)) ** 2))
  return { slope, margin: student * Math.sqrt(left / (blocks - 2) / spread) }
}

/** Student's t for ten degrees of freedom, two-sided, 95 %. */
const student = 2.228

function edge(points: readonly Point[], index: number): number {
  return Math.round((index * points.length) / blocks)
}

function meanOf(points: readonly Point[]): Point {
  return { x: sum(points.map(({ x }) => x)) / points.length, y: sum(points.map(({ y }) => y)) / points.length }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

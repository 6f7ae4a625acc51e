// What comes from outside is checked before it is used: types, sizes, ranges. A sentence is thrown where it is wrong.

const shown = value => String(JSON.stringify(value)).slice(0, 60);

export function number(name, value, low = -1e9, high = 1e9) {
  if (typeof value !== "number" || !(value >= low && value <= high))
    throw new RangeError(`${name} must be a number between ${low} and ${high}, got ${shown(value)}`);
  return value;
}

export function whole(name, value, low, high) {
  if (!Number.isInteger(number(name, value, low, high))) throw new RangeError(`${name} must be a whole number, got ${value}`);
  return value;
}

export function oneOf(name, value, options) {
  if (!options.includes(value)) throw new RangeError(`${name} must be one of ${options.join(", ")}, got ${shown(value)}`);
  return value;
}

/** A list of `low` to `high` numbers. */
export function numbers(name, value, low, high, least = -1e9, most = 1e9) {
  if (!Array.isArray(value) || value.length < low || value.length > high)
    throw new RangeError(`${name} must be a list of ${low} to ${high} numbers, got ${shown(value)}`);
  return value.map((v, i) => number(`${name}[${i}]`, v, least, most));
}

/** A matrix as rows of one length: {n, m, flat}. */
export function matrix(name, value, most = 64) {
  if (!Array.isArray(value) || value.length < 1 || value.length > most || !Array.isArray(value[0]))
    throw new RangeError(`${name} must be 1 to ${most} rows of numbers, got ${shown(value)}`);
  const n = value.length, m = value[0].length;
  return { n, m, flat: Float64Array.from(value.flatMap((row, i) => numbers(`${name}[${i}]`, row, m, m))) };
}

/** Text of at most `most` characters. */
export function text(name, value, most = 200) {
  if (typeof value !== "string" || value.length > most) throw new RangeError(`${name} must be a text of at most ${most} characters`);
  return value;
}

/** A colour as #rrggbb. */
export function color(name, value) {
  if (typeof value !== "string" || !/^#[0-9a-f]{6}$/i.test(value)) throw new RangeError(`${name} must be a colour, got ${shown(value)}`);
  return value;
}

// Numbers and times for people. Decimals arrive as exact strings and are shown with the digits they have.

const formats = new Map();

function format(zone, options) {
  const key = zone + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...options }));
  return formats.get(key);
}

/** `1234567.5` as `1,234,567.5`, from a string or number. */
export function grouped(value) {
  if (value === null || value === undefined || value === "") return "";
  const [whole, part] = String(value).split(".");
  const sign = whole.startsWith("-") ? "−" : "";
  const digits = whole.replace("-", "").replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return sign + digits + (part ? `.${part}` : "");
}

/** A price with at least two decimals. */
export function price(value) {
  if (value === null || value === undefined || value === "") return "";
  const [whole, part = ""] = String(value).split(".");
  return grouped(whole) + "." + part.padEnd(2, "0");
}

/** A large count, short: `12.3M`. */
export function short(value) {
  const number = Number(value);
  if (!Number.isFinite(number)) return "";
  for (const [size, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e4, "K"]]) {
    if (Math.abs(number) >= size) return (number / (size === 1e4 ? 1e3 : size)).toFixed(size === 1e4 ? 0 : 2) + letter;
  }
  return grouped(number.toLocaleString("en", { useGrouping: false, maximumFractionDigits: 6 }));
}

/** A signed change: `+1.25`. */
export function signed(value, digits = 2) {
  const number = Number(value);
  if (!Number.isFinite(number)) return "";
  return (number > 0 ? "+" : number < 0 ? "−" : "") + Math.abs(number).toFixed(digits);
}

/** Microseconds as `850 µs`, `12.3 ms`, `1.2 s`. */
export function duration(micros) {
  if (micros === null || micros === undefined) return "–";
  if (micros < 1000) return `${micros} µs`;
  if (micros < 1e6) return `${(micros / 1e3).toFixed(1)} ms`;
  return `${(micros / 1e6).toFixed(2)} s`;
}

/** How long ago, in words. */
export function age(text, now = Date.now()) {
  const seconds = Math.max(0, (now - Date.parse(text)) / 1000);
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 2) return "now";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

export const clock = (text, zone) => format(zone, { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(new Date(text));

/** Time of day with milliseconds. */
export function clockMillis(text, zone) {
  const date = new Date(text);
  return `${clock(text, zone)}.${String(date.getUTCMilliseconds()).padStart(3, "0")}`;
}

/** Date and time. */
export const stamp = (text, zone) =>
  format(zone, { year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(new Date(text));

/** `2013-10-08` in the zone. */
export function isoDate(text, zone) {
  const parts = Object.fromEntries(format(zone, { year: "numeric", month: "2-digit", day: "2-digit" }).formatToParts(new Date(text)).map((part) => [part.type, part.value]));
  return `${parts.year}-${parts.month}-${parts.day}`;
}

/** The zone's short name at a time: `EDT`. */
export function zoneName(text, zone) {
  const date = text ? new Date(text) : new Date();
  const parts = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "short" }).formatToParts(date);
  return parts.find((part) => part.type === "timeZoneName")?.value ?? zone;
}

/** A wall-clock time in the browser's zone: `2026-11-27 08:15:00 CET`. */
export function wall(text) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return `${isoDate(text, zone)} ${clock(text, zone)} ${zoneName(text, zone)}`;
}

const offsets = new Map();

/** Seconds to add to UTC to read the zone's clock, looked up once a quarter of an hour. */
export function offset(seconds, zone) {
  const key = `${zone} ${Math.floor(seconds / 900)}`;
  let found = offsets.get(key);
  if (found === undefined) {
    const parts = Object.fromEntries(
      format(zone, { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" })
        .formatToParts(new Date(seconds * 1000)).map((part) => [part.type, Number(part.value)]));
    found = Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second) / 1000 - Math.floor(seconds);
    if (offsets.size > 50000) offsets.clear();
    offsets.set(key, found);
  }
  return found;
}

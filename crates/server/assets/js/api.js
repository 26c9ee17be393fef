// The REST API.

/** A reply that is not a success. */
export class Problem extends Error {
  constructor(status, detail, hint) {
    super(detail);
    this.status = status;
    this.hint = hint;
  }
}

async function request(path, params, options) {
  const query = new URLSearchParams(Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  let response;
  try {
    response = await fetch(`/api/v1/${path}${query.size ? `?${query}` : ""}`, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server cannot be reached.", "Is `tapeline serve` running?");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Problem(response.status, body.detail ?? `The server replied ${response.status}.`, body.hint);
  return body;
}

export const get = (path, params = {}, signal = undefined) => request(path, params, { signal });
export const post = (path, params = {}, body = undefined) => request(path, params, { method: "POST", body: body && JSON.stringify(body) });
export const remove = (path) => request(path, {}, { method: "DELETE" });

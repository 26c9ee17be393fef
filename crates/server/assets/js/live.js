// The stream: one connection, re-established with the id of the last event in the URL.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;

/**
 * Events: `frame` (data), `refetch` (what was missed must be fetched again), `state` ("live", "catching-up", "down").
 */
class Live extends EventTarget {
  #source = null;
  #params = {};
  #lastId = null;
  #wait = FIRST_WAIT;
  #timer = 0;
  #down = true;
  state = "connecting";
  status = null;

  /** Selects the symbol whose trades and bars to receive. */
  subscribe(params) {
    if (this.#source && JSON.stringify(params) === JSON.stringify(this.#params)) return;
    this.#params = params;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#source?.close();
    const query = new URLSearchParams(this.#params);
    if (this.#lastId) query.set("last_event_id", this.#lastId);
    const source = new EventSource(`/api/v1/stream?${query}`);
    this.#source = source;
    source.addEventListener("open", () => {
      this.#wait = FIRST_WAIT;
      // Without an id there is nothing the server could replay.
      if (this.#down && !this.#lastId) this.#emit("refetch");
      this.#down = false;
      this.#setState(this.status?.live === false ? "catching-up" : "live");
    });
    source.addEventListener("frame", (event) => {
      this.#lastId = event.lastEventId || this.#lastId;
      const data = JSON.parse(event.data);
      if (data.status) this.#takeStatus(data.status[0]);
      this.#emit("frame", data);
    });
    source.addEventListener("lagged", () => this.#emit("refetch"));
    source.addEventListener("resync", () => {
      this.#lastId = null;
      this.#emit("refetch");
    });
    source.addEventListener("error", () => {
      source.close();
      this.#down = true;
      this.#setState("down");
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#connect(), this.#wait * (0.75 + Math.random() / 2));
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    });
  }

  #takeStatus(status) {
    const before = this.status;
    this.status = status;
    if (before && !before.live && status.live) this.#emit("refetch");
    this.#setState(status.live ? "live" : "catching-up");
    this.#emit("status", status);
  }

  #setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.#emit("state", state);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

export const live = new Live();

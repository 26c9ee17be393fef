// The stream: one connection, re-established with the id of the last event in the URL.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;
/** How long history waits for the stream: a browser opens few connections to one server. */
const OPEN_WAIT = 2000;

/**
 * Events: `frame` (data), `refetch` (what was missed must be fetched again), `state` ("live", "catching-up", "down").
 */
class Live extends EventTarget {
  #source = null;
  #params = {};
  #lastId = null;
  #wait = FIRST_WAIT;
  #timer = 0;
  #down = false;
  #synced = null;
  #opened = () => {};
  #open = Promise.resolve();
  state = "connecting";
  status = null;

  /**
   * Selects the symbol whose trades and bars to receive. The promise resolves once the server sends them, so that
   * history that is fetched then leaves nothing out; and after a while in any case.
   */
  subscribe(params) {
    if (!this.#source || JSON.stringify(params) !== JSON.stringify(this.#params)) {
      this.#params = params;
      this.#connect();
    }
    return Promise.race([this.#open, new Promise((resolve) => setTimeout(resolve, OPEN_WAIT))]);
  }

  /** The state of the pipeline, as soon as it is known; null after a while. */
  async known() {
    if (this.status) return this.status;
    return new Promise((resolve) => {
      setTimeout(() => resolve(this.status), OPEN_WAIT);
      this.addEventListener("status", ({ detail }) => resolve(detail), { once: true });
    });
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#opened();
    this.#open = new Promise((resolve) => {
      this.#opened = resolve;
    });
    const query = new URLSearchParams(this.#params);
    if (this.#lastId) query.set("last_event_id", this.#lastId);
    const source = new EventSource(`/api/v1/stream?${query}`);
    this.#source = source;
    source.addEventListener("open", () => {
      this.#wait = FIRST_WAIT;
      // Without an id there is nothing the server could replay.
      if (this.#down && !this.#lastId) this.#emit("refetch");
      this.#down = false;
      this.#opened();
    });
    source.addEventListener("frame", (event) => {
      this.#lastId = event.lastEventId || this.#lastId;
      const data = JSON.parse(event.data);
      // The first frame has the state; whether the server is up to date is not known before.
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
      this.#opened();
      this.#down = true;
      this.#setState("down");
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#connect(), this.#wait * (0.75 + Math.random() / 2));
      this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    });
  }

  #takeStatus(status) {
    if (this.#synced === false && status.live) this.#emit("refetch");
    this.#synced = status.live;
    this.#setState(status.live ? "live" : "catching-up");
    // A server that has just started knows nothing else.
    if (!status.topic) return;
    this.status = status;
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

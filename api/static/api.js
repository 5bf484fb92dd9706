// Calls of the API, and the stream of a learner's list.

import { token } from "./session.js";

const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 10_000;
const SILENCE_MS = 35_000; // the API says something every 15 s

/** What the API refused, and why. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

async function refusalOf(answer) {
  const problem = await answer.json().catch(() => ({}));
  return new Refusal(answer.status, problem.detail ?? `the API answered ${answer.status}`);
}

const headers = () => ({ Authorization: `Bearer ${token()}` });

/** Return the JSON the API answers; throws Refusal, or TypeError while it is away. */
export async function get(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  const answer = await fetch(query ? `${path}?${query}` : path, { headers: headers(), cache: "no-store" });
  if (!answer.ok) throw await refusalOf(answer);
  return answer.json();
}

/** Publish events of a learner; return the positions that the log keeps them at. */
export async function publish(userId, ...events) {
  const body = JSON.stringify({ events: events.map((event) => ({ ...event, user_id: userId })) });
  const answer = await fetch("/v1/events", {
    method: "POST",
    headers: { ...headers(), "Content-Type": "application/json" },
    body,
  });
  if (!answer.ok) throw await refusalOf(answer);
  const accepted = await answer.json();
  if (accepted.rejected.length) throw new Refusal(422, accepted.rejected[0].detail);
  return accepted.position;
}

export const learnerPath = (userId, rest = "") => `/v1/learners/${encodeURIComponent(userId)}${rest}`;
export const coursePath = (courseId, rest = "") => `/v1/courses/${encodeURIComponent(courseId)}${rest}`;

/** Yield the data of each server-sent event. */
async function* eventsOf(body, onSign) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let buffered = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onSign();
    buffered += value;
    const blocks = buffered.split("\n\n");
    buffered = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield JSON.parse(lines.map((line) => line.slice(5)).join("\n"));
    }
  }
}

/**
 * Follow a learner's list until `stop()`: EventSource cannot send a token, so this reads the stream itself.
 * `on.list(answer)`, `on.state("connecting" | "live" | "lost", pauseMs)`, `on.refused(refusal)`: then it has ended.
 */
export function follow(userId, parameters, on) {
  const path = `${learnerPath(userId, "/changes")}?${new URLSearchParams(parameters)}`;
  const whole = new AbortController();
  let pauseMs = FIRST_PAUSE_MS;

  async function once() {
    const attempt = new AbortController();
    const abort = () => attempt.abort();
    whole.signal.addEventListener("abort", abort);
    let silence = setTimeout(abort, SILENCE_MS);
    const onSign = () => {
      clearTimeout(silence);
      silence = setTimeout(abort, SILENCE_MS);
    };
    try {
      const answer = await fetch(path, { headers: headers(), cache: "no-store", signal: attempt.signal });
      if (!answer.ok) throw await refusalOf(answer);
      on.state("live");
      for await (const list of eventsOf(answer.body, onSign)) {
        pauseMs = FIRST_PAUSE_MS;
        on.list(list);
      }
    } finally {
      clearTimeout(silence);
      whole.signal.removeEventListener("abort", abort);
    }
  }

  async function forever() {
    on.state("connecting");
    while (!whole.signal.aborted) {
      try {
        await once();
      } catch (error) {
        const isFinal = error instanceof Refusal && error.status < 500 && error.status !== 429;
        if (isFinal && !whole.signal.aborted) return on.refused(error);
        if (!(error instanceof Refusal || error instanceof TypeError || error.name === "AbortError")) throw error;
      }
      if (whole.signal.aborted) return undefined;
      const waitMs = pauseMs * (0.75 + Math.random() / 2);
      on.state("lost", waitMs);
      await new Promise((done) => setTimeout(done, waitMs));
      pauseMs = Math.min(pauseMs * 2, LAST_PAUSE_MS);
    }
    return undefined;
  }

  void forever();
  return { stop: () => whole.abort() };
}

// The API behind this page. The key comes once, in the fragment of the link that signs in, and is
// kept by origin: a cookie alone reaches every port of this machine.

const KEY = "portico-key";

export function takeKey() {
  const found = /^#key=(.+)$/.exec(location.hash);
  if (found) {
    localStorage.setItem(KEY, found[1]);
    history.replaceState(null, "", "/#/");
  }
}

const headers = (more = {}) => ({ "X-Portico-Key": localStorage.getItem(KEY) ?? "", ...more });

export class Refused extends Error {}

async function checked(answer) {
  if (answer.ok) return answer;
  const text = await answer.text();
  let why = text.trim();
  try {
    why = JSON.parse(text).error;
  } catch {
    // not an answer of the API
  }
  throw new Refused(why || `the daemon answered ${answer.status}`);
}

export async function get(path) {
  return (await checked(await fetch(path, { headers: headers() }))).json();
}

export async function post(path, body) {
  const options = {
    method: "POST",
    headers: headers({ "Content-Type": "application/json" }),
    body: body === undefined ? undefined : JSON.stringify(body),
  };
  return (await checked(await fetch(path, options))).json();
}

// Calls `received` with each status, and `broken` when the daemon does not answer; again and again.
export async function live(received, broken) {
  for (;;) {
    try {
      const answer = await checked(await fetch("/live", { headers: headers() }));
      await read(answer.body.getReader(), received);
      broken("the daemon has exited; waiting for the next one", false);
    } catch (error) {
      broken(error.message, error instanceof Refused);
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
}

// Events of text/event-stream; a header cannot be sent by EventSource.
async function read(reader, received) {
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    const events = text.split("\n\n");
    text = events.pop();
    const last = events.pop();
    if (last) received(JSON.parse(last.slice("data: ".length)));
  }
}

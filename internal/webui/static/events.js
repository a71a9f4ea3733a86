// What changed on the server, as it tells (GET /v1/events). The stream is read with fetch: an EventSource cannot send a token. A
// page that nobody sees has none, as a browser has few connections to one server.

import { request } from './api.js';

const quiet = 40_000; // the server gives a sign of life every 15 seconds
const together = 400; // listeners are told at most so often, in milliseconds
const most = 5000; // runs that are remembered by then; beyond, all may have changed

const listeners = new Set();
let show = () => {};
let stream = null; // the controller of the open stream
let wait = 1000;
let changed = new Map(); // the newest event of each run
let missed = false; // something may have been missed
let timer = null;
let told = 0;

// listen has fn called with what changed, a Map of the newest event by run ID, or with null when anything may have. It is not called
// more than a few times a second. It is called no more when the signal ends.
export function listen(fn, signal) {
  listeners.add(fn);
  signal.addEventListener('abort', () => listeners.delete(fn));
}

// start begins to follow. showState is told "live", "paused", and else why it is not live.
export function start(showState) {
  show = showState;
  document.addEventListener('visibilitychange', follow);
  follow();
}

function follow() {
  if (document.hidden) {
    stream?.abort();
    stream = null;
    show('paused');
  } else if (!stream) {
    stream = new AbortController();
    connect(stream);
  }
}

async function connect(controller) {
  let watchdog;
  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => controller.abort(), quiet);
  };
  try {
    const answer = await request('GET', 'v1/events?after=latest', { signal: controller.signal });
    wait = 1000;
    show('live');
    tell(null);
    alive();
    await read(answer.body, alive);
    show('the server ended the stream');
  } catch (error) {
    show(error.title ?? 'the stream broke off');
  } finally {
    clearTimeout(watchdog);
  }
  if (stream !== controller) return;
  stream = null;
  setTimeout(() => { if (!stream) follow(); }, wait);
  wait = Math.min(wait * 2, 30_000);
}

// read tells what comes until the stream ends.
async function read(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    const messages = (rest + value).split('\n\n');
    rest = messages.pop();
    for (const message of messages) take(message);
  }
}

function take(message) {
  const data = /^data: (.*)$/m.exec(message)?.[1];
  if (data && /^event: run\./m.test(message)) tell(JSON.parse(data));
}

function tell(event) {
  if (event) changed.set(event.run_id, event);
  if (!event || changed.size > most) {
    missed = true;
    changed = new Map();
  }
  timer ??= setTimeout(flush, Math.max(0, told + together - performance.now()));
}

function flush() {
  const news = missed ? null : changed;
  timer = null;
  told = performance.now();
  missed = false;
  changed = new Map();
  for (const fn of [...listeners]) fn(news);
}

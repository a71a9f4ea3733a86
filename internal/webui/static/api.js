// Requests to the server that the page came from.

// Problem is an answer that is an error: problem details as of RFC 9457. title says what kind of problem it is, message what was
// wrong, and hint what to do.
export class Problem extends Error {
  constructor(body) {
    super(body.detail ?? '');
    Object.assign(this, body);
  }
}

const tokenKey = 'wfrt.token';

let token = sessionStorage.getItem(tokenKey) ?? '';
let askForToken = () => Promise.reject(new Problem({ title: 'A token is needed' }));
let asking = null;

// whenTokenIsNeeded sets what asks a person for the token: a function of the last answer's detail that returns a promise of the token.
export function whenTokenIsNeeded(ask) {
  askForToken = ask;
}

// path writes names as segments of a path: path`v1/runs/${id}`.
export function path(parts, ...names) {
  return String.raw({ raw: parts }, ...names.map(encodeURIComponent));
}

// query writes parameters, of which a list is given once for each value and an empty value not at all.
export function query(parameters) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters ?? {})) {
    for (const one of [value].flat()) if (one !== '' && one !== null && one !== undefined) search.append(name, one);
  }
  return search.size ? `?${search}` : '';
}

// get asks for JSON.
export async function get(address, parameters, signal) {
  const answer = await request('GET', address + query(parameters), { signal });
  return parse(await answer.text());
}

// send sends JSON, or with text what it is, and returns the answer's JSON; undefined when there is none.
export async function send(method, address, { json, text, headers, signal } = {}) {
  const body = text ?? (json === undefined ? undefined : JSON.stringify(json));
  const answer = await request(method, address, {
    body, signal, headers: json === undefined ? headers : { 'Content-Type': 'application/json', ...headers },
  });
  const content = await answer.text();
  return content === '' ? undefined : parse(content);
}

// request sends a request with the token, for which it asks when the server does, and throws a Problem when it did not succeed.
export async function request(method, address, { body, headers, signal } = {}) {
  for (;;) {
    const used = token;
    let answer;
    try {
      answer = await fetch(address, {
        method, body, signal, headers: { ...headers, ...(used && { Authorization: `Bearer ${used}` }) }, cache: 'no-store',
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Problem({ title: 'The server cannot be reached', detail: error.message, hint: 'see whether it is running' });
    }
    if (answer.ok) return answer;
    const problem = await problemOf(answer);
    if (answer.status !== 401) throw problem;
    if (token === used) await renewToken(used ? problem.message : '', used);
  }
}

// renewToken asks once, however many requests wait for it.
function renewToken(why) {
  asking ??= askForToken(why).then((given) => {
    token = given;
    sessionStorage.setItem(tokenKey, given);
  }).finally(() => { asking = null; });
  return asking;
}

async function problemOf(answer) {
  const text = await answer.text();
  try {
    return new Problem(JSON.parse(text));
  } catch {
    return new Problem({ title: `The server answered ${answer.status}`, detail: text.slice(0, 1000), status: answer.status });
  }
}

// parse reads JSON. An integer that JavaScript would round keeps its digits, where the browser can (JSON.rawJSON).
export function parse(text) {
  return JSON.parse(text, (_, value, context) => {
    const rounded = typeof value === 'number' && /^-?\d{16,}$/.test(context?.source) && String(value) !== context.source;
    return rounded && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
  });
}

// From the address to the view. An address is #/page/name?filter=value, so that a view can be shared and the browser's own buttons work.

import { whenTokenIsNeeded } from './api.js';
import { listen, start } from './events.js';
import { put } from './parts/dom.js';
import { problem } from './parts/problem.js';
import { askForToken } from './parts/token.js';
import { plugin } from './views/plugin.js';
import { plugins } from './views/plugins.js';
import { run } from './views/run.js';
import { runs } from './views/runs.js';
import { schedules } from './views/schedules.js';
import { streams } from './views/streams.js';
import { workflow } from './views/workflow.js';
import { workflows } from './views/workflows.js';

// A view is given the element that it fills, the name in the address, its query, and its life: the signal that ends with it, and
// live(fn), which calls fn when something changed. It may return a function that takes another query of the same view.
const views = [
  [/^\/?$/, workflows, 'Workflows'],
  [/^\/workflows\/(.+)$/, workflow, 'Workflow'],
  [/^\/runs$/, runs, 'Runs'],
  [/^\/runs\/(.+)$/, run, 'Run'],
  [/^\/schedules$/, schedules, 'Schedules'],
  [/^\/plugins$/, plugins, 'Plugins'],
  [/^\/plugins\/(.+)$/, plugin, 'Plugin'],
  [/^\/streams$/, streams, 'Streams'],
];

const root = document.getElementById('view');
let open = null; // the view that is shown: its path, its controller, its update

async function route() {
  const [path, search] = location.hash.replace(/^#/, '').split(/\?(.*)/s);
  const query = new URLSearchParams(search);
  if (open?.path === path && open.update) {
    open.update(query);
    return;
  }
  open?.controller.abort();
  const controller = new AbortController();
  const { signal } = controller;
  const mine = { path, controller };
  open = mine;
  const found = views.find(([pattern]) => pattern.test(path));
  if (!found) {
    put(root, problem({ title: 'There is no such page', message: `there is nothing at ${path}` }));
    return;
  }
  const [pattern, view, title] = found;
  const name = decode(pattern.exec(path)[1]);
  document.title = `${name ?? title} – wfrt`;
  mark(path);
  try {
    put(root);
    root.setAttribute('aria-busy', 'true');
    mine.update = await view(root, { name, query, signal, live: (fn) => listen(fn, signal) });
  } catch (error) {
    if (!signal.aborted) put(root, problem(error));
  } finally {
    if (open === mine) root.removeAttribute('aria-busy');
  }
}

function decode(text) {
  try {
    return text === undefined ? undefined : decodeURIComponent(text);
  } catch {
    return text;
  }
}

// mark says in the navigation where we are.
function mark(path) {
  for (const link of document.querySelectorAll('nav a')) {
    const target = link.getAttribute('href').slice(1);
    const here = target === '/' ? /^\/?$|^\/workflows/.test(path) : path.startsWith(target);
    if (here) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
}

document.getElementById('find').addEventListener('submit', (event) => {
  event.preventDefault();
  const input = document.getElementById('find-id');
  const text = input.value.trim();
  if (!text) return;
  const isRun = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
  location.hash = isRun ? `/runs/${text.toLowerCase()}` : `/runs?foreign_id=${encodeURIComponent(text)}`;
  input.value = '';
});

document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault(); // its address is no view
  root.focus();
});

whenTokenIsNeeded(askForToken);
addEventListener('hashchange', route);
start((state) => {
  const sign = document.getElementById('live');
  sign.textContent = state;
  sign.dataset.state = state === 'live' ? 'live' : 'other';
});
route();

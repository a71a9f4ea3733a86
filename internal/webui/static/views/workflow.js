// One workflow: its graph with the number of runs in each status, and what each status does.

import { get, path } from '../api.js';
import { count, counted, countLink } from '../parts/count.js';
import { h, put } from '../parts/dom.js';
import { addressOf } from '../parts/filter.js';
import { digest, seconds } from '../parts/format.js';
import { graph } from '../parts/graph.js';
import { problem } from '../parts/problem.js';
import { refresher } from '../parts/refresh.js';
import { triggerButton } from '../parts/trigger.js';

export async function workflow(root, { name, signal, live }) {
  const trouble = h('div');
  const drawing = h('div', { class: 'wide' });
  const rows = h('tbody');
  const head = h('div', { class: 'head' });
  const refresh = refresher(load, { signal, pause: 5000, failed: (error) => put(trouble, problem(error)) });
  let last = '';

  async function load() {
    const definition = await get(path`v1/workflows/${name}`, {}, signal);
    const counts = await Promise.all(definition.statuses.map((status) => count({ workflow: [name], status: [status.name] }, signal)
      .catch((error) => { if (signal.aborted) throw error; return { n: 0 }; })));
    const now = JSON.stringify([definition, counts]);
    if (now === last) return;
    last = now;
    put(head, h('h1', null, name), h('a', { href: addressOf({ workflow: name }) }, 'Its runs'), triggerButton([definition]));
    put(drawing, graph(definition, Object.fromEntries(definition.statuses.map((status, i) => [status.name, counts[i].n ? counted(counts[i]) : '']))));
    put(rows, definition.statuses.map((status, i) => row(name, status, counts[i])));
  }

  put(root, head, trouble, drawing, h('p', { class: 'legend faint' },
    h('span', { class: 'step' }, 'step'), h('span', { class: 'callback' }, 'callback'), h('span', { class: 'timeout' }, 'timeout')),
  h('div', { class: 'wide' }, h('table', null, h('caption', { class: 'unseen' }, 'Statuses'),
    h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Status'), h('th', { scope: 'col', class: 'right' }, 'Runs'),
      ['Step', 'Callbacks', 'Timeouts', 'Plugin', 'Module'].map((title) => h('th', { scope: 'col' }, title)))),
    rows)));
  live((changed) => { if (!changed || [...changed.values()].some((event) => event.workflow === name)) refresh(); });
  await load();
}

function row(workflow, status, counts) {
  const exit = (e) => `${e.handler} → ${e.to.join(' or ') || 'nowhere'}`;
  return h('tr', null,
    h('th', { scope: 'row' }, status.name),
    h('td', { class: 'right' }, countLink({ workflow: [workflow], status: [status.name] }, counts)),
    h('td', null, status.handler ? exit({ handler: status.handler, to: status.to ?? [] }) : status.terminal ? h('span', { class: 'faint' }, 'ends the run') : ''),
    h('td', null, (status.callbacks ?? []).map((callback) => h('div', null, exit(callback)))),
    h('td', null, (status.timeouts ?? []).map((timeout) => h('div', null, exit(timeout), ' ',
      h('span', { class: 'faint' }, timeout.computed ? 'at a computed time' : `after ${seconds(timeout.after_seconds ?? 0)}`)))),
    h('td', null, status.plugin),
    h('td', null, digest(status.digest)));
}

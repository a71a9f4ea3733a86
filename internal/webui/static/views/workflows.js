// All workflows, and how many runs of each are where.

import { get } from '../api.js';
import { count, countLink } from '../parts/count.js';
import { h, keyed, put } from '../parts/dom.js';
import { problem } from '../parts/problem.js';
import { refresher } from '../parts/refresh.js';
import { triggerButton } from '../parts/trigger.js';

const groups = [
  ['Active', ['Initiated', 'Running']], ['Paused', ['Paused']], ['Completed', ['Completed']], ['Cancelled', ['Cancelled']],
  ['Erased', ['RequestedDataDeleted', 'DataDeleted']],
];

export async function workflows(root, { signal, live }) {
  const head = h('div', { class: 'head' });
  const trouble = h('div');
  const rows = h('tbody');
  let names = '';
  const refresh = refresher(load, { signal, pause: 5000, failed: (error) => put(trouble, problem(error)) });

  async function load() {
    const { workflows: all } = await get('v1/workflows', {}, signal);
    const lines = await Promise.all(all.map(async (workflow) => ({
      workflow,
      counts: await Promise.all(groups.map(([, state]) => count({ workflow: [workflow.name], state }, signal))),
    })));
    put(trouble, all.length === 0 && h('p', { class: 'empty' }, 'No plugin has brought a workflow yet.'));
    keyed(rows, lines, (line) => line.workflow.name, (line) => JSON.stringify(line), row);
    if (names !== JSON.stringify(all.map((w) => w.name))) put(head, h('h1', null, 'Workflows'), triggerButton(all));
    names = JSON.stringify(all.map((w) => w.name));
  }

  put(root, head, trouble, h('div', { class: 'wide' }, h('table', null,
    h('caption', { class: 'unseen' }, 'Workflows'),
    h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Workflow'), groups.map(([name]) => h('th', { scope: 'col', class: 'right' }, name)),
      h('th', { scope: 'col' }, 'Starts in'), h('th', { scope: 'col' }, 'Plugin'))),
    rows)));
  live(refresh);
  await load();
}

function row({ workflow, counts }) {
  const plugins = [...new Set(workflow.statuses.map((status) => status.plugin).filter(Boolean))];
  return h('tr', null,
    h('th', { scope: 'row' }, h('a', { href: `#/workflows/${encodeURIComponent(workflow.name)}` }, workflow.name)),
    counts.map((one, i) => h('td', { class: 'right' }, countLink({ workflow: [workflow.name], state: groups[i][1] }, one))),
    h('td', null, workflow.start),
    h('td', null, plugins.join(', ')));
}

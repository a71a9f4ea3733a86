// Plugins: what serves, and what is wrong with what does not.

import { get } from '../api.js';
import { h, keyed, put } from '../parts/dom.js';
import { bytes, digest, moment, number } from '../parts/format.js';
import { problem } from '../parts/problem.js';
import { every, refresher } from '../parts/refresh.js';

export async function plugins(root, { signal }) {
  const trouble = h('div');
  const rows = h('tbody');
  const refresh = refresher(load, { signal, failed: (error) => put(trouble, problem(error)) });

  async function load() {
    const { plugins: all } = await get('v1/plugins', {}, signal);
    put(trouble, all.length === 0 && h('p', { class: 'empty' }, 'There is no plugin. Put a module into the plugins folder, or deploy one.'));
    keyed(rows, all, (plugin) => plugin.name, (plugin) => JSON.stringify(plugin), row);
  }

  put(root, h('div', { class: 'head' }, h('h1', null, 'Plugins')), trouble, h('div', { class: 'wide' }, h('table', null,
    h('caption', { class: 'unseen' }, 'Plugins'),
    h('thead', null, h('tr', null, ['Plugin', 'State', 'Version', 'Module', 'Workflows', 'Serves since'].map((title) => h('th', { scope: 'col' }, title)),
      ['Size', 'Instances', 'Invocations', 'Traps'].map((title) => h('th', { scope: 'col', class: 'right' }, title)))),
    rows)));
  every(3000, refresh, signal); // no event tells of plugins
  await load();
}

function row(plugin) {
  return h('tr', null,
    h('th', { scope: 'row' }, h('a', { href: `#/plugins/${encodeURIComponent(plugin.name)}` }, plugin.name)),
    h('td', null, h('span', { class: `state state-${plugin.state}` }, plugin.state), plugin.canary && h('span', { class: 'faint' }, ` canary ${plugin.canary.percent} %`),
      plugin.error && h('p', { class: 'why strong' }, plugin.error)),
    h('td', null, plugin.version),
    h('td', null, digest(plugin.digest)),
    h('td', null, plugin.workflows.join(', ')),
    h('td', null, moment(plugin.loaded_at)),
    [bytes(plugin.size), number(plugin.instances), number(plugin.invocations), number(plugin.traps)].map((text) => h('td', { class: 'number right' }, text)));
}

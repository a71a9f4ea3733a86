// One plugin: its versions, what it may do, and the two changes that need no module: promote and roll back.

import { get, path, send } from '../api.js';
import { ask, note, noted } from '../parts/dialog.js';
import { h, put } from '../parts/dom.js';
import { bytes, digest, moment, number } from '../parts/format.js';
import { problem, say } from '../parts/problem.js';
import { every, refresher } from '../parts/refresh.js';

export async function plugin(root, { name, signal }) {
  const address = path`v1/plugins/${name}`;
  const trouble = h('div');
  const body = h('div');
  const refresh = refresher(load, { signal, failed: (error) => put(trouble, problem(error)) });
  let last = '';

  async function load() {
    const now = await get(address, {}, signal);
    if (last === JSON.stringify(now)) return;
    last = JSON.stringify(now);
    put(trouble);
    put(body, show(now, (title, means, confirm, to, way) => ask({
      title, body: h('p', null, means), confirm,
      fields: [note()[1], { name: 'force', label: 'Even if it leaves runs behind', kind: 'checkbox', hint: 'They go on with the version before.' }],
      act: ({ by, force }) => send('POST', `${address}/${way}`, { json: { ...(to && { to }), ...noted({ by }), force } }),
    }).then((ok) => { if (ok) { say(`${confirm}: done.`); refresh(); } })));
  }

  await load();
  put(root, body, trouble);
  every(3000, refresh, signal); // no event tells of plugins
}

function show(plugin, change) {
  const button = (text, ...what) => h('button', { type: 'button', onclick: () => change(...what) }, `${text}…`);
  return [
    h('p', { class: 'path' }, h('a', { href: '#/plugins' }, 'Plugins'), ' / '),
    h('div', { class: 'head' }, h('h1', null, plugin.name), h('span', { class: `state state-${plugin.state}` }, plugin.state)),
    plugin.error && h('p', { class: 'why strong' }, plugin.error),
    plugin.note && h('p', { class: 'why' }, plugin.note),
    plugin.hint && h('p', { class: 'hint' }, plugin.hint),
    h('div', { class: 'buttons' },
      plugin.canary && button('Promote the canary', `Promote the canary of ${plugin.name}`, 'It serves every run from now on.', 'Promote', '', 'promote'),
      plugin.canary
        ? button('End the trial', `End the trial of ${plugin.name}`, 'New runs begin on the version that serves.', 'Roll back', '', 'rollback')
        : plugin.versions.length > 1 && button('Roll back', `Roll ${plugin.name} back`, 'The version before serves again.', 'Roll back', '', 'rollback')),
    facts([
      ['File', h('code', null, plugin.file)], ['Version', plugin.version], ['SDK', plugin.sdk], ['Module', digest(plugin.digest)],
      ['Size', bytes(plugin.size)], ['Serves since', moment(plugin.loaded_at)], ['By', [plugin.how, plugin.by].filter(Boolean).join(', ')],
      ['Isolation', plugin.isolation], ['Not restorable', plugin.unrestorable], ['Instances', number(plugin.instances)],
      ['Invocations', number(plugin.invocations)], ['Traps', number(plugin.traps)],
      ['Canary', plugin.canary && [digest(plugin.canary.digest), ` ${plugin.canary.percent} % of the new runs; `,
        `${number(plugin.canary.errors)} of ${number(plugin.canary.invocations)} invocations failed`]],
      ['Last trial', plugin.ended && [digest(plugin.ended.digest), ` ended: ${plugin.ended.cause}`]],
    ]),
    h('h2', null, 'Versions'),
    h('div', { class: 'wide' }, h('table', null, h('caption', { class: 'unseen' }, 'Versions'),
      h('thead', null, h('tr', null, ['Module', 'State', 'Version', 'SDK', 'Size', 'Came', 'How', 'By', 'Actions'].map((title) => h('th', { scope: 'col' }, title)))),
      h('tbody', null, plugin.versions.map((version) => h('tr', null,
        h('th', { scope: 'row' }, digest(version.digest)),
        h('td', null, h('span', { class: `state state-${version.state}` }, version.state)),
        h('td', null, version.version), h('td', null, version.sdk), h('td', { class: 'number' }, bytes(version.size)),
        h('td', null, moment(version.deployed_at)), h('td', null, version.how), h('td', null, version.by),
        h('td', null, version.state !== 'serving' && button('Serve this', `Have ${version.digest.slice(0, 12)} serve`,
          `It serves every run of ${plugin.name} from now on.`, 'Roll back', version.digest, 'rollback'))))))),
    plugin.capabilities && [h('h2', null, 'Asks for'), h('ul', { class: 'waits' }, plugin.capabilities.map((one) => h('li', null,
      one.what, ': ', h('b', null, one.granted ? 'granted' : 'not granted'), ' ', h('code', { class: 'faint' }, one.key))))],
  ];
}

function facts(all) {
  return h('dl', { class: 'facts' }, all.filter(([, value]) => value).map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))));
}

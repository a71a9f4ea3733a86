// What comes in from Kafka and goes out to it: connectors, the outbox, and what was parked on either side.

import { get, path, query, send } from '../api.js';
import { ask } from '../parts/dialog.js';
import { h, keyed, put } from '../parts/dom.js';
import { moment, number, seconds } from '../parts/format.js';
import { problem, say } from '../parts/problem.js';
import { every, refresher } from '../parts/refresh.js';

const perPage = 100;

export async function streams(root, { signal }) {
  const trouble = h('div');
  const outbox = h('dl', { class: 'facts' });
  const events = h('tbody');
  const more = h('p', { class: 'empty' });
  const connectors = h('div');
  const refresh = refresher(load, { signal, failed: (error) => put(trouble, problem(error)) });

  async function load() {
    const [{ connectors: all }, { parked, next_cursor: next }, out] = await Promise.all([
      get('v1/connectors', {}, signal), get('v1/outbox/parked', { limit: perPage }, signal), get('v1/outbox', {}, signal),
    ]);
    const pages = await Promise.all(all.map((one) => get(path`v1/connectors/${one.name}/parked`, { limit: perPage }, signal)));
    put(trouble);
    put(outbox, [['Events not published yet', number(out.depth)], ['The oldest waits for', out.depth > 0 && seconds(out.age_seconds), out.late && 'late'],
      ['Parked events', number(out.parked)], ['What keeps them', out.fault]].filter(([, value]) => value)
      .map(([title, value, late]) => h('div', null, h('dt', null, title), h('dd', { class: 'number' }, value, late && h('b', null, ', too long')))));
    keyed(events, parked, (one) => one.id, (one) => one.parked_at + one.cause, (one) => eventRow(one, refresh));
    events.closest('table').hidden = parked.length === 0;
    put(more, next && `These are the first ${number(parked.length)} parked events; wfrt outbox parked lists all.`);
    more.hidden = !next;
    const lines = all.map((one, i) => ({ ...one, page: pages[i] }));
    keyed(connectors, lines, (one) => one.name, (one) => JSON.stringify(one), (one) => connector(one, refresh));
    if (all.length === 0) {
      connectors.made = undefined;
      put(connectors, h('p', { class: 'empty' }, 'No connector is configured (connectors.NAME).'));
    }
  }

  put(root, h('h1', null, 'Streams'), trouble, h('h2', null, 'Outbox'), outbox,
    h('div', { class: 'wide' }, table(['Event', 'Type', 'Cause', 'Parked', 'Actions'], events)), more, h('h2', null, 'Connectors'), connectors);
  every(3000, refresh, signal); // no event tells of these
  await load();
}

function table(titles, rows) {
  return h('table', null, h('thead', null, h('tr', null, titles.map((title) => h('th', { scope: 'col' }, title)))), rows);
}

function button(word, title, means, act, done) {
  return h('button', {
    type: 'button', class: word === 'Drop' && 'danger',
    onclick: () => ask({ title, body: h('p', null, means), confirm: word, danger: word === 'Drop', act: async () => { await act(); return true; } })
      .then((ok) => { if (ok) say(`${word}: done.`); done(); }),
  }, `${word}…`);
}

function eventRow(one, done) {
  return h('tr', null, h('th', { scope: 'row' }, h('a', { href: `#/runs/${one.run_id}` }, one.id)), h('td', null, one.type),
    h('td', { class: 'reason' }, one.cause), h('td', null, moment(one.parked_at)),
    h('td', null, button('Redrive', `Publish ${one.id} again`, 'It comes after later events of its run.',
      () => send('POST', `v1/outbox/parked/redrive${query({ id: one.id })}`), done)));
}

function connector(one, done) {
  const counts = ['received', 'triggered', 'called', 'ignored', 'skipped', 'repeated', 'retried', 'parked'];
  return h('section', { class: 'connector' },
    h('h3', null, one.name, ' ', h('span', { class: 'faint' }, one.topics.join(', '))),
    one.fault && h('p', { class: 'why strong' }, one.fault),
    h('dl', { class: 'facts' }, counts.map((name) => h('div', null, h('dt', null, name), h('dd', { class: 'number' }, number(one[name]))))),
    h('div', { class: 'wide' }, table(['Topic', 'Partition', 'Next', 'Committed', 'Under way', 'Lag'], h('tbody', null,
      one.partitions.map((p) => h('tr', null, h('th', { scope: 'row' }, p.topic), [p.partition, p.next, p.committed, p.under_way, p.lag]
        .map((value) => h('td', { class: 'number' }, value < 0 ? '–' : number(value)))))))),
    one.page.parked.length > 0 && [
      h('h4', null, `Parked messages${one.page.next_cursor ? ': the first hundred' : ''}`),
      h('div', { class: 'wide' }, table(['Place', 'Key', 'Value', 'Cause', 'Attempts', 'Parked', 'Actions'], h('tbody', null,
        one.page.parked.map((message) => messageRow(message, done))))),
    ]);
}

function messageRow(message, done) {
  const place = `${message.topic} ${message.partition}:${message.offset}`;
  const address = path`v1/connectors/${message.connector}/parked/${message.topic_id}/${message.partition}/${message.offset}`;
  return h('tr', null, h('th', { scope: 'row' }, place), h('td', { class: 'reason' }, message.key), h('td', { class: 'reason', title: message.value }, message.value),
    h('td', { class: 'reason', title: message.cause }, message.cause), h('td', { class: 'number' }, number(message.attempts)), h('td', null, moment(message.parked_at)),
    h('td', null, h('div', { class: 'buttons' },
      button('Redrive', `Try ${place} again`, 'Once. If it takes effect it is parked no more.', () => send('POST', `${address}/redrive`), done),
      button('Drop', `Drop ${place}`, 'It is gone then.', () => send('DELETE', address), done))));
}

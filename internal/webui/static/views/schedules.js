// Schedules: when each comes due, and what became of its last slot.

import { get, path, send } from '../api.js';
import { ask } from '../parts/dialog.js';
import { h, keyed, put } from '../parts/dom.js';
import { moment } from '../parts/format.js';
import { problem, say } from '../parts/problem.js';
import { every, refresher } from '../parts/refresh.js';

export async function schedules(root, { signal, live }) {
  const trouble = h('div');
  const rows = h('tbody');
  const refresh = refresher(load, { signal, pause: 1000, failed: (error) => put(trouble, problem(error)) });

  async function load() {
    const { schedules: all } = await get('v1/schedules', {}, signal);
    put(trouble, all.length === 0 && h('p', { class: 'empty' },
      'There is no schedule. A plugin declares one, or ', h('code', null, 'wfrt schedules create'), ' makes one.'));
    keyed(rows, all, (schedule) => JSON.stringify([schedule.workflow, schedule.name]), (schedule) => JSON.stringify(schedule), (schedule) => row(schedule, refresh));
  }

  put(root, h('div', { class: 'head' }, h('h1', null, 'Schedules')), trouble, h('div', { class: 'wide' }, h('table', null,
    h('caption', { class: 'unseen' }, 'Schedules'),
    h('thead', null, h('tr', null, ['Schedule', 'Workflow', 'When', 'Next slot', 'Last slot', 'What became of it', 'Made by', 'Actions']
      .map((title) => h('th', { scope: 'col' }, title)))),
    rows)));
  live(refresh);
  every(15_000, refresh, signal); // a slot that is skipped makes no event
  await load();
}

function row(schedule, done) {
  const address = path`v1/schedules/${schedule.workflow}/${schedule.name}`;
  const action = (word, means, after, act) => h('button', {
    type: 'button', class: word === 'Delete' && 'danger',
    onclick: () => ask({
      title: `${word} ${schedule.workflow} ${schedule.name}`, body: h('p', null, means), confirm: word, danger: word === 'Delete',
      act: async () => (await act()) ?? {},
    }).then((answer) => {
      if (!answer) return;
      say(after);
      if (answer.run_id) location.hash = `/runs/${answer.run_id}`;
      else done();
    }),
  }, `${word}…`);
  return h('tr', null,
    h('th', { scope: 'row' }, schedule.name),
    h('td', null, schedule.workflow),
    h('td', null, h('code', null, schedule.cron), ' ', h('span', { class: 'faint' }, schedule.zone)),
    h('td', null, schedule.paused ? h('span', { class: 'state state-paused' }, 'Paused') : moment(schedule.next)),
    h('td', null, moment(schedule.last_slot)),
    h('td', { class: 'reason' }, schedule.last_run_id ? h('a', { href: `#/runs/${schedule.last_run_id}` }, schedule.last_result) : schedule.last_result),
    h('td', null, schedule.plugin ? 'a plugin' : 'a client'),
    h('td', null, h('div', { class: 'buttons' },
      schedule.paused
        ? action('Resume', 'The slots of the pause count as missed; its catch-up policy says what becomes of them.', 'The schedule was resumed.', () => send('POST', `${address}/resume`))
        : action('Pause', 'No slot of it comes due until it is resumed.', 'The schedule was paused.', () => send('POST', `${address}/pause`)),
      action('Trigger', 'It begins its run now, besides its slots.', 'A run was begun.', () => send('POST', `${address}/trigger`)),
      !schedule.plugin && action('Delete', 'It is gone then. Its runs stay.', 'The schedule was deleted.', () => send('DELETE', address)))));
}

// One action for all runs that the filter selects: first counted, then confirmed, then done a part at a time.

import { send } from '../api.js';
import { ask, note, noted } from './dialog.js';
import { h, put } from './dom.js';
import { number, plural } from './format.js';
import { problem } from './problem.js';

const actions = [
  ['pause', 'Pause', 'paused'], ['resume', 'Resume', 'resumed'], ['cancel', 'Cancel', 'cancelled'], ['erase', 'Erase', 'erased'],
];

const countedAtOnce = 1000;
const doneAtOnce = 200;

// bulkButtons returns a button for each action. filterOf gives the filter of the moment; done is called after something was done.
export function bulkButtons(filterOf, done) {
  return h('span', { class: 'buttons', role: 'group', 'aria-label': 'All runs that match' },
    h('span', { class: 'faint' }, 'All that match: '),
    actions.map(([action, word, past]) => h('button', {
      type: 'button', onclick: () => open({ action, word, past, filter: filterOf(), done }),
    }, `${word}…`)));
}

async function open({ action, word, past, filter, done }) {
  const stop = new AbortController();
  const body = h('div');
  const counting = ask({
    title: `${word} all that match`, body, fields: note(), confirm: `${word} them`, danger: action === 'cancel' || action === 'erase',
    act: async (values) => {
      const sum = await total;
      if (!sum.done) throw new Error(`there is no run that can be ${past}`);
      const request = { action, filter, ...noted(values) };
      await repeat(request, doneAtOnce, stop.signal, (so) => put(body, progress(so, sum)));
    },
  });
  const total = repeat({ action, filter, dry_run: true }, countedAtOnce, stop.signal, (so) => put(body, counted(so, past, true)));
  total.then((sum) => put(body, describe(filter), counted(sum, past, false)), (error) => {
    if (!stop.signal.aborted) put(body, problem(error));
  });
  await counting;
  stop.abort();
  done();
}

// repeat sends the request until all runs have been looked at, and returns the sums. tell is called with them after each part.
async function repeat(request, limit, signal, tell) {
  const sum = { matched: 0, done: 0, skipped: 0 };
  let cursor;
  do {
    const answer = await send('POST', 'v1/runs/bulk', { json: { ...request, limit, ...(cursor && { cursor }) }, signal });
    for (const name of Object.keys(sum)) sum[name] += answer[name];
    cursor = answer.next_cursor;
    tell(sum);
  } while (cursor);
  return sum;
}

function counted(sum, past, going) {
  return h('p', { class: 'count', role: 'status', 'data-counting': going ? 'yes' : 'no' },
    h('strong', null, plural(sum.done, 'run')), ` would be ${past}. `,
    `${number(sum.matched)} match, ${number(sum.skipped)} of them in a state that does not allow it.`, going && ' Counting …');
}

function progress(so, sum) {
  return h('div', { role: 'status' },
    h('progress', { max: sum.matched, value: Math.min(so.matched, sum.matched) }),
    h('p', null, `${number(so.done)} done, ${number(so.skipped)} skipped, of ${number(sum.matched)}. Closing this stops it there.`));
}

// describe says in words which runs are meant.
function describe(filter) {
  return h('dl', { class: 'facts' }, Object.entries(filter).map(([name, value]) =>
    h('div', null, h('dt', null, name.replaceAll('_', ' ')), h('dd', null, [value].flat().join(' or ')))));
}

// How many runs there are. The API counts in dry runs of bulk actions, a thousand runs at a time: beyond that we say "1,000+".

import { send } from '../api.js';
import { addressOf } from './filter.js';
import { h } from './dom.js';
import { number } from './format.js';

const most = 1000;

// count counts the runs of a filter: { n, more }.
export async function count(filter, signal) {
  const answer = await send('POST', 'v1/runs/bulk', { json: { action: 'cancel', dry_run: true, filter, limit: most }, signal });
  return { n: answer.matched, more: Boolean(answer.next_cursor) };
}

export const counted = ({ n, more }) => number(n) + (more ? '+' : '');

// countLink shows a count as a link to those runs.
export function countLink(filter, counts) {
  return counts.n ? h('a', { href: addressOf(filter), class: 'number' }, counted(counts)) : h('span', { class: 'number faint' }, '0');
}

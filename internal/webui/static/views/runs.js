// The list of runs, a page at a time: the address holds the filter and the cursor.

import { get } from '../api.js';
import { bulkButtons } from '../parts/bulk.js';
import { h, keyed, put } from '../parts/dom.js';
import { addressOf, filterForm, filterOf } from '../parts/filter.js';
import { moment, number, state } from '../parts/format.js';
import { problem } from '../parts/problem.js';
import { refresher } from '../parts/refresh.js';
import { triggerButton } from '../parts/trigger.js';

const perPage = 50;

export async function runs(root, { query: first, signal, live }) {
  let query = first;
  const { workflows } = await get('v1/workflows', {}, signal);
  const order = h('select', { id: 'order' }, h('option', { value: 'desc' }, 'newest first'), h('option', { value: 'asc' }, 'oldest first'));
  const go = (filter) => { location.hash = addressOf(filter, { order: order.value === 'asc' && 'asc' }); };
  order.addEventListener('change', () => go(filterOf(query)));
  const [form, showFilter] = filterForm(workflows, go);
  const rows = h('tbody');
  const trouble = h('div');
  const pages = h('nav', { class: 'pages', 'aria-label': 'Pages of the list' });
  const refresh = refresher(load, { signal, failed: (error) => put(trouble, problem(error)) });

  put(root,
    h('div', { class: 'head' }, h('h1', null, 'Runs'), triggerButton(workflows, () => filterOf(query).workflow?.[0])),
    form,
    h('div', { class: 'tools' },
      bulkButtons(() => filterOf(query), refresh), h('span', { class: 'grow' }), h('label', { for: 'order' }, 'Order '), order,
      h('button', { type: 'button', onclick: () => go({}) }, 'Clear the filter')),
    trouble,
    h('div', { class: 'wide' }, h('table', { class: 'runs' },
      h('caption', { class: 'unseen' }, 'Runs'),
      h('thead', null, h('tr', null, ['Foreign ID', 'Workflow', 'State', 'Status', 'Version', 'Created', 'Updated', 'Reason']
        .map((name) => h('th', { scope: 'col', class: name === 'Version' && 'right' }, name)))),
      rows)),
    pages);

  async function load() {
    const asked = query;
    const page = await get('v1/runs', {
      ...filterOf(asked), order: asked.get('order'), cursor: asked.get('cursor'), limit: perPage,
    }, signal);
    if (asked !== query) return;
    put(trouble, page.runs.length === 0 && h('p', { class: 'empty' }, 'No run matches.'));
    keyed(rows, page.runs, (run) => run.run_id, (run) => JSON.stringify([run.version, run.state, run.attempt, run.reason]), row);
    showPages(page);
  }

  function showPages(page) {
    const more = { order: query.get('order') };
    put(pages,
      query.get('cursor') && h('a', { href: addressOf(filterOf(query), more) }, 'First page'),
      h('span', { class: 'faint' }, `${number(page.runs.length)} shown`),
      page.next_cursor && h('a', { href: addressOf(filterOf(query), { ...more, cursor: page.next_cursor }), rel: 'next' }, 'Next page'));
  }

  function update(next) {
    query = next;
    order.value = query.get('order') === 'asc' ? 'asc' : 'desc';
    showFilter(filterOf(query));
    return refresh();
  }

  await update(first);
  live((changed) => {
    const wanted = filterOf(query).workflow;
    if (!changed || !wanted || [...changed.values()].some((event) => wanted.includes(event.workflow))) refresh();
  });
  return update;
}

function row(run) {
  return h('tr', null,
    h('th', { scope: 'row' }, h('a', { href: `#/runs/${run.run_id}` }, run.foreign_id)),
    h('td', null, run.workflow),
    h('td', null, state(run.state)),
    h('td', null, run.status),
    h('td', { class: 'number right' }, number(run.version)),
    h('td', null, moment(run.created_at)),
    h('td', null, moment(run.updated_at)),
    h('td', { class: 'reason', title: run.reason }, run.reason));
}

// One run: where it is, its object, how it came there, what its handlers logged, and what can be done.

import { get, path } from '../api.js';
import { actionButtons } from '../parts/actions.js';
import { h, keyed, put } from '../parts/dom.js';
import { addressOf } from '../parts/filter.js';
import { digest, moment, number, pretty, state } from '../parts/format.js';
import { Past } from '../parts/past.js';
import { problem } from '../parts/problem.js';
import { every, refresher } from '../parts/refresh.js';
import { entry } from '../parts/timeline.js';

export async function run(root, { name: id, signal, live }) {
  const address = path`v1/runs/${id}`;
  const history = new Past(`${address}/history`, 'history');
  const logs = new Past(`${address}/logs`, 'logs');
  const head = h('div');
  const trouble = h('div');
  const object = h('pre', { id: 'object', tabindex: 0, 'aria-labelledby': 'object-title' });
  const timeline = h('ol', { class: 'timeline' });
  const logged = h('div', { class: 'logs' });
  const moreHistory = moreButton(history, showPast);
  const moreLogs = moreButton(logs, showPast);
  let shown = null;
  let definition = null;

  const refresh = refresher(load, { signal, failed: (error) => put(trouble, problem(error)) });

  async function load() {
    const now = await get(address, {}, signal);
    if (shown === null) definition = await get(path`v1/workflows/${now.workflow}`, {}, signal).catch(() => null);
    await Promise.all([history.refresh(signal), logs.refresh(signal)]);
    put(trouble);
    showRun(now);
    showPast();
  }

  function showRun(now) {
    const same = JSON.stringify(now) === JSON.stringify(shown);
    shown = now;
    if (same) return; // the focus stays where it is
    document.title = `${now.foreign_id} – ${now.workflow} – wfrt`;
    put(head, h('p', { class: 'path' }, h('a', { href: addressOf({ workflow: now.workflow }) }, now.workflow), ' / '),
      h('div', { class: 'head' }, h('h1', null, now.foreign_id), state(now.state), h('span', { class: 'status' }, now.status)),
      now.reason && h('p', { class: now.state === 'Paused' || now.state === 'Cancelled' ? 'why strong' : 'why' }, now.reason),
      actionButtons(now, definition, refresh), facts(now), waits(now));
    const text = pretty(now.object);
    if (object.textContent !== text) object.textContent = text;
  }

  function showPast() {
    keyed(timeline, history.entries.toReversed(), (e) => `${e.version}/${e.line ?? 0}`, (e) => e.time, entry);
    keyed(logged, logs.entries.toReversed(), (e) => `${e.version}/${e.time}`, (e) => e.time, logEntry);
    if (logs.entries.length === 0) put(logged, h('p', { class: 'empty' }, 'Nothing was logged.'));
    moreHistory.hidden = !history.more;
    moreLogs.hidden = !logs.more;
  }

  function moreButton(past, then) {
    const button = h('button', { type: 'button', hidden: true }, 'Load later entries');
    button.addEventListener('click', async () => {
      button.disabled = true;
      await past.loadMore(signal).then(then, (error) => put(trouble, problem(error)));
      button.disabled = false;
    });
    return button;
  }

  await load();
  put(root, head, trouble,
    h('div', { class: 'columns' },
      h('section', { 'aria-labelledby': 'timeline-title' }, h('h2', { id: 'timeline-title' }, 'Timeline'), moreHistory, timeline),
      h('section', null, h('h2', { id: 'object-title' }, 'Object'), object,
        h('h2', { id: 'logs-title' }, 'Logs'), moreLogs, logged)));
  live((changed) => { if (!changed || changed.has(id)) refresh(); });
  // A failed attempt makes no version, so no event tells of it.
  every(5000, () => { if (['Initiated', 'Running'].includes(shown.state) && !shown.parked) refresh(); }, signal);
}

function facts(run) {
  const all = [
    ['Run ID', h('code', null, run.run_id)],
    ['Version', number(run.version)],
    ['Attempt', run.attempt > 0 && number(run.attempt)],
    ['Module', digest(run.digest)],
    ['Created', moment(run.created_at)],
    ['Updated', moment(run.updated_at)],
    ['Tried again', moment(run.not_before)],
    ['Paused by', run.pause_cause],
    ['Resumes', moment(run.resume_at)],
    ['Removed', moment(run.expire_at)],
    ['Parked', run.parked && ['Initiated', 'Running', 'Paused'].includes(run.state) && 'waits for a resume, a callback or a timer'],
    ['Trace', run.traceparent && h('code', null, run.traceparent)],
  ];
  return h('dl', { class: 'facts' }, all.filter(([, value]) => value).map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))));
}

// waits lists what the run waits for.
function waits(run) {
  const timers = (run.timers ?? []).map((timer) => h('li', null, 'Timeout ', h('b', null, timer.name), ' is due ', moment(timer.due),
    timer.attempt > 1 && `, attempt ${timer.attempt}`));
  const callbacks = (run.pending_callbacks ?? []).map((callback) => h('li', null, `Callback ${callback.callback_id.split('/').at(-1)} is handled from `,
    moment(callback.due), ' on', callback.attempt > 1 && `, attempt ${callback.attempt}`));
  return timers.length + callbacks.length > 0 && h('ul', { class: 'waits', 'aria-label': 'What it waits for' }, timers, callbacks);
}

function logEntry(e) {
  return h('article', null,
    h('h3', null, h('b', null, e.handler), ` on version ${e.version}`, e.attempt > 1 && `, attempt ${e.attempt}`, ' ', moment(e.time)),
    e.lines.map((line) => h('p', { class: `log log-${line.level.split(/[+-]/)[0].toLowerCase()}` },
      h('span', { class: 'level' }, line.level), h('span', { class: 'text' }, line.handler !== e.handler && [h('b', null, line.handler), ' '], line.text))));
}

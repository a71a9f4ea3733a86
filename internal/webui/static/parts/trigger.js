// Triggering a run.

import { path, send } from '../api.js';
import { ask } from './dialog.js';
import { h } from './dom.js';
import { checked } from './editing.js';

// triggerButton returns a button that asks for a run and then shows it. chosen names the workflow that is proposed, if there is one.
export function triggerButton(workflows, chosen) {
  if (workflows.length === 0) return null;
  const open = async () => {
    const names = workflows.map((w) => w.name);
    const run = await ask({
      title: 'Trigger a run',
      fields: [
        { name: 'workflow', label: 'Workflow', kind: 'select', options: names, value: chosen?.() ?? names[0] },
        { name: 'foreignID', label: 'Foreign ID', required: true, hint: 'Your own name for what the run is about.' },
        { name: 'object', label: 'Object', kind: 'textarea', value: '{}', hint: 'One JSON value.' },
        { name: 'startAt', label: 'Start at', hint: 'The status to begin in; the workflow’s start when empty.' },
      ],
      confirm: 'Trigger',
      act: ({ workflow, foreignID, object, startAt }) => {
        const members = [`"foreign_id":${JSON.stringify(foreignID)}`, `"object":${checked(object)}`];
        if (startAt) members.push(`"start_at":${JSON.stringify(startAt)}`);
        return send('POST', path`v1/workflows/${workflow}/runs`, {
          text: `{${members.join()}}`, headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
        });
      },
    });
    if (run) location.hash = `/runs/${run.run_id}`;
  };
  let key;
  return h('button', { type: 'button', class: 'primary', onclick: () => { key = newKey(); open(); } }, 'Trigger a run…');
}

// newKey makes an idempotency key: pressing the button twice begins one run.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}

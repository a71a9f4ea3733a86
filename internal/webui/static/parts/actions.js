// What can be done to one run. Which buttons there are follows from its state, as in the table of run states.

import { path, send } from '../api.js';
import { checked } from './editing.js';
import { ask, note, noted } from './dialog.js';
import { h } from './dom.js';
import { pretty } from './format.js';
import { say } from './problem.js';

const active = ['Initiated', 'Running', 'Paused'];
const ended = ['Completed', 'Cancelled'];

const simple = [
  ['pause', 'Pause', 'paused', ['Initiated', 'Running'], 'Nothing of it runs until it is resumed. The outcome of a step under way is discarded.'],
  ['resume', 'Resume', 'resumed', ['Paused'], 'It goes on where it was, with attempts counted anew.'],
  ['cancel', 'Cancel', 'cancelled', active, 'It ends where it is.'],
  ['erase', 'Erase', 'erased', ended, 'Its object, the reasons and objects of its history and its logs are removed. It cannot be undone.'],
];

// actionButtons returns the buttons for a run. definition is its workflow, or null when no plugin has it. done is given the run as it is then.
export function actionButtons(run, definition, done) {
  const finish = (text) => (result) => {
    if (!result) return;
    say(text);
    done(result.run ?? result);
  };
  const button = (text, onclick, danger) => h('button', { type: 'button', onclick, class: danger && 'danger' }, `${text}…`);
  const about = `${run.workflow} ${run.foreign_id}`;
  const statuses = definition?.statuses ?? [];
  const waiting = statuses.find((status) => status.name === run.status)?.callbacks ?? [];

  return h('div', { class: 'buttons', role: 'group', 'aria-label': 'What can be done' },
    simple.filter(([, , , from]) => from.includes(run.state)).map(([action, word, past, , means]) => {
      const danger = action === 'cancel' || action === 'erase';
      return button(word, () => ask({
        title: `${word} ${about}`, body: h('p', null, means), fields: note(), confirm: `${word} it`, danger,
        act: (values) => send('POST', path`v1/runs/${run.run_id}/${action}`, { json: noted(values) }),
      }).then(finish(`The run was ${past}.`)), danger);
    }),
    active.includes(run.state) && statuses.length > 0 && button('Move', () => ask({
      title: `Move ${about}`, body: h('p', null, 'It enters the status anew, whatever the graph says. A paused run is resumed by it.'),
      fields: [{ name: 'status', label: 'To status', kind: 'select', options: statuses.map((status) => status.name), value: run.status }, ...note()],
      confirm: 'Move',
      act: ({ status, ...values }) => send('POST', path`v1/runs/${run.run_id}/move`, { json: { status, ...noted(values) } }),
    }).then(finish('The run was moved.'))),
    active.includes(run.state) && button('Edit the object', () => ask({
      title: `Edit the object of ${about}`, body: h('p', null, 'The outcome of a step under way is discarded; it runs again with the new object.'),
      fields: [{ name: 'object', label: 'Object', kind: 'textarea', value: pretty(run.object) }, ...note()],
      confirm: 'Replace it',
      act: ({ object, ...values }) => {
        const rest = JSON.stringify(noted(values)).slice(1);
        return send('PUT', path`v1/runs/${run.run_id}/object`, {
          text: `{"object":${checked(object)}${rest === '}' ? '' : ','}${rest}`, headers: { 'Content-Type': 'application/json' },
        });
      },
    }).then(finish('The object was replaced.'))),
    active.includes(run.state) && waiting.length > 0 && button('Call back', () => ask({
      title: `Call back ${about}`, body: h('p', null, `It waits in ${run.status} for: ${waiting.map((callback) => callback.handler).join(', ')}.`),
      fields: [{ name: 'payload', label: 'Payload', kind: 'textarea', value: '{}', hint: 'It is sent as it is.' }],
      confirm: 'Send',
      act: ({ payload }) => send('POST', path`v1/runs/${run.run_id}/callbacks/${run.status}`, { text: payload }),
    }).then(finish('The callback was taken in.'))));
}

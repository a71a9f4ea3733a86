// Dialogs: everything that changes something is asked for in one.

import { h, put } from './dom.js';
import { problem } from './problem.js';

const nameKey = 'wfrt.by';

// ask opens a dialog and returns a promise of what act returned, or of undefined when it was closed without. act is given the values
// of the fields by name; when it throws, the dialog stays and shows why.
//
// A field: { name, label, kind: 'text' (default), 'password', 'textarea', 'select' or 'checkbox', value, options, required, hint }.
export function ask({ title, body, fields = [], confirm, danger, act }) {
  const inputs = fields.map(control);
  const trouble = h('div');
  const submit = h('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, confirm);
  const cancel = h('button', { type: 'button' }, 'Close');
  const form = h('form', { novalidate: true },
    h('h2', { id: 'dialog-title' }, title), body,
    inputs.map((input) => input.row), trouble,
    h('div', { class: 'buttons' }, cancel, submit));
  const dialog = h('dialog', { 'aria-labelledby': 'dialog-title' }, form);
  document.body.append(dialog);
  let result;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    submit.disabled = true;
    put(trouble);
    try {
      result = await act(Object.fromEntries(inputs.map((input) => [input.name, input.read()])));
      dialog.close();
    } catch (error) {
      put(trouble, problem(error));
    }
    submit.disabled = false;
  });
  cancel.addEventListener('click', () => dialog.close());
  dialog.showModal();
  (inputs[0]?.element ?? submit).focus();
  return new Promise((resolve) => dialog.addEventListener('close', () => {
    dialog.remove();
    resolve(result);
  }));
}

let made = 0;

function control(field) {
  const id = `field-${++made}`;
  const { name, label, kind = 'text', value = '', options = [], required, hint } = field;
  const common = { id, name, required, 'aria-describedby': hint && `${id}-hint`, spellcheck: 'false', autocomplete: 'off' };
  const read = () => {
    const given = kind === 'checkbox' ? element.checked : element.value;
    if (required && given === '') throw new Error(`${label} is missing`);
    return given;
  };
  let element;
  if (kind === 'textarea') {
    element = h('textarea', { ...common, rows: 10 });
    element.value = value;
  } else if (kind === 'select') {
    element = h('select', common, options.map((option) => h('option', { value: option, selected: option === value }, option)));
  } else {
    element = h('input', { ...common, type: kind, value: kind === 'checkbox' ? null : value, checked: kind === 'checkbox' && value });
  }
  const hints = hint && h('small', { id: `${id}-hint` }, hint);
  const row = kind === 'checkbox'
    ? h('div', { class: 'field check' }, element, h('label', { for: id }, label), hints)
    : h('div', { class: 'field' }, h('label', { for: id }, label), element, hints);
  return { name, element, row, read };
}

// note is the fields that the history keeps: why, and who.
export function note() {
  return [
    { name: 'reason', label: 'Reason', hint: 'Why. It is kept in the history.' },
    { name: 'by', label: 'Your name', value: localStorage.getItem(nameKey) ?? '', hint: 'Who. It is kept in the history, and remembered here.' },
  ];
}

// noted returns the members of a note in a request, of which none is empty.
export function noted({ reason, by }) {
  if (by !== undefined) localStorage.setItem(nameKey, by);
  return { ...(reason && { reason }), ...(by && { by }) };
}

// JSON that a person types. It is sent as it was typed, so that no number is rounded.

import { Problem } from '../api.js';

// checked returns the text when it is one JSON value.
export function checked(text) {
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Problem({ title: 'The object is no JSON', detail: error.message, hint: 'type one JSON value, such as {"name": "you"}' });
  }
  return text;
}

// The token. It is kept for this tab only, until that is closed.

import { ask } from './dialog.js';
import { h } from './dom.js';
import { Problem } from '../api.js';

// askForToken asks until one is given. why is what was wrong with the last, if there was one.
export async function askForToken(why) {
  const given = await ask({
    title: 'This server wants a token',
    body: h('p', null, why ? `It was refused: ${why}.` : 'It is the one of the setting server.token. It is kept in this tab until that is closed.'),
    fields: [{ name: 'token', label: 'Token', kind: 'password', required: true }],
    confirm: 'Use it',
    act: ({ token }) => {
      if (!/^[\x21-\x7e]+$/.test(token)) throw new Problem({ title: 'That is no token', detail: 'it has characters that no header can carry' });
      return token;
    },
  });
  if (!given) throw new Problem({ title: 'A token is needed', detail: 'none was given', hint: 'reload the page to be asked again' });
  return given;
}

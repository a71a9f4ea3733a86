// Pages of a list that only grows, such as a history: what was loaded is kept, and only the last page is loaded again.

import { get } from '../api.js';

const perPage = 200;

// Past is what has been loaded of a list at an address. member is the name of the entries in an answer.
export class Past {
  #pages = []; // { cursor, entries, next }

  constructor(address, member) {
    this.address = address;
    this.member = member;
  }

  get entries() {
    return this.#pages.flatMap((page) => page.entries);
  }

  // more reports whether there is more to load.
  get more() {
    return Boolean(this.#pages.at(-1)?.next);
  }

  // refresh loads what has come behind the last entry. A list of which more is to be loaded already stays as it is.
  async refresh(signal) {
    if (this.more) return;
    const last = this.#pages.pop();
    try {
      await this.#load(last?.cursor, signal);
    } catch (error) {
      if (last) this.#pages.push(last);
      throw error;
    }
  }

  // loadMore loads the next page.
  async loadMore(signal) {
    if (this.more) await this.#load(this.#pages.at(-1).next, signal);
  }

  async #load(cursor, signal) {
    const page = await get(this.address, { cursor, limit: perPage }, signal);
    this.#pages.push({ cursor, entries: page[this.member], next: page.next_cursor });
  }
}

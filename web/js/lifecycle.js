// Tells members what becomes of their page: it is left or frozen, or is there again.
//
// While `pagehide` and `freeze` are handled there is no time but for code that runs by then, and for promises that are
// settled. So a member that leads hands over at once, and nobody waits for the answer. It does not leave the cluster: a
// page that is loaded anew begins in the same way.

// Calls `away` when the page is about to stop, and `back` when it goes on, or may reach others again, until `signal` is
// aborted. Hosts without pages have nothing to tell.
export function follow({ away, back, signal }) {
  if (typeof document === 'undefined') return;
  const on = (target, type, listener) => target.addEventListener(type, listener, { signal });
  on(globalThis, 'pagehide', away);
  on(document, 'freeze', away);
  on(document, 'resume', back);
  // Of the cache of pages that were left.
  on(globalThis, 'pageshow', back);
  on(globalThis, 'online', back);
  on(document, 'visibilitychange', () => { if (document.visibilityState === 'visible') back(); });
}

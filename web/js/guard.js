// Stands at the entrance of the module: the script that wasm-bindgen makes calls what the module exports through here.
//
// A module that traps, as it does without memory, has left its work half done, and says so to nobody but whoever has
// called it, which may be the browser. It is not entered any more then: neither for what a page asks nor for events.

// What comes back then, also to who takes parts of it.
const NOTHING = Object.freeze([]);

let trapped = () => {};
let hasEnded = false;

// Has this function called with the error of the first trap.
export const onTrap = (tell) => { trapped = tell; };

export function guarded(exports) {
  const through = (enter) => (...given) => {
    if (hasEnded) return NOTHING;
    try {
      return enter(...given);
    } catch (error) {
      if (error instanceof WebAssembly.RuntimeError && !hasEnded) {
        hasEnded = true;
        trapped(error);
      }
      throw error;
    }
  };
  return Object.fromEntries(Object.entries(exports).map(([name, it]) => [name, typeof it === 'function' ? through(it) : it]));
}

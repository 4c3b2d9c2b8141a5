// The errors that promises are rejected with.

export class LiferaftError extends Error {
  constructor(code, message, outcome = 'not-done', details = {}) {
    super(message);
    this.code = code;
    this.outcome = outcome;
    this.details = details;
  }
}
LiferaftError.prototype.name = 'LiferaftError';

// Makes one of what the module has rejected a promise with, or has thrown.
export function fault(raw) {
  if (raw instanceof LiferaftError) return raw;
  if (typeof raw?.code === 'string') return new LiferaftError(raw.code, raw.message, raw.outcome, raw.details);
  return new LiferaftError('internal', String(raw), 'unknown');
}

// Returns what `read` makes of arguments. Those of another type than it takes make JavaScript throw.
export function taken(read) {
  try {
    return read();
  } catch (error) {
    throw error instanceof TypeError ? invalid(`an argument is of another type: ${error.message}`) : fault(error);
  }
}

export const invalid = (message) => new LiferaftError('invalid-argument', message);
export const unsupported = (message) => new LiferaftError('unsupported', message);

/** What can go wrong, sorted by what the host does about it. */

/**
 * This record can not be handled; the others of the call are not concerned. It goes to the dead-letter topic with this
 * reason, or where the pipeline's `on-error` says. Anything else that is thrown does the same, with its place as the reason.
 */
export class Failure extends Error {}

/** The call may work later: nothing of it takes effect, and it is made again after a pause (`retry`). */
export class Transient extends Error {}

/** The call will not work: nothing of it takes effect, and `on-error` decides. */
export class Permanent extends Error {}

const MOST_PLACES = 6;

/** What the person who reads the dead letter is told: the message, and where it came from if nobody chose the words. */
export function reason(error) {
  if (error instanceof Failure || error instanceof Transient || error instanceof Permanent) return error.message;
  if (!(error instanceof Error)) return `threw ${describe(error)}`;
  const said = error.message ? `${error.name}: ${error.message}` : error.name;
  const at = places(error.stack ?? "");
  return at.length ? `${said}; at ${at.join(" < ")}` : said;
}

function describe(thrown) {
  try {
    return String(thrown);
  } catch {
    return typeof thrown;
  }
}

/** File, line, column and function of the operator's own frames, innermost first. */
function places(stack) {
  const found = [];
  for (const line of stack.split("\n")) {
    const frame = /^\s*at (?:(.*?) \()?(?:file:\/\/)?([^()]*?):(\d+):(\d+)\)?\s*$/.exec(line);
    if (!frame || /node_modules\/|^node:|guest-sdk\/js\/src\/|wasmill_plugin\.js$/.test(frame[2])) continue;
    found.push(`${short(frame[2])}:${frame[3]}:${frame[4]}${frame[1] ? ` in ${frame[1]}` : ""}`);
  }
  return found.slice(0, MOST_PLACES);
}

/** In a component a path begins at the operator's directory. */
function short(path) {
  return path.replace(/^(?:.*\/)?wasmill-stage\/|^\//, "");
}

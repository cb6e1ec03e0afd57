/** The exports of the world `transform`. */
import { host } from "../host.js";
import { guarded, imports, lifecycle, opened } from "./component.js";

export function component(Operator, name, version) {
  host.imports = imports;
  return {
    lifecycle: lifecycle(Operator, name, version),
    transformer: { process: guarded((info, records) => opened().transform(info, records)) },
  };
}

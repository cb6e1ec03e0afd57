/** The host: what `component` makes of the component's imports, or the host in memory of `testing`. */
export const host = { imports: undefined };

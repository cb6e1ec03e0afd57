/** No time at all: the watermark before any record, the event time of a record without one. Before all others. */
export const NO_TIME = -(2 ** 63);

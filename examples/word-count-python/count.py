"""Counts the records of each key and emits every count, as decimal text."""

from wasmill import U64, Keys, Process, export


class Count(Process):
    def open(self, setup):
        setup.main_output(Keys.KEPT)
        self.count = setup.state("count", U64).prefetched()

    def process(self, record, cx):
        count = self.count.update(cx, lambda count: (count or 0) + 1)
        cx.emit(record.with_value(str(count)))


export(Count)

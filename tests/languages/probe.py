"""Uses all of the SDK; probe.js does the same."""

from wasmill import JSON, TEXT, U64, Domain, Failure, Fields, Keys, Process, export, log


class Probe(Process):
    def open(self, setup):
        settings = setup.settings(greeting=...)
        self.greeting = settings["greeting"]
        setup.main_output(Keys.KEPT)
        self.late = setup.output("late", Keys.KEPT)
        self.seen = setup.state("seen", U64).prefetched()
        self.last = setup.state("last", JSON).ttl(3_600_000).single()
        self.fields = setup.state("fields", TEXT).ordered_map()
        self.records = setup.counter("records", "records")

    def process(self, record, cx):
        text = record.text()
        seen = self.seen.update(cx, lambda seen: (seen or 0) + 1)
        self.fields.put(cx, text, str(seen))
        self.records.add()
        if text == "boom":
            self.explode(record)
        if text == "refuse":
            raise Failure("refused")
        if text == "shift":
            cx.emit(record.with_key("another"))
        if text == "timer":
            cx.set_timer(Domain.EVENT_TIME, "tick", record.timestamp + 1000)
            cx.set_timer(Domain.EVENT_TIME, "never", record.timestamp + 1001)
            cx.cancel_timer(Domain.EVENT_TIME, "never")
        if text == "report":
            self.report(record, cx)
        else:
            cx.emit(record)
        self.last.put(cx, {"text": text, "größe": [seen, None]})

    def explode(self, record):
        return {}[record.key_text()]

    def report(self, record, cx):
        names = [field.decode() for field, _ in self.fields.scan(cx, Fields("b"), 2)]
        backwards = [value for _, value in self.fields.scan_reverse(cx, Fields("", "report"))]
        found = [self.greeting, self.last.get(cx), self.fields.get(cx, "a"), names, backwards]
        place = [cx.call.topic, cx.call.offset_of(record), cx.call.input.index, cx.call.partition]
        headers = [[name, value and value.decode()] for name, value in record.headers]
        log.warn(f"probed {record.key_text()}")
        cx.emit(record.with_json([found, place, headers]).with_header("größe", "ja").with_timestamp(7))
        self.fields.delete_range(cx, Fields("a", "b"))
        self.last.delete(cx)

    def on_timer(self, timer, cx):
        found = [timer.name.decode(), timer.at, self.seen.get(cx), self.fields.get(cx, "a")]
        cx.emit_to(self.late, timer.record.with_json(found))


export(Probe)

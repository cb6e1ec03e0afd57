"""Splits text into words: a record for each, keyed by the word in lower case."""

import re

from wasmill import Transform, export

WORD = re.compile(r"\w+")


class Split(Transform):
    def process(self, record, out):
        for word in WORD.findall(record.text()):
            out.emit(record.with_key(word.lower()).with_value(""))


export(Split)

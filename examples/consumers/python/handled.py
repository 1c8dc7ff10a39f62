"""Remembers which events were handled, so that a repeat does no harm.

Delivery is at least once, and (type, source, id) is what a repeat has in common with the first copy: an event that
leaves quarantine keeps its id and gets its type. Here it is a file; in your service make it a table, written in the
same transaction as the effect: then even a crash in between repeats nothing.
"""


class Handled:
    def __init__(self, path):
        self._file = open(path, "a+", encoding="utf-8")
        self._file.seek(0)
        self._keys = set(self._file.read().splitlines())

    def __contains__(self, event):
        return self._key(event) in self._keys

    def add(self, event):
        self._keys.add(self._key(event))
        self._file.write(self._key(event) + "\n")
        self._file.flush()

    @staticmethod
    def _key(event):
        return f"{event.get_type()}\t{event.get_source()}\t{event.get_id()}"

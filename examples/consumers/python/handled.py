"""Remembers which events were handled, so that a repeat does no harm.

Delivery is at least once, and (type, source, id) is what a repeat has in common with the first copy: an event that
leaves quarantine keeps its id and gets its type. Here it is a file; in your service make it a table, written in the
same transaction as the effect: then even a crash in between repeats nothing.
"""


class Handled:
    def __init__(self, path):
        self._file = open(path, "a+", encoding="utf-8")
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:  # torn by a crash: that event comes again
            self._file.truncate(len(whole.encode()))
        self._keys = set(whole.splitlines())

    def __contains__(self, event):
        return self._key(event) in self._keys

    def add(self, event):
        self._keys.add(self._key(event))
        self._file.write(self._key(event) + "\n")
        self._file.flush()

    @staticmethod
    def _key(event):
        return f"{event.get_type()}\t{event.get_source()}\t{event.get_id()}"

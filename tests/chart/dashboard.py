#!/usr/bin/env python3
"""The dashboard draws nothing that is not there: no quantile of no events (NaN). Where nothing is what one wants to see, it says
"none"; where nothing comes because nothing happens, it says what does not; "No data" is left for a scrape that fails."""

import json
import re
import sys

# Counters of what should not happen: a panel of these alone is empty on a good day.
FAULTS = re.compile(r"hookbus_(journal_(errors|damage|dropped|lost)|dead_letters|id_conflicts|type_mismatch|dedup_hits|spool_events"
                    r"|journal_appends|http_connections_closed|crashes|log_lines_dropped|signature_checks_total|journal_records)"
                    r"|type=~?\"(unknown|quarantine)|status=~?\"(503|413)")


def panels(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def main(file):
    problems, empty, quantiles = [], 0, 0
    with open(file) as text:
        dashboard = json.load(text)
    for panel in panels(dashboard):
        expressions = [target["expr"] for target in panel.get("targets", [])]
        for expression in expressions:
            if "histogram_quantile" in expression:
                quantiles += 1
                if not expression.endswith(" > -Inf"):
                    problems.append(f"{panel['title']}: draws NaN while no events come")
        says = panel.get("fieldConfig", {}).get("defaults", {}).get("noValue")
        may_be_empty = bool(expressions) and all(re.search(r" > (0|-Inf)\)?$", expression) for expression in expressions)
        if may_be_empty and not says:
            problems.append(f"{panel['title']}: says “No data” while nothing happens")
        is_good = bool(expressions) and all(FAULTS.search(expression) for expression in expressions)
        empty += is_good
        if is_good and panel["title"] != "Records" and says != "none":
            problems.append(f"{panel['title']}: says “{says or 'No data'}” where nothing is well")
    if problems or empty < 5 or quantiles < 10:
        sys.exit("\n".join(problems) or f"{empty} panels of faults and {quantiles} quantiles are too few to be all")
    print(f"{empty} panels that may be empty, {quantiles} quantiles")


if __name__ == "__main__":
    main(*sys.argv[1:])

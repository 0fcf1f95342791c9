"""Compares the results of Autobahn with and without the gateway.

A case that behaves otherwise through the gateway is printed. The exit code is 1 if one of them fails,
or if a case is missing.
"""

import collections
import json
import sys

with open(sys.argv[1]) as file:
    results = json.load(file)
direct, gateway = results["direct"], results["gateway"]
fields = ("behavior", "behaviorClose")
different = [
    (case, [direct[case][field] for field in fields], [gateway[case][field] for field in fields])
    for case in sorted(direct)
    if any(direct[case][field] != gateway[case][field] for field in fields)
]
for case, before, after in different:
    print(f"{case}: direct {before}, through the gateway {after}")
counts = collections.Counter(result["behavior"] for result in gateway.values())
print(f"{len(gateway)} cases, {len(different)} different: {dict(counts)}")
passes = {"OK", "NON-STRICT", "INFORMATIONAL"}
failed = [case for case, _, after in different if not passes.issuperset(after)]
sys.exit(bool(failed) or len(direct) != len(gateway))

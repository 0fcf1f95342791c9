"""Runs each detection of h2rs, and prints what it found. The exit code is 1 if it found something.

The command of h2rs ends with an exception when a server closes the connection, which is a rejection.
"""

import ssl
import sys

from h2rs import h2rs

h2rs.hostname, h2rs.tlsport, h2rs.timeout = "localhost", int(sys.argv[1]), 5
h2rs.user_agent = "h2rs"
h2rs.check()
found = False
for name in ["h2cl", "h2clcrlf", "h2te", "h2tecrlf", "h2tunnel"]:
    try:
        is_vulnerable = getattr(h2rs, f"{name}_detect")()
        said = "VULNERABLE" if is_vulnerable else "not vulnerable"
        found |= is_vulnerable
    except (OSError, ssl.SSLError) as error:
        said = f"not vulnerable: the connection was closed ({type(error).__name__})"
    print(f"{name}: {said}")
sys.exit(found)

# shellcheck shell=bash
# Sourced by the scripts that run several steps.

# Says what runs now, and about how long it takes on two cores: step NAME DURATION
step() {
  took
  started=$SECONDS
  printf '\n== %s: about %s\n' "$1" "$2"
}

# Runs tests, and fails if no test matches the filters: a test that was renamed is not left out
# without a word. matched COMMAND...
matched() {
  local log
  log=$(mktemp)
  if ! "$@" 2>&1 | tee "$log"; then
    rm -f "$log"
    return 1
  fi
  if ! grep -qE 'test result: ok\. [1-9]|[1-9][0-9]* tests? run: ' "$log"; then
    rm -f "$log"
    echo "no test matches: $*" >&2
    return 1
  fi
  rm -f "$log"
}

# Says how long the last step took.
took() {
  if [ -n "${started:-}" ]; then
    printf -- '-- took %d s\n' $((SECONDS - started))
  fi
  started=
}

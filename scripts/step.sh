# shellcheck shell=bash
# Sourced by the scripts that run several steps.

# Says what runs now, and about how long it takes on two cores: step NAME DURATION
step() {
  took
  started=$SECONDS
  printf '\n== %s: about %s\n' "$1" "$2"
}

# Says how long the last step took.
took() {
  if [ -n "${started:-}" ]; then
    printf -- '-- took %d s\n' $((SECONDS - started))
  fi
  started=
}

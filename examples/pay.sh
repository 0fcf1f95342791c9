#!/usr/bin/env bash
# Pays an order once, however often it asks and is started: examples/pay.sh ORDER BODY
# Exits with 0 if the order is paid, 3 if it ended otherwise, 1 if that is not known: run it again.
# TOKEN is the bearer token of the account; without it none is sent.
set -u && export LC_ALL=C
order=${1:?ORDER} body=${2:?BODY} url=${URL:-http://127.0.0.1:3000/payments}
retention=${RETENTION:-600} # The server stores a key for this many seconds, or longer.
fail() { echo "order $order: $*" >&2 && exit 1; }
known() { # Ends with the outcome that was written down, if there is one.
  [ -e "$order.paid" ] && exec cat "$order.paid"
  [ ! -e "$order.ended" ] || { cat "$order.ended" >&2 && exit 3; }
}
known

# Key and time are on disk before the first attempt. If two scripts run at once, one creates them.
new=$(mktemp "$order.key.XXXXXX") && head=$new.head response=$new.response || exit 1
trap 'rm -f "$new" "$head" "$response"' EXIT
echo "$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n') $(date +%s)" >"$new"
doubt=yes # An order that was begun before may have been paid.
if ln "$new" "$order.key" 2>/dev/null; then doubt=no; else : >"$order.shared" && known; fi
sync "$order.key" . # The file and its name; all of the disk where sync takes no names.
[[ $(cat "$order.key") =~ ^([0-9a-f]{32})\ ([0-9]{1,12})$ ]] || fail "$order.key contains no key"
key=${BASH_REMATCH[1]} since=${BASH_REMATCH[2]}

values() { sed -nE "s/^$1://p" <<<"$headers" | tr , '\n' | sort -u; }
nothing_happened() { # Whether a response says that its attempt had no effect.
  [[ $status =~ ^(40[013567]|41[1-57]|42[1-689]|431|511)$ ]]
}

judge() { # The rules of the other clients, in their order. Here, a redirect is never final.
  local headers should after marks replay=- code=- document=
  headers=$(tr -d ' \t\r' <"$head" | tr '[:upper:]' '[:lower:]')
  should=$(values x-should-retry) after=$(values retry-after)
  [[ $should =~ ^(true|false)$ ]] || should=$(values stripe-should-retry)
  marks=" $(values x-idempotent-result) $(values idempotent-replayed) "
  [[ $marks == *' true '* ]] && replay=replay
  if [[ $status == [45]* && $(values content-type) == application/problem+json* ]]; then
    document=$(head -c 65536 "$response" | tr -cd '[:graph:]')
    [[ $document =~ \"code\":\"([^\"]*)\" ]] && code=${BASH_REMATCH[1]}
    [[ $document == "{"*"}" && $document != *'"code":'*'"code":'* ]] || code=idempotency_unread
  fi
  verdict=unknown
  case "$status $should $replay ${after:+after} $code" in
    3* | 421*) ;;
    ???' true '*) verdict=retry ;;
    408*' replay '* | 5*' replay '*) ;;
    *' replay '* | *' idempotency_result_not_retained') verdict=final ;;
    *' idempotency_key_in_flight' | 408* | 425* | 429* | 50[0234]* | 52* | 530*) verdict=retry ;;
    5* | *' idempotency_'* | '409 false '*) ;;
    409*' after '*) verdict=retry ;;
    2*) verdict=final ;;
    *) [ $doubt = yes ] || nothing_happened || verdict=final ;;
  esac
  [ "$verdict $should" = 'retry false' ] && verdict=unknown
  [[ $after =~ ^[0-9]{1,9}$ ]] && pause=$((10#$after))
  if [[ $code == *_not_retained ]]; then # It was done, and its response was not stored.
    [[ $document =~ \"original_status\":([0-9]{3}) ]] && status=${BASH_REMATCH[1]} || verdict=unknown
  fi
}

pause=0
for most in 0 1 2 4 8 16 30 30; do
  backoff=$((RANDOM % (most + 1)))
  sleep $((pause > backoff ? pause : backoff))
  now=$(date +%s) verdict=retry status=none pause=0
  ((since <= now + 300)) || fail "its key is from the future: set the clock right"
  ((now + 10 < since + 10#$retention)) || fail "the server may have forgotten its key: look into it"
  : >"$response" # A response without a body writes none.
  if code=$(curl -q -sS --no-location -m 10 -D "$head" -o "$response" -w '%{http_code}' "$url" \
    -H @<(echo "${TOKEN:+Authorization: Bearer $TOKEN}") \
    -H "X-Idempotency-Key: $key" -H 'Content-Type: application/json' --data-raw "$body"); then
    status=$code && judge
  fi
  if [ "$verdict" != retry ] || ((pause > 60)); then break; fi
  nothing_happened || doubt=yes
done

case $verdict:$status in
  final:2??) mv "$response" "$order.paid" && cat "$order.paid" ;;
  final:*)
    mv "$response" "$order.ended"
    if [ $doubt = no ] && [ -e "$order.shared" ]; then
      rm "$order.ended" && fail "another script has this order: run it again"
    fi
    known
    ;;
  *) cat "$response" >&2 && fail "not known to be paid ($status): run it again, or look into it" ;;
esac

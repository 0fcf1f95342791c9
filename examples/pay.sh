#!/usr/bin/env bash
# Pays an order once, however often it has to ask and is started: examples/pay.sh ORDER BODY
set -u
url=${URL:-http://127.0.0.1:3000/payments} order=$1 body=$2
[ -e "$order.paid" ] && exec cat "$order.paid"

# The key is on disk before the first attempt: started again, the script goes on under it. Of two at once one makes it.
od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$order.key.$$" && ln "$order.key.$$" "$order.key" 2>/dev/null
rm "$order.key.$$" && key=$(cat "$order.key") && [ ${#key} = 32 ] || exit 1

head=$order.head.$$ answer=$order.answer.$$ && trap 'rm -f "$head" "$answer"' EXIT
for most in 1 2 4 8 16 30 30 30; do
  again=yes status=none after=0 # So it stays if the answer is lost.
  if status=$(curl -sS --max-time 10 -D "$head" -o "$answer" -w '%{http_code}' "$url" \
    -H "X-Idempotency-Key: $key" --json "$body"); then
    case $status in
      425 | 429 | 500 | 502 | 503 | 504) ;;
      409) grep -qi '^retry-after:' "$head" || again=no ;; # In flight, or a mistake.
      *) again=no ;;
    esac
    grep -qiE '^(x-should-retry: *false|x-idempotent-result: *true)' "$head" && again=no
    grep -qi '^x-should-retry: *true' "$head" && again=yes
    after=$(grep -iE '^retry-after: *[0-9]{1,2}[[:space:]]*$' "$head" | tr -dc 0-9)
  fi
  [ "$again" = no ] && break
  sleep $((10#${after:-0} + RANDOM % (most + 1)))
done

case $again:$status in
  no:2??) mv "$answer" "$order.paid" && cat "$order.paid" ;;
  *) echo "order $order: not paid for certain ($status): run it again, or look into it" >&2 && exit 1 ;;
esac

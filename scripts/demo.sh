#!/usr/bin/env bash
# A tour of Gatepost: a throwaway PostgreSQL with a small shop, a development issuer, the gateway, and stock psql.
# Every step says what it expects and is checked. Stays up until Ctrl-C; with ONCE=1 leaves after the tour, with 1 if a
# step went wrong. All state is in .demo/, but for the database, which lives in a temporary directory.
#
#   GATEPOST_BIN   a built gatepost, in place of building one
set -euo pipefail
umask 022
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

pg_bin=/usr/lib/postgresql/15/bin
demo=$root/.demo
pg_home=
pids=()
failures=0

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' off=$'\e[0m'
else bold='' dim='' red='' green='' off=''; fi

die() { printf '%sdemo: %s%s\n' "$red" "$*" "$off" >&2; exit 1; }

# --- surroundings ----------------------------------------------------------------------------------------------------

# PostgreSQL won't run as root.
as_postgres() { if [ "$(id -u)" -eq 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"; else "$@"; fi; }

clean_up() {
  local status=$? pid
  trap '' INT TERM
  trap - EXIT
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ -n "$pg_home" ]; then
    if [ -f "$pg_home/data/postmaster.pid" ]; then as_postgres "$pg_bin/pg_ctl" -D "$pg_home/data" -m fast -s stop || true; fi
    rm -rf "$pg_home"
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# free_port FIRST: the first port from there on that nobody listens on.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}

# wait_for WHAT LOG COMMAND...: until the command succeeds, for at most a minute.
wait_for() {
  local what=$1 log=$2 tries=0
  shift 2
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 600 ]; then cat "$log" >&2; die "$what does not start"; fi
    sleep 0.1
  done
}

start_postgres() {
  [ -x "$pg_bin/postgres" ] || die "PostgreSQL 15 is not in $pg_bin: run \`make setup\`"
  pg_home=$(mktemp -d "${TMPDIR:-/tmp}/gatepost-demo-XXXXXX")
  chmod 711 "$pg_home"
  if [ "$(id -u)" -eq 0 ]; then chown postgres: "$pg_home"; fi
  pg_port=$(free_port 5433)
  (cd "$pg_home" && as_postgres "$pg_bin/initdb" -D data -U postgres --auth-local=trust --auth-host=scram-sha-256 \
    --encoding=UTF8 --locale=C --no-sync) >"$demo/postgres.log" 2>&1 || { cat "$demo/postgres.log" >&2; die "initdb failed"; }
  (cd "$pg_home" && exec 2>&1 && as_postgres "$pg_bin/pg_ctl" -D data -l server.log -s -w start \
    -o "-p $pg_port -k $pg_home -c listen_addresses=127.0.0.1 -c fsync=off") >>"$demo/postgres.log" ||
    { cat "$pg_home/server.log" >&2; die "PostgreSQL does not start"; }

  local admin=(psql -X -q -v ON_ERROR_STOP=1 -h "$pg_home" -p "$pg_port" -U postgres)
  "${admin[@]}" -d postgres -c 'CREATE DATABASE shop'
  "${admin[@]}" -d shop -f examples/shop/schema.sql -f examples/shop/data.sql
  # What the gateway logs in with only makes and drops roles: no superuser. A role that nobody logs in as owns the shop.
  local password
  password=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  (umask 077 && echo "postgres://gatepost_admin:$password@127.0.0.1:$pg_port/shop" >"$demo/admin.url")
  "${admin[@]}" -d shop <<SQL
CREATE ROLE shop_owner;
CREATE ROLE gatepost_admin LOGIN CREATEROLE PASSWORD '$password';
GRANT shop_owner TO gatepost_admin;
ALTER DATABASE shop OWNER TO shop_owner;
ALTER SCHEMA public OWNER TO shop_owner;
DO \$\$ DECLARE name text; BEGIN
  FOR name IN SELECT oid::regclass FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm')
  LOOP EXECUTE format('ALTER TABLE %s OWNER TO shop_owner', name); END LOOP;
END \$\$;
ALTER DATABASE shop SET log_min_messages = fatal;
SQL
}

start_issuer() {
  issuer_address=127.0.0.1:$(free_port 9400)
  "$gatepost" dev-issuer --listen "$issuer_address" --key-dir "$demo/issuer" >"$demo/issuer.log" 2>&1 &
  pids+=($!)
  wait_for "the development issuer" "$demo/issuer.log" grep -q 'DEVELOPMENT ISSUER' "$demo/issuer.log"
}

start_gateway() {
  port=$(free_port 6432)
  http_port=$(free_port 8432)
  # A copy, so that it can be played with: the gateway loads what changes.
  mkdir "$demo/policy"
  cp -r examples/shop/policy/shop "$demo/policy/shop"
  cat >"$demo/gatepost.toml" <<TOML
# The demo's configuration. "gatepost init" writes one with explanations.
[listen]
postgres   = "127.0.0.1:$port"
http       = "127.0.0.1:$http_port"
public_url = "http://127.0.0.1:$http_port"

[console]
issuer    = "dev"
client_id = "gatepost-console"

[operators]
operator = ["dev:operators"]
auditor  = ["dev:auditors"]
approver = ["dev:support-leads", "dev:dba"]

[[issuer]]
name     = "dev"
url      = "http://$issuer_address/dev"
audience = "gatepost"
subject  = "sub"
groups   = "groups"

[[database]]
name     = "shop"
upstream = "postgres://127.0.0.1:$pg_port/shop?sslmode=disable"
login    = { kind = "ephemeral", admin = "file:admin.url", owner = "shop_owner" }
policy   = "policy/shop"

[journal]
path = "journal"
TOML
  export GATEPOST_CONFIG=$demo/gatepost.toml
  "$gatepost" serve >"$demo/gatepost.out" 2>"$demo/gatepost.log" &
  pids+=($!)
  wait_for "gatepost" "$demo/gatepost.log" grep -q '"ready"' "$demo/gatepost.out"
}

# --- the tour --------------------------------------------------------------------------------------------------------

# step HEADLINE STATUS COMMAND [+PATTERN|-PATTERN]...: runs the command, shows it with what it says, and checks its exit
# status, that each +PATTERN (extended, as grep's) is in what it says and that no -PATTERN is.
step() {
  local headline=$1 expected=$2 command=$3 status=0 output check wrong=()
  shift 3
  printf '\n%s%s%s\n%s$ %s%s\n' "$bold" "$headline" "$off" "$dim" "$command" "$off"
  output=$(bash -o pipefail -c "$command" 2>&1) || status=$?
  printf '%s\n' "$output"
  if [ "$status" -ne "$expected" ]; then wrong+=("exit status $status, not $expected"); fi
  for check in "$@"; do
    case $check in
    +*) grep -qE -- "${check#+}" <<<"$output" || wrong+=("\"${check#+}\" is missing") ;;
    -*) if grep -qE -- "${check#-}" <<<"$output"; then wrong+=("\"${check#-}\" should not be there"); fi ;;
    esac
  done
  if [ ${#wrong[@]} -eq 0 ]; then
    printf '%s✓%s\n' "$green" "$off"
  else
    failures=$((failures + 1))
    printf '%s✗ %s%s\n' "$red" "${wrong[@]}" "$off"
  fi
}

tour() {
  local psql="psql \"host=127.0.0.1 port=$port dbname=shop user=ada\""
  cat <<TEXT

${bold}The shop is open.${off} PostgreSQL listens on port $pg_port, Gatepost on port $port. Ada is an agent in the group
support-agents: her psql is the stock one, her password is her token, and she knows no database password.
${dim}\$ export PGPASSWORD=\$(gatepost dev-token ada --groups support-agents)${off}
TEXT
  PGPASSWORD=$(gatepost dev-token ada --groups support-agents --listen "$issuer_address" --key-dir "$demo/issuer")
  export PGPASSWORD
  # Who decides: a lead, and a DBA.
  GRACE=$(gatepost dev-token grace --groups support-leads --listen "$issuer_address" --key-dir "$demo/issuer")
  DAN=$(gatepost dev-token dan --groups dba --listen "$issuer_address" --key-dir "$demo/issuer")
  export GRACE DAN

  step "1. The configuration is sound, the policy's own tests pass, issuer and database answer" 0 \
    "gatepost check --connect | sed -n '/^what /,\$p'" '+tests passed' '+logged in as gatepost_admin' '-error|failed'
  step "2. Ada reads customers; what the policy tags as personal arrives masked" 0 \
    "$psql -c 'SELECT id, name, email, ssn, city FROM customers ORDER BY id LIMIT 3'" \
    '+\(3 rows\)' '+Faro' '-@example.com' '-9[0-9]{2}-[0-9]{2}-[0-9]{4}'
  step "3. A view, a join, an expression or COPY makes no difference" 0 \
    "$psql -c \"COPY (SELECT o.order_id, o.total, upper(c.email) FROM customer_orders o JOIN customers c ON c.id = o.customer_id ORDER BY 1 LIMIT 3) TO STDOUT\"" \
    '+^1[[:space:]]' '-@EXAMPLE.COM'
  step "4. A masked column can't be used to search either: that would be guessing" 1 \
    "$psql -v VERBOSITY=verbose -c \"SELECT name FROM customers WHERE ssn = '937-61-6007'\"" \
    '+ERROR:  42501' '+ssn' '+HINT' '-Bo Dahl'
  step "5. She may close a ticket" 0 \
    "$psql -c \"UPDATE tickets SET status = 'closed' WHERE id = 1 RETURNING id, status\"" '+closed' '+UPDATE 1'
  local waits='until gatepost approvals list --state open | grep -q dev:ada; do sleep 0.1; done'
  step "6. To delete one, a lead has to agree: the statement waits on the wire until Grace has seen all of it" 0 \
    "$psql -c 'DELETE FROM tickets WHERE id = 1' & $waits; gatepost approvals show 1; GATEPOST_TOKEN=\$GRACE gatepost approvals approve 1; wait" \
    '+NOTICE' '+asked by +dev:ada' '+delete on' '+support-deletes-tickets' '+request 1 is (approved|used)' '+DELETE 1'
  step "7. To empty the whole table takes a DBA as well, who says no, and why" 1 \
    "($waits; GATEPOST_TOKEN=\$DAN gatepost approvals deny 2 --reason 'close them instead') & $psql -v VERBOSITY=verbose -c 'DELETE FROM tickets'; status=\$?; wait; exit \$status" \
    '+request 2 is denied' '+42501' '+close them instead'
  step "8. An agent that can't wait is told a number, and sends the same statement again when it is approved" 0 \
    "export PGOPTIONS='-c gatepost.approval=async'; $psql -c 'DELETE FROM tickets WHERE id = 2'; GATEPOST_TOKEN=\$GRACE gatepost approvals approve 3; $psql -c 'DELETE FROM tickets WHERE id = 3'; $psql -c 'DELETE FROM tickets WHERE id = 2'" \
    '+request 3 is approved' '+DELETE 1' '-DELETE 1.*DELETE 1'
  step "9. Two are gone, the others aren't" 0 \
    "$psql -c 'SELECT count(*), min(id) FROM tickets'" '+118 +\| +3'
  step "10. A write can't launder what a read would mask" 1 \
    "$psql -c 'UPDATE tickets SET body = (SELECT ssn FROM customers WHERE id = 1) WHERE id = 1'" '+ERROR' '+HINT'
  step "11. To PostgreSQL each session is a role of its own, with the rights of its policy: a second lock" 0 \
    "$psql -c 'SELECT session_user'" '+gatepost_s'
  step "12. These rights can be read, as PostgreSQL's own grants" 0 \
    "gatepost policy explain --groups support-agents --grants" '+GRANT SELECT \(.*ON TABLE .*customers' '-GRANT (INSERT|DELETE) .*customers'
  step "13. Somebody ends what she is doing, at once" 0 \
    "($psql -v VERBOSITY=verbose -c 'SELECT count(*) FROM tickets a, tickets b, tickets c, tickets d' || true) & until gatepost sessions list | grep -q running; do sleep 0.1; done; gatepost sessions list; gatepost sessions kill --identity dev:ada --reason 'that is enough'; wait" \
    '+dev:ada' '+57P01' '+that is enough'
  step "14. A token that is none gets her nowhere, and she is not told why" 2 \
    "PGPASSWORD=guess $psql -c 'SELECT 1'" '+FATAL' '-guess'
  step "15. Why is that? The policy explains itself, and says what would help" 0 \
    "gatepost policy explain --groups support-agents --sql 'DELETE FROM tickets'" '+tickets' '+needs approval by support-leads and dba'
  step "16. All of it is on record: who, what, and what was decided" 0 \
    "gatepost audit query --event statement --identity dev:ada" '+DELETE FROM tickets' '+deny|hold' '+mask'
  step "17. The record is whole: its chain of hashes says so, with nothing but the files" 0 \
    "gatepost audit verify --journal .demo/journal"
  cp -r "$demo/journal" "$demo/tampered"
  local segment
  segment=$(find "$demo/tampered" -type f -size +0 | sort | head -n 1)
  # shellcheck disable=SC2016
  step "18. Change one letter in a copy, and it isn't" 1 \
    "sed -i 's/DELETE FROM tickets/delete FROM tickets/' '${segment#"$root"/}' && gatepost audit verify --journal .demo/tampered" \
    '+damaged'
  step "19. Neither her token nor the database's password is on record or in a log" 0 \
    "! grep -rF -e \"\$PGPASSWORD\" -e \"\$(sed 's/.*admin:\([^@]*\)@.*/\1/' .demo/admin.url)\" .demo/journal .demo/gatepost.log .demo/gatepost.out"
}

# --- all of it -------------------------------------------------------------------------------------------------------

rm -rf "$demo"
mkdir -p "$demo/bin"
if [ -z "${GATEPOST_BIN:-}" ]; then
  echo "demo: building gatepost (the first time takes some minutes)"
  cargo build --locked --quiet --package gatepost
  GATEPOST_BIN=${CARGO_TARGET_DIR:-target}/debug/gatepost
fi
gatepost=$(realpath "$GATEPOST_BIN")
ln -s "$gatepost" "$demo/bin/gatepost"
export PATH=$demo/bin:$PATH NO_COLOR=1
unset "${!PG@}" || true

start_postgres
start_issuer
start_gateway
tour

echo
if [ "$failures" -gt 0 ]; then printf '%s%s steps went wrong%s; the logs are in .demo/\n' "$red" "$failures" "$off"
else printf '%sEvery step went as promised.%s\n' "$green" "$off"; fi
if [ -n "${ONCE:-}" ]; then
  [ "$failures" -eq 0 ]
  exit
fi
cat <<TEXT

Still up until Ctrl-C. In another terminal:

  export PATH=$demo/bin:\$PATH GATEPOST_CONFIG=$demo/gatepost.toml
  export PGPASSWORD=\$(gatepost dev-token ada --groups support-agents --listen $issuer_address --key-dir $demo/issuer)
  psql "host=127.0.0.1 port=$port dbname=shop user=ada"
  gatepost audit tail

The console is at http://127.0.0.1:$http_port/. Log in as whoever you like: in the group support-leads you may approve, in operators you may end
sessions, in auditors you see the audit trail. Then try, as Ada: DELETE FROM tickets WHERE id = 4;

The policy is in .demo/policy/shop; what you change there counts from the next statement on.
TEXT
wait "${pids[-1]}" || true
die "gatepost has ended; see .demo/gatepost.log"
